"""Pair building: which pairs of creatives are worth a person's look, and why others are not.

Pure: everything is given, nothing is read or written. A rejected pair has exactly one reason, the
first that applies in the order of `REASONS`.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import chdtrc

from creativepair.evidence import (
    DEFAULT_NOISE,
    DEFAULT_TAU,
    Estimates,
    Floats,
    Ints,
    NoiseModel,
    Posterior,
    SharedCounts,
    estimate,
    noise_scale,
    weigh,
)
from creativepair.fingerprints import hamming_matrix
from creativepair.records import (
    Creative,
    Evidence,
    Exposure,
    Pair,
    PairStatus,
    order_identities,
    pair_id_of,
)

REASONS = (
    "identical",
    "too_alike",
    "no_exposures",
    "few_impressions",
    "flagged_group",
    "no_overlap",
    "no_clicks",
    "small_gap",
    "low_confidence",
    "over_cap",
)
MAX_PAIRS_PER_ITEM = 20_000
"""Over this a seeded sample is considered: nobody judges 12 million pairs of one product."""

RgbDifference = Callable[[Creative, Creative], float]


class PairSettings(BaseModel):
    """Thresholds of pair building.

    Attributes:
        min_impressions: of each creative, over all its exposures.
        min_gap: adjusted, unshrunken `ctr_hi / ctr_lo − 1`.
        min_confidence: P that the winner is right.
        min_shared_share: share of the impressions in strata that both share.
        per_item: candidates kept per item, chosen by chance: the largest gaps are also the most
            overestimated ones, so keeping those would bias the data set.
        phash_radius: bits; too alike at or under it, when the colours agree as well.
        max_rgb_difference: mean absolute difference of 64 px thumbnails, 0 to 255.
        without_logs: make candidates from images alone.
        include_flagged_groups: keep groups that fail the sample-ratio check.
        min_group_p: p value under which a group fails it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_impressions: int = Field(default=1_000, ge=0)
    min_gap: float = Field(default=0.60, ge=0)
    min_confidence: float = Field(default=0.95, ge=0.5, lt=1)
    min_shared_share: float = Field(default=0.5, ge=0, le=1)
    per_item: int = Field(default=3, ge=1)
    phash_radius: int = Field(default=4, ge=0, le=64)
    max_rgb_difference: float = Field(default=12.0, ge=0, le=255)
    seed: int = 0
    without_logs: bool = False
    include_flagged_groups: bool = False
    min_group_p: float = Field(default=0.001, ge=0, le=1)
    noise: NoiseModel = DEFAULT_NOISE
    tau: float = Field(default=DEFAULT_TAU, gt=0, le=5)


@dataclass(frozen=True, slots=True)
class FlaggedGroup:
    """A declared group whose impressions do not follow its shares (equal ones)."""

    item_id: str
    experiment_id: str
    p_value: float


@dataclass(frozen=True, slots=True)
class PairBuild:
    """What a build found.

    Attributes:
        funnel: pairs by reason; `candidate` for those kept, `not_considered` for those over
            `MAX_PAIRS_PER_ITEM`.
        noise_scale: root mean square of z over the workspace's own A/A pairs.
        expected_wrong: expected share of wrong winners among the candidates.
    """

    pairs: list[Pair]
    evidence: list[Evidence]
    funnel: dict[str, int]
    near_duplicates: int
    flagged_groups: list[FlaggedGroup]
    noise_scale: float | None
    num_aa_pairs: int
    expected_wrong: float | None


@dataclass(frozen=True, slots=True)
class _Possible:
    """A pair before any decision; indices point into the item's sorted creatives."""

    pair_id: str
    a: Creative
    b: Creative
    distance: int

    @property
    def is_aa(self) -> bool:
        declared = self.a.aa_of == self.b.creative_id or self.b.aa_of == self.a.creative_id
        return declared or self.a.pixel_sha256 == self.b.pixel_sha256


@dataclass(frozen=True, slots=True)
class _Log:
    """A creative's counts by stratum, and the experiments they belong to."""

    counts: Mapping[tuple[str, str, str], tuple[int, int]]
    experiments: frozenset[str | None]
    impressions: int
    clicks: int


_NO_LOG = _Log({}, frozenset(), 0, 0)


def build_pairs(
    creatives: Sequence[Creative],
    exposures: Sequence[Exposure],
    settings: PairSettings,
    *,
    version: int,
    rgb_difference: RgbDifference,
) -> PairBuild:
    """Build every pair within items, with evidence and one reason for each rejected one.

    The order of creatives and exposures does not matter.

    Args:
        version: number of the evidence build.
        rgb_difference: mean RGB difference of two creatives at 64 px, 0 to 255; asked only where
            the perceptual hashes are alike.
    """
    possible, not_considered = _possible_pairs(creatives, settings.seed)
    logs = _logs(exposures)
    flagged = _flagged_groups(exposures, settings.min_group_p)
    estimates, shares = _estimate_all(possible, logs)
    posterior = weigh(estimates, settings.noise, settings.tau)
    groups = {(group.item_id, group.experiment_id) for group in flagged}
    reasons = [
        _reason(pair, i, logs, estimates, posterior, shares, groups, settings, rgb_difference)
        for i, pair in enumerate(possible)
    ]
    _cap(possible, reasons, settings)
    aa = np.array([pair.is_aa for pair in possible], dtype=bool)
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    wrong = np.minimum(posterior.prob_a[kept], 1 - posterior.prob_a[kept])
    funnel = Counter(reason or "candidate" for reason in reasons)
    counted = {r: funnel[r] for r in (*REASONS, "candidate") if funnel[r]}
    return PairBuild(
        pairs=[_pair(pair, reason) for pair, reason in zip(possible, reasons, strict=True)],
        evidence=_evidence(possible, logs, estimates, posterior, shares, version),
        funnel=counted | ({"not_considered": not_considered} if not_considered else {}),
        near_duplicates=funnel["identical"] + funnel["too_alike"],
        flagged_groups=flagged,
        noise_scale=noise_scale(estimates.theta[aa], estimates.v[aa]),
        num_aa_pairs=int((aa & np.isfinite(estimates.theta)).sum()),
        expected_wrong=float(np.nanmean(wrong)) if np.isfinite(wrong).any() else None,
    )


def _possible_pairs(creatives: Sequence[Creative], seed: int) -> tuple[list[_Possible], int]:
    by_item: dict[str, list[Creative]] = defaultdict(list)
    for creative in creatives:
        by_item[creative.item_id].append(creative)
    possible, not_considered = [], 0
    for item_id in sorted(by_item):
        pool = sorted(by_item[item_id], key=lambda creative: creative.creative_id)
        distances = hamming_matrix([creative.phash for creative in pool])
        chosen, left = _choose(len(pool), item_id, seed)
        not_considered += left
        for i, j in chosen:
            a_id, _ = order_identities(item_id, pool[i].creative_id, pool[j].creative_id)
            a, b = (pool[i], pool[j]) if pool[i].creative_id == a_id else (pool[j], pool[i])
            pair_id = pair_id_of(item_id, a.creative_id, b.creative_id)
            possible.append(_Possible(pair_id, a, b, int(distances[i, j])))
    return possible, not_considered


def _choose(size: int, item_id: str, seed: int) -> tuple[list[tuple[int, int]], int]:
    """Choose the index pairs to consider among `size` creatives, and count those left out."""
    total = size * (size - 1) // 2
    if total <= MAX_PAIRS_PER_ITEM:
        return list(combinations(range(size), 2)), 0
    digest = hashlib.sha256(f"{seed}\x1f{item_id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    chosen: set[tuple[int, int]] = set()
    while len(chosen) < MAX_PAIRS_PER_ITEM:
        for i, j in rng.integers(0, size, size=(MAX_PAIRS_PER_ITEM, 2)).tolist():
            if i != j and len(chosen) < MAX_PAIRS_PER_ITEM:
                chosen.add((min(i, j), max(i, j)))
    return sorted(chosen), total - MAX_PAIRS_PER_ITEM


def _logs(exposures: Sequence[Exposure]) -> dict[tuple[str, str], _Log]:
    counts: dict[tuple[str, str], dict[tuple[str, str, str], tuple[int, int]]] = defaultdict(dict)
    experiments: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for e in exposures:
        key = (e.item_id, e.creative_id)
        stratum = (e.source, e.stratum, e.period)
        n, c = counts[key].get(stratum, (0, 0))
        counts[key][stratum] = (n + e.impressions, c + e.clicks)
        experiments[key].add(e.experiment_id)
    return {
        key: _Log(
            strata,
            frozenset(experiments[key]),
            sum(n for n, _ in strata.values()),
            sum(c for _, c in strata.values()),
        )
        for key, strata in counts.items()
    }


def _log_of(logs: Mapping[tuple[str, str], _Log], creative: Creative) -> _Log:
    return logs.get((creative.item_id, creative.creative_id), _NO_LOG)


def _estimate_all(
    possible: Sequence[_Possible], logs: Mapping[tuple[str, str], _Log]
) -> tuple[Estimates, Floats]:
    """Estimate every pair; also the share of its impressions in shared strata."""
    pair: list[int] = []
    rows: list[tuple[int, int, int, int]] = []
    shares = np.zeros(len(possible))
    for i, candidate in enumerate(possible):
        a, b = _log_of(logs, candidate.a), _log_of(logs, candidate.b)
        shared_impressions = 0
        for stratum, (n_a, c_a) in a.counts.items():
            n_b, c_b = b.counts.get(stratum, (0, 0))
            if n_a and n_b:
                pair.append(i)
                rows.append((n_a, c_a, n_b, c_b))
                shared_impressions += n_a + n_b
        total = a.impressions + b.impressions
        shares[i] = shared_impressions / total if total else 0.0
    index: Ints = np.array(pair, dtype=np.int64)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return estimate(SharedCounts(index, *columns), len(possible)), shares


def _flagged_groups(exposures: Sequence[Exposure], min_p: float) -> list[FlaggedGroup]:
    """Check the impressions of each declared group against equal shares, by chi-square."""
    totals: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for e in exposures:
        if e.experiment_id is not None:
            totals[e.item_id, e.experiment_id][e.creative_id] += e.impressions
    flagged = []
    for (item_id, experiment_id), by_creative in sorted(totals.items()):
        observed = np.array(list(by_creative.values()), dtype=np.float64)
        if len(observed) < 2 or not observed.sum():
            continue
        expected = observed.mean()
        p = float(chdtrc(len(observed) - 1, ((observed - expected) ** 2 / expected).sum()))
        if p < min_p:
            flagged.append(FlaggedGroup(item_id, experiment_id, p))
    return flagged


def _reason(
    pair: _Possible,
    i: int,
    logs: Mapping[tuple[str, str], _Log],
    estimates: Estimates,
    posterior: Posterior,
    shares: Floats,
    flagged: set[tuple[str, str]],
    settings: PairSettings,
    rgb_difference: RgbDifference,
) -> str | None:
    """Return the first reason against a pair; None for a candidate."""
    if pair.is_aa:
        return "identical"
    if pair.distance <= settings.phash_radius and (
        rgb_difference(pair.a, pair.b) < settings.max_rgb_difference
    ):
        return "too_alike"
    if settings.without_logs:
        return None
    a, b = _log_of(logs, pair.a), _log_of(logs, pair.b)
    shared = (a.experiments & b.experiments) - {None}
    confidence = max(posterior.prob_a[i], 1 - posterior.prob_a[i])
    tests = {
        "no_exposures": not a.impressions or not b.impressions,
        "few_impressions": min(a.impressions, b.impressions) < settings.min_impressions,
        "flagged_group": not settings.include_flagged_groups
        and any((pair.a.item_id, str(experiment)) in flagged for experiment in shared),
        "no_overlap": shares[i] < settings.min_shared_share,
        "no_clicks": not np.isfinite(estimates.theta[i]),
        "small_gap": posterior.rel_gap[i] <= settings.min_gap,
        "low_confidence": confidence < settings.min_confidence,
    }
    return next((reason for reason, applies in tests.items() if applies), None)


def _cap(possible: Sequence[_Possible], reasons: list[str | None], settings: PairSettings) -> None:
    """Mark candidates over the cap of their item; who stays is drawn by the seed."""
    by_item: dict[str, list[int]] = defaultdict(list)
    for i, reason in enumerate(reasons):
        if reason is None:
            by_item[possible[i].a.item_id].append(i)

    def draw(i: int) -> str:
        return hashlib.sha256(f"{settings.seed}\x1f{possible[i].pair_id}".encode()).hexdigest()

    for candidates in by_item.values():
        for i in sorted(candidates, key=draw)[settings.per_item :]:
            reasons[i] = "over_cap"


def _pair(possible: _Possible, reason: str | None) -> Pair:
    return Pair(
        pair_id=possible.pair_id,
        item_id=possible.a.item_id,
        creative_a=possible.a.creative_id,
        creative_b=possible.b.creative_id,
        status=PairStatus.CANDIDATE if reason is None else PairStatus.EXCLUDED,
        reject_reason=reason,
    )


def _evidence(
    possible: Sequence[_Possible],
    logs: Mapping[tuple[str, str], _Log],
    estimates: Estimates,
    posterior: Posterior,
    shares: Floats,
    version: int,
) -> list[Evidence]:
    """Return evidence for every pair of which both creatives were exposed."""

    def number(values: Floats, i: int) -> float | None:
        return float(values[i]) if np.isfinite(values[i]) else None

    rows = []
    for i, pair in enumerate(possible):
        a, b = _log_of(logs, pair.a), _log_of(logs, pair.b)
        if not a.counts or not b.counts:
            continue
        same_group = a.experiments == b.experiments and len(a.experiments) == 1
        rows.append(
            Evidence(
                pair_id=pair.pair_id,
                version=version,
                impressions_a=a.impressions,
                clicks_a=a.clicks,
                impressions_b=b.impressions,
                clicks_b=b.clicks,
                shared_share=float(shares[i]),
                log_ratio=number(estimates.theta, i),
                variance=number(posterior.variance, i),
                rel_gap=number(posterior.rel_gap, i),
                gap_low=number(posterior.gap_low, i),
                gap_high=number(posterior.gap_high, i),
                shrunken_gap=number(posterior.shrunken_gap, i),
                prob_a=number(posterior.prob_a, i),
                z=number(posterior.z, i),
                randomised=True if same_group and None not in a.experiments else None,
            )
        )
    return rows
