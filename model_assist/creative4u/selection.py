"""Which image of a pool is best: each is compared with each other one, always in both orders.

An image's score is its mean P(it is better) over the others. Where every two are compared,
Bradley–Terry orders a pool just so: the sum of an image's wins is all that its likelihood looks at.

Three images of which each beats the next and the last beats the first form a cycle: no order of
the pool agrees with it, so the share of cycles says how far a comparer is from having one.

Source: domain of this project, Creative4U, selection; Kendall and Babington Smith 1940, "On the
method of paired comparisons", for the cycles.
"""

from dataclasses import dataclass

import numpy as np

from creativepair.estimates import (
    Estimate,
    Flags,
    Floats,
    Ints,
    estimate_statistic,
    share_of_sums,
)

LEAST_POOL = 3
"""Images: with two, choosing is comparing."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A pool in order.

    Attributes:
        order: numbers of the images, best first, [n]; equal scores in the order they came.
        scores: mean P(better than another) of each image, by its number, [n].
        cycles, triads: of three images that were all compared.
    """

    order: Ints
    scores: Floats
    cycles: int
    triads: int


@dataclass(frozen=True, slots=True)
class Selection:
    """How well a comparer chooses from pools.

    Attributes:
        best: share of pools whose best image scores highest; k that score alike count 1/k.
        chance: the same share for who draws one.
        cycles, triads: of all pools of at least `LEAST_POOL` images, together.
        pools: those of which one image is known to beat all others.
    """

    best: Estimate
    chance: float | None
    cycles: int
    triads: int
    pools: int


def rank_pool(prob: Floats) -> Ranking:
    """Rank the images of a pool.

    Args:
        prob: P(image i is better than image j), [n, n]; NaN where they were not compared.
    """
    known = ~np.isnan(prob)
    np.fill_diagonal(known, val=False)
    sums = np.where(known, prob, 0.0).sum(axis=1)
    scores = np.divide(sums, known.sum(axis=1), out=np.full(len(prob), 0.5), where=known.any(1))
    beats = (known & (np.where(known, prob, 0.0) > 0.5)).astype(np.int64)
    met = known.astype(np.int64)
    return Ranking(
        order=np.argsort(-scores, kind="stable"),
        scores=scores,
        # Closed walks of three steps: a cycle has three starts, a triad those in two directions.
        cycles=int(np.trace(beats @ beats @ beats)) // 3,
        triads=int(np.trace(met @ met @ met)) // 6,
    )


def measure_selection(
    prob_a: Floats, a_is_better: Flags, images: Ints, item: Ints, *, seed: int = 0
) -> Selection:
    """Measure how often the best image of an item's pool is chosen.

    Args:
        prob_a: what a comparer says of each pair, [n].
        a_is_better: what is true, [n].
        images: numbers of A and of B, equal for equal images of an item, [n, 2].
        item: number of each pair's item, [n].
        seed: of the intervals.
    """
    shares, sizes, items = [], [], []
    cycles = triads = 0
    for number in np.unique(item):
        chosen = item == number
        said = tabulate(prob_a[chosen], images[chosen])
        if len(said) < LEAST_POOL:
            continue
        ranking = rank_pool(said)
        cycles, triads = cycles + ranking.cycles, triads + ranking.triads
        truth = tabulate(a_is_better[chosen].astype(np.float64), images[chosen])
        best = np.flatnonzero((truth == 1).sum(axis=1) == len(truth) - 1)
        if len(best) != 1:
            continue  # some pair of the best one is not in the data
        top = np.isclose(ranking.scores, ranking.scores.max())
        shares.append(top[best[0]] / top.sum())
        sizes.append(len(truth))
        items.append(number)
    sums = np.stack([np.array(shares), np.ones(len(shares))], axis=1)
    return Selection(
        best=estimate_statistic(
            share_of_sums, sums, np.array(items, dtype=np.int64), n=len(shares), seed=seed
        ),
        chance=float(np.mean(1 / np.array(sizes))) if sizes else None,
        cycles=cycles,
        triads=triads,
        pools=len(shares),
    )


def tabulate(prob_a: Floats, images: Ints) -> Floats:
    """Return P(i is better than j) for the images of a pool, NaN where nothing says it."""
    names, place = np.unique(images, return_inverse=True)
    a, b = place.reshape(-1, 2).T
    prob = np.full((len(names), len(names)), np.nan)
    prob[a, b], prob[b, a] = prob_a, 1 - prob_a
    return prob
