from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from annotators.draws import draw_left
from annotators.queue import coming_pairs, current_lease, list_running, require_lease
from creativepair.errors import NotFoundError
from creativepair.records import Arm, ChainStatus, Item, JudgementEvent, Lease, Source, Step
from creativepair.store import catalogue, judgements

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk


def finish(desk: "Desk", lease: Lease) -> str:
    desk.blind(lease, "A")
    return desk.final(lease, "approve")


def nothing_left(desk: "Desk", annotator: str = "ann") -> bool:
    with desk.store.write() as connection:
        return (
            current_lease(connection, desk.workspace, annotator, "annotator", now=desk.now) is None
        )


def import_final(desk: "Desk", pair_id: str, annotator: str) -> None:
    """Store a finished judgement that no lease belongs to."""
    blind = JudgementEvent(
        decision_id=f"{pair_id}-{annotator}",
        lease_id=None,
        pair_id=pair_id,
        annotator_id=annotator,
        step=Step.BLIND,
        arm=Arm.BLIND,
        left_is="A",
        verdict="A",
        protocol="1",
        shown_at=desk.now,
        decided_at=desk.now,
        source=Source.IMPORT,
    )
    change = {"step": Step.FINAL, "decision_id": f"{pair_id}-{annotator}-final"}
    final = blind.model_copy(update={**change, "chain_status": ChainStatus.NONE})
    with desk.store.write() as connection:
        judgements.add_events(connection, [blind, final])


def test_the_pair_in_hand_stays_until_it_is_finished(desk: "Desk") -> None:
    first = desk.lease()
    assert desk.lease() == first
    desk.blind(first, "A")
    assert desk.lease() == first
    desk.final(first, "approve")
    second = desk.lease()
    assert second.pair_id != first.pair_id
    assert desk.lease() == second


def test_a_new_lease_fixes_what_will_be_shown(desk: "Desk") -> None:
    lease = desk.lease()
    assert lease.pair_id == min(pair.pair_id for pair in desk.pairs)
    assert (lease.arm, lease.pass_, lease.item_revision) == (Arm.BLIND, 1, 1)
    assert lease.left_is == draw_left(7, "ann", lease.pair_id, 1)  # the workspace's seed is 7
    assert lease.evidence_version is not None
    assert lease.draft_id is not None
    assert lease.expires_at - lease.created_at == timedelta(minutes=15)
    assert len(lease.lease_id) == 32


def test_each_pair_comes_once_and_then_there_is_nothing(desk: "Desk") -> None:
    seen = []
    for _ in desk.pairs:
        lease = desk.lease()
        seen.append(lease.pair_id)
        finish(desk, lease)
    assert sorted(seen) == sorted(pair.pair_id for pair in desk.pairs)
    assert nothing_left(desk)


def test_skipped_pairs_come_last_the_longest_skipped_first(desk: "Desk") -> None:
    first = desk.lease()
    desk.skip(first)
    second = desk.lease()
    desk.skip(second)
    third = desk.lease()
    assert len({first.pair_id, second.pair_id, third.pair_id}) == 3
    finish(desk, third)
    back = desk.lease()
    assert (back.lease_id, back.skipped_at) == (first.lease_id, None)
    assert back.expires_at > first.expires_at
    desk.skip(back)
    assert desk.lease().lease_id == second.lease_id


def test_a_single_skipped_pair_comes_back_at_once(make_desk: Callable[..., "Desk"]) -> None:
    desk = make_desk(num_pairs=1)
    lease = desk.lease()
    desk.skip(lease)
    assert desk.lease().lease_id == lease.lease_id


def test_a_finished_pair_cannot_be_skipped_into_the_queue_again(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1)
    lease = desk.lease()
    finish(desk, lease)
    desk.skip(lease)
    assert nothing_left(desk)


def test_an_undone_pair_comes_next_before_one_that_is_merely_begun(desk: "Desk") -> None:
    first = desk.lease()
    decision = finish(desk, first)
    begun = desk.lease()
    desk.undo(decision)
    assert desk.lease().lease_id == first.lease_id
    desk.final(first, "approve")
    assert desk.lease().lease_id == begun.lease_id


def test_what_somebody_else_finished_is_not_given_out(desk: "Desk") -> None:
    mine = desk.lease("ann")
    finish(desk, mine)
    assert desk.lease("bob").pair_id != mine.pair_id


def test_a_pair_that_was_imported_as_finished_is_not_given_out(desk: "Desk") -> None:
    first = min(pair.pair_id for pair in desk.pairs)
    import_final(desk, first, "carol")
    assert desk.lease("ann").pair_id != first


def test_a_judgement_imported_for_the_pair_in_hand_finishes_it(desk: "Desk") -> None:
    lease = desk.lease("ann")
    import_final(desk, lease.pair_id, "ann")
    assert desk.lease("ann").pair_id != lease.pair_id


def test_a_pair_that_is_no_candidate_any_more_is_not_given_out(desk: "Desk") -> None:
    lease = desk.lease()
    desk.withdraw(next(pair for pair in desk.pairs if pair.pair_id == lease.pair_id))
    assert desk.lease().pair_id != lease.pair_id


def test_no_pairs_means_nothing_to_do(make_desk: Callable[..., "Desk"]) -> None:
    assert nothing_left(make_desk())


def test_sides_are_drawn_fairly() -> None:
    # 2,000 fair draws: mean 1,000, sd sqrt(2000)/2 = 22.4; five sds leave 888 to 1,112.
    for annotator in ("ann", "bob"):
        num_a = sum(draw_left(0, annotator, f"{n:016x}", 1) == "A" for n in range(2_000))
        assert 888 <= num_a <= 1_112


def test_sides_of_two_people_or_passes_are_drawn_apart() -> None:
    ids = [f"{n:016x}" for n in range(2_000)]
    for other in [(0, "bob", 1), (0, "ann", 2), (1, "ann", 1)]:
        seed, annotator, pass_ = other
        same = sum(draw_left(0, "ann", i, 1) == draw_left(seed, annotator, i, pass_) for i in ids)
        assert 888 <= same <= 1_112  # as above: unrelated draws agree half of the time


def test_the_side_of_a_pair_is_the_same_whenever_it_is_asked() -> None:
    # Written down once: another draw would change the side order of work that is under way.
    drawn = (draw_left(0, "ann", f"{n:016x}", 1) for n in range(24))
    assert "".join(drawn) == "AAAAAAABABAABABABABABAAA"


def test_the_pairs_announced_for_preloading_are_those_that_come(desk: "Desk") -> None:
    finish_first = desk.lease()
    with desk.store.read() as connection:
        running = list_running(connection, desk.workspace, "ann", "annotator")
        coming = coming_pairs(connection, desk.workspace, "ann", running, now=desk.now)
    assert len(coming) == 2
    for pair, left_is in coming:
        finish(desk, finish_first)
        finish_first = desk.lease()
        assert (finish_first.pair_id, finish_first.left_is) == (pair.task.pair_id, left_is)


def test_a_lease_takes_a_newer_draft_and_evidence_while_nothing_is_decided(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1, draft=None, evidence=False)
    [pair] = desk.pairs
    lease = desk.lease()
    assert (lease.draft_id, lease.evidence_version) == (None, None)
    desk.renew(pair, "evidence-1")
    refreshed = desk.lease()
    assert refreshed.lease_id == lease.lease_id
    assert refreshed.draft_id is not None
    assert refreshed.evidence_version == 2  # the first build held no evidence
    with desk.store.read() as connection:
        assert require_lease(connection, "ann", lease.lease_id) == refreshed
    desk.blind(refreshed, "A")
    desk.renew(pair, "evidence-2")
    assert desk.lease() == refreshed


def test_a_changed_item_gives_the_open_lease_its_new_revision_without_the_old_draft(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1)
    lease = desk.lease()
    with desk.store.write() as connection:
        changed = Item(item_id="item-0", title="Big mug")
        catalogue.put_items(connection, [changed], now=datetime(2025, 3, 2, tzinfo=UTC))
    refreshed = desk.lease()
    assert lease.item_revision == 1
    assert (refreshed.item_revision, refreshed.draft_id) == (2, None)
    assert desk.show().title == "Big mug"


def test_only_the_holder_of_a_lease_finds_it(desk: "Desk") -> None:
    lease = desk.lease("ann")
    with desk.store.read() as connection:
        assert require_lease(connection, "ann", lease.lease_id) == lease
        for annotator, lease_id in (("bob", lease.lease_id), ("ann", "forged")):
            with pytest.raises(NotFoundError, match="not leased to you"):
                require_lease(connection, annotator, lease_id)
