"""A number with its interval: shares of trials, and statistics of sums that are resampled.

A statistic here is a function of sums over rows, so a resample draws how often each kind of cluster
comes and never copies a row: clusters with equal sums are one kind.

Two intervals, both of 95 %:

- `estimate_share`: one annotator's share of successes in trials that are independent. Wilson's,
  which holds at few trials and near 0 and 1, where a bootstrap has no width.
- `estimate_statistic`: a bootstrap over items, and where annotators are given, over annotators and
  over rows too. The variance is then that over annotators plus that over items, less that over
  rows, which both of the others hold. (Drawing annotators and items at once would count the
  variance of single rows three times.) The interval is Student's on the logit scale of the range
  that the statistic has, so it stays within it; percentiles of the resamples are too narrow.

benchmarks/quality.py says how often they hold the truth.

Source: Wilson 1927; Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering";
Satterthwaite 1946 for the degrees of freedom; Owen 2007, "The pigeonhole bootstrap", for what
drawing both at once does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri
from scipy.stats import t as student_t

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Statistic = Callable[[Floats], Floats]
"""From sums [..., num_sums] to values [...], NaN where they are undefined."""

LEVEL = 0.95
FEWEST_ITEMS = 10
"""Of fewer, a bootstrap says too little of their spread: there is no interval."""

_NUM_RESAMPLES = 1000
_NO_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: None where nothing could be counted.
        low, high: None where there are too few items, or no two of them differ.
        n: what was counted: trials, verdicts or pairs, as the field that holds it says.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def estimate_share(successes: int, n: int, *, level: float = LEVEL) -> Estimate:
    """Return a share of independent trials with Wilson's interval; all None without trials."""
    if n == 0:
        return Estimate(None, None, None, 0)
    z2 = float(ndtri((1 + level) / 2)) ** 2
    share = successes / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * (share * (1 - share) + z2 / (4 * n)) / n) ** 0.5 / (1 + z2 / n)
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0), n)


def estimate_statistic(
    statistic: Statistic,
    sums: Floats,
    item: Ints,
    annotator: Ints | None = None,
    *,
    n: int,
    span: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Estimate:
    """Return a statistic of the sums over rows with its interval.

    The interval is for new items, and for new annotators where the rows have several.

    Args:
        sums: what each row adds, [num_rows, num_sums].
        item, annotator: numbers of the row's item and annotator, [num_rows].
        n: what the estimate says it counted.
        span: least and greatest value that the statistic can have.
    """
    value = float(statistic(sums.sum(axis=0)))
    num_items = len(np.unique(item))
    if not np.isfinite(value):
        return Estimate(None, None, None, n)
    if num_items < FEWEST_ITEMS:
        return Estimate(value, None, None, n)
    rng = np.random.default_rng(seed)
    variance, freedom = _variance(statistic, _add_up(sums, item), rng), float(num_items - 1)
    if annotator is not None and (num_annotators := len(np.unique(annotator))) > 1:
        of_annotators = _variance(statistic, _add_up(sums, annotator), rng)
        of_rows = _variance(statistic, sums, rng)
        # With few annotators their variance is rough, and the difference can come near 0.
        variance = max(variance + of_annotators - of_rows, of_rows / 2)
        if of_annotators > _NO_VARIANCE:  # Satterthwaite: only the annotators' part is rough
            freedom = min(freedom, (num_annotators - 1) * (variance / of_annotators) ** 2)
        freedom = max(freedom, 1.0)
    return Estimate(value, *_interval(value, variance, freedom, span), n)


def share_of_sums(sums: Floats) -> Floats:
    """Return successes over trials, from [..., (successes, trials)]; NaN without trials."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = sums[..., 0] / sums[..., 1]
    return share


def number_names(names: list[str]) -> tuple[list[str], Ints]:
    """Return the distinct names, sorted, and the number of each given one among them."""
    distinct = sorted(set(names))
    number = {name: n for n, name in enumerate(distinct)}
    return distinct, np.array([number[name] for name in names], dtype=np.int64)


def _add_up(sums: Floats, cluster: Ints) -> Floats:
    """Return the sums of each cluster that has rows, [num_clusters, num_sums]."""
    _, cluster = np.unique(cluster, return_inverse=True)
    return np.stack([np.bincount(cluster, weights=column) for column in sums.T], axis=1)


def _resample(kinds: Floats, counts: Ints, rng: np.random.Generator) -> Floats:
    """Return the sums of `_NUM_RESAMPLES` draws of as many clusters as there are."""
    total = int(counts.sum())
    shares = counts / total
    # One draw at a time: all at once is gigabytes where no two clusters are alike.
    return np.stack([rng.multinomial(total, shares) @ kinds for _ in range(_NUM_RESAMPLES)])


def _variance(statistic: Statistic, rows: Floats, rng: np.random.Generator) -> float:
    """Return the bootstrap variance over clusters, made unbiased for few of them."""
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    drawn = statistic(_resample(kinds, counts, rng))
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < _NUM_RESAMPLES / 2:
        return float("nan")
    return float(np.var(drawn)) * len(rows) / (len(rows) - 1)


def _interval(
    value: float, variance: float, freedom: float, span: tuple[float, float]
) -> tuple[float | None, float | None]:
    low, high = span
    place = (value - low) / (high - low)
    if not variance > _NO_VARIANCE or not 0 < place < 1:
        return None, None
    spread = variance**0.5 / ((high - low) * place * (1 - place))
    half = float(student_t.ppf((1 + LEVEL) / 2, freedom)) * spread
    ends = low + (high - low) * expit(logit(place) + np.array([-half, half]))
    return float(ends[0]), float(ends[1])
