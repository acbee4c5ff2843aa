"""Choosing from a pool: the order is that of planted strengths, cycles are as many as there are."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from creativepair.estimates import Floats, Ints
from model_assist.creative4u.selection import measure_selection, rank_pool

POOLS, SIZE = 60, 5


def compare_all(strengths: Floats) -> Floats:
    prob: Floats = expit(strengths[:, None] - strengths[None])
    np.fill_diagonal(prob, np.nan)
    return prob


def list_pairs(pools: int, size: int) -> tuple[Ints, Ints]:
    """Return the numbers of the images of all pairs, and those of their items."""
    one, other = np.triu_indices(size, 1)
    images = np.stack([one, other], axis=1)
    all_images = np.concatenate([images + size * pool for pool in range(pools)])
    return all_images, np.repeat(np.arange(pools), len(images))


def test_a_pool_is_ordered_by_the_strengths_behind_its_pairs() -> None:
    strengths = np.array([0.2, 1.5, -0.7, 0.9])
    ranking = rank_pool(compare_all(strengths))
    assert ranking.order.tolist() == [1, 3, 0, 2]
    assert (ranking.cycles, ranking.triads) == (0, 4)


def test_the_order_of_a_whole_round_robin_is_that_of_bradley_terry() -> None:
    rng = np.random.default_rng(0)
    upper = np.triu(rng.random((6, 6)), 1)
    prob = upper + np.tril(1 - upper.T, -1)
    won = np.where(np.eye(6, dtype=bool), 0.0, prob)

    def loss(strengths: Floats) -> float:
        gaps = strengths[:, None] - strengths[None]
        return float((won * np.logaddexp(0, -gaps)).sum() + 1e-6 * (strengths**2).sum())

    fitted = minimize(loss, np.zeros(6)).x
    np.fill_diagonal(prob, np.nan)
    assert rank_pool(prob).order.tolist() == np.argsort(-fitted).tolist()


def test_cycles_are_as_many_as_the_formula_of_kendall_says() -> None:
    circle = np.full((3, 3), np.nan)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        circle[one, other], circle[other, one] = 0.8, 0.2
    assert (rank_pool(circle).cycles, rank_pool(circle).triads) == (1, 1)
    rng = np.random.default_rng(1)
    n = 9
    upper = np.triu(rng.random((n, n)), 1)
    prob = upper + np.tril(1 - upper.T, -1)
    np.fill_diagonal(prob, np.nan)
    wins = (prob > 0.5).sum(axis=1)
    expected = n * (n - 1) * (2 * n - 1) / 12 - (wins**2).sum() / 2
    assert rank_pool(prob).cycles == expected


def test_what_was_not_compared_counts_for_nothing() -> None:
    prob = compare_all(np.array([0.0, 1.0, 2.0]))
    prob[0, 1] = prob[1, 0] = np.nan
    ranking = rank_pool(prob)
    assert ranking.scores[0] == prob[0, 2]
    assert ranking.triads == 0
    alone = rank_pool(np.full((2, 2), np.nan))
    assert alone.scores.tolist() == [0.5, 0.5]


def test_who_knows_the_truth_always_chooses_the_best_and_who_knows_nothing_as_chance_does() -> None:
    images, item = list_pairs(POOLS, SIZE)
    strengths = np.random.default_rng(2).normal(size=POOLS * SIZE)
    gaps = strengths[images[:, 0]] - strengths[images[:, 1]]
    knowing = measure_selection(expit(gaps), gaps > 0, images, item)
    assert (knowing.best.value, knowing.pools, knowing.cycles) == (1.0, POOLS, 0)
    assert knowing.triads == POOLS * 10
    blind = measure_selection(np.full(len(gaps), 0.5), gaps > 0, images, item)
    assert blind.best.value == pytest.approx(1 / SIZE)
    assert blind.chance == pytest.approx(1 / SIZE)


def test_a_pool_whose_best_image_is_not_known_is_not_measured() -> None:
    images, item = list_pairs(2, 3)
    gaps = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0])  # the image listed first is best, in both
    kept = np.array([True, False, True, True, True, True])  # its second pair is missing in one
    found = measure_selection(expit(gaps[kept]), gaps[kept] > 0, images[kept], item[kept])
    assert found.pools == 1
    nothing = measure_selection(expit(gaps[:1]), gaps[:1] > 0, images[:1], item[:1])
    assert (nothing.pools, nothing.best.value, nothing.chance) == (0, None, None)
