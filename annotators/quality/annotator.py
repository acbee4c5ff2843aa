"""What is known of each annotator, from verdicts that nobody could colour."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotators.quality.bias import select_finished
from annotators.quality.verdicts import (
    VOTES,
    JudgementKey,
    Sitting,
    key_of,
    select_blind,
    select_gold,
    select_targets,
)
from creativepair.estimates import Estimate, estimate_share
from creativepair.records import OUTSIDE, Judgement

LONGEST_S = 300.0
"""A judgement counts for at most so long: whoever took longer was elsewhere."""

QUICK_S = 2.0
"""A judgement that took less cannot have looked at both images."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an annotator works.

    Attributes:
        median_s: seconds of a judgement, all its steps; None without judgements.
        quick: share of judgements under `QUICK_S`.
        hours: all judgements together, each at most `LONGEST_S`.
    """

    median_s: float | None
    quick: Estimate
    hours: float


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """One annotator; shares are 0 to 1, and pairs count as independent given who judges.

    Attributes:
        num_judged: first judgements of pairs, in all arms.
        cannot_tell, broken: shares of the blind verdicts.
        accuracy: agreement with the weighed consensus and with gold (dawid_skene.py).
        gold: share of gold answers that are right.
        side_bias: share of votes for the left image less that for the right one, -1 to 1; 0 is
            none, since sides are drawn.
        consistency: share of flipped repeats that were answered as the first time.
        changed: share of blind votes with another final.
        to_draft: of blind votes against the draft, the share whose final follows it.
    """

    annotator_id: str
    num_judged: int
    cannot_tell: Estimate
    broken: Estimate
    accuracy: Estimate
    gold: Estimate
    side_bias: Estimate
    consistency: Estimate
    changed: Estimate
    to_draft: Estimate
    pace: Pace


def measure_annotators(
    judgements: Sequence[Judgement],
    protocol: str,
    sittings: Mapping[JudgementKey, Sitting],
    gold: Mapping[str, str],
    accuracy: Mapping[str, Estimate],
) -> list[AnnotatorQuality]:
    """Return the quality of everyone who judged under a protocol, by id.

    Args:
        judgements: all of them, those outside the target too.
        gold: right answer by gold pair.
        accuracy: by annotator, as `dawid_skene.weigh_votes` gives it.
    """
    by_annotator = defaultdict(list)
    for judgement in judgements:
        if judgement.protocol == protocol:
            by_annotator[judgement.annotator_id].append(judgement)
    nothing = Estimate(None, None, None, 0)
    found = []
    for annotator_id, own in sorted(by_annotator.items()):
        targets = select_targets(own, protocol)
        blind = select_blind(targets)
        finished = select_finished(targets)
        drafts = [sittings.get(key_of(j), Sitting()).draft_answer for j in finished]
        contradicted = [
            j.final == d for j, d in zip(finished, drafts, strict=True) if d not in (None, j.blind)
        ]
        found.append(
            AnnotatorQuality(
                annotator_id=annotator_id,
                num_judged=len(targets),
                cannot_tell=_share(j.blind == "cannot_tell" for j in blind),
                broken=_share(j.blind == "broken" for j in blind),
                accuracy=accuracy.get(annotator_id, nothing),
                gold=_share(j.blind == gold[j.pair_id] for j in select_gold(own, gold)),
                side_bias=_side_bias(blind),
                consistency=_share(_repeated_alike(own, targets, gold)),
                changed=_share(j.final != j.blind for j in finished),
                to_draft=_share(contradicted),
                pace=_pace(targets, sittings),
            )
        )
    return found


def _share(flags: Iterable[bool]) -> Estimate:
    listed = list(flags)
    return estimate_share(sum(listed), len(listed))


def _side_bias(blind: Iterable[Judgement]) -> Estimate:
    left = _share(j.blind == j.left_is for j in blind if j.blind in VOTES)
    if left.value is None or left.low is None or left.high is None:
        return left
    return replace(left, value=2 * left.value - 1, low=2 * left.low - 1, high=2 * left.high - 1)


def _repeated_alike(
    own: Iterable[Judgement], targets: Iterable[Judgement], gold: Mapping[str, str]
) -> Iterable[bool]:
    """Go through the repeats with sides flipped; an image that was broken once is no repeat."""
    first = {j.pair_id: j for j in targets}
    for again in own:
        before = first.get(again.pair_id)
        if again.pass_ == OUTSIDE and again.pair_id not in gold and before is not None:
            broken = "broken" in (again.blind, before.blind)
            if again.left_is != before.left_is and not broken:
                yield again.blind == before.blind


def _pace(targets: Iterable[Judgement], sittings: Mapping[JudgementKey, Sitting]) -> Pace:
    taken = []
    for judgement in targets:
        active_s = sittings.get(key_of(judgement), Sitting()).active_s
        if active_s is None:
            active_s = (judgement.decided_at - judgement.shown_at).total_seconds()
        taken.append(active_s)
    return Pace(
        median_s=float(np.median(taken)) if taken else None,
        quick=_share(seconds < QUICK_S for seconds in taken),
        hours=sum(min(seconds, LONGEST_S) for seconds in taken) / 3600,
    )
