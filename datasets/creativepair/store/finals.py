"""What a live final is, in SQL."""

from sqlalchemy import ColumnElement, select

from creativepair.records import Step
from creativepair.store.tables import judgement_events

_undo = judgement_events.alias("undo")


def is_live_final() -> ColumnElement[bool]:
    """SQL condition on `judgement_events`: a final that no later undo has reopened."""
    undone = (
        select(_undo.c.event_id)
        .where(
            _undo.c.annotator_id == judgement_events.c.annotator_id,
            _undo.c.pair_id == judgement_events.c.pair_id,
            _undo.c.pass_ == judgement_events.c.pass_,
            _undo.c.step == Step.UNDO.value,
            _undo.c.revision > judgement_events.c.revision,
        )
        .exists()
    )
    return (judgement_events.c.step == Step.FINAL.value) & ~undone
