"""Agreement between annotators: raw, Krippendorff's alpha, Gwet's AC1.

Raw agreement is easy to read and too kind where one answer is common. Alpha and AC1 take off what
chance would give and differ in what they call chance: alpha falls towards 0 when nearly all answers
are the same, AC1 does not. Reported side by side, they show when that matters.

Intervals come from resampled items: pairs of one item are alike, and the people are the team as it
is, so an interval is for new pairs judged by the same people.

Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; Gwet 2008, "Computing
inter-rater reliability and its variance in the presence of high agreement"; with missing ratings,
Gwet 2014, "Handbook of inter-rater reliability", 4th ed.
"""

from dataclasses import dataclass, replace

import numpy as np

from creativepair.estimates import (
    Estimate,
    Floats,
    Ints,
    estimate_statistic,
    share_of_sums,
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on pairs that two or more people judged; `n` counts those pairs.

    Attributes:
        raw: chance that two people who judged a pair gave one answer, 0 to 1.
        alpha: Krippendorff's, nominal; 1 is perfect, 0 is chance. None where one answer is all
            that was given.
        ac1: Gwet's.
    """

    raw: Estimate
    alpha: Estimate
    ac1: Estimate


def measure_agreement(counts: Ints, item: Ints, *, seed: int = 0) -> Agreement:
    """Measure agreement.

    AC1 knows the answers that occur, at least two of them. A pair with one verdict says how common
    that answer is, to AC1, and nothing else.

    Args:
        counts: how many people gave each answer, [num_pairs, num_answers].
        item: number of each pair's item, [num_pairs].
    """
    judged = counts.sum(axis=1) > 0
    counts, item = counts[judged][:, counts.sum(axis=0) > 0], item[judged]
    people = counts.sum(axis=1, keepdims=True)
    shared = people[:, 0] > 1
    num_shared = int(shared.sum())
    # Ordered couples of people who agree, over those there are for each person, and over all.
    agreeing = (counts * (counts - 1)).sum(axis=1) / np.maximum(people[:, 0] - 1, 1)
    agreed = agreeing / people[:, 0]
    for_raw = np.stack([agreed, shared], axis=1)
    for_alpha = np.column_stack([agreeing, counts])
    for_ac1 = np.column_stack([agreed, shared, np.ones(len(counts)), counts / people])
    raw = estimate_statistic(share_of_sums, for_raw[shared], item[shared], n=num_shared, seed=seed)
    alpha = estimate_statistic(
        _alpha, for_alpha[shared], item[shared], n=num_shared, span=(-1, 1), seed=seed
    )
    ac1 = estimate_statistic(_ac1, for_ac1, item, n=num_shared, span=(-1, 1), seed=seed)
    if raw.low is None:  # pairs with one verdict tell nothing of how sure agreement is
        ac1 = replace(ac1, low=None, high=None)
    return Agreement(raw, alpha, ac1)


def _alpha(sums: Floats) -> Floats:
    """Return alpha = 1 - Do / De, from the diagonal of the coincidences and each answer's count."""
    agreeing, of_answer = sums[..., 0], sums[..., 1:]
    n = of_answer.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (n - agreeing) / n
        expected = (n**2 - (of_answer**2).sum(axis=-1)) / (n * (n - 1))
        alpha: Floats = np.where(expected > 0, 1 - observed / expected, np.nan)
    return alpha


def _ac1(sums: Floats) -> Floats:
    """Return AC1 = (pa - pe) / (1 - pe), pe = sum of pi (1 - pi) over (number of answers - 1)."""
    agreed, shared, pairs, of_answer = sums[..., 0], sums[..., 1], sums[..., 2], sums[..., 3:]
    with np.errstate(invalid="ignore", divide="ignore"):
        common = of_answer / pairs[..., None]
        chance = (common * (1 - common)).sum(axis=-1) / max(of_answer.shape[-1] - 1, 1)
        ac1: Floats = (agreed / shared - chance) / (1 - chance)
    return ac1
