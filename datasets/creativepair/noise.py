"""Fitting what the counts alone leave out: noise on A/A pairs, spread within items.

`fit_noise` measures on pairs that show one image twice what spread remains where nothing differs;
`fit_tau` measures how much creatives of one item truly differ, over all items and in each category.
Both are maximum likelihood for a normal log CTR ratio; both lean on a stated default where there is
little to fit on, and a category on the fit over all.

Intervals are cluster-robust: pairs of one item share creatives, so an item is one piece of news. On
simulated pairs they hold the truth as often as they say; percentile intervals of a bootstrap over
items did so in 91 to 95 of 100 runs, and cost 200 fits.

Source: White 1982, "Maximum likelihood estimation of misspecified models"; Liang and Zeger 1986,
"Longitudinal data analysis using generalized linear models", for clusters.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from creativepair.evidence import (
    DEFAULT_NOISE,
    DEFAULT_TAU,
    INTERVAL_Z,
    Estimates,
    Flags,
    Floats,
    Ints,
    NoiseModel,
)
from creativepair.shrinkage import NORMAL_SHAPE, SHAPE_SCALES, Shape, relative_log_density

ENOUGH_PAIRS = 100
"""From so many free differences on, a fit stands alone; under it, it leans on the default."""

NO_CATEGORY = -1

# A category with fewer would be the default but for some percent: there may be one for each item.
_FEWEST_DIFFERENCES = 10
# The scores of a fit sum to 0, so of one item alone its interval has no width at all; of five, a
# 95 % one holds the truth in 84 of 100 runs.
_FEWEST_ITEMS = 10
_MANY_PAIRS = 100_000
_LARGEST_SD = 3.0  # of a log ratio: a factor of 20 between two equal images is no noise
# Independent logs spread at least as much as a binomial. Where a log was copied under a second id,
# nothing differs at all, and a fit would be sure of everything.
_SMALLEST_PHI = 1.0

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class NoiseFit:
    """Noise as fitted, with 95 % intervals.

    Attributes:
        num_pairs: A/A pairs that it was fitted on; 0 where it was given.
        phi_interval, omega_interval: None where the fit leans on the default, which has none, or
            its pairs are of fewer than ten items.
        kappa_interval: None also where few pairs have strata that disagree.
    """

    noise: NoiseModel
    num_pairs: int
    phi_interval: Interval | None = None
    omega_interval: Interval | None = None
    kappa_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class TauFit:
    """Spread of true log CTR ratios within an item.

    Attributes:
        interval: of 95 %; None where the fit leans on a default, or its pairs are of fewer than
            ten items.
    """

    tau: float
    num_pairs: int
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Constants:
    """What `fit_constants` found.

    Attributes:
        tau: over all items.
        tau_by_category: by number of the category; none where tau was given.
        tau_of_pair: of the category of each pair, or over all, [num_pairs].
        shape: one normal where tau was given.
    """

    noise: NoiseFit
    tau: TauFit
    tau_by_category: dict[int, TauFit]
    tau_of_pair: Floats
    shape: Shape


def fit_noise(
    log_ratio: Floats,
    count_variance: Floats,
    item: Ints,
    image: Ints,
    *,
    excess_variance: Floats | None = None,
    default: NoiseModel = DEFAULT_NOISE,
) -> NoiseFit:
    """Fit total variance = phi² v + omega² + kappa² u on A/A pairs, where the true log ratio is 0.

    n copies of one image have n (n − 1) / 2 pairs and n − 1 free differences, so their pairs weigh
    2 / n each. Under `ENOUGH_PAIRS` free differences, the squares of the three are averaged with
    the default's, the fit weighing their share of it; for kappa, only pairs whose strata disagree
    count. phi is 1 or more.

    Args:
        log_ratio, count_variance: θ̂ and v of each A/A pair, [num_pairs]; NaN where a pair has no
            estimate.
        item: number of the pair's item, [num_pairs].
        image: number of the image that the pair shows, another one in each item, [num_pairs].
        excess_variance: u of each A/A pair, [num_pairs]; 0 when not given.
        default: what to lean on.
    """
    known = ~np.isnan(log_ratio)
    squares, v, item = log_ratio[known] ** 2, count_variance[known], item[known]
    weight = _weigh_pairs(image[known])
    u = np.zeros_like(v) if excess_variance is None else excess_variance[known]
    if not len(squares):
        return NoiseFit(default, 0)
    # The variance is linear in phi², omega² and kappa².
    slopes = np.stack([v, np.ones_like(v), u], axis=1)
    fitted = _fit_squares(squares, slopes, weight, default.kappa)
    free = np.array([weight.sum(), weight.sum(), weight[u > 0].sum()])
    shares = np.minimum(1.0, free / ENOUGH_PAIRS)
    errors = _standard_errors(squares, slopes @ fitted**2, slopes, item, weight)
    (phi, of_phi), (omega, of_omega), (kappa, of_kappa) = (
        _lean(sd, error, share, at_default, smallest)
        for sd, error, share, at_default, smallest in zip(
            fitted,
            errors,
            shares,
            (default.phi, default.omega, default.kappa),
            (_SMALLEST_PHI, 0.0, 0.0),
            strict=True,
        )
    )
    noise = NoiseModel(phi=phi, omega=omega, kappa=kappa)
    return NoiseFit(noise, len(squares), of_phi, of_omega, of_kappa)


def fit_tau(
    log_ratio: Floats, variance: Floats, item: Ints, *, default: float = DEFAULT_TAU
) -> TauFit:
    """Fit tau on pairs of different creatives: θ̂ ~ N(0, tau² + V), V the total variance.

    An item with n creatives has n (n − 1) / 2 pairs and n − 1 free differences, so its pairs weigh
    2 / n each: otherwise one item of many creatives would speak for all.

    Args:
        log_ratio, variance: θ̂ and V (noise applied) of each pair, [num_pairs]; NaN where a pair has
            no estimate.
        item: number of the pair's item, [num_pairs].
        default: what to lean on under `ENOUGH_PAIRS` free differences, as in `fit_noise`.
    """
    known = ~np.isnan(log_ratio)
    squares, variance, item = log_ratio[known] ** 2, variance[known], item[known]
    if not len(squares):
        return TauFit(default, 0, None)
    weight = _weigh_pairs(item)
    tau = _fit_tau(squares, variance, weight)
    share = min(1.0, float(weight.sum()) / ENOUGH_PAIRS)
    slopes = np.ones((len(squares), 1))
    (error,) = _standard_errors(squares, variance + tau**2, slopes, item, weight)
    tau, interval = _lean(tau, error, share, default)
    return TauFit(tau, len(squares), interval)


def fit_tau_by_category(
    log_ratio: Floats, variance: Floats, item: Ints, category: Ints, *, default: float
) -> dict[int, TauFit]:
    """Fit tau in each category with some free differences; see `fit_tau`.

    Args:
        log_ratio, variance, item: as in `fit_tau`, [num_pairs].
        category: number of each pair's category, [num_pairs]; NO_CATEGORY where there is none.
        default: the tau of all categories, on which one with few free differences leans.
    """
    known = np.flatnonzero(~np.isnan(log_ratio) & (category != NO_CATEGORY))
    known = known[np.argsort(category[known], kind="stable")]
    starts = np.flatnonzero(np.diff(category[known])) + 1
    return {
        int(category[rows[0]]): fit_tau(
            log_ratio[rows], variance[rows], item[rows], default=default
        )
        for rows in np.split(known, starts)
        if _weigh_pairs(item[rows]).sum() >= _FEWEST_DIFFERENCES
    }


def fit_shape(log_ratio: Floats, variance: Floats, tau: Floats, item: Ints) -> Shape:
    """Fit the shares of `SHAPE_SCALES`: θ̂ ~ Σ share N(0, (scale tau)² + V), by likelihood.

    With Σ share added to the mean loss, the shares of its only minimum over share ≥ 0 sum to 1. EM
    gets there too, but between scales that look alike only after thousands of rounds.

    Source: Kim et al. 2020, "A fast algorithm for maximum likelihood estimation of mixture
    proportions using sequential quadratic programming", section 2.

    Pairs weigh as in `fit_tau`, and under `ENOUGH_PAIRS` free differences the shares are averaged
    with those of one normal.

    Args:
        log_ratio, variance, item: as in `fit_tau`, [num_pairs].
        tau: of each pair, [num_pairs].
    """
    known = ~np.isnan(log_ratio)
    if not known.any():
        return NORMAL_SHAPE
    # Of a million pairs, 100,000 tell the shares to within 0.01: every so many items are enough.
    _, place = np.unique(item[known], return_inverse=True)
    rows = np.flatnonzero(known)[place % (1 + len(place) // _MANY_PAIRS) == 0]
    weight = _weigh_pairs(item[rows])
    prior = (np.array(SHAPE_SCALES)[:, None] * tau[rows]) ** 2
    density = np.exp(relative_log_density(log_ratio[rows], prior + variance[rows]))
    part = weight / weight.sum()

    def loss(shares: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(shares @ density, np.finfo(np.float64).tiny)
        return float(shares.sum() - part @ np.log(mixed)), 1 - density @ (part / mixed)

    shares = minimize(
        loss,
        np.full(len(SHAPE_SCALES), 1 / len(SHAPE_SCALES)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * len(SHAPE_SCALES),
        options={"ftol": 1e-13, "gtol": 1e-7},
    ).x
    own = min(1.0, float(weight.sum()) / ENOUGH_PAIRS)
    leaned = own * shares + (1 - own) * np.array(NORMAL_SHAPE)
    return tuple((leaned / leaned.sum()).tolist())


def fit_constants(
    estimates: Estimates,
    item: Ints,
    image: Ints,
    category: Ints,
    same: Flags,
    different: Flags,
    *,
    noise: NoiseModel | None,
    tau: float | None,
) -> Constants:
    """Fit noise on pairs of one image, then the spread within items on the others.

    Args:
        estimates: of all pairs, under any constants.
        item, category: numbers of each pair's item and its category, [num_pairs].
        image: number of A's image, another one in each item, [num_pairs].
        same, different: which pairs to fit on, [num_pairs].
        noise, tau: constants that are given and not fitted; a given tau is that of all categories.
    """
    log_ratio, v, u = estimates.log_ratio, estimates.count_variance, estimates.excess_variance
    if noise is None:
        noise_fit = fit_noise(
            log_ratio[same], v[same], item[same], image[same], excess_variance=u[same]
        )
    else:
        noise_fit = NoiseFit(noise, 0)
    if tau is not None:
        given = np.full(len(item), tau)
        return Constants(noise_fit, TauFit(tau, 0, None), {}, given, NORMAL_SHAPE)
    variance = noise_fit.noise.widen(v, u)
    kept = log_ratio[different], variance[different], item[different]
    tau_fit = fit_tau(*kept)
    by_category = fit_tau_by_category(*kept, category[different], default=tau_fit.tau)
    # The last place is that of NO_CATEGORY.
    taus = np.full(category.max(initial=NO_CATEGORY) + 2, tau_fit.tau)
    for number, fit in by_category.items():
        taus[number] = fit.tau
    tau_of_pair = taus[category]
    shape = fit_shape(kept[0], kept[1], tau_of_pair[different], kept[2])
    return Constants(noise_fit, tau_fit, by_category, tau_of_pair, shape)


def _fit_squares(squares: Floats, slopes: Floats, weight: Floats, kappa: float) -> Floats:
    """Return phi, omega and kappa at the maximum of the normal likelihood with mean 0.

    Args:
        squares: θ̂² of each pair, [num_pairs].
        slopes: of the variance by the squares of the three, [num_pairs, 3].
        weight: of each pair, [num_pairs].
        kappa: where to start, and to stay where nothing is known of it.
    """
    # In squares, of which the variance is linear: by its deviation, omega would have a saddle at 0,
    # where a search that steps on it stays. In units of v, so that all steps are of one size.
    unit = np.array([1.0, np.median(slopes[:, 0]), 1.0])
    scaled = slopes * unit
    weight = weight / weight.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        total = scaled @ parameters
        # Of log(total) + squares / total, by total.
        slope = weight * (1 - squares / total) / total
        return float(weight @ (np.log(total) + squares / total)), slope @ scaled

    largest = _LARGEST_SD**2
    best = min(
        (
            minimize(
                loss,
                np.array([phi_start, omega_start, kappa**2]),
                jac=True,
                method="L-BFGS-B",
                bounds=[(_SMALLEST_PHI**2, 1e4), (0.0, largest / unit[1]), (0.0, largest)],
            )
            for phi_start, omega_start in ((1.5, 0.1), (1.0, 5.0))
        ),
        key=lambda found: float(found.fun),
    )
    fitted: Floats = np.sqrt(best.x * unit)
    return fitted


def _fit_tau(squares: Floats, variance: Floats, weight: Floats) -> float:
    def loss(tau: float) -> float:
        total = variance + tau**2
        return float((weight * (np.log(total) + squares / total)).sum())

    return float(minimize_scalar(loss, bounds=(1e-4, _LARGEST_SD), method="bounded").x)


def _weigh_pairs(group: Ints) -> Floats:
    """Return weights that sum to the free differences of each group: an item, or an image."""
    _, inverse, num_pairs = np.unique(group, return_inverse=True, return_counts=True)
    # n (n − 1) / 2 pairs come from n creatives; where some have no estimate, from about so many.
    num_creatives = (1 + np.sqrt(1 + 8 * num_pairs)) / 2
    weights: Floats = (2 / num_creatives)[inverse]
    return weights


def _standard_errors(
    squares: Floats,
    total: Floats,
    slopes: Floats,
    item: Ints,
    weight: Floats,
) -> Floats:
    """Return the cluster-robust standard errors of the parameters of a variance, [num_parameters].

    With the log-likelihood −½ Σ w (log V + θ̂²/V), V linear in the parameters: scores
    s = w ½ (θ̂²/V − 1) / V · slope, expected information H = Σ w ½ slope slopeᵀ / V², and the
    covariance H⁻¹ (Σ over items of the outer product of their summed scores) H⁻¹, times
    m / (m − 1) of m items. NaN under `_FEWEST_ITEMS`.

    Args:
        squares, total: θ̂² and V of each pair, [num_pairs].
        slopes: derivative of V by each parameter, [num_pairs, num_parameters].
        item: number of the pair's item, [num_pairs].
        weight: w, [num_pairs].
    """
    # An infinitesimal floor: where nothing spreads at all, V is 0.
    total = np.maximum(total, np.finfo(np.float64).tiny ** 0.25)
    scores = (weight * 0.5 * (squares / total - 1) / total)[:, None] * slopes
    information = (slopes * (weight * 0.5 / total**2)[:, None]).T @ slopes
    names, place = np.unique(item, return_inverse=True)
    if len(names) < _FEWEST_ITEMS:
        return np.full(slopes.shape[1], np.nan)
    summed = np.stack([np.bincount(place, column) for column in scores.T], axis=1)
    # To a diagonal of 1 first: with many clicks v is so small beside 1 that phi would be cut off.
    scale = np.sqrt(np.diag(information))
    scale[scale == 0] = 1  # nothing is known of kappa
    inverse = np.linalg.pinv(information / np.outer(scale, scale)) / np.outer(scale, scale)
    covariance = inverse @ (summed.T @ summed) @ inverse * (len(names) / (len(names) - 1))
    errors: Floats = np.sqrt(np.diag(covariance))
    return errors


def _lean(
    sd: float, error: float, share: float, default: float, smallest: float = 0.0
) -> tuple[float, Interval | None]:
    """Average a squared parameter with the default's; return it and its interval, as deviations.

    An average has no interval: how far the default is off, the pairs do not say.

    Args:
        sd: the parameter as a standard deviation or a factor on one.
        error: standard error of its square; NaN where there are too few items for one.
        share: weight of the fit, 0 to 1.
        smallest: what the parameter can be, at the end of an interval too.
    """
    middle = share * sd**2 + (1 - share) * default**2
    if share < 1 or np.isnan(error):
        return float(np.sqrt(middle)), None
    half = INTERVAL_Z * error
    return float(np.sqrt(middle)), (
        float(np.sqrt(max(smallest**2, middle - half))),
        float(np.sqrt(middle + half)),
    )
