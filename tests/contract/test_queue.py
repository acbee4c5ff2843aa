"""The work queue on every database: places, targets, batches, gold and repeats."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from annotators import batches, decisions
from annotators.decisions import Timing, decision_id
from annotators.progress import Progress, ProgressMeter, WhyEmpty, why_empty
from annotators.queue import coming_pairs, current_lease, list_running
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.records import (
    OUTSIDE,
    Arm,
    Batch,
    Creative,
    Gold,
    GoldKind,
    HumanVerdict,
    Item,
    JudgementEvent,
    Lease,
    Pair,
    PairStatus,
    Step,
)
from creativepair.store import Store, catalogue, gold, judgements, pairs, tasks
from creativepair.store.shown import Coming
from creativepair.wording import Identity
from creativepair.workspace import Review, Settings, Workspace

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
SHORT = Review(overlap_share=0, gold_share=0, repeat_share=0, blind_only=1)
"""One verdict a pair finishes it, so tests of the queue need no reveal."""


@dataclass
class Office:
    """A store with pairs of one item, and annotators who work on them; the clock moves by hand."""

    store: Store
    workspace: Workspace
    now: datetime = NOW
    pair_ids: list[str] = field(default_factory=list)

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def lease(self, who: str, role: str = "annotator") -> Lease | None:
        with self.store.write() as connection:
            return current_lease(connection, self.workspace, who, role, now=self.now)

    def must_lease(self, who: str, role: str = "annotator") -> Lease:
        lease = self.lease(who, role)
        assert lease is not None
        return lease

    def lease_soon(self, who: str) -> Lease | None:
        """Lease while others do: what they have locked at this moment is skipped, and free soon."""
        for _ in range(100):
            if lease := self.lease(who):
                return lease
            with self.store.read() as connection:
                if not self.coming(connection, who):
                    return None
            time.sleep(0.05)
        raise AssertionError("what there is to do could not be leased")

    def coming(self, connection: Connection, who: str) -> list[tuple[Coming, Identity]]:
        running = list_running(connection, self.workspace, who, "annotator")
        return coming_pairs(connection, self.workspace, who, running, now=self.now)

    def judge(self, lease: Lease, verdict: HumanVerdict = "A", revision: int = 1) -> str:
        key = decision_id(lease.lease_id, "blind", revision)
        with self.store.write() as connection:
            decisions.decide_blind(
                connection,
                self.workspace,
                lease.annotator_id,
                lease_id=lease.lease_id,
                decision=key,
                verdict=verdict,
                reason="other",
                timing=Timing(self.now + timedelta(seconds=2), 2.0, 2.0),
            )
        self.now += timedelta(seconds=2)
        return decision_id(lease.lease_id, "final", revision)

    def judge_with_reveal(self, lease: Lease) -> None:
        """Judge a pair whose draft and evidence are shown after the verdict."""
        self.judge(lease)
        self.now += timedelta(seconds=2)
        with self.store.write() as connection:
            decisions.decide_final(
                connection,
                self.workspace,
                lease.annotator_id,
                lease_id=lease.lease_id,
                decision=decision_id(lease.lease_id, "final", 1),
                action="approve",
                edits=(),
                timing=Timing(self.now, 1.0, 1.0),
            )
        self.now += timedelta(seconds=2)

    def finish(self, who: str, verdict: HumanVerdict = "A", role: str = "annotator") -> Lease:
        lease = self.must_lease(who, role)
        self.judge(lease, verdict)
        return lease

    def undo(self, who: str, final: str) -> None:
        with self.store.write() as connection:
            decisions.undo(connection, self.workspace, who, final_decision=final, now=self.now)

    def skip(self, lease: Lease) -> None:
        with self.store.write() as connection:
            decisions.skip(connection, lease.annotator_id, lease_id=lease.lease_id, now=self.now)

    def keep_alive(self, lease: Lease, who: str | None = None) -> None:
        with self.store.write() as connection:
            decisions.keep_alive(
                connection,
                self.workspace,
                who or lease.annotator_id,
                lease_id=lease.lease_id,
                now=self.now,
            )

    def progress(self, who: str, meter: ProgressMeter | None = None) -> Progress:
        with self.store.read() as connection:
            return (meter or ProgressMeter()).read(
                connection, self.workspace, who, "annotator", self.num_done(who), now=self.now
            )

    def num_done(self, who: str) -> int:
        with self.store.read() as connection:
            return judgements.read_done(connection, who).num_finished

    def fill(self) -> int:
        with self.store.write() as connection:
            return batches.fill(connection, self.workspace, now=self.now)

    def batch(self, batch_id: int) -> Batch:
        with self.store.read() as connection:
            return next(b for b in tasks.list_batches(connection) if b.batch_id == batch_id)

    def change_batch(self, batch_id: int, **changes: Any) -> None:
        with self.store.write() as connection:
            tasks.update_batch(connection, self.batch(batch_id).model_copy(update=changes))

    def open_batch(self, name: str, pair_ids: Sequence[str], priority: int = 0) -> int:
        with self.store.write() as connection:
            return batches.open_batch(
                connection, self.workspace, name, pair_ids, priority=priority, now=self.now
            )

    def reopen(self, pair_ids: Sequence[str], priority: int = 0) -> int:
        with self.store.write() as connection:
            return batches.reopen(
                connection, self.workspace, "again", pair_ids, priority=priority, now=self.now
            )

    def save(self, statuses: dict[str, PairStatus]) -> None:
        """Save a build in which some pairs have another status."""
        with self.store.write() as connection:
            built = [
                Pair(
                    pair_id=pair_id,
                    item_id="mug",
                    creative_a=f"a{number}",
                    creative_b=f"b{number}",
                    status=statuses.get(pair_id, PairStatus.CANDIDATE),
                )
                for number, pair_id in enumerate(self.pair_ids)
            ]
            pairs.save_build(
                connection,
                pairs_built=built,
                evidence_built=[],
                settings={},
                summary={},
                now=self.now,
            )

    def add_gold(self, number: int, kind: GoldKind = GoldKind.DEGRADED) -> list[str]:
        """Add gold pairs, whose right answer is A."""
        names = [f"{9 if kind is GoldKind.DEGRADED else 8}{n:015x}" for n in range(number)]
        made = [
            Gold(
                pair_id=name,
                kind=kind,
                answer="A",
                derivative_a="1" * 64,
                derivative_b="2" * 64,
            )
            for name in names
        ]
        their_pairs = [
            Pair(
                pair_id=name,
                item_id="mug",
                creative_a="a0",
                creative_b=f"gold {name}",
                status=PairStatus.EXCLUDED,
                reject_reason=gold.GOLD_REASON,
            )
            for name in names
        ]
        with self.store.write() as connection:
            assert gold.add_gold(connection, made, their_pairs, now=NOW) == number
            assert gold.add_gold(connection, made, their_pairs, now=NOW) == 0
        return names

    def check(self) -> None:
        """No task has more finals and leases than its target, and nobody judged twice."""
        with self.store.read() as connection:
            events = judgements.list_events(connection)
            for pair_id in self.pair_ids:
                for pass_ in (1, 2, 3):
                    task = tasks.get_task(connection, pair_id, pass_)
                    if task:
                        # To somebody who is not there, all finals and leases are others'.
                        more = task.model_copy(update={"target": task.target + 1})
                        assert tasks.has_room(connection, more, "nobody", now=self.now)
        live: Counter[tuple[str, str, int]] = Counter()
        for event in events:
            key = event.pair_id, event.annotator_id, event.pass_
            live[key] += (event.step is Step.FINAL) - (event.step is Step.UNDO)
        assert set(live.values()) <= {0, 1}


def make_office(store: Store, num_pairs: int, **review: Any) -> Office:
    """Return an office with pairs that have tasks."""
    settings = Settings(name="Mugs", seed=7, review=SHORT.model_copy(update=review))
    office = Office(store, Workspace(Path("nowhere"), settings))
    office.pair_ids = [f"{n:016x}" for n in range(num_pairs)]
    with store.write() as connection:
        catalogue.put_items(connection, [Item(item_id="mug")], now=NOW)
        names = [f"{side}{n}" for n in range(num_pairs) for side in "ab"]
        catalogue.put_creatives(connection, [make_creative(name) for name in names])
    office.save({})
    assert office.fill() == num_pairs
    return office


def make_creative(name: str) -> Creative:
    return Creative(
        item_id="mug",
        creative_id=name,
        image_sha256="1" * 64,
        pixel_sha256="2" * 64,
        derivative_sha256="3" * 64,
        width=10,
        height=20,
        phash="a",
        dhash="b",
        colorhash="c",
        recipe="r1",
    )


@pytest.fixture
def office(store: Store) -> Office:
    """Return an office with three pairs, each to be judged once."""
    return make_office(store, 3)


def judge_all(office: Office, *people: str) -> list[Lease]:
    """Let people judge in turn until there is nothing left for any of them."""
    done, at_work = [], list(people)
    while at_work:
        for who in list(at_work):
            if office.lease(who) is None:
                at_work.remove(who)
            else:
                done.append(office.finish(who))
    return done


# --- places -----------------------------------------------------------------------------------


def test_two_people_never_hold_the_same_place(office: Office) -> None:
    held = [office.must_lease(who).pair_id for who in ("ann", "bob", "cem")]
    assert sorted(held) == office.pair_ids
    assert office.lease("dee") is None
    office.check()


def test_a_pair_is_finished_by_as_many_people_as_its_target_and_no_more(store: Store) -> None:
    office = make_office(store, 60, overlap_share=0.5, overlap_target=3)
    people = ("ann", "bob", "cem", "dee", "eve")
    finals = Counter(lease.pair_id for lease in judge_all(office, *people))
    with store.read() as connection:
        for pair_id in office.pair_ids:
            task = tasks.get_task(connection, pair_id, 1)
            assert task is not None
            assert finals[pair_id] == task.target
    # Half of 60 at three: 30, sd 3.9; five sds leave 11 to 49.
    assert 11 <= sum(count == 3 for count in finals.values()) <= 49
    assert set(finals.values()) == {1, 3}
    office.check()


def test_people_who_have_judged_a_pair_do_not_get_it_again(store: Store) -> None:
    office = make_office(store, 4, overlap_share=1, overlap_target=3)
    mine = judge_all(office, "ann")
    assert sorted(lease.pair_id for lease in mine) == office.pair_ids
    assert office.lease("ann") is None
    assert office.progress("ann") == Progress(4, 0, None)
    assert office.progress("bob") == Progress(0, 4, None)


def test_a_lease_that_ran_out_gives_its_place_to_the_next_person(office: Office) -> None:
    lost = office.must_lease("ann")
    office.wait(14.9)
    assert office.must_lease("bob").pair_id != lost.pair_id
    office.wait(0.2)
    assert office.must_lease("cem").pair_id == lost.pair_id
    with pytest.raises(StateError, match="finished by others while you were away") as caught:
        office.judge(lost)
    assert "next pair" in caught.value.hint
    assert office.must_lease("ann").pair_id != lost.pair_id
    office.check()


def test_whoever_comes_back_late_goes_on_when_nobody_took_the_place(office: Office) -> None:
    mine = office.must_lease("ann")
    office.wait(60)
    again = office.must_lease("ann")
    assert again.lease_id == mine.lease_id
    assert again.expires_at == office.now + timedelta(minutes=15)
    office.wait(60)
    office.judge(mine)  # without a look at the step in between, as after a long break
    office.check()


def test_a_sign_of_life_keeps_a_place_and_without_one_it_is_gone(office: Office) -> None:
    mine = office.must_lease("ann")
    for _ in range(6):
        office.wait(10)
        office.keep_alive(mine)
    held = {office.must_lease(who).pair_id for who in ("bob", "cem")}
    assert mine.pair_id not in held
    with pytest.raises(NotFoundError):
        office.keep_alive(mine, "bob")
    office.judge(mine)
    with pytest.raises(StateError, match="not in hand"):
        office.keep_alive(mine)


def test_an_undone_pair_stays_with_whoever_undid_it(store: Store) -> None:
    office = make_office(store, 1)
    lease = office.must_lease("ann")
    final = office.judge(lease)
    office.wait(60)
    office.undo("ann", final)
    assert office.lease("bob") is None
    again = office.must_lease("ann")
    assert again.lease_id == lease.lease_id
    office.judge(again, "B", revision=2)
    assert office.lease("bob") is None
    office.check()


def test_a_skipped_pair_is_free_for_others_and_comes_back_last(store: Store) -> None:
    office = make_office(store, 2)
    first = office.must_lease("ann")
    office.skip(first)
    assert office.must_lease("bob").pair_id == first.pair_id
    second = office.finish("ann")
    assert second.pair_id != first.pair_id
    assert office.lease("ann") is None  # bob holds what was skipped
    office.finish("bob")
    assert office.lease("ann") is None


def test_an_imported_final_takes_a_place(office: Office) -> None:
    lease = office.must_lease("ann")
    with office.store.write() as connection:
        blind = judgements.get_lease(connection, lease.lease_id)
        assert blind is not None
        event = {
            "decision_id": "import-1",
            "lease_id": None,
            "pair_id": office.pair_ids[-1],
            "annotator_id": "zoe",
            "step": Step.FINAL,
            "arm": Arm.BLIND,
            "left_is": "A",
            "verdict": "A",
            "protocol": "1",
            "shown_at": office.now,
            "decided_at": office.now,
        }
        judgements.add_events(connection, [JudgementEvent.model_validate(event)])
    rest = [lease.pair_id for lease in judge_all(office, "ann")]
    assert office.pair_ids[-1] not in rest
    assert len(rest) == 2


def test_pairs_that_are_no_candidates_are_not_given_out(office: Office) -> None:
    gone = office.pair_ids[0]
    office.save({gone: PairStatus.EXCLUDED})
    assert office.progress("ann").num_open == 2
    assert gone not in {lease.pair_id for lease in judge_all(office, "ann")}
    office.save({})
    assert office.finish("ann").pair_id == gone


def test_what_comes_next_is_announced_while_nobody_takes_it(store: Store) -> None:
    office = make_office(store, 4)
    lease = office.must_lease("ann")
    with store.read() as connection:
        coming = office.coming(connection, "ann")
    for pair, left_is in coming:
        office.judge(lease)
        lease = office.must_lease("ann")
        assert (lease.pair_id, lease.left_is) == (pair.task.pair_id, left_is)


def test_many_people_at_once_fill_each_target_exactly(store: Store) -> None:
    office = make_office(store, 40, overlap_share=0.4, overlap_target=3)

    def work(who: str) -> None:
        own = Office(store, office.workspace, now=office.now)
        while lease := own.lease_soon(who):
            own.judge(lease)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [f"p{n}" for n in range(6)]))
    office.check()
    with store.read() as connection:
        finals = Counter(
            event.pair_id
            for event in judgements.list_events(connection)
            if event.step is Step.FINAL
        )
        for pair_id in office.pair_ids:
            task = tasks.get_task(connection, pair_id, 1)
            assert task is not None
            assert finals[pair_id] == task.target


def test_finals_of_one_pair_at_once_leave_no_task_open_that_is_full(store: Store) -> None:
    office = make_office(store, 12, overlap_share=1.0, overlap_target=6)
    people = [f"p{n}" for n in range(6)]
    barrier = threading.Barrier(6, timeout=20)

    def work(who: str) -> None:
        own = Office(store, office.workspace, now=office.now)
        for _ in office.pair_ids:
            lease = own.lease_soon(who)
            barrier.wait()
            assert lease is not None
            own.judge(lease)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, people))
    with store.read() as connection:
        assert tasks.count_open(connection, range(100)) == 0


def test_one_person_in_two_tabs_at_once_gets_one_pair(store: Store) -> None:
    office = make_office(store, 20)
    barrier = threading.Barrier(6, timeout=20)

    def open_tab(_: int) -> str:
        barrier.wait()
        return office.must_lease("ann").lease_id

    with ThreadPoolExecutor(6) as pool:
        held = list(pool.map(open_tab, range(6)))
    assert len(held) == 6
    assert len(set(held)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_people_do_no_target_is_exceeded(store: Store, seed: int) -> None:
    office = make_office(store, 6, overlap_share=0.5, overlap_target=2)
    rng = random.Random(seed)
    finals: list[tuple[str, str]] = []
    for _ in range(150):
        who = rng.choice(("ann", "bob", "cem"))
        what = rng.choice(("judge", "judge", "skip", "wait", "undo", "late", "reopen"))
        lease = office.lease(who)
        try:
            if what == "wait":
                office.wait(rng.choice((1, 20)))
            elif what == "undo" and finals:
                name, final = rng.choice(finals)
                office.undo(name, final)
            elif what == "reopen":
                office.reopen([rng.choice(office.pair_ids)])
            elif lease and what == "skip":
                office.skip(lease)
            elif lease:
                if what == "late":
                    office.wait(20)
                    office.lease(rng.choice(("ann", "bob", "cem")))
                with office.store.read() as connection:
                    revision = decisions.state_of(connection, lease).revision
                finals.append((who, office.judge(lease, revision=revision)))
        except (StateError, InputError):
            pass  # refused: nothing may have changed then either
        office.check()
        with store.write() as connection:
            before = tasks.count_open(connection, range(1_000))
            tasks.settle(connection)
            assert tasks.count_open(connection, range(1_000)) == before


# --- batches ----------------------------------------------------------------------------------


def test_what_is_left_follows_ones_own_work_at_once_and_that_of_others_soon(
    office: Office,
) -> None:
    meter = ProgressMeter()
    assert office.progress("ann", meter).num_open == 3
    office.finish("ann")
    assert office.progress("ann", meter).num_open == 2
    office.finish("bob")
    assert office.progress("ann", meter).num_open == 2
    office.now += timedelta(seconds=5)
    assert office.progress("ann", meter).num_open == 1
    assert office.progress("bob", meter).num_open == 1


def test_the_more_is_open_the_longer_a_count_of_it_stands(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([60_000, 60_000 - 1_000])
    monkeypatch.setattr(tasks, "count_open", lambda _connection, _ids: next(counts))
    meter = ProgressMeter()
    assert office.progress("ann", meter).num_open == 60_000
    office.finish("ann")
    office.now += timedelta(seconds=50)
    assert office.progress("ann", meter).num_open == 59_999
    office.now += timedelta(seconds=10)
    assert office.progress("ann", meter).num_open == 59_000


def test_a_batch_of_higher_priority_goes_first(office: Office) -> None:
    last = office.pair_ids[-1]
    office.open_batch("urgent", [last], priority=5)
    assert office.must_lease("ann").pair_id == last


def test_a_paused_batch_is_not_given_out_until_it_goes_on(office: Office) -> None:
    urgent = office.open_batch("urgent", office.pair_ids[:2], priority=5)
    office.change_batch(urgent, paused_at=office.now)
    assert office.progress("ann").num_open == 1
    assert [lease.pair_id for lease in judge_all(office, "ann")] == office.pair_ids[2:]
    office.change_batch(urgent, paused_at=None)
    assert len(judge_all(office, "ann")) == 2


def test_single_pairs_can_be_paused(office: Office) -> None:
    with office.store.write() as connection:
        tasks.pause_tasks(connection, office.pair_ids[:2], paused_at=office.now)
    assert [lease.pair_id for lease in judge_all(office, "ann")] == office.pair_ids[2:]
    with office.store.write() as connection:
        tasks.pause_tasks(connection, office.pair_ids[:2], paused_at=None)
    assert len(judge_all(office, "ann")) == 2


def test_a_batch_goes_to_the_people_and_roles_it_is_given_to(office: Office) -> None:
    mine = office.open_batch("for ann and leads", office.pair_ids[:2], priority=5)
    office.change_batch(mine, annotators=("ann",), roles=("lead",))
    assert office.batch(mine).annotators == ("ann",)
    assert office.must_lease("bob").pair_id == office.pair_ids[2]
    assert office.lease("cem") is None
    assert office.must_lease("ann").pair_id in office.pair_ids[:2]
    assert office.must_lease("dee", "lead").pair_id in office.pair_ids[:2]


def test_pairs_of_a_lower_rank_come_first_within_a_batch(office: Office) -> None:
    with office.store.write() as connection:
        assert tasks.move_tasks(connection, office.pair_ids[2:], rank=-1.0) == 1
        assert tasks.move_tasks(connection, office.pair_ids, rank=None) == 0
    assert office.must_lease("ann").pair_id == office.pair_ids[2]


def test_a_batch_of_nothing_open_is_refused_and_leaves_nothing(office: Office) -> None:
    judge_all(office, "ann")
    with pytest.raises(InputError, match="none of these pairs is open"):
        office.open_batch("empty", office.pair_ids)
    with office.store.read() as connection:
        assert len(tasks.list_batches(connection)) == 1
    with pytest.raises(NotFoundError, match="no batch 99"), office.store.write() as connection:
        tasks.update_batch(
            connection,
            Batch(batch_id=99, name="x", protocol="1", created_at=NOW),
        )


def test_filling_again_adds_only_what_is_new(office: Office) -> None:
    assert office.fill() == 0
    office.pair_ids.append(f"{99:016x}")
    office.save({})
    assert office.fill() == 1
    with office.store.read() as connection:
        assert len(tasks.list_batches(connection)) == 1


# --- judging again ----------------------------------------------------------------------------


def test_a_reopened_pair_is_judged_in_a_new_pass_also_by_the_same_person(store: Store) -> None:
    office = make_office(store, 1)
    office.finish("ann", "A")
    with pytest.raises(InputError, match="no pairs were named"):
        office.reopen([])
    office.reopen(office.pair_ids)
    again = office.finish("ann", "B")
    assert again.pass_ == 2
    assert office.lease("ann") is None
    with store.read() as connection:
        finals = [e for e in judgements.list_events(connection) if e.step is Step.FINAL]
    assert [(e.pass_, e.verdict) for e in finals] == [(1, "A"), (2, "B")]


def test_a_pair_that_is_still_open_is_not_reopened(office: Office) -> None:
    office.finish("ann")
    with pytest.raises(InputError, match="2 of these pairs are open already"):
        office.reopen(office.pair_ids)


def test_a_stale_pair_comes_back_by_reopening(store: Store) -> None:
    office = make_office(store, 1)
    office.finish("ann")
    office.save({office.pair_ids[0]: PairStatus.EXCLUDED})  # judged, so it becomes stale
    with store.read() as connection:
        assert pairs.get_pair(connection, office.pair_ids[0]).status is PairStatus.STALE
    office.reopen(office.pair_ids)
    assert office.finish("bob").pass_ == 2
    office.save({office.pair_ids[0]: PairStatus.WITHDRAWN})
    with pytest.raises(InputError, match="cannot be judged"):
        office.reopen(office.pair_ids)


# --- gold and repeats -------------------------------------------------------------------------


def test_gold_stands_outside_the_targets_and_comes_once_to_each(store: Store) -> None:
    office = make_office(store, 3, gold_share=1.0)
    names = office.add_gold(2)
    done = [office.finish("ann") for _ in range(5)]
    golden = [lease for lease in done if lease.pass_ == OUTSIDE]
    assert sorted(lease.pair_id for lease in golden) == names
    assert {lease.arm for lease in golden} == {Arm.BLIND_ONLY}
    assert sorted(lease.pair_id for lease in done if lease.pass_ == 1) == office.pair_ids
    assert office.lease("ann") is None
    assert office.progress("ann") == Progress(5, 0, None)
    assert office.lease("bob") is None  # without pairs left there is nothing to hide gold among
    with store.read() as connection:
        assert judgements.count_finals(connection) == 3
        assert pairs.count_pairs(connection) == {"candidate": 3}
        listed = [known.pair.pair_id for known in pairs.iterate_pairs(connection)]
        assert [one.pair_id for one in gold.list_gold(connection)] == names
    assert listed == office.pair_ids


def test_practice_comes_before_real_work_and_once_to_each(store: Store) -> None:
    office = make_office(store, 3, gold_share=1.0)
    office.finish("old hand")
    names = office.add_gold(2, GoldKind.PRACTICE)
    golden = office.add_gold(1)
    first = office.must_lease("ann")
    assert (first.pair_id, first.pass_, first.arm) == (names[0], OUTSIDE, Arm.BLIND)
    with store.read() as connection:
        assert gold.get_practice(connection, names[0], "ann") == gold.Practice("A", 1, 2)
        assert gold.get_practice(connection, golden[0], "ann") is None
        assert [one.pair_id for one in gold.list_gold(connection)] == golden
        assert [one.pair_id for one in gold.list_practice(connection)] == names
    office.judge_with_reveal(first)
    second = office.must_lease("ann")
    assert second.pair_id == names[1]
    with store.read() as connection:
        assert gold.get_practice(connection, names[1], "ann") == gold.Practice("A", 2, 2)
    office.judge_with_reveal(second)
    assert office.finish("ann").pair_id == golden[0]
    assert office.finish("ann").pass_ == 1
    assert office.must_lease("old hand").pair_id not in names
    with store.read() as connection:
        assert judgements.count_finals(connection) == 2


def test_a_build_leaves_gold_as_it_is(store: Store) -> None:
    office = make_office(store, 2, gold_share=1.0)
    [name] = office.add_gold(1)
    lease = office.must_lease("ann")
    assert lease.pair_id == name
    final = office.judge(lease)
    office.save({})
    with store.read() as connection:
        assert pairs.get_pair(connection, name).reject_reason == gold.GOLD_REASON
        assert pairs.judged_pair_ids(connection) == {name}
        assert pairs.list_judged_pairs(connection) == []
    office.undo("ann", final)
    assert office.must_lease("ann").lease_id == lease.lease_id


def test_a_repeat_comes_flipped_fifty_pairs_later_and_once(store: Store) -> None:
    office = make_office(store, 56, repeat_share=1.0)
    done = [office.finish("ann") for _ in range(60)]
    repeats = [(at, lease) for at, lease in enumerate(done) if lease.pass_ == OUTSIDE]
    assert len(repeats) >= 4
    for at, lease in repeats:
        first_at, first = next(
            (n, one) for n, one in enumerate(done) if one.pair_id == lease.pair_id
        )
        assert at - first_at > 50
        assert lease.left_is != first.left_is
        assert lease.arm is Arm.BLIND_ONLY
    again = Counter(lease.pair_id for _, lease in repeats)
    assert set(again.values()) == {1}


def test_only_pairs_that_were_judged_without_a_reveal_are_repeated(store: Store) -> None:
    office = make_office(store, 56, repeat_share=1.0, blind_only=0.0)
    for _ in range(56):
        office.finish("ann", "cannot_tell")
    assert office.lease("ann") is None


def test_whoever_gets_no_pair_is_told_why(store: Store) -> None:
    office = make_office(store, 0)

    def why(who: str) -> WhyEmpty:
        assert office.lease(who) is None
        with store.read() as connection:
            return why_empty(connection, office.workspace, who, "annotator")

    assert why("ann") == "nothing_built"
    office = make_office(store, 2)
    judged = office.finish("ann")
    office.must_lease("bob")
    assert why("ann") == "with_others"
    for pair_id in office.pair_ids:
        if pair_id != judged.pair_id:
            with store.write() as connection:
                tasks.pause_tasks(connection, [pair_id], paused_at=office.now)
    office.wait(120)
    assert why("ann") == "none_open"
    with store.write() as connection:
        tasks.pause_tasks(connection, office.pair_ids, paused_at=None)
    office.finish("ann")
    assert why("ann") == "all_judged"


def test_pairs_in_a_paused_batch_or_in_one_for_others_are_not_open(store: Store) -> None:
    office = make_office(store, 1)
    for change in ({"paused_at": NOW}, {"paused_at": None, "annotators": ("bob",)}):
        office.change_batch(1, **change)
        assert office.lease("ann") is None
        with store.read() as connection:
            assert why_empty(connection, office.workspace, "ann", "annotator") == "none_open"
