from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from annotators import decisions
from annotators.decisions import FinalAction, Timing, decision_id
from annotators.queue import current_lease
from annotators.state import fold, to_judgement, to_judgements, was_revealed
from creativepair.errors import ChainError, StateError
from creativepair.records import Arm, HumanVerdict, JudgementEvent, Step
from creativepair.store import judgements
from creativepair.store.judgements import Autosave

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def event(
    step: Step, verdict: str | None = None, *, minute: int = 0, **more: Any
) -> JudgementEvent:
    values = {
        "decision_id": f"{step}-{minute}-{more}"[:100],
        "lease_id": None,
        "pair_id": "0" * 16,
        "annotator_id": "ann",
        "arm": Arm.BLIND,
        "left_is": "A",
        "protocol": "1",
        "shown_at": NOW + timedelta(minutes=minute),
        "decided_at": NOW + timedelta(minutes=minute, seconds=5),
    }
    return JudgementEvent.model_validate(values | {"step": step, "verdict": verdict} | more)


def blind(verdict: str, **more: Any) -> JudgementEvent:
    return event(Step.BLIND, verdict, **more)


def final(verdict: str, **more: Any) -> JudgementEvent:
    return event(Step.FINAL, verdict, **more)


def undo(revision: int) -> JudgementEvent:
    return event(Step.UNDO, revision=revision, minute=9)


@pytest.mark.parametrize(
    ("events", "revision", "stands", "next_step"),
    [
        ([], 1, (None, None), "blind"),
        ([blind("B")], 1, ("B", None), "final"),
        ([blind("B"), final("A")], 1, ("B", "A"), "done"),
        # Evidence was shown after this blind verdict: it is frozen, only the final comes back.
        ([blind("B"), final("A"), undo(2)], 2, ("B", None), "final"),
        ([blind("B"), final("A"), undo(2), final("B", revision=2)], 2, ("B", "B"), "done"),
        (
            [blind("B"), final("A"), undo(2), final("B", revision=2), undo(3)],
            3,
            ("B", None),
            "final",
        ),
        # Nothing was shown after these: both verdicts come back.
        ([blind("cannot_tell"), final("cannot_tell"), undo(2)], 2, (None, None), "blind"),
        ([blind("broken"), final("broken"), undo(2)], 2, (None, None), "blind"),
        (
            [blind("A", arm=Arm.BLIND_ONLY), final("A", arm=Arm.BLIND_ONLY), undo(2)],
            2,
            (None, None),
            "blind",
        ),
        (
            [blind("broken"), final("broken"), undo(2), blind("A", revision=2)],
            2,
            ("A", None),
            "final",
        ),
    ],
)  # fmt: skip
def test_events_fold_into_the_state_that_stands(
    events: Sequence[JudgementEvent],
    revision: int,
    stands: tuple[str | None, str | None],
    next_step: str,
) -> None:
    state = fold(events)
    verdicts = tuple(e.verdict if e else None for e in (state.blind, state.final))
    assert (state.revision, verdicts, state.next_step) == (revision, stands, next_step)


@pytest.mark.parametrize(
    ("arm", "verdict", "revealed"),
    [
        (Arm.BLIND, "A", True),
        (Arm.BLIND, "B", True),
        (Arm.BLIND, "cannot_tell", False),
        (Arm.BLIND, "broken", False),
        (Arm.BLIND_ONLY, "A", False),
        (Arm.DRAFT_FIRST, "A", True),
    ],
)
def test_only_a_vote_in_an_arm_with_reveal_is_followed_by_one(
    arm: Arm, verdict: str, revealed: bool
) -> None:
    assert was_revealed(blind(verdict, arm=arm)) is revealed


def test_a_judgement_runs_from_the_blind_showing_to_the_last_decision() -> None:
    judgement = to_judgement([blind("B"), final("A", minute=3)])
    assert judgement is not None
    assert (judgement.blind, judgement.final) == ("B", "A")
    assert judgement.shown_at == NOW
    assert judgement.decided_at == NOW + timedelta(minutes=3, seconds=5)


def test_a_judgement_taken_back_whole_is_none() -> None:
    assert to_judgement([]) is None
    assert to_judgement([blind("broken"), final("broken"), undo(2)]) is None


def test_events_are_told_apart_by_pair_annotator_and_pass() -> None:
    events = [
        blind("A", annotator_id="bob"),
        blind("B"),
        final("B"),
        blind("A", pass_=2),
        blind("A", pair_id="1" * 16),
    ]
    found = [
        (j.pair_id[0], j.annotator_id, j.pass_, j.blind, j.final) for j in to_judgements(events)
    ]
    assert found == [
        ("0", "ann", 1, "B", "B"),
        ("0", "ann", 2, "A", None),
        ("0", "bob", 1, "A", None),
        ("1", "ann", 1, "A", None),
    ]


def test_a_verdict_event_without_a_verdict_is_named() -> None:
    with pytest.raises(ValueError, match="holds no verdict"):
        to_judgement([event(Step.BLIND)])


ANNOTATORS = ("ann", "bob")
Step_ = tuple[str, str, str]
STEPS = st.tuples(
    st.sampled_from(["blind", "final", "undo", "skip", "autosave", "repeat"]),
    st.sampled_from(ANNOTATORS),
    st.sampled_from(["A", "B", "cannot_tell", "broken"]),
)
ACTIONS: dict[str, FinalAction] = {"A": "approve", "B": "keep_mine", "cannot_tell": "take_draft"}


@contextmanager
def rolled_back(desk: "Desk") -> Iterator[Connection]:
    """A write transaction that leaves nothing behind."""
    with desk.store.engine.connect().execution_options(writes=True) as connection:
        transaction = connection.begin()
        try:
            yield connection
        finally:
            transaction.rollback()


def take_step(connection: Connection, desk: "Desk", step: Step_, now: datetime) -> None:
    """Do one thing that an annotator can ask for at any moment."""
    what, annotator, choice = step
    lease = current_lease(
        connection, desk.workspace, annotator, "annotator", now=now - timedelta(seconds=30)
    )
    last_id = judgements.last_final_id(connection, annotator)
    last = judgements.find_event(connection, last_id) if last_id else None
    timing = Timing(now, 2.0, 2.0)
    if what == "undo" and last:
        decisions.undo(
            connection, desk.workspace, annotator, final_decision=last.decision_id, now=now
        )
    elif what == "repeat" and last and last.lease_id and last.verdict:
        decisions.decide_blind(
            connection,
            desk.workspace,
            annotator,
            lease_id=last.lease_id,
            decision=decision_id(last.lease_id, "blind", 1),
            verdict=last.verdict,
            reason="other",
            timing=timing,
        )
    elif lease and what == "skip":
        decisions.skip(connection, annotator, lease_id=lease.lease_id, now=now)
    elif lease and what == "autosave":
        edits = [Autosave("layout", "tie", choice, "edit")]
        decisions.autosave(connection, annotator, lease_id=lease.lease_id, edits=edits, now=now)
    elif lease and what in ("blind", "final"):
        revision = decisions.state_of(connection, lease).revision
        key = decision_id(lease.lease_id, what, revision)
        if what == "blind":
            decisions.decide_blind(
                connection,
                desk.workspace,
                annotator,
                lease_id=lease.lease_id,
                decision=key,
                verdict=cast(HumanVerdict, choice),
                reason="other",
                timing=timing,
            )
        else:
            decisions.decide_final(
                connection,
                desk.workspace,
                annotator,
                lease_id=lease.lease_id,
                decision=key,
                action=ACTIONS.get(choice, "approve"),
                edits=[],
                timing=timing,
            )


def check_invariants(events: Sequence[JudgementEvent]) -> None:
    groups: dict[tuple[str, str, int], list[JudgementEvent]] = defaultdict(list)
    for e in events:
        groups[e.pair_id, e.annotator_id, e.pass_].append(e)
    for group in groups.values():
        revision, live, frozen = 1, 0, 0
        for e in group:
            if e.step is Step.UNDO:
                revision += 1
                live -= 1
            live += e.step is Step.FINAL
            frozen += e.step is Step.BLIND and was_revealed(e)
            assert e.revision == revision, "a revision rises by undo, and by nothing else"
            assert live in (0, 1), "at most one final stands"
            assert frozen <= 1, "a verdict that was followed by a reveal is never given again"
        assert (fold(group).final is not None) == (live == 1)
    ids = Counter(e.decision_id for e in events)
    assert max(ids.values(), default=1) == 1


# Each example runs in a transaction that is rolled back, so the desk may be shared by all.
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_annotators_do_events_are_only_appended_and_one_final_stands(
    desk: "Desk", steps: list[Step_]
) -> None:
    with rolled_back(desk) as connection:
        before: list[JudgementEvent] = []
        now = NOW
        for step in steps:
            now += timedelta(minutes=1)
            try:
                take_step(connection, desk, step, now)
            except (StateError, ChainError):
                assert judgements.list_events(connection) == before, "a refusal stores nothing"
            events = judgements.list_events(connection)
            assert events[: len(before)] == before
            check_invariants(events)
            assert judgements.count_finals(connection) == sum(
                j.final is not None for j in to_judgements(events)
            )
            before = events
