"""All figures of quality in one report.

Everything rests on the judgements of one protocol; others answered another question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotators.quality.agreement import Agreement, measure_agreement
from annotators.quality.annotator import AnnotatorQuality, measure_annotators, select_gold
from annotators.quality.bias import ArmBias, Changes, measure_bias, measure_changes
from annotators.quality.chains import ChainEdits, measure_edits
from annotators.quality.dawid_skene import WeighedConsensus, weigh_votes
from annotators.quality.screening import Screening, screen
from annotators.quality.verdicts import (
    ANSWERS,
    VOTES,
    JudgementKey,
    Sitting,
    number_items,
    select_blind,
    select_targets,
    to_verdicts,
)
from creativepair.records import Judgement


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What is known of the judging.

    Attributes:
        num_judgements: first judgements of pairs under the protocol.
        agreement: on all answers of blind verdicts; "cannot tell" and "broken" are answers.
        agreement_of_votes: on A and B alone.
        consensus: of blind votes, weighed.
    """

    protocol: str
    num_judgements: int
    agreement: Agreement
    agreement_of_votes: Agreement
    annotators: tuple[AnnotatorQuality, ...]
    bias: tuple[ArmBias, ...]
    changes: Changes
    chains: ChainEdits
    consensus: WeighedConsensus
    screening: Screening


def measure_quality(
    judgements: Sequence[Judgement],
    protocol: str,
    *,
    gold: Mapping[str, str] | None = None,
    sittings: Mapping[JudgementKey, Sitting] | None = None,
    items: Mapping[str, str] | None = None,
    seed: int = 0,
) -> QualityReport:
    """Measure the quality of judgements.

    Args:
        judgements: all there are, gold answers and flipped repeats (pass 0) too.
        gold: right answer by gold pair.
        sittings: what was shown with a judgement, where that is known.
        items: item by pair; where none is given, every pair is an item of its own.
        seed: of the resampling.
    """
    gold, sittings, items = gold or {}, sittings or {}, items or {}
    own = [j for j in judgements if j.protocol == protocol]
    targets = select_targets(own, protocol)
    blind = select_blind(targets)
    consensus = weigh_votes(blind, select_gold(own, gold), gold)
    annotators = measure_annotators(own, protocol, sittings, gold, consensus.accuracy)
    return QualityReport(
        protocol=protocol,
        num_judgements=len(targets),
        agreement=_agreement(blind, items, seed),
        agreement_of_votes=_agreement([j for j in blind if j.blind in VOTES], items, seed),
        annotators=tuple(annotators),
        bias=tuple(measure_bias(targets, sittings, items, seed=seed)),
        changes=measure_changes(targets, sittings, items, seed=seed),
        chains=measure_edits(targets, sittings, items, seed=seed),
        consensus=consensus,
        screening=screen(annotators),
    )


def _agreement(blind: Sequence[Judgement], items: Mapping[str, str], seed: int) -> Agreement:
    verdicts = to_verdicts(blind)
    num_pairs = len(verdicts.pair_ids)
    counts = np.bincount(
        verdicts.pair * len(ANSWERS) + verdicts.answer, minlength=num_pairs * len(ANSWERS)
    ).reshape(num_pairs, len(ANSWERS))
    return measure_agreement(counts, number_items(verdicts.pair_ids, items), seed=seed)
