"""Noise and spread: planted values come back, little data leans on the default."""

import numpy as np
import pytest

from creativepair.evidence import DEFAULT_NOISE, DEFAULT_TAU, NoiseModel
from creativepair.noise import (
    ENOUGH_PAIRS,
    NO_CATEGORY,
    fit_noise,
    fit_shape,
    fit_tau,
    fit_tau_by_category,
)
from creativepair.shrinkage import NORMAL_SHAPE, SHAPE_SCALES

PLANTED = [NoiseModel(1.17, 0.11), NoiseModel(1.0, 0.0), NoiseModel(2.0, 0.3), NoiseModel(1.2, 0.5)]


def draw_variances(rng: np.random.Generator, size: int) -> np.ndarray:
    """Variances of log ratios from 10 to 1,000 clicks a side: v is about 2 / clicks."""
    return 2 / np.exp(rng.uniform(np.log(10), np.log(1000), size))


def draw_aa_pairs(noise: NoiseModel, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    v = draw_variances(rng, size)
    return rng.normal(0, np.sqrt(noise.widen(v))), v


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_noise_comes_back(planted: NoiseModel) -> None:
    log_ratio, v = draw_aa_pairs(planted, 20_000, seed=1)
    found = fit_noise(log_ratio, v, np.arange(20_000), np.arange(20_000))
    assert found.noise.phi == pytest.approx(planted.phi, abs=0.04)
    assert found.noise.omega == pytest.approx(planted.omega, abs=0.03)
    assert found.num_pairs == 20_000


def test_no_fit_is_less_likely_than_the_planted_noise() -> None:
    # A small omega beside many clicks once ended at 0 in some such draws.
    planted = NoiseModel(1.1, 0.02, 2.0)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        v = np.exp(rng.uniform(-9, 0, 300))
        u = np.where(rng.random(300) < 0.4, v * rng.exponential(2, 300), 0)
        log_ratio = rng.normal(0, np.sqrt(planted.widen(v, u)))
        found = fit_noise(log_ratio, v, np.arange(300), np.arange(300), excess_variance=u).noise
        loss = [
            (np.log(noise.widen(v, u)) + log_ratio**2 / noise.widen(v, u)).sum()
            for noise in (found, planted)
        ]
        assert loss[0] <= loss[1], (seed, found)


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.2])
def test_the_weight_of_strata_that_disagree_comes_back(kappa: float) -> None:
    rng = np.random.default_rng(11)
    v = draw_variances(rng, 20_000)
    u = np.where(rng.random(20_000) < 0.3, v * rng.exponential(3, 20_000), 0)
    planted = NoiseModel(1.2, 0.1, kappa)
    log_ratio = rng.normal(0, np.sqrt(planted.widen(v, u)))
    found = fit_noise(log_ratio, v, np.arange(20_000), np.arange(20_000), excess_variance=u)
    assert found.noise.phi == pytest.approx(1.2, abs=0.04)
    assert found.noise.omega == pytest.approx(0.1, abs=0.03)
    assert found.noise.kappa == pytest.approx(kappa, abs=0.1 if kappa == 0 else 0.04)
    assert found.kappa_interval is not None
    assert found.kappa_interval[0] <= kappa <= found.kappa_interval[1]


def test_where_no_strata_disagree_their_weight_is_the_default() -> None:
    log_ratio, v = draw_aa_pairs(NoiseModel(1.2, 0.1), 500, seed=1)
    found = fit_noise(log_ratio, v, np.arange(500), np.arange(500), excess_variance=np.zeros(500))
    assert found.noise.kappa == DEFAULT_NOISE.kappa
    assert found.kappa_interval is None


def test_few_pairs_whose_strata_disagree_leave_their_weight_to_the_default() -> None:
    log_ratio, v = draw_aa_pairs(NoiseModel(1.2, 0.1), 500, seed=1)
    u = np.where(np.arange(500) < 3, 0.5 * v, 0)
    found = fit_noise(
        np.where(u > 0, 0, log_ratio), v, np.arange(500), np.arange(500), excess_variance=u
    )
    assert found.noise.kappa == pytest.approx(DEFAULT_NOISE.kappa, abs=0.02)
    assert found.kappa_interval is None
    assert found.phi_interval is not None


def test_pairs_of_few_items_have_no_interval() -> None:
    # One image under 20 ids: enough pairs, and a single item.
    seen = np.random.default_rng(2).normal(0, 0.2, 20)
    left, right = np.triu_indices(20, 1)
    log_ratio, v = seen[left] - seen[right], np.full(len(left), 0.08)
    one = np.zeros(len(left), dtype=int)
    found = fit_noise(log_ratio, v, one, np.arange(len(left)))
    assert found.phi_interval is found.omega_interval is None
    many = np.random.default_rng(2).normal(0, 0.2, 150)
    left, right = np.triu_indices(150, 1)
    spread = fit_tau(
        many[left] - many[right], np.full(len(left), 0.01), np.zeros(len(left), dtype=int)
    )
    assert spread.interval is None


@pytest.mark.parametrize("omega", [0.0, 0.1])
def test_of_huge_counts_the_interval_of_phi_is_as_wide_as_what_they_tell(omega: float) -> None:
    rng = np.random.default_rng(4)
    v = 1e-9 * draw_variances(rng, 500)
    log_ratio = rng.normal(0, np.sqrt(NoiseModel(1.2, omega).widen(v)))
    found = fit_noise(log_ratio, v, np.arange(500), np.arange(500))
    assert found.phi_interval is not None
    low, high = found.phi_interval
    assert low < 1.2 < high
    assert high - low < 0.4 if omega == 0 else high > 100  # nothing is known beside omega


def test_intervals_hold_the_planted_noise_in_93_to_97_of_100_runs() -> None:
    planted = NoiseModel(1.2, 0.15)
    inside = np.zeros(2)
    num_runs = 500
    for seed in range(num_runs):
        log_ratio, v = draw_aa_pairs(planted, 600, seed=seed)
        found = fit_noise(log_ratio, v, np.arange(600), np.arange(600))
        assert found.phi_interval is not None
        assert found.omega_interval is not None
        inside += [
            found.phi_interval[0] <= planted.phi <= found.phi_interval[1],
            found.omega_interval[0] <= planted.omega <= found.omega_interval[1],
        ]
    shares = inside / num_runs
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares


def test_pairs_of_one_item_are_one_piece_of_news() -> None:
    # Each of 200 differences stands there five times: 200 pieces of news, not 1,000.
    log_ratio, v = draw_aa_pairs(NoiseModel(1.2, 0.0), 200, seed=3)
    repeated = [np.repeat(array, 5) for array in (log_ratio, v)]
    together = fit_noise(repeated[0], repeated[1], np.repeat(np.arange(200), 5), np.arange(1000))
    apart = fit_noise(repeated[0], repeated[1], np.arange(1000), np.arange(1000))
    assert together.phi_interval is not None
    assert apart.phi_interval is not None
    width = [high - low for low, high in (together.phi_interval, apart.phi_interval)]
    assert width[0] == pytest.approx(np.sqrt(5) * width[1], rel=0.05)


def test_few_pairs_lean_on_the_default_in_proportion() -> None:
    log_ratio, v = draw_aa_pairs(NoiseModel(2.0, 0.4), ENOUGH_PAIRS, seed=5)
    alone = fit_noise(log_ratio, v, np.arange(ENOUGH_PAIRS), np.arange(ENOUGH_PAIRS)).noise
    half = ENOUGH_PAIRS // 2
    # The same 50 pairs twice fit like once, and then nothing leans.
    twice = fit_noise(
        np.tile(log_ratio[:half], 2), np.tile(v[:half], 2), np.arange(2 * half), np.arange(2 * half)
    ).noise
    found = fit_noise(log_ratio[:half], v[:half], np.arange(half), np.arange(half))
    leaned = found.noise
    assert found.phi_interval is found.omega_interval is None  # the default has none either
    assert leaned.phi**2 == pytest.approx((twice.phi**2 + DEFAULT_NOISE.phi**2) / 2, rel=1e-3)
    assert leaned.omega**2 == pytest.approx((twice.omega**2 + DEFAULT_NOISE.omega**2) / 2, abs=1e-3)
    assert alone.phi > 1.5


def test_without_pairs_the_defaults_stand() -> None:
    nothing = np.array([])
    missing = np.array([np.nan])
    none, one = np.array([], dtype=int), np.array([0])
    assert fit_noise(nothing, nothing, none, none).noise == DEFAULT_NOISE
    assert fit_noise(missing, missing, one, one).num_pairs == 0
    assert fit_tau(missing, missing, np.array([0])).tau == DEFAULT_TAU


def test_logs_copied_under_a_second_id_leave_the_noise_of_the_counts() -> None:
    # Nothing differs between the two, and yet other pairs spread as counts do.
    found = fit_noise(np.zeros(500), np.full(500, 0.01), np.arange(500), np.arange(500))
    assert found.noise.phi == 1
    assert found.noise.omega == 0
    assert found.phi_interval is not None
    assert found.phi_interval[0] == 1


def test_the_interval_holds_a_phi_that_cannot_be_smaller_in_93_of_100_runs_or_more() -> None:
    inside, num_runs = 0, 300
    for seed in range(num_runs):
        log_ratio, v = draw_aa_pairs(NoiseModel(1.0, 0.15), 600, seed=seed)
        found = fit_noise(log_ratio, v, np.arange(600), np.arange(600))
        assert found.phi_interval is not None
        assert found.omega_interval is not None
        assert found.phi_interval[0] == 1 or found.noise.phi > 1
        inside += found.phi_interval[0] <= 1
        inside += found.omega_interval[0] <= 0.15 <= found.omega_interval[1]
    assert inside / (2 * num_runs) >= 0.93, inside


def draw_copies(
    noise: NoiseModel, num_copies: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of the copies of each image: log ratios, variances, number of the image."""
    rng = np.random.default_rng(seed)
    drawn = []
    for number, size in enumerate(num_copies):
        v = draw_variances(rng, size) / 2
        seen = rng.normal(0, np.sqrt(noise.phi**2 * v + noise.omega**2 / 2))
        a, b = np.triu_indices(size, 1)
        drawn.append((seen[a] - seen[b], v[a] + v[b], np.full(len(a), number)))
    log_ratio, v, image = (np.concatenate(arrays) for arrays in zip(*drawn, strict=True))
    return log_ratio, v, image


def test_an_image_of_many_copies_does_not_speak_for_all() -> None:
    calm = draw_copies(NoiseModel(1.2, 0.1), np.full(2_000, 2), seed=1)
    wild = draw_copies(NoiseModel(1.2, 1.0), np.array([200]), seed=2)  # 19,900 pairs, 199 free
    log_ratio, v = (np.concatenate([calm[k], wild[k]]) for k in (0, 1))
    image = np.concatenate([calm[2], wild[2] + 2_000])
    found = fit_noise(log_ratio, v, image, image).noise
    # (2,000 · 0.1² + 199 · 1²) / 2,199 = 0.1, so omega is about 0.3; each pair alike, over 0.9.
    assert found.omega == pytest.approx(0.3, abs=0.1)


def test_intervals_hold_in_93_to_97_of_100_runs_where_images_have_many_copies() -> None:
    planted, num_runs = NoiseModel(1.2, 0.15), 500
    inside = np.zeros(2)
    for seed in range(num_runs):
        num_copies = np.random.default_rng(seed).integers(2, 7, 300)
        log_ratio, v, image = draw_copies(planted, num_copies, seed)
        found = fit_noise(log_ratio, v, image // 2, image)  # two images an item
        assert found.phi_interval is not None
        assert found.omega_interval is not None
        inside += [
            found.phi_interval[0] <= planted.phi <= found.phi_interval[1],
            found.omega_interval[0] <= planted.omega <= found.omega_interval[1],
        ]
    shares = inside / num_runs
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares


def test_copies_of_one_image_lean_on_the_default_by_their_free_differences() -> None:
    # 15 copies have 105 pairs, over the 100 at which a fit stands alone, and 14 free differences.
    log_ratio, v, image = draw_copies(NoiseModel(3.0, 1.0), np.array([15]), seed=3)
    found = fit_noise(log_ratio, v, image, image)
    alone = fit_noise(
        np.tile(log_ratio, 8), np.tile(v, 8), np.tile(image, 8), np.repeat(range(8), 105)
    )
    assert alone.num_pairs == 840
    for name in ("phi", "omega"):
        of_default, of_fit = getattr(DEFAULT_NOISE, name) ** 2, getattr(alone.noise, name) ** 2
        assert getattr(found.noise, name) ** 2 == pytest.approx(
            0.14 * of_fit + 0.86 * of_default, rel=1e-2
        )


@pytest.mark.parametrize("planted", [0.05, 0.3, 1.0])
def test_a_planted_spread_within_items_comes_back(planted: float) -> None:
    rng = np.random.default_rng(7)
    num_items, n = 4_000, 3
    true = rng.normal(0, planted / np.sqrt(2), (num_items, n))  # differences have sd tau
    sd = np.sqrt(draw_variances(rng, num_items * n).reshape(num_items, n) / 2)
    seen = true + rng.normal(0, sd)
    left, right = np.triu_indices(n, 1)
    log_ratio = (seen[:, left] - seen[:, right]).ravel()
    variance = (sd[:, left] ** 2 + sd[:, right] ** 2).ravel()
    item = np.repeat(np.arange(num_items), len(left))
    found = fit_tau(log_ratio, variance, item)
    assert found.tau == pytest.approx(planted, rel=0.06)
    assert found.interval is not None
    assert found.interval[0] <= planted <= found.interval[1]


def test_the_interval_of_a_spread_holds_it_in_93_to_97_of_100_runs() -> None:
    planted, num_runs, num_items, n = 0.3, 500, 150, 3
    left, right = np.triu_indices(n, 1)
    item = np.repeat(np.arange(num_items), len(left))
    inside = 0
    for seed in range(num_runs):
        rng = np.random.default_rng(seed)
        sd = np.sqrt(draw_variances(rng, num_items * n).reshape(num_items, n) / 2)
        seen = rng.normal(0, np.sqrt(planted**2 / 2 + sd**2))
        variance = (sd[:, left] ** 2 + sd[:, right] ** 2).ravel()
        found = fit_tau((seen[:, left] - seen[:, right]).ravel(), variance, item)
        assert found.interval is not None
        inside += found.interval[0] <= planted <= found.interval[1]
    assert 0.93 <= inside / num_runs <= 0.97, inside / num_runs


def test_one_item_of_many_creatives_does_not_speak_for_all() -> None:
    rng = np.random.default_rng(9)
    left, right = np.triu_indices(200, 1)  # 19,900 pairs, 199 free differences
    wild = rng.normal(0, 2.0 / np.sqrt(2), 200)
    calm = rng.normal(0, 0.2, 2_000)  # one pair in each of 2,000 items
    log_ratio = np.concatenate([wild[left] - wild[right], calm])
    variance = np.full(len(log_ratio), 1e-4)
    item = np.concatenate([np.zeros(len(left), dtype=int), np.arange(1, 2_001)])
    tau = fit_tau(log_ratio, variance, item).tau
    # (199 · 2² + 2,000 · 0.2²) / 2,199 = 0.398, so tau is about 0.63; unweighted, about 1.9.
    assert tau == pytest.approx(0.63, abs=0.06)


def draw_differences(tau: float, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One pair in each of `size` items, and the variance of each."""
    rng = np.random.default_rng(seed)
    variance = draw_variances(rng, size)
    return rng.normal(0, np.sqrt(tau**2 + variance)), variance


def test_categories_with_planted_spreads_of_their_own_give_them_back() -> None:
    planted = {0: 0.1, 1: 0.6}
    drawn = [draw_differences(tau, 4_000, seed=number) for number, tau in planted.items()]
    log_ratio, variance = (np.concatenate(arrays) for arrays in zip(*drawn, strict=True))
    category = np.repeat([0, 1], 4_000)
    mixed = np.random.default_rng(0).permutation(8_000)
    found = fit_tau_by_category(
        log_ratio[mixed], variance[mixed], np.arange(8_000), category[mixed], default=0.3
    )
    assert list(found) == [0, 1]
    for number, tau in planted.items():
        assert found[number].tau == pytest.approx(tau, rel=0.05)
        interval = found[number].interval
        assert interval is not None
        assert interval[0] <= tau <= interval[1]


def test_a_category_of_few_items_leans_on_the_spread_over_all_in_proportion() -> None:
    # Pairs in items of their own are free differences, one each.
    log_ratio, variance = draw_differences(0.8, ENOUGH_PAIRS // 4, seed=3)
    item, category = np.arange(ENOUGH_PAIRS // 4), np.zeros(ENOUGH_PAIRS // 4, dtype=int)
    found = fit_tau_by_category(log_ratio, variance, item, category, default=0.2)[0].tau
    again = [np.tile(array, 4) for array in (log_ratio, variance)]
    alone = fit_tau(again[0], again[1], np.arange(ENOUGH_PAIRS)).tau
    assert found**2 == pytest.approx(alone**2 / 4 + 0.2**2 * 3 / 4, rel=1e-3)


def test_only_categories_with_ten_free_differences_are_fitted() -> None:
    category = np.repeat([4, 5, 6, NO_CATEGORY], 10)
    log_ratio = np.where(np.arange(40) == 15, np.nan, 0.1)  # one of category 5 has no estimate
    item = np.where(category == 6, 0, np.arange(40))  # ten pairs of one item: five creatives
    found = fit_tau_by_category(log_ratio, np.full(40, 0.01), item, category, default=0.3)
    assert list(found) == [4]
    nothing = np.array([], dtype=int)
    assert not fit_tau_by_category(nothing * 1.0, nothing * 1.0, nothing, nothing, default=0.3)


def test_the_share_of_near_equal_ads_comes_back() -> None:
    rng = np.random.default_rng(13)
    tau = 0.4
    scale = rng.choice([1 / 8, 2.0], 20_000, p=[0.8, 0.2])
    v = draw_variances(rng, 20_000)
    log_ratio = rng.normal(0, np.sqrt((scale * tau) ** 2 + v))
    shape = fit_shape(log_ratio, v, np.full(20_000, tau), np.arange(20_000))
    assert sum(shape) == pytest.approx(1)
    # Neighbours of a scale stand in for it: at these counts 0.05 and 0.1 look alike.
    assert sum(shape[:2]) == pytest.approx(0.8, abs=0.03)
    assert sum(shape[4:]) == pytest.approx(0.2, abs=0.03)


def test_no_other_shape_is_more_likely() -> None:
    # Scales that look alike: steps that grow small long before the end once ended 40 short of it.
    rng = np.random.default_rng(23)
    v = draw_variances(rng, 20_000) / 10
    log_ratio = rng.normal(0, np.sqrt(rng.choice([0.05, 0.8], 20_000, p=[0.85, 0.15]) ** 2 + v))
    shape = np.array(fit_shape(log_ratio, v, np.full(20_000, 0.3), np.arange(20_000)))
    total = (np.array(SHAPE_SCALES)[:, None] * 0.3) ** 2 + v
    density = np.exp(-(log_ratio**2) / (2 * total)) / np.sqrt(total)
    # By concavity no shape gains more than this a pair over the fit (Kim et al. 2020).
    assert (density / (shape @ density)).mean(axis=1).max() - 1 < 1e-5


def test_one_normal_comes_back_as_one() -> None:
    rng = np.random.default_rng(17)
    v = draw_variances(rng, 20_000)
    log_ratio = rng.normal(0, np.sqrt(0.3**2 + v))
    shape = fit_shape(log_ratio, v, np.full(20_000, 0.3), np.arange(20_000))
    assert shape[3] > 0.85
    assert sum(shape[2:4]) > 0.95


def test_with_few_pairs_the_shape_leans_on_one_normal() -> None:
    log_ratio, v = np.zeros(20), np.full(20, 0.01)
    shape = fit_shape(log_ratio, v, np.full(20, 0.3), np.arange(20))  # 20 of 100 free differences
    assert shape[3] >= 0.8
    missing = np.array([np.nan])
    assert fit_shape(missing, missing, np.array([0.3]), np.array([0])) == NORMAL_SHAPE


def test_a_large_build_tells_its_shape_from_a_part_whatever_the_numbers_of_its_items() -> None:
    rng = np.random.default_rng(19)
    v = draw_variances(rng, 240_000)
    log_ratio = rng.normal(0, np.sqrt((rng.choice([0.05, 0.8], 240_000) ** 2) + v))
    shape = fit_shape(log_ratio, v, np.full(240_000, 0.4), np.arange(240_000) // 6 * 6 + 1)
    assert sum(shape[:2]) == pytest.approx(0.5, abs=0.03)
