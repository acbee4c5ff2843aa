"""Practice: copies of sure pairs, judged with feedback and counted nowhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from annotators.consensus import majority
from annotators.practice import make_practice
from annotators.state import to_judgements
from creativepair.errors import StateError
from creativepair.records import OUTSIDE, GoldKind
from creativepair.store import gold, judgements, pairs

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk


def practise(desk: "Desk", number: int) -> int:
    with desk.store.write() as connection:
        return make_practice(connection, desk.workspace, number=number, now=desk.pass_time())


def test_a_new_annotator_practises_first_and_is_told_what_was_right(desk: "Desk") -> None:
    assert practise(desk, 2) == 2
    view = desk.show()
    assert view.practice is not None
    assert (view.practice.number, view.practice.of) == (1, 2)
    assert "expected" not in view.model_dump_json(exclude_none=True)
    lease = desk.lease()
    desk.blind(lease, "B")
    view = desk.show()
    assert view.reveal is not None
    assert view.reveal.expected == ("left" if lease.left_is == "A" else "right")
    assert view.reveal.own != view.reveal.expected
    assert view.reveal.evidence is not None
    assert len(view.reveal.findings) == len(desk.protocol.questions)
    assert view.reveal.case == "differ"
    desk.final(lease, "take_draft")
    second = desk.lease()
    view = desk.show()
    assert view.practice is not None
    assert view.practice.number == 2
    desk.blind(second, "A")
    desk.final(second, "approve")
    real = desk.lease()
    view = desk.show()
    assert real.pass_ > OUTSIDE
    assert view.practice is None


def test_who_cannot_tell_in_practice_is_told_what_was_right_with_the_next_pair(
    desk: "Desk",
) -> None:
    practise(desk, 1)
    lease = desk.lease()
    desk.blind(lease, "cannot_tell", reason="other")
    view = desk.show(after=lease)
    assert view.step == "blind"
    assert view.practice is None
    assert view.practice_was == ("left" if lease.left_is == "A" else "right")
    real = desk.lease()
    desk.blind(real, "cannot_tell", reason="other")
    assert desk.show(after=real).practice_was is None


def test_practice_counts_nowhere(desk: "Desk") -> None:
    practise(desk, 2)
    for _ in range(2):
        lease = desk.lease()
        desk.blind(lease, "A")
        desk.final(lease, "approve")
    with desk.store.read() as connection:
        events = judgements.list_events(connection)
        assert judgements.count_finals(connection) == 0
        assert not majority(to_judgements(events), desk.protocol.version, {})
        assert pairs.count_pairs(connection) == {"candidate": 3}
        assert not gold.list_gold(connection)
        listed = [row.pair_id for row in pairs.iterate_evidence(connection, 3)]
    assert len(events) == 4
    assert not {event.pair_id for event in events} & set(listed)


def test_who_has_practised_on_a_pair_is_never_asked_about_it(desk: "Desk") -> None:
    practise(desk, 2)
    for _ in range(3):
        lease = desk.lease()
        desk.blind(lease, "A")
        desk.final(lease, "approve")
    assert desk.show().step == "empty"
    with desk.store.read() as connection:
        copies = {one.pair_id for one in gold.list_practice(connection)}
    assert len(copies) == 2
    assert not copies & {pair.pair_id for pair in desk.pairs}


def test_who_has_begun_real_work_needs_no_practice(desk: "Desk") -> None:
    lease = desk.lease("old hand")
    desk.blind(lease, "A")
    desk.final(lease, "approve")
    practise(desk, 1)
    assert desk.show("old hand").practice is None
    assert desk.show("newcomer").practice is not None


def test_practice_is_made_of_sure_unjudged_pairs_whose_draft_agrees(
    make_desk: "Callable[..., Desk]",
) -> None:
    with pytest.raises(StateError, match="no pair is fit for practice"):
        practise(make_desk("no drafts", num_pairs=2, draft=None), 1)
    with pytest.raises(StateError, match="no pair is fit for practice"):
        practise(make_desk("drafts differ", num_pairs=2, draft="B"), 1)
    with pytest.raises(StateError, match="no pair is fit for practice"):
        practise(make_desk("no evidence", num_pairs=2, evidence=False), 1)
    desk = make_desk("good", num_pairs=2)
    lease = desk.lease()
    desk.blind(lease, "A")
    assert practise(desk, 5) == 1
    with pytest.raises(StateError, match="no pair is fit for practice"):
        practise(desk, 5)
    with desk.store.read() as connection:
        [made] = gold.list_practice(connection)
    assert (made.kind, made.answer) == (GoldKind.PRACTICE, "A")
