"""CTR evidence: hand calculations, symmetry, degenerate counts, recovery of planted ratios."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import ndtr

from creativepair.evidence import (
    DEFAULT_NOISE,
    DEFAULT_TAU,
    Estimates,
    Floats,
    NoiseModel,
    SharedCounts,
    compute_sample_ratio_p,
    estimate,
    noise_scale,
)

NO_NOISE = NoiseModel(phi=1.0, omega=0.0)
Stratum = tuple[float, float, float, float]  # n_a, c_a, n_b, c_b


def estimate_one(
    *strata: Stratum, noise: NoiseModel = NO_NOISE, tau: float = 0.3, unshared: float = 0
) -> Estimates:
    columns = np.array(strata, dtype=np.float64).reshape(-1, 4).T
    counts = SharedCounts(np.zeros(len(strata), dtype=np.int64), *columns)
    total = np.array([columns[0].sum() + columns[2].sum() + unshared])
    return estimate(counts, total, noise, tau)


def test_one_stratum_gives_the_plain_log_ratio_and_its_variance() -> None:
    found = estimate_one((1000, 30, 1000, 20))
    # R = 30 · 1000/2000 = 15, S = 10: log(1.5).
    assert found.log_ratio[0] == pytest.approx(math.log(1.5))
    # v = (1000² · 50 − 30 · 20 · 2000) / 2000² / (15 · 10) = 12.2 / 150, which for one stratum is
    # the delta-method variance 1/30 − 1/1000 + 1/20 − 1/1000.
    assert found.count_variance[0] == pytest.approx(12.2 / 150)
    assert found.count_variance[0] == pytest.approx(1 / 30 - 1 / 1000 + 1 / 20 - 1 / 1000)


def test_two_strata_are_weighted_by_mantel_and_haenszel() -> None:
    found = estimate_one((100, 20, 100, 10), (300, 10, 100, 5))
    # R = 20·100/200 + 10·100/400 = 12.5     S = 10·100/200 + 5·300/400 = 8.75
    assert found.log_ratio[0] == pytest.approx(math.log(12.5 / 8.75))
    # Σ: (100·100·30 − 20·10·200)/200² = 6.5 and (300·100·15 − 10·5·400)/400² = 2.6875
    assert found.count_variance[0] == pytest.approx((6.5 + 2.6875) / (12.5 * 8.75))


def test_what_strata_disagree_beyond_their_counts_is_their_excess() -> None:
    found = estimate_one((100, 20, 100, 10), (300, 10, 100, 5))
    # R = 10 + 2.5 and S = 5 + 3.75: the shares of a stratum differ by 0.8 − 0.5714 = 0.2286, so
    # 2 / (2 − 1) · 2 · 0.2286² = 0.2090 against a variance of 9.1875 / 109.375 = 0.0840.
    assert found.excess_variance[0] == pytest.approx(0.2090 - 0.0840, abs=1e-4)
    # One stratum, or two that agree, show nothing.
    assert estimate_one((1000, 30, 1000, 20)).excess_variance[0] == 0
    assert estimate_one((1000, 30, 1000, 20), (500, 30, 500, 20)).excess_variance[0] == 0


def test_a_burst_of_clicks_on_one_day_is_no_sure_winner() -> None:
    days = [(2000, 40, 2000, 40)] * 4
    burst = estimate_one(*days, (2120, 160, 2000, 40), tau=0.5)
    at_its_word = NoiseModel(phi=1.0, omega=0.0, kappa=0.0)
    unnoticed = estimate_one(*days, (2120, 160, 2000, 40), tau=0.5, noise=at_its_word)
    assert burst.rel_gap[0] == unnoticed.rel_gap[0] > 0.5
    assert unnoticed.prob_a[0] > 0.999
    assert burst.prob_a[0] < 0.95
    # As many clicks, spread over the days, are one.
    spread = estimate_one(*[(2024, 64, 2000, 40)] * 5, tau=0.5)
    assert spread.prob_a[0] > 0.999


def test_between_strata_of_one_ratio_the_variance_is_that_of_the_counts() -> None:
    rng = np.random.default_rng(5)
    runs, num_strata = 4000, 40
    n = rng.integers(500, 4000, (2, num_strata * runs)).astype(np.float64)
    ctr = np.tile(rng.uniform(0.01, 0.06, num_strata), runs)
    clicks_a, clicks_b = (rng.binomial(n[side].astype(int), ctr) for side in (0, 1))
    pair = np.repeat(np.arange(runs), num_strata)
    counts = SharedCounts(pair, n[0], clicks_a.astype(float), n[1], clicks_b.astype(float))
    found = estimate(counts, np.full(runs, n.sum() / runs))
    # With 39 degrees of freedom, max(0, χ²/39 − 1) is on average 1/√π · 1/√39 = 0.09.
    ratio = found.excess_variance / found.count_variance
    assert 0.07 < ratio.mean() < 0.11
    assert 0.4 < (ratio > 0).mean() < 0.55


def test_the_textbook_trial_gives_its_published_risk_ratio() -> None:
    # University Group Diabetes Program, deaths by age group, tolbutamide against placebo; the
    # common risk ratio in Rothman's textbooks is 1.33.
    found = estimate_one((106, 8, 120, 5), (98, 22, 85, 16))
    assert math.exp(found.log_ratio[0]) == pytest.approx(1.33, abs=0.005)


def test_a_creative_favoured_only_by_position_gains_nothing() -> None:
    # Both have 10 % on top and 1 % below, but A is on top nine times as often: pooled 9.1 % to
    # 1.9 %.
    found = estimate_one((9000, 900, 1000, 100), (1000, 10, 9000, 90))
    assert found.log_ratio[0] == pytest.approx(0, abs=1e-12)
    assert found.prob_a[0] == pytest.approx(0.5)


def test_probability_gap_and_interval_follow_from_mean_and_variance() -> None:
    noise = NoiseModel(phi=1.5, omega=0.1)
    found = estimate_one((1000, 20, 1000, 30), noise=noise, tau=0.3)
    theta, v = -math.log(1.5), 12.2 / 150
    total = 1.5**2 * v + 0.1**2
    sd = math.sqrt(total)
    mean = theta * 0.3**2 / (0.3**2 + total)
    mean_sd = math.sqrt(total * 0.3**2 / (0.3**2 + total))
    assert found.variance[0] == pytest.approx(total)
    assert found.z[0] == pytest.approx(theta / sd)
    assert found.posterior_mean[0] == pytest.approx(mean)
    assert found.posterior_sd[0] == pytest.approx(mean_sd)
    assert found.prob_a[0] == pytest.approx((1 + math.erf(mean / mean_sd / math.sqrt(2))) / 2)
    assert found.rel_gap[0] == pytest.approx(0.5)  # B has 50 % more clicks
    assert found.gap_low[0] == pytest.approx(1.5 * math.exp(-1.959964 * sd) - 1)
    assert found.gap_low[0] < 0  # A may have won
    assert found.gap_high[0] == pytest.approx(1.5 * math.exp(1.959964 * sd) - 1)
    assert found.shrunken_gap[0] == pytest.approx(math.exp(-mean) - 1)


def test_an_empty_side_with_equal_exposure_gets_half_a_click_and_one_impression_on_both() -> None:
    found = estimate_one((1000, 0, 1000, 10))
    assert found.log_ratio[0] == pytest.approx(math.log(0.5 / 1001) - math.log(10.5 / 1001))
    assert found.count_variance[0] == pytest.approx(1 / 0.5 - 1 / 1001 + 1 / 10.5 - 1 / 1001)


def test_with_unequal_exposure_the_added_click_is_split_in_proportion() -> None:
    # Of N = 4000, A has 1000: a quarter of the click and of the two impressions.
    found = estimate_one((1000, 0, 3000, 12))
    assert found.log_ratio[0] == pytest.approx(math.log(0.25 / 1000.5) - math.log(12.75 / 3001.5))


def test_the_added_click_is_spread_over_strata_in_proportion() -> None:
    split = estimate_one((500, 0, 500, 5), (500, 0, 500, 5))
    # Each stratum gets half of it: 0.25 and 5.25 over 500.5, twice; the same ratio as in one.
    assert split.log_ratio[0] == pytest.approx(math.log(0.25 / 5.25))
    assert split.log_ratio[0] == pytest.approx(estimate_one((1000, 0, 1000, 10)).log_ratio[0])


counts_of_a_side = st.integers(1, 10**12).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n))
)
strata_lists = st.lists(
    st.tuples(counts_of_a_side, counts_of_a_side).map(lambda sides: (*sides[0], *sides[1])),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(strata=strata_lists)
def test_a_creative_without_clicks_never_comes_out_ahead(strata: list[Stratum]) -> None:
    found = estimate_one(*[(n_a, 0, n_b, c_b) for n_a, _, n_b, c_b in strata])
    assert np.isnan(found.prob_a[0]) or found.prob_a[0] <= 0.5


@settings(max_examples=200, deadline=None)
@given(strata=strata_lists)
def test_exchanging_the_creatives_mirrors_everything(strata: list[Stratum]) -> None:
    found = estimate_one(*strata, noise=DEFAULT_NOISE)
    mirrored = estimate_one(
        *[(n_b, c_b, n_a, c_a) for n_a, c_a, n_b, c_b in strata], noise=DEFAULT_NOISE
    )
    assert mirrored.prob_a[0] == pytest.approx(1 - found.prob_a[0], abs=1e-9, nan_ok=True)
    assert mirrored.log_ratio[0] == pytest.approx(-found.log_ratio[0], abs=1e-9, nan_ok=True)
    for name in ("count_variance", "rel_gap", "gap_low", "gap_high", "shared_share"):
        ours, theirs = getattr(found, name)[0], getattr(mirrored, name)[0]
        assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-9, nan_ok=True)


@settings(max_examples=200, deadline=None)
@given(strata=strata_lists)
def test_every_estimate_is_finite_and_in_range(strata: list[Stratum]) -> None:
    found = estimate_one(*strata)
    if np.isnan(found.log_ratio[0]):
        return
    for name in Estimates.__slots__:
        assert np.isfinite(getattr(found, name)[0]), name
    assert found.count_variance[0] > 0
    assert 0 <= found.prob_a[0] <= 1
    assert found.gap_low[0] <= found.rel_gap[0] <= found.gap_high[0]


@pytest.mark.parametrize(
    "strata",
    [
        pytest.param([], id="no shared stratum"),
        pytest.param([(1000.0, 0.0, 1000.0, 0.0)], id="no click on either side"),
        pytest.param([(1.0, 1.0, 1.0, 1.0)], id="nothing but clicks"),
        pytest.param([(1000.0, 9.0, 0.0, 0.0)], id="a stratum without impressions of B"),
    ],
)
def test_there_is_no_estimate_where_the_counts_say_nothing(strata: Sequence[Stratum]) -> None:
    found = estimate_one(*strata, unshared=10)
    for name in set(Estimates.__slots__) - {"shared_share"}:
        assert np.isnan(getattr(found, name)[0]), name


def test_shared_share_counts_impressions_of_both_sides_over_all() -> None:
    # 300 + 100 shared; 600 more elsewhere.
    assert estimate_one((300, 3, 100, 2), unshared=600).shared_share[0] == pytest.approx(0.4)
    assert estimate_one(unshared=0).shared_share[0] == 0


def test_pairs_are_estimated_apart_and_no_pairs_are_no_error() -> None:
    one, other = (1000.0, 30.0, 1000.0, 20.0), (500.0, 5.0, 700.0, 0.0)
    table = np.array([other, one, other]).T
    counts = SharedCounts(np.array([2, 0, 2]), *table)
    found = estimate(counts, np.array([2000.0, 50.0, 2400.0]), NO_NOISE, 0.3)
    assert found.log_ratio[0] == estimate_one(one).log_ratio[0]
    assert np.isnan(found.log_ratio[1])
    assert found.log_ratio[2] == estimate_one(other, other).log_ratio[0]
    none = SharedCounts(np.array([], dtype=np.int64), *np.empty((4, 0)))
    assert estimate(none, np.array([]), NO_NOISE, 0.3).prob_a.shape == (0,)


def test_more_noise_and_a_tighter_prior_both_lower_confidence() -> None:
    counts = (2000.0, 60.0, 2000.0, 40.0)
    plain = estimate_one(counts).prob_a[0]
    assert 0.5 < estimate_one(counts, noise=DEFAULT_NOISE).prob_a[0] < plain
    assert 0.5 < estimate_one(counts, tau=0.1).prob_a[0] < plain


def test_noise_scale_is_the_root_mean_square_of_z() -> None:
    theta = np.array([0.2, -0.4, np.nan])
    v = np.array([0.04, 0.04, np.nan])
    # z = 1 and −2: √((1 + 4) / 2); the third has no estimate.
    scale, num_pairs = noise_scale(theta, v)
    assert scale == pytest.approx(math.sqrt(2.5))
    assert num_pairs == 2
    assert noise_scale(np.array([]), np.array([])) == (None, 0)


def test_the_sample_ratio_check_is_chi_square_against_equal_shares() -> None:
    assert compute_sample_ratio_p([1000, 1000]) == pytest.approx(1)
    # (100² + 100²) / 1000 = 20 with one degree of freedom: two-sided normal tail at √20.
    assert compute_sample_ratio_p([1100, 900]) == pytest.approx(2 * ndtr(-math.sqrt(20)))
    # (10² + 20² + 10²) / 100 = 6 with two degrees of freedom: e^(−6/2).
    assert compute_sample_ratio_p([110, 80, 110]) == pytest.approx(math.exp(-3))
    assert compute_sample_ratio_p([5000]) == compute_sample_ratio_p([0, 0]) == 1


def test_the_sample_ratio_check_takes_declared_shares() -> None:
    # Of 1,000, 900 and 100 were to come: 10² / 900 + 10² / 100 = 1.111 with one degree of freedom.
    p = compute_sample_ratio_p([910, 90], [0.9, 0.1])
    assert p == pytest.approx(2 * ndtr(-math.sqrt(100 / 900 + 1)))
    assert compute_sample_ratio_p([900, 100], [0.9, 0.1]) == pytest.approx(1)
    assert compute_sample_ratio_p([900, 0], [0.9, 0.1]) < 1e-20
    # A creative that was to get nothing: one impression is one too many, none is as declared.
    assert compute_sample_ratio_p([1000, 1], [1.0, 0.0]) == 0
    assert compute_sample_ratio_p([1000, 0], [1.0, 0.0]) == 1
    equal = [compute_sample_ratio_p([110, 80, 110], shares) for shares in (None, [1 / 3] * 3)]
    assert equal[0] == equal[1]


def test_the_sample_ratio_check_rarely_flags_even_traffic() -> None:
    rng = np.random.default_rng(3)
    splits = rng.multinomial(9000, [1 / 3] * 3, size=5000)
    low = np.mean([compute_sample_ratio_p(split.tolist()) < 0.05 for split in splits])
    assert 0.04 < low < 0.06  # binomial sd 0.003


@pytest.mark.parametrize(
    ("total", "shares"),
    [(500, [0.999, 0.001]), (100, [0.9] + [0.01] * 10), (50, [0.01] * 100), (10, [0.1] * 10)],
)
def test_the_sample_ratio_check_holds_where_few_impressions_were_to_come(
    total: int, shares: list[float]
) -> None:
    # The chi-square would flag 1.5 %, 0.9 %, 0.2 % and 0.2 % of these fair splits.
    splits = np.random.default_rng(5).multinomial(total, shares, size=10_000)
    low = np.mean([compute_sample_ratio_p(split.tolist(), shares) < 0.001 for split in splits])
    assert low < 0.0017  # 0.001 and two binomial sds


def test_the_sample_ratio_check_of_few_impressions_is_exact() -> None:
    # Two of two creatives by Bonferroni: 2 tests · 2 sides · P(3 or more of 4 at .001).
    p = compute_sample_ratio_p([1, 3], [0.999, 0.001])
    assert p == pytest.approx(4 * (4 * 0.999 * 0.001**3 + 0.001**4))
    assert compute_sample_ratio_p([10**12 - 90, 90], [1 - 1e-12, 1e-12]) < 1e-60
    assert compute_sample_ratio_p([300, 200], [0.999, 0.001]) < 1e-100
    assert compute_sample_ratio_p([0, 4], [0.999, 0.001]) < 1e-10
    assert compute_sample_ratio_p([4, 0], [0.999, 0.001]) == 1


@pytest.mark.parametrize(("phi", "omega"), [(0.0, 0.1), (1.0, -0.1), (math.inf, 0), (1, math.nan)])
def test_a_noise_model_that_is_no_spread_is_refused(phi: float, omega: float) -> None:
    with pytest.raises(ValidationError):
        NoiseModel(phi=phi, omega=omega)
    with pytest.raises(ValidationError):
        NoiseModel(phi=1.0, omega=0.0, kappa=-0.1)


def _draw_clicks(rng: np.random.Generator, n: int, p: Floats, phi: float) -> Floats:
    """Beta-binomial clicks whose variance is phi² times the binomial one."""
    size = (n - 1) / (phi**2 - 1) - 1  # phi² = 1 + (n − 1) rho with rho = 1 / (size + 1)
    clicks = rng.binomial(n, rng.beta(p * size, (1 - p) * size))
    return clicks.astype(np.float64)


def test_the_posterior_covers_planted_ratios() -> None:
    """4,000 runs with theta ~ N(0, tau²), a position effect, overdispersion and extra spread."""
    rng = np.random.default_rng(11)
    runs = 4000
    theta = rng.normal(0, DEFAULT_TAU, runs)
    noisy = theta + rng.normal(0, DEFAULT_NOISE.omega, runs)
    columns: list[list[Floats]] = [[], [], [], []]
    for n_a, n_b, ctr in ((6000, 2000, 0.04), (2000, 6000, 0.015)):
        columns[0].append(np.full(runs, float(n_a)))
        columns[1].append(_draw_clicks(rng, n_a, ctr * np.exp(noisy / 2), DEFAULT_NOISE.phi))
        columns[2].append(np.full(runs, float(n_b)))
        columns[3].append(_draw_clicks(rng, n_b, ctr * np.exp(-noisy / 2), DEFAULT_NOISE.phi))
    counts = SharedCounts(np.tile(np.arange(runs), 2), *[np.concatenate(c) for c in columns])
    found = estimate(counts, np.full(runs, 16_000.0))

    covered = np.abs(theta - found.posterior_mean) < 1.959964 * found.posterior_sd
    assert 0.93 < covered.mean() < 0.97
    # Where it says p, it is right p of the time: bins of a stated probability hold within 4 sd.
    right = np.where(found.prob_a > 0.5, theta > 0, theta < 0)
    stated = np.maximum(found.prob_a, 1 - found.prob_a)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        chosen = (stated >= low) & (stated < high)
        sd = math.sqrt((stated[chosen] * (1 - stated[chosen])).sum()) / chosen.sum()
        assert right[chosen].mean() == pytest.approx(stated[chosen].mean(), abs=4 * sd)
    # The position effect is gone: ignoring it, the ratio would be off by a factor of about 1.6.
    assert found.log_ratio.mean() == pytest.approx(0, abs=0.02)
