import numpy as np
import pytest
from scipy.special import ndtri

from creativepair.diagnostics import (
    divide_by_clicks,
    find_needed_impressions,
    plot_quantiles,
    root_mean_square,
)
from creativepair.evidence import NoiseModel, SharedCounts, estimate, with_constants
from creativepair.shrinkage import NORMAL_SHAPE, Shape

NOISE = NoiseModel(phi=1.2, omega=0.1)
TAU = 0.3


@pytest.mark.parametrize("shape", [NORMAL_SHAPE, (0.5, 0, 0, 0.4, 0, 0.1)])
@pytest.mark.parametrize(("confidence", "ctr"), [(0.95, 0.01), (0.8, 0.003), (0.99, 0.2)])
def test_a_pair_with_just_the_needed_impressions_has_just_the_confidence(
    confidence: float, ctr: float, shape: Shape
) -> None:
    ratio = np.log1p([0.6, 1.0, 3.0])
    n = find_needed_impressions(ratio, ctr, NOISE, TAU, shape, confidence)
    counts = SharedCounts(np.arange(3), n, n * ctr * np.exp(ratio), n, n * ctr)
    found = with_constants(estimate(counts, 2 * n, NOISE, TAU), NOISE, np.full(3, TAU), shape)
    assert found.prob_a == pytest.approx([confidence] * 3)


def test_the_needed_impressions_fall_with_the_gap_and_no_number_helps_the_smallest() -> None:
    n = find_needed_impressions(
        np.log1p([0.02, 0.6, 1.0, 3.0, 300.0]), 0.01, NOISE, TAU, NORMAL_SHAPE, 0.95
    )
    assert n[0] == np.inf  # a gap of 2 % is within the noise that stays, omega = 0.1
    assert n[1] > n[2] > n[3]
    assert np.isnan(n[4])  # the winner would need a CTR of 301 %


def test_a_coin_needs_no_impressions() -> None:
    (n,) = find_needed_impressions(np.array([0.1]), 0.01, NOISE, TAU, NORMAL_SHAPE, 0.5)
    assert n < 1e-9


def test_values_at_normal_quantiles_lie_on_the_line_and_in_the_band() -> None:
    z = ndtri((np.arange(1, 101) - 0.5) / 100)
    plot = plot_quantiles(z[::-1])
    assert plot.observed == pytest.approx(z)
    assert plot.observed == pytest.approx(plot.expected)
    assert np.all((plot.low < z) & (z < plot.high))


def test_the_band_holds_95_in_100_values_of_a_normal() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2_000):
        plot = plot_quantiles(rng.normal(size=50))
        inside.append((plot.low <= plot.observed) & (plot.observed <= plot.high))
    # Each rank by itself: 2,000 draws put 4 standard errors at 2 points.
    assert np.mean(inside, axis=0) == pytest.approx(np.full(50, 0.95), abs=0.02)


def test_values_that_spread_too_far_leave_the_band_at_both_ends() -> None:
    plot = plot_quantiles(1.5 * np.random.default_rng(1).normal(size=1_000))
    outside = (plot.observed < plot.low) | (plot.observed > plot.high)
    assert outside[:100].all()
    assert outside[-100:].all()


def test_of_many_values_all_at_the_ends_are_kept() -> None:
    z = np.random.default_rng(2).normal(size=100_000)
    plot = plot_quantiles(z)
    assert len(plot.observed) < 1_000
    assert plot.observed[:100].tolist() == np.sort(z)[:100].tolist()
    assert plot.observed[-100:].tolist() == np.sort(z)[-100:].tolist()


def test_one_value_is_plotted_too() -> None:
    plot = plot_quantiles(np.array([0.7]))
    assert (plot.expected.tolist(), plot.observed.tolist()) == ([0.0], [0.7])


def test_the_root_mean_square_is_1_where_the_spread_is() -> None:
    assert root_mean_square(np.array([1.0, -1.0, 1.0])) == 1.0
    assert root_mean_square(np.array([3.0, 4.0])) == pytest.approx(np.sqrt(12.5))


def test_pairs_are_divided_from_few_clicks_to_many() -> None:
    clicks = np.array([50.0, 1.0, 7.0, 900.0, 3.0, 70.0])
    classes = list(divide_by_clicks(clicks, clicks, np.ones(6)))
    assert [(c.fewest, c.most, c.num_pairs) for c in classes] == [
        (1, 3, 2),
        (7, 50, 2),
        (70, 900, 2),
    ]
    assert classes[0].rms_before == pytest.approx(np.sqrt((1 + 9) / 2))
    assert {c.rms_after for c in classes} == {1.0}
    assert len(list(divide_by_clicks(clicks[:1], clicks[:1], clicks[:1]))) == 1
