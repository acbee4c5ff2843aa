"""Shrinkage: one normal by its formula, several by integration, near-equal ads."""

import numpy as np
import pytest
from scipy.special import ndtr

from creativepair.shrinkage import NORMAL_SHAPE, SHAPE_SCALES, update

MIXED = (0.4, 0.2, 0.0, 0.1, 0.2, 0.1)


def test_one_normal_shrinks_by_the_textbook_formula() -> None:
    mean, sd, prob = update(np.array([0.6]), np.array([0.06]), 0.3, NORMAL_SHAPE)
    # tau² / (tau² + V) = 0.09 / 0.15 = 0.6: mean 0.36, variance 0.6 · 0.06 = 0.036.
    assert mean[0] == pytest.approx(0.36)
    assert sd[0] == pytest.approx(np.sqrt(0.036))
    assert prob[0] == pytest.approx(ndtr(0.36 / np.sqrt(0.036)))


@pytest.mark.parametrize("log_ratio", [-1.5, -0.2, 0.0, 0.5, 1.1])
def test_several_normals_give_what_integration_gives(log_ratio: float) -> None:
    tau, variance = 0.3, 0.05
    theta = np.linspace(-8, 8, 320_001)
    prior = sum(
        share * np.exp(-((theta / (scale * tau)) ** 2) / 2) / scale
        for scale, share in zip(SHAPE_SCALES, MIXED, strict=True)
    )
    density = prior * np.exp(-((log_ratio - theta) ** 2) / (2 * variance))
    density /= density.sum()
    mean, sd, prob = update(np.array([log_ratio]), np.array([variance]), tau, MIXED)
    assert mean[0] == pytest.approx((density * theta).sum(), abs=1e-6)
    assert sd[0] == pytest.approx(np.sqrt((density * (theta - mean[0]) ** 2).sum()), abs=1e-6)
    assert prob[0] == pytest.approx(
        density[theta > 0].sum() + density[theta == 0].sum() / 2, abs=1e-5
    )


def test_turning_a_pair_round_turns_its_probability_round() -> None:
    ratios = np.linspace(-3, 3, 61)
    prob = update(ratios, np.full(61, 0.1), 0.4, MIXED)[2]
    assert prob + prob[::-1] == pytest.approx(1)
    assert (np.diff(prob) >= 0).all()
    assert ((prob >= 0) & (prob <= 1)).all()


def test_certain_and_missing_ratios_stay_within_bounds() -> None:
    ratios = np.array([60.0, -60.0, np.nan])
    mean, sd, prob = update(ratios, np.array([1e-6, 1e-6, np.nan]), np.full(3, 0.3), MIXED)
    assert prob[:2].tolist() == [1.0, 0.0]
    assert np.isnan([mean[2], sd[2], prob[2]]).all()


def test_where_the_spread_within_items_is_next_to_nothing_no_pair_is_sure() -> None:
    mean, sd, prob = update(np.array([0.8]), np.array([0.01]), 1e-200, NORMAL_SHAPE)
    assert (mean[0], sd[0], prob[0]) == (0, 0, 0.5)


def test_among_near_equal_ads_a_large_noisy_ratio_is_less_sure() -> None:
    near_equal = (0.9, 0.0, 0.0, 0.0, 0.1, 0.0)
    noisy, precise = np.array([0.04]), np.array([0.001])
    ratio = np.array([0.5])
    assert update(ratio, noisy, 0.3, NORMAL_SHAPE)[2][0] > 0.95
    assert update(ratio, noisy, 0.3, near_equal)[2][0] < 0.9
    assert update(ratio, precise, 0.3, near_equal)[2][0] > 0.999
