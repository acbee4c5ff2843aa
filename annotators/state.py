"""What the events of one judgement add up to.

A judgement is one annotator's work on one pair in one pass. Its events are append-only; this
module folds them into today's state and says which step comes next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from creativepair.records import Arm, Judgement, JudgementEvent, Lease, Step

NextStep = Literal["blind", "final", "done"]


@dataclass(frozen=True, slots=True)
class State:
    """Where a judgement stands.

    Attributes:
        revision: of the events to come; rises with every undo.
        blind: the blind verdict that stands.
        final: the final that stands.
    """

    revision: int
    blind: JudgementEvent | None
    final: JudgementEvent | None

    @property
    def next_step(self) -> NextStep:
        """The step to show."""
        if self.blind is None:
            return "blind"
        return "final" if self.final is None else "done"


@dataclass(frozen=True, slots=True)
class InHand:
    """A lease and where its judgement stands."""

    lease: Lease
    state: State


def was_revealed(blind: JudgementEvent) -> bool:
    """Whether evidence and draft were shown after this verdict: it is frozen from then on."""
    return blind.arm is not Arm.BLIND_ONLY and blind.verdict in ("A", "B")


def fold(events: Iterable[JudgementEvent]) -> State:
    """Fold the events of one judgement, in the order they were stored.

    An undo takes the final back. It takes the blind verdict back too when nothing was revealed
    after it: only what a reveal could have coloured is frozen.
    """
    revision, blind, final = 1, None, None
    for event in events:
        if event.step is Step.BLIND:
            blind = event
        elif event.step is Step.FINAL:
            final = event
        elif event.step is Step.UNDO:
            revision, final = event.revision, None
            if blind and not was_revealed(blind):
                blind = None
    return State(revision, blind, final)


def to_judgement(events: Sequence[JudgementEvent]) -> Judgement | None:
    """Return the judgement that the events add up to; None while there is no blind verdict."""
    state = fold(events)
    if state.blind is None:
        return None
    last = state.final or state.blind
    return Judgement(
        pair_id=last.pair_id,
        annotator_id=last.annotator_id,
        protocol=last.protocol,
        pass_=last.pass_,
        arm=last.arm,
        left_is=last.left_is,
        blind=_verdict(state.blind),
        final=_verdict(state.final) if state.final else None,
        reason=last.reason,
        chain=last.chain,
        chain_status=last.chain_status,
        shown_at=state.blind.shown_at,
        decided_at=last.decided_at,
        source=last.source,
    )


def to_judgements(events: Iterable[JudgementEvent]) -> list[Judgement]:
    """Return every judgement in a list of events, by pair, annotator and pass."""

    def key(event: JudgementEvent) -> tuple[str, str, int]:
        return event.pair_id, event.annotator_id, event.pass_

    groups = groupby(sorted(events, key=key), key=key)  # sorting is stable: stored order stays
    folded = (to_judgement(list(group)) for _, group in groups)
    return [judgement for judgement in folded if judgement]


def _verdict(event: JudgementEvent) -> Literal["A", "B", "cannot_tell", "broken"]:
    if event.verdict is None:
        raise ValueError(f"the {event.step} event {event.decision_id} holds no verdict")
    return event.verdict
