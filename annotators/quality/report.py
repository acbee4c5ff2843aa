"""All figures of quality in one report.

Everything rests on the judgements of one protocol; others answered another question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotators.quality.agreement import Agreement, measure_agreement
from annotators.quality.annotator import AnnotatorQuality, measure_annotators
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
from creativepair.estimates import FEWEST_ITEMS
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
        judgements: all there are, gold answers and flipped repeats too.
        gold: right answer by gold pair.
        sittings: what was shown with a judgement, where that is known.
        items: item by pair; where none is given, every pair is an item of its own.
        seed: of the resampling.
    """
    gold, sittings, items = gold or {}, sittings or {}, items or {}
    own = [j for j in judgements if j.protocol == protocol]
    targets = select_targets(own, protocol)
    blind = select_blind(targets)
    consensus = weigh_votes(own, protocol, gold)
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


def say_consensus(report: QualityReport) -> str | None:
    """Say how far the weighed consensus can be wrong; None without votes.

    Without pairs that two people judged and without gold, nothing weighs anybody: the share is
    that of the prior, and says so.
    """
    wrong, num_pairs = report.consensus.expected_wrong, len(report.consensus.prob_a)
    if wrong is None:
        return None
    weighed = report.agreement_of_votes.raw.n or any(who.gold.n for who in report.annotators)
    said = f"Weighed consensus of {num_pairs:,} pairs: {wrong:.1%} expected to be wrong"
    if weighed:
        return f"{said}."
    return f"{said}, as assumed of anybody: no pair was judged by two people, and no gold."


def explain_gaps(report: QualityReport) -> list[str]:
    """Say in sentences what cannot be known from these judgements, and why."""
    votes, people = report.agreement, len(report.annotators)
    apart = votes.raw.n > 0 and votes.raw.low is None
    gaps = {
        "Nobody has judged a pair under this protocol yet.": not report.num_judgements,
        "No pair was judged blind by two people: agreement is unknown.": votes.raw.n == 0,
        "One answer is all that was given: alpha is undefined.": (
            votes.raw.n > 0 and votes.alpha.value is None
        ),
        f"Fewer than {FEWEST_ITEMS} items were judged by two people, or no two of them differ: "
        "agreement has no interval.": apart,
        "One person judged: nothing here speaks for others.": people == 1,
        "No gold pair was answered.": all(who.gold.n == 0 for who in report.annotators),
        "No pair was repeated with sides flipped: self-consistency is unknown.": all(
            who.consistency.n == 0 for who in report.annotators
        ),
        "Nobody saw a draft or CTR evidence before the verdict: its bias is unknown.": (
            not report.bias
        ),
    }
    return [sentence for sentence, holds in gaps.items() if holds]


def _agreement(blind: Sequence[Judgement], items: Mapping[str, str], seed: int) -> Agreement:
    verdicts = to_verdicts(blind)
    num_pairs = len(verdicts.pair_ids)
    counts = np.bincount(
        verdicts.pair * len(ANSWERS) + verdicts.answer, minlength=num_pairs * len(ANSWERS)
    ).reshape(num_pairs, len(ANSWERS))
    return measure_agreement(counts, number_items(verdicts.pair_ids, items), seed=seed)
