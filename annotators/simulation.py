"""Simulated annotators for demos and tests: marked as such wherever their judgements appear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from annotators.draws import draw_left
from creativepair.records import (
    Arm,
    ChainStatus,
    Draft,
    HumanVerdict,
    JudgementEvent,
    Pair,
    Source,
    Step,
)
from creativepair.wording import Identity, other

CANNOT_TELL_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class SimulatedAnnotator:
    """A person who names the better creative with probability `accuracy`, independently."""

    annotator_id: str
    accuracy: float


def simulate_judgements(
    pairs: Sequence[Pair],
    better: Mapping[str, Identity],
    drafts: Mapping[str, Draft],
    annotators: Sequence[SimulatedAnnotator],
    *,
    protocol: str,
    evidence_versions: Mapping[str, int],
    side_seed: int,
    seed: int,
    start: datetime,
) -> list[JudgementEvent]:
    """Draw one judgement per pair, annotators in turn, one pair every 30 seconds.

    Each keeps its own blind verdict as final; the draft's chain is approved where it agrees and
    contested where it does not.

    Args:
        better: identity of the truly better creative by pair id.
        drafts: newest draft by pair id; pairs may have none.
    """
    rng = np.random.default_rng(seed)
    events = []
    for number, pair in enumerate(pairs):
        annotator = annotators[number % len(annotators)]
        verdict = _verdict(better[pair.pair_id], annotator.accuracy, rng)
        draft = drafts.get(pair.pair_id)
        blind = JudgementEvent(
            decision_id=f"simulated-{annotator.annotator_id}-{pair.pair_id}-blind",
            lease_id=None,
            pair_id=pair.pair_id,
            annotator_id=annotator.annotator_id,
            step=Step.BLIND,
            arm=Arm.BLIND,
            left_is=draw_left(side_seed, annotator.annotator_id, pair.pair_id, 1),
            verdict=verdict,
            reason="both fit equally well" if verdict == "cannot_tell" else None,
            evidence_version=evidence_versions.get(pair.pair_id),
            draft_id=draft.draft_id if draft else None,
            item_revision=draft.item_revision if draft else None,
            protocol=protocol,
            shown_at=start + timedelta(seconds=30 * number),
            decided_at=start + timedelta(seconds=30 * number + 6),
            source=Source.SIMULATED,
        )
        approved = draft is not None and draft.answer == verdict
        status = ChainStatus.APPROVED if approved else ChainStatus.CONTESTED
        if draft is None or verdict == "cannot_tell":
            status = ChainStatus.NONE
        change = {
            "decision_id": f"simulated-{annotator.annotator_id}-{pair.pair_id}-final",
            "step": Step.FINAL,
            "chain": draft.chain if draft and approved else None,
            "chain_status": status,
            "decided_at": start + timedelta(seconds=30 * number + 20),
        }
        events += [blind, blind.model_copy(update=change)]
    return events


def _verdict(better: Identity, accuracy: float, rng: np.random.Generator) -> HumanVerdict:
    if rng.random() < CANNOT_TELL_SHARE:
        return "cannot_tell"
    return better if rng.random() < accuracy else other(better)
