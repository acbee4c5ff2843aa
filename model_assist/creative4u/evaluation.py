"""How good a comparative model is: the same measures for a model and for every baseline.

A pair that a comparer gave no readable answer to has no lead: that is never right, and where a
probability is asked for it counts as one half.

Source: Guo et al. 2017, "On calibration of modern neural networks", for the temperature and the
expected calibration error; intervals as in `creativepair.estimates`, for new items.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from creativepair.estimates import (
    Estimate,
    Flags,
    Floats,
    Ints,
    estimate_share,
    estimate_statistic,
    share_of_sums,
)
from model_assist.creative4u.comparison import Compared

NUM_BINS = 10
"""Of the confidence, from ½ to 1."""

FEWEST_FITTED = 50
"""Pairs: of fewer, all may be right by chance, and the temperature would promise that for ever."""

_NUM_PERFECT = 1_000
_TEMPERATURES = (0.05, 50.0)
_LEAST_PROB = 1e-6


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of about one confidence.

    Attributes:
        right: share whose better image was named; None without pairs.
        confidence: mean; None without pairs.
    """

    low: float
    high: float
    confidence: float | None
    right: Estimate


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of one comparer.

    Attributes:
        one_order: accuracy where each pair is seen in one order, drawn with a seed.
        accuracy: of both orders together; a tie is half right.
        both_right: share that is right in either order.
        flips: share whose orders name different images, of those read in both.
        first: share of presentations in which the first image is named.
        unread: share of texts that could not be read.
        nll, brier: of P(A), natural logarithm.
        ece: expected calibration error.
        ece_band: within which it is, 95 % of the time, for a comparer of these P(A) that is
            perfectly calibrated.
        seconds_per_pair, tokens_per_pair: what a pair costs, both orders; None and 0 for what
            neither measures its time nor writes.
    """

    one_order: Estimate
    accuracy: Estimate
    both_right: Estimate
    flips: Estimate
    first: Estimate
    unread: Estimate
    nll: float
    brier: float
    ece: float
    ece_band: tuple[float, float]
    temperature: float
    seconds_per_pair: float | None
    tokens_per_pair: float


def measure_comparer(
    compared: Compared, a_is_better: Flags, item: Ints, *, temperature: float = 1.0, seed: int = 0
) -> Measured:
    """Measure what a comparer says against what is true.

    Args:
        a_is_better: [n].
        item: number of each pair's item, [n].
        seed: of the order in which `one_order` sees each pair, and of all intervals.

    Raises:
        ValueError: without pairs.
    """
    n = len(a_is_better)
    if n == 0:
        raise ValueError("there are no pairs to measure")
    sign = np.where(a_is_better, 1.0, -1.0)
    right_ab, right_ba = _right(compared.lead_ab * sign), _right(-compared.lead_ba * sign)
    rng = np.random.default_rng(seed)
    one = np.where(rng.random(n) < 0.5, right_ab, right_ba)
    read = ~np.isnan(compared.z)
    flipped = read & (compared.lead_ab * compared.lead_ba > 0)  # a tie names neither image
    leads = np.stack([compared.lead_ab, compared.lead_ba])
    named_first = np.where(np.isnan(leads), 0.0, (np.sign(leads) + 1) / 2).sum(axis=0)
    num_read = (~np.isnan(leads)).sum(axis=0)

    def share(successes: Floats, trials: Floats) -> Estimate:
        sums = np.stack([successes, trials], axis=1)
        return estimate_statistic(share_of_sums, sums, item, n=int(trials.sum()), seed=seed)

    every = np.ones(n)
    prob_a = compared.prob_a(temperature)
    of_truth = np.clip(np.where(a_is_better, prob_a, 1 - prob_a), _LEAST_PROB, 1.0)
    return Measured(
        one_order=share(one, every),
        accuracy=share(_right(compared.z * sign), every),
        both_right=share(((right_ab == 1) & (right_ba == 1)).astype(float), every),
        flips=share(flipped.astype(float), read.astype(float)),
        first=share(named_first, num_read.astype(float)),
        unread=estimate_share(compared.num_unread, compared.num_texts),
        nll=float(-np.log(of_truth).mean()),
        brier=float(((1 - of_truth) ** 2).mean()),
        ece=calibration_error(prob_a, a_is_better),
        ece_band=perfect_band(prob_a, seed=seed),
        temperature=temperature,
        seconds_per_pair=None if compared.seconds is None else compared.seconds / n,
        tokens_per_pair=compared.num_tokens / n,
    )


def measure_lead(
    one: Compared, other: Compared, a_is_better: Flags, item: Ints, *, seed: int = 0
) -> Estimate:
    """Return how much more often one comparer is right than another, on the same pairs.

    Paired, and for new items: what makes a pair hard for both does not widen the interval.

    Args:
        a_is_better, item, seed: as `measure_comparer`.
    """
    sign = np.where(a_is_better, 1.0, -1.0)
    ahead = _right(one.z * sign) - _right(other.z * sign)
    sums = np.stack([ahead, np.ones(len(ahead))], axis=1)
    return estimate_statistic(share_of_sums, sums, item, n=len(ahead), span=(-1.0, 1.0), seed=seed)


def fit_temperature(z: Floats, a_is_better: Flags) -> float:
    """Return the temperature under which sigmoid(z / temperature) is likeliest, 0.05 to 50.

    Args:
        z: of pairs that no other measure uses; NaN is left out.
    """
    known = ~np.isnan(z)
    margins = np.where(a_is_better, z, -z)[known]
    if not len(margins):
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def calibration_error(prob_a: Floats, a_is_better: Flags) -> float:
    """Return the expected calibration error over `NUM_BINS` bins of the confidence."""
    confidence, right = _confidence(prob_a, a_is_better)
    number = _bin_numbers(confidence)
    gaps = np.bincount(number, weights=right - confidence, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(prob_a))


def perfect_band(prob_a: Floats, *, seed: int = 0) -> tuple[float, float]:
    """Return the central 95 % of the calibration error where every P(A) is true."""
    rng = np.random.default_rng(seed)
    drawn = [
        calibration_error(prob_a, rng.random(len(prob_a)) < prob_a) for _ in range(_NUM_PERFECT)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def list_bins(prob_a: Floats, a_is_better: Flags) -> list[Bin]:
    """Return the reliability diagram: how often each confidence is right."""
    confidence, right = _confidence(prob_a, a_is_better)
    number = _bin_numbers(confidence)
    edges = np.linspace(0.5, 1.0, NUM_BINS + 1).tolist()
    bins = []
    for place in range(NUM_BINS):
        inside = number == place
        num = int(inside.sum())
        bins.append(
            Bin(
                low=edges[place],
                high=edges[place + 1],
                confidence=float(confidence[inside].mean()) if num else None,
                # A tie is half right, and Wilson counts whole ones.
                right=estimate_share(round(float(right[inside].sum())), num),
            )
        )
    return bins


def _right(margins: Floats) -> Floats:
    """Return 1 for positive margins, ½ for none, 0 for negative ones and where nothing was read."""
    return np.nan_to_num((np.sign(margins) + 1) / 2, nan=0.0)


def _confidence(prob_a: Floats, a_is_better: Flags) -> tuple[Floats, Floats]:
    """Return the probability of what is named, and whether it is right (½ where neither is)."""
    right = _right((prob_a - 0.5) * np.where(a_is_better, 1.0, -1.0))
    return np.maximum(prob_a, 1 - prob_a), right


def _bin_numbers(confidence: Floats) -> Ints:
    places = np.floor((confidence - 0.5) * 2 * NUM_BINS).astype(np.int64)
    return np.clip(places, 0, NUM_BINS - 1)
