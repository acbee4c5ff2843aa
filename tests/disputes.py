"""Pairs on which people disagree, for the tests of adjudication."""

from datetime import UTC, datetime

from app.bootstrap import Studio
from creativepair.records import Arm, HumanVerdict, JudgementEvent, PairStatus, Step
from creativepair.store import judgements, pairs


def dispute_pair(
    studio: Studio, *verdicts: HumanVerdict, by: tuple[str, ...] = ("ann", "bob"), number: int = 0
) -> str:
    """Store one finished judgement by each person on a candidate; return its pair id."""
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        candidates = pairs.iterate_pairs(connection, PairStatus.CANDIDATE)
        pair_id = [known.pair.pair_id for known in candidates][number]
        events = [
            JudgementEvent(
                decision_id=f"{pair_id}-{who}-{step}",
                lease_id=None,
                pair_id=pair_id,
                annotator_id=who,
                step=step,
                arm=Arm.BLIND,
                left_is="A",
                verdict=verdict,
                protocol=studio.workspace.protocol.version,
                shown_at=now,
                decided_at=now,
            )
            for who, verdict in zip(by, verdicts, strict=True)
            for step in (Step.BLIND, Step.FINAL)
        ]
        judgements.add_events(connection, events)
    return pair_id
