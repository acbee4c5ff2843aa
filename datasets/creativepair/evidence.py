"""CTR evidence: which of two creatives is clicked more, by how much, and how sure that is.

`read_log` turns exposures into arrays, `estimate_pairs` estimates many pairs at once. The steps: a
Mantel–Haenszel log CTR ratio over the strata that both creatives share, the variance of that ratio
with measured noise added, and shrinkage towards "no difference". Strata, noise and shrinkage all
enter one number, `prob_a`; the winner and its false sign rate come from it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from scipy.special import betainc, betaincc, chdtrc

from creativepair.errors import InputError
from creativepair.records import Exposure
from creativepair.shrinkage import NORMAL_SHAPE, Shape, update

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CreativeKey = tuple[str, str]  # item_id, creative_id
GroupKey = tuple[str, str]  # item_id, experiment_id

INTERVAL_Z = 1.959963984540054  # two-sided 95 % of a normal
# Gaps end here, at a ratio of e^100: with one impression against 10^12 the end of the interval
# would overflow a float, and no count can tell ratios of that size apart.
MAX_LOG_RATIO = 100.0
# Pairs are joined with their strata in blocks of about this many rows, so that memory follows
# the block (some 100 bytes a row) and not the build.
MAX_ROWS_PER_BLOCK = 1_000_000
# A chi-square is no longer one where a creative was to get less: of 500 impressions with shares of
# .999 and .001, 1.5 % of fair splits would have p < .001.
_FEWEST_EXPECTED = 5
UNDECLARED = -1  # no experiment, or several in one stratum


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class NoiseModel:
    """What spread remains where nothing differs: total variance = phi² v + omega² + kappa² u.

    Attributes:
        phi: factor on the standard deviation that the counts alone give.
        omega: standard deviation of a log CTR ratio that no number of clicks removes.
        kappa: factor on the standard deviation by which a pair's strata disagree beyond their
            counts. 1 takes it at its word: a ratio made by one day of a click bot is then no
            news. 0 does not look at it.
    """

    phi: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    omega: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    kappa: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0

    def widen(self, variance: Floats, excess: Floats | float = 0.0) -> Floats:
        """Return the total variance for the variance v of the counts and the excess u; any shape.

        Without strata that could disagree, u is 0.
        """
        return self.phi**2 * variance + self.omega**2 + self.kappa**2 * excess


# From the A/A pairs of the Upworthy Research Archive (Matias et al. 2021), outside the weeks in
# which randomisation failed. The model says mean z² = phi² + omega² · mean(1/v). The root mean
# square of z is 1.17 under 50 clicks a pair (mean 1/v = 8.2) and 1.48 over 173 (mean 1/v = 64):
#   omega² = (1.48² − 1.17²) / (64 − 8.2) = 0.0147    omega = 0.12
#   phi²   = 1.17² − 0.0147 · 8.2         = 1.248     phi   = 1.12
# A likelihood fit to all of its 6,859 pairs with clicks gives 1.17 and 0.11.
# The archive has no strata, so kappa is not from there: disagreement is taken at its word.
DEFAULT_NOISE = NoiseModel(phi=1.12, omega=0.12, kappa=1.0)

# Standard deviation of true log CTR ratios between creatives of one item: 0.23 to 0.34 within the
# tests of the same archive. The spread between products (1.04 there) would shrink nothing.
DEFAULT_TAU = 0.30


@dataclass(frozen=True, slots=True)
class SharedCounts:
    """Counts of pairs by stratum, one row per (pair, stratum); every array is [num_rows].

    A stratum is shared when both creatives have impressions in it; other rows are ignored.

    Attributes:
        pair_index: the pair of the row, 0 to num_pairs − 1.
        n_a, c_a, n_b, c_b: impressions and clicks of A and of B in the stratum.
    """

    pair_index: Ints
    n_a: Floats
    c_a: Floats
    n_b: Floats
    c_b: Floats


@dataclass(frozen=True, slots=True)
class ExposureLog:
    """Exposures as arrays; creatives are numbers, and a row is a creative in a stratum.

    Attributes:
        impressions, clicks: totals of each creative, [num_creatives].
        first: rows of creative i are first[i] to first[i + 1], [num_creatives + 1].
        key: creative · num_strata + stratum, rising; [num_rows], as the next three.
        row_impressions, row_clicks: counts of one creative in one stratum.
        group: code of the declared experiment; UNDECLARED without one, or with several.
        num_strata: number of distinct (source, stratum, period).
        groups: impressions by creative of each declared experiment.
    """

    impressions: Floats
    clicks: Floats
    first: Ints
    key: Ints
    row_impressions: Floats
    row_clicks: Floats
    group: Ints
    num_strata: int
    groups: dict[GroupKey, dict[int, int]]


@dataclass(frozen=True, slots=True)
class Estimates:
    """What the counts say about each pair; every array is [num_pairs].

    All but `shared_share` are NaN where there is no estimate: no shared stratum, no click in
    them, or nothing but clicks.

    Attributes:
        shared_share: share of the pair's impressions in shared strata, 0 to 1.
        log_ratio: Mantel–Haenszel log CTR ratio of A to B.
        count_variance: its variance from the counts alone.
        excess_variance: by how much the variance seen between strata is over it; 0 or more, 0 with
            one shared stratum.
        variance: its total variance, noise included.
        z: log_ratio over its total standard deviation.
        posterior_mean, posterior_sd: of the true log ratio, after shrinkage.
        prob_a: P(CTR_A > CTR_B), 0 to 1.
        rel_gap: adjusted, unshrunken `ctr_hi / ctr_lo − 1`, 0 or more.
        gap_low, gap_high: its 95 % interval, signed towards the winner: `gap_low` is negative
            where the other one may have won.
        shrunken_gap: `exp(|posterior_mean|) − 1`.
    """

    shared_share: Floats
    log_ratio: Floats
    count_variance: Floats
    excess_variance: Floats
    variance: Floats
    z: Floats
    posterior_mean: Floats
    posterior_sd: Floats
    prob_a: Floats
    rel_gap: Floats
    gap_low: Floats
    gap_high: Floats
    shrunken_gap: Floats


def read_log(exposures: Sequence[Exposure], place: Mapping[CreativeKey, int]) -> ExposureLog:
    """Arrange exposures, in any order; rows with the same key add up.

    Args:
        exposures: of the creatives in `place`.
        place: number of each creative, 0 to num_creatives − 1.

    Raises:
        InputError: when exposures name creatives without a place; lists the first twenty.
    """
    keys = {(row.item_id, row.creative_id) for row in exposures}
    if unknown := sorted(keys - place.keys()):
        raise InputError(
            f"exposures name {len(unknown)} creatives not given: {list_keys(unknown)}",
            hint="Give the creatives too, or leave their exposures out.",
        )
    # Sorted, so that sums run in the same order, to the last digit, whatever the input's.
    names = sorted({(row.source, row.stratum, row.period) for row in exposures})
    strata = {name: code for code, name in enumerate(names)}
    codes: dict[GroupKey, int] = {}
    groups: dict[GroupKey, dict[int, int]] = {}
    rows: list[tuple[int, int, int, int, int]] = []
    for row in exposures:
        creative = place[row.item_id, row.creative_id]
        stratum = strata[row.source, row.stratum, row.period]
        group = UNDECLARED
        if row.experiment_id is not None:
            name = (row.item_id, row.experiment_id)
            group = codes.setdefault(name, len(codes))
            members = groups.setdefault(name, {})
            members[creative] = members.get(creative, 0) + row.impressions
        rows.append((creative, stratum, row.impressions, row.clicks, group))
    return _arrange_rows(rows, len(place), max(1, len(strata)), groups)


def estimate_pairs(
    log: ExposureLog, a: Ints, b: Ints, noise: NoiseModel = DEFAULT_NOISE, tau: float = DEFAULT_TAU
) -> tuple[Estimates, Flags]:
    """Estimate pairs of creatives of a log; see `estimate`.

    Args:
        log: the exposures.
        a, b: numbers of the creatives of each pair, [num_pairs].
        noise: what the counts alone leave out.
        tau: standard deviation of true log ratios within an item, over 0.

    Returns:
        The estimates, and whether each pair is declared randomised: in every stratum that both
        share, both rows name the same experiment; [num_pairs].
    """
    num_rows = log.first[a + 1] - log.first[a]
    block = np.cumsum(num_rows) // MAX_ROWS_PER_BLOCK
    estimates, declared = [], []
    for chosen in np.split(np.arange(len(a)), np.flatnonzero(np.diff(block)) + 1):
        counts, same_group = _join_strata(log, a[chosen], b[chosen])
        total = log.impressions[a[chosen]] + log.impressions[b[chosen]]
        estimates.append(estimate(counts, total, noise, tau))
        num_shared = np.bincount(counts.pair_index, minlength=len(chosen))
        num_same = np.bincount(counts.pair_index[same_group], minlength=len(chosen))
        declared.append((num_shared > 0) & (num_same == num_shared))
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in estimates])
        for field in fields(Estimates)
    }
    return Estimates(**joined), np.concatenate(declared)


def estimate(
    counts: SharedCounts,
    impressions: Floats,
    noise: NoiseModel = DEFAULT_NOISE,
    tau: float = DEFAULT_TAU,
) -> Estimates:
    """Estimate the log CTR ratio of each pair, with noise and shrinkage.

    Args:
        counts: by pair and stratum.
        impressions: all impressions of both creatives of a pair, shared or not, [num_pairs].
        noise: what the counts alone leave out.
        tau: standard deviation of true log ratios within an item, over 0.
    """
    counts = _keep_shared(counts)
    num_pairs = len(impressions)
    shared = _sum_by(counts.pair_index, counts.n_a + counts.n_b, num_pairs)
    estimated = _estimate_log_ratio(_fill_empty_sides(counts, shared), num_pairs)
    return _finish(_divide(shared, impressions), *estimated, noise, tau)


def with_constants(
    estimates: Estimates, noise: NoiseModel, tau: Floats, shape: Shape = NORMAL_SHAPE
) -> Estimates:
    """Return the estimates under other constants; the log ratios and their counts stay.

    Args:
        estimates: under any constants.
        noise: what the counts alone leave out.
        tau: spread of true log ratios in the item of each pair, [num_pairs].
        shape: share of each of `SHAPE_SCALES`; with the normal one, tau is a standard deviation.
    """
    return _finish(
        estimates.shared_share,
        estimates.log_ratio,
        estimates.count_variance,
        estimates.excess_variance,
        noise,
        tau,
        shape,
    )


def noise_scale(log_ratio: Floats, count_variance: Floats) -> tuple[float | None, int]:
    """Return the root mean square of θ̂/√v over A/A pairs, and how many of them have an estimate.

    1 means that the counts alone explain the spread; None that there is nothing to measure it on.

    Args:
        log_ratio, count_variance: of pairs that show the same image twice, [num_pairs], NaN
            where a pair has no estimate.
    """
    squares = log_ratio**2 / count_variance
    squares = squares[~np.isnan(squares)]
    if not squares.size:
        return None, 0
    return float(np.sqrt(squares.mean())), int(squares.size)


def compute_sample_ratio_p(
    impressions: Sequence[int], shares: Sequence[float] | None = None
) -> float:
    """Return the p-value that traffic was split over these creatives in these shares, 0 to 1.

    Fewer than two creatives, or no impressions, cannot fail: p = 1.

    Source: Pearson's chi-square test; the sample-ratio check of Fabijan et al. 2019. Where some
    creative was to get under five impressions, the smallest p of exact binomial tests of each,
    times their number (Bonferroni).

    Args:
        impressions: of each creative.
        shares: expected of each, summing to 1; equal ones when not given.
    """
    total = sum(impressions)
    if len(impressions) < 2 or total == 0:
        return 1.0
    if shares is None:
        shares = [1 / len(impressions)] * len(impressions)
    paired = list(zip(impressions, shares, strict=True))
    if any(count and not share for count, share in paired):
        return 0.0
    paired = [(count, share) for count, share in paired if share]
    if len(paired) < 2:
        return 1.0
    if total * min(share for _, share in paired) < _FEWEST_EXPECTED:
        tails = (_find_tail(count, total, share) for count, share in paired)
        return min(1.0, 2 * len(paired) * min(tails))
    statistic = math.fsum((count - total * share) ** 2 / (total * share) for count, share in paired)
    return float(chdtrc(len(paired) - 1, statistic))


def list_keys(keys: Sequence[CreativeKey]) -> str:
    """Return the first twenty keys as text, for a message."""
    names = ["/".join(key) for key in keys]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


def _find_tail(count: int, total: int, share: float) -> float:
    """Return the probability of a binomial count this far from the middle or farther, to one side.

    The tails of a binomial are incomplete beta functions, which also hold at 10^12.
    """
    at_least = betainc(count, total - count + 1, share) if count else 1.0
    at_most = betaincc(count + 1, total - count, share) if count < total else 1.0
    return float(min(at_least, at_most))


def _finish(
    shared_share: Floats,
    log_ratio: Floats,
    count_variance: Floats,
    excess_variance: Floats,
    noise: NoiseModel,
    tau: float | Floats,
    shape: Shape = NORMAL_SHAPE,
) -> Estimates:
    variance = noise.widen(count_variance, excess_variance)
    sd = np.sqrt(variance)
    size = np.abs(log_ratio)
    mean, mean_sd, prob_a = update(log_ratio, variance, tau, shape)
    return Estimates(
        shared_share=shared_share,
        log_ratio=log_ratio,
        count_variance=count_variance,
        excess_variance=excess_variance,
        variance=variance,
        z=log_ratio / sd,
        posterior_mean=mean,
        posterior_sd=mean_sd,
        prob_a=prob_a,
        rel_gap=_gap(size),
        gap_low=_gap(size - INTERVAL_Z * sd),
        gap_high=_gap(size + INTERVAL_Z * sd),
        shrunken_gap=_gap(np.abs(mean)),
    )


def _arrange_rows(
    rows: Sequence[tuple[int, int, int, int, int]],
    num_creatives: int,
    num_strata: int,
    groups: dict[GroupKey, dict[int, int]],
) -> ExposureLog:
    """Add up rows of one creative and stratum; rows are creative, stratum, counts and group."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    creative, stratum, group = table[:, [0, 1, 4]].astype(np.int64).T
    keys, inverse = np.unique(creative * num_strata + stratum, return_inverse=True)
    lowest = np.full(len(keys), np.iinfo(np.int64).max)
    highest = np.full(len(keys), UNDECLARED)
    np.minimum.at(lowest, inverse, group)
    np.maximum.at(highest, inverse, group)
    return ExposureLog(
        impressions=_sum_by(creative, table[:, 2], num_creatives),
        clicks=_sum_by(creative, table[:, 3], num_creatives),
        first=np.searchsorted(keys, np.arange(num_creatives + 1) * num_strata),
        key=keys,
        row_impressions=_sum_by(inverse, table[:, 2], len(keys)),
        row_clicks=_sum_by(inverse, table[:, 3], len(keys)),
        group=np.where(lowest == highest, lowest, UNDECLARED),
        num_strata=num_strata,
        groups=groups,
    )


def _join_strata(log: ExposureLog, a: Ints, b: Ints) -> tuple[SharedCounts, Flags]:
    """Return the strata in which both have impressions, and where one experiment covers both."""
    num_rows = log.first[a + 1] - log.first[a]
    pair = np.repeat(np.arange(len(a)), num_rows)
    before = np.cumsum(num_rows) - num_rows
    row_a = np.arange(len(pair)) + (log.first[a] - before)[pair]
    wanted = b[pair] * log.num_strata + log.key[row_a] % log.num_strata
    row_b = np.minimum(np.searchsorted(log.key, wanted), len(log.key) - 1)
    shared = log.key[row_b] == wanted
    shared &= (log.row_impressions[row_a] > 0) & (log.row_impressions[row_b] > 0)
    row_a, row_b = row_a[shared], row_b[shared]
    counts = SharedCounts(
        pair_index=pair[shared],
        n_a=log.row_impressions[row_a],
        c_a=log.row_clicks[row_a],
        n_b=log.row_impressions[row_b],
        c_b=log.row_clicks[row_b],
    )
    same_group = (log.group[row_a] == log.group[row_b]) & (log.group[row_a] != UNDECLARED)
    return counts, same_group


def _keep_shared(counts: SharedCounts) -> SharedCounts:
    keep = (counts.n_a > 0) & (counts.n_b > 0)
    return SharedCounts(*(getattr(counts, field.name)[keep] for field in fields(SharedCounts)))


def _fill_empty_sides(counts: SharedCounts, shared: Floats) -> SharedCounts:
    """Add one click and one impression without a click to pairs where one side has no click.

    The two are spread over the pair's shared rows in proportion to impressions: c + n/N over
    n + 2n/N, N being all shared impressions of the pair. Equal exposure in one stratum is the
    textbook case, + ½ click and + 1 impression on each side. With unequal exposure, ½ on each
    side would let a creative shown 10 times and never clicked "win" over one shown 10,000 times
    and clicked 50 times; in proportion, the side without clicks never comes out ahead.

    Source: Sweeting, Sutton and Lambert 2004, "What to add to nothing?", the correction by the
    reciprocal of the opposite arm's size.
    """
    clicks_a = _sum_by(counts.pair_index, counts.c_a, len(shared))
    clicks_b = _sum_by(counts.pair_index, counts.c_b, len(shared))
    one_empty = (clicks_a == 0) != (clicks_b == 0)
    added = _divide(one_empty.astype(np.float64), shared)[counts.pair_index]
    return SharedCounts(
        pair_index=counts.pair_index,
        n_a=counts.n_a * (1 + 2 * added),
        c_a=counts.c_a + counts.n_a * added,
        n_b=counts.n_b * (1 + 2 * added),
        c_b=counts.c_b + counts.n_b * added,
    )


def _estimate_log_ratio(counts: SharedCounts, num_pairs: int) -> tuple[Floats, Floats, Floats]:
    """Return the Mantel–Haenszel log risk ratio of A to B, its variance v and the excess u.

    With N = n_a + n_b in each of m strata; all is NaN where undefined:
        R = Σ c_a n_b / N    S = Σ c_b n_a / N    log ratio = log(R / S)
        v = Σ [n_a n_b (c_a + c_b) − c_a c_b N] / N²  /  (R S)
        u = max(0, m / (m − 1) · Σ (R_s / R − S_s / S)² − v)

    v is true where clicks are binomial and strata share one ratio. The sum in u is the sandwich
    variance, with strata as clusters, which holds where they do not; its expectation is v where
    they do. With few strata it is too noisy to stand alone.

    Source: Greenland and Robins 1985, "Estimation of a common effect parameter from sparse
    follow-up data", the variance for the risk ratio; Liang and Zeger 1986 for the sandwich.
    """
    total = counts.n_a + counts.n_b
    of_a, of_b = counts.c_a * counts.n_b / total, counts.c_b * counts.n_a / total
    r = _sum_by(counts.pair_index, of_a, num_pairs)
    s = _sum_by(counts.pair_index, of_b, num_pairs)
    # The bracket of v, regrouped into terms that are never negative: as written above, it loses
    # all its digits where nearly every impression was clicked.
    bracket = counts.c_a * counts.n_a * (counts.n_b - counts.c_b) + counts.c_b * counts.n_b * (
        counts.n_a - counts.c_a
    )
    p = _sum_by(counts.pair_index, bracket / total**2, num_pairs)
    usable = (r > 0) & (s > 0) & (p > 0)
    r, s, p = (np.where(usable, sums, np.nan) for sums in (r, s, p))
    variance = p / r / s
    residual = of_a / r[counts.pair_index] - of_b / s[counts.pair_index]
    num_strata = np.bincount(counts.pair_index, minlength=num_pairs)
    between = _sum_by(counts.pair_index, residual**2, num_pairs)
    between *= num_strata / np.maximum(num_strata - 1, 1)
    # With one stratum the residual is 0 but for rounding.
    excess = np.where(num_strata > 1, np.maximum(between - variance, 0), 0 * variance)
    return np.log(r) - np.log(s), variance, excess


def _sum_by(index: Ints, values: Floats, size: int) -> Floats:
    # The cast matters for no rows at all: bincount then forgets the weights and returns integers.
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)


def _divide(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _gap(log_ratio: Floats) -> Floats:
    gap: Floats = np.expm1(np.minimum(log_ratio, MAX_LOG_RATIO))
    return gap
