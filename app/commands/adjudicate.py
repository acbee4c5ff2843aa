"""Adjudication: what a reviewer sees next, and what settles it."""

from datetime import UTC, datetime

from annotators import adjudication
from annotators.adjudication import Case
from app.bootstrap import Studio
from creativepair.records import ReasonCode


def show_case(studio: Studio, reviewer_id: str) -> Case:
    """Return the pair that waits first for a reviewer, without names."""
    with studio.store.read() as connection:
        return adjudication.show_case(connection, studio.workspace, reviewer_id)


def adjudicate(
    studio: Studio,
    reviewer_id: str,
    *,
    pair_id: str,
    decision: str,
    verdict: str,
    reason_code: ReasonCode,
    note: str,
    seen_s: float,
) -> None:
    """Settle a pair, durably; arguments and errors are those of `annotators.adjudication`."""
    with studio.store.write() as connection:
        adjudication.adjudicate(
            connection,
            studio.workspace,
            reviewer_id,
            pair_id=pair_id,
            decision=decision,
            verdict=verdict,
            reason_code=reason_code,
            note=note,
            seen_s=seen_s,
            now=datetime.now(UTC),
        )
