"""Fitting what the counts alone leave out: noise on A/A pairs, spread within items.

`fit_noise` measures on pairs that show one image twice what spread remains where nothing differs;
`fit_tau` measures how much creatives of one item truly differ. Both are maximum likelihood for a
normal log CTR ratio; both lean on a stated default where there is little to fit on.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from creativepair.evidence import DEFAULT_NOISE, DEFAULT_TAU, Floats, Ints, NoiseModel

ENOUGH_PAIRS = 100
"""From so many pairs on, a fit stands alone; under it, it is drawn towards the default."""

NUM_RESAMPLES = 200
_LARGEST_SD = 3.0  # of a log ratio: a factor of 20 between two equal images is no noise
_QUANTILES = (0.025, 0.975)

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class NoiseFit:
    """Noise as fitted, with 95 % bootstrap intervals over items.

    Attributes:
        num_pairs: A/A pairs with an estimate.
        phi_interval, omega_interval: None without pairs.
    """

    noise: NoiseModel
    num_pairs: int
    phi_interval: Interval | None
    omega_interval: Interval | None


@dataclass(frozen=True, slots=True)
class TauFit:
    """Spread of true log CTR ratios within an item, with a 95 % bootstrap interval over items."""

    tau: float
    num_pairs: int
    interval: Interval | None


def fit_noise(
    log_ratio: Floats,
    count_variance: Floats,
    item: Ints,
    *,
    default: NoiseModel = DEFAULT_NOISE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> NoiseFit:
    """Fit total variance = phi² v + omega² on A/A pairs, where the true log ratio is 0.

    Under `ENOUGH_PAIRS` pairs, phi² and omega² are averaged with the default's, the fit weighing
    num_pairs / ENOUGH_PAIRS.

    Args:
        log_ratio, count_variance: θ̂ and v of each A/A pair, [num_pairs]; NaN where a pair has no
            estimate.
        item: number of the pair's item, [num_pairs]; the bootstrap resamples items, since pairs of
            one item share creatives.
        default: what to lean on.
        num_resamples: bootstrap resamples; 0 gives no intervals.
        seed: of the bootstrap: the same input gives the same intervals.
    """
    known = ~np.isnan(log_ratio)
    squares, v, item = log_ratio[known] ** 2, count_variance[known], item[known]
    num_pairs = len(squares)
    if not num_pairs:
        return NoiseFit(default, 0, None, None)
    fitted = _lean(np.square(_fit_phi_omega(squares, v)), num_pairs, default)
    drawn = np.array(
        [
            _lean(np.square(_fit_phi_omega(squares[rows], v[rows])), num_pairs, default)
            for rows in _resample(item, num_resamples, seed)
        ]
    ).reshape(-1, 2)
    return NoiseFit(
        NoiseModel(phi=float(fitted[0]), omega=float(fitted[1])),
        num_pairs,
        _interval(drawn[:, 0]),
        _interval(drawn[:, 1]),
    )


def fit_tau(
    log_ratio: Floats,
    variance: Floats,
    item: Ints,
    *,
    default: float = DEFAULT_TAU,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> TauFit:
    """Fit tau on pairs of different creatives: θ̂ ~ N(0, tau² + V), V the total variance.

    An item with n creatives has n (n − 1) / 2 pairs and n − 1 free differences, so its pairs weigh
    2 / n each: otherwise one item of many creatives would speak for all.

    Args:
        log_ratio, variance: θ̂ and V (noise applied) of each pair, [num_pairs]; NaN where a pair has
            no estimate.
        item: number of the pair's item, [num_pairs].
        default: what to lean on under `ENOUGH_PAIRS` free differences, as in `fit_noise`.
        num_resamples, seed: as in `fit_noise`.
    """
    known = ~np.isnan(log_ratio)
    squares, variance, item = log_ratio[known] ** 2, variance[known], item[known]
    if not len(squares):
        return TauFit(default, 0, None)
    weight = _weigh_pairs(item)
    share = min(1.0, float(weight.sum()) / ENOUGH_PAIRS)

    def fit(rows: Ints) -> float:
        tau = _fit_tau(squares[rows], variance[rows], weight[rows])
        return float(np.sqrt(share * tau**2 + (1 - share) * default**2))

    drawn = np.array([fit(rows) for rows in _resample(item, num_resamples, seed)])
    return TauFit(fit(np.arange(len(squares))), len(squares), _interval(drawn))


def _fit_phi_omega(squares: Floats, v: Floats) -> Floats:
    """Return phi and omega at the maximum of the normal likelihood with mean 0."""

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_phi, omega = parameters
        scaled = np.exp(2 * log_phi) * v
        total = scaled + omega**2
        slope = (1 - squares / total) / total  # of log(total) + squares / total, by total
        gradient = np.array([(slope * 2 * scaled).mean(), (slope * 2 * omega).mean()])
        return float((np.log(total) + squares / total).mean()), gradient

    best = min(
        (
            minimize(
                loss,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=[(np.log(1e-2), np.log(1e2)), (0.0, _LARGEST_SD)],
            )
            # omega = 0 is a saddle of its slope, so one start lies on either side of the ridge.
            for start in (np.array([0.0, 0.02]), np.array([-0.5, 0.5]))
        ),
        key=lambda found: float(found.fun),
    )
    return np.array([np.exp(best.x[0]), best.x[1]])


def _fit_tau(squares: Floats, variance: Floats, weight: Floats) -> float:
    def loss(tau: float) -> float:
        total = variance + tau**2
        return float((weight * (np.log(total) + squares / total)).sum())

    return float(minimize_scalar(loss, bounds=(1e-4, _LARGEST_SD), method="bounded").x)


def _weigh_pairs(item: Ints) -> Floats:
    _, inverse, num_pairs = np.unique(item, return_inverse=True, return_counts=True)
    # n (n − 1) / 2 pairs come from n creatives; where some have no estimate, from about so many.
    num_creatives = (1 + np.sqrt(1 + 8 * num_pairs)) / 2
    weights: Floats = (2 / num_creatives)[inverse]
    return weights


def _lean(squared: Floats, num_pairs: int, default: NoiseModel) -> Floats:
    """Average phi² and omega² with the default's and return phi and omega."""
    share = min(1.0, num_pairs / ENOUGH_PAIRS)
    leaned: Floats = np.sqrt(
        share * squared + (1 - share) * np.array([default.phi**2, default.omega**2])
    )
    return leaned


def _resample(item: Ints, num_resamples: int, seed: int) -> list[Ints]:
    """Draw rows by whole items, with replacement."""
    rng = np.random.default_rng(seed)
    order = np.argsort(item, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(item[order])) + 1)
    return [
        np.concatenate([rows_of[n] for n in rng.integers(len(rows_of), size=len(rows_of))])
        for _ in range(num_resamples)
    ]


def _interval(drawn: Floats) -> Interval | None:
    if not len(drawn):
        return None
    low, high = np.quantile(drawn, _QUANTILES)
    return float(low), float(high)
