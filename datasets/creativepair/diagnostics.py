"""What a statistician asks of a build: is the noise right, and how much exposure does a pair need.

Use it on the stored evidence of a build, to draw or to tabulate; it decides nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtri

from creativepair.evidence import Floats, NoiseModel
from creativepair.shrinkage import Shape, update

_BAND_ENDS = (0.025, 0.975)
# Thousands of points of a quantile plot fall on each other; its ends are what is looked at.
_KEPT_AT_EACH_END = 200
_KEPT_BETWEEN = 400
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class QuantilePlot:
    """Sorted values against those of a standard normal; every array is [num_points].

    Attributes:
        expected: the quantile of a standard normal at each value's rank.
        observed: the values, rising.
        low, high: where 95 % of samples from a standard normal have the value of this rank.
    """

    expected: Floats
    observed: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class ClickClass:
    """Pairs with about as many clicks.

    Attributes:
        fewest, most: clicks of a pair, of both creatives together.
        rms_before, rms_after: root mean square of z by the counts alone, and with noise.
    """

    fewest: int
    most: int
    num_pairs: int
    rms_before: float
    rms_after: float


def plot_quantiles(z: Floats) -> QuantilePlot:
    """Compare z with a standard normal; of many values, all at the ends and some between are kept.

    The band is pointwise and takes the values as independent: of a perfect model, one point in
    twenty lies outside.

    Source: the i-th of n uniform values is Beta(i, n + 1 − i), David and Nagaraja 2003, "Order
    Statistics", section 2.1.

    Args:
        z: [num_values], without NaN, at least one.
    """
    n = len(z)
    rank = np.arange(1, n + 1)
    inner = max(0, n - 2 * _KEPT_AT_EACH_END)
    if inner > _KEPT_BETWEEN:
        between = np.linspace(_KEPT_AT_EACH_END + 1, n - _KEPT_AT_EACH_END, _KEPT_BETWEEN)
        ends = rank[:_KEPT_AT_EACH_END], rank[-_KEPT_AT_EACH_END:]
        rank = np.unique(np.concatenate([*ends, np.round(between).astype(np.int64)]))
    low, high = (ndtri(betaincinv(rank, n + 1 - rank, end)) for end in _BAND_ENDS)
    return QuantilePlot(ndtri((rank - 0.5) / n), np.sort(z)[rank - 1], low, high)


def root_mean_square(z: Floats) -> float:
    """Return the root mean square: 1 for values of a standard normal."""
    return float(np.sqrt(np.mean(z**2)))


def divide_by_clicks(
    clicks: Floats, before: Floats, after: Floats, num_classes: int = 3
) -> Iterator[ClickClass]:
    """Yield classes of about as many pairs each, from few clicks to many.

    Noise that fits on the whole can still be too small for some: a factor alone would leave pairs
    with many clicks too sure of themselves.

    Args:
        clicks: of both creatives of each pair, [num_pairs].
        before, after: z by the counts alone, and with noise, [num_pairs].
    """
    order = np.argsort(clicks, kind="stable")
    for chosen in np.array_split(order, num_classes):
        if len(chosen):
            yield ClickClass(
                fewest=int(clicks[chosen[0]]),
                most=int(clicks[chosen[-1]]),
                num_pairs=len(chosen),
                rms_before=root_mean_square(before[chosen]),
                rms_after=root_mean_square(after[chosen]),
            )


def find_needed_impressions(
    log_ratio: Floats,
    ctr: float,
    noise: NoiseModel,
    tau: float,
    shape: Shape,
    min_confidence: float,
) -> Floats:
    """Return how many impressions each creative needs for a gap to reach a confidence.

    P falls with the total variance V, so the largest V that is still confident is found by halving.
    It gives the variance v of the counts, and that of two creatives shown n times each in one
    stratum is v = (1/ctr + 1/(ctr e^θ̂) − 2) / n.

    Args:
        log_ratio: observed log CTR ratio θ̂ of the winner, over 0, [num_ratios].
        ctr: of the loser, in (0, 1).
        noise, tau, shape: constants of the build.
        min_confidence: 0.5 to under 1.

    Returns:
        Falling with the ratio; infinity where no number suffices, since noise of size omega stays;
        NaN where the winner would need a CTR over 1; [num_ratios].
    """
    low, high = np.full(len(log_ratio), -30.0), np.full(len(log_ratio), 30.0)  # log V
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        sure = update(log_ratio, np.exp(middle), tau, shape)[2] >= min_confidence
        low, high = np.where(sure, middle, low), np.where(sure, high, middle)
    v = (np.exp(low) - noise.omega**2) / noise.phi**2
    spread = 1 / ctr + np.exp(-log_ratio) / ctr - 2
    needed = np.full(len(log_ratio), math.inf)
    np.divide(spread, v, out=needed, where=v > 0)
    needed[ctr * np.exp(log_ratio) > 1] = math.nan
    return needed
