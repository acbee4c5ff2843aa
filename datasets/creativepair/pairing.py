"""Which pairs of creatives are worth a judgement: filters, evidence and a cap, in that order.

Use `build_pairs` on all creatives and exposures of a workspace. It reads and writes nothing, and
the order of its inputs does not matter. Every pair that is not a candidate has one reason.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import combinations, groupby
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from creativepair.errors import InputError
from creativepair.evidence import (
    Estimates,
    ExposureLog,
    Flags,
    Floats,
    Ints,
    NoiseModel,
    estimate_pairs,
    list_keys,
    noise_scale,
    read_log,
    with_constants,
)
from creativepair.fingerprints import hamming
from creativepair.groups import (
    ExpectedShare,
    FlaggedGroup,
    arrange_shares,
    find_in_groups,
    flag_groups,
)
from creativepair.noise import NO_CATEGORY, NoiseFit, TauFit, fit_constants, fit_shape
from creativepair.records import (
    NOT_CONSIDERED,
    Creative,
    Evidence,
    Exposure,
    Pair,
    PairStatus,
    order_identities,
    pair_id_of,
)
from creativepair.shrinkage import NORMAL_SHAPE, Shape

RgbDifference = Callable[[Creative, Creative], float]

# An item of 200 creatives has 19,900 pairs. Beyond that, a sample is looked at: an item of 5,000
# creatives would otherwise write 12.5 million rows to fill three places.
MAX_PAIRS_PER_ITEM = 20_000

_NOTHING: Mapping[str, None] = MappingProxyType({})

ESTIMATED_FIELDS = tuple(sorted({f.name for f in fields(Estimates)} & set(Evidence.model_fields)))


class Reason(StrEnum):
    """Why a pair is no candidate, in the order of the tests: the first that applies is given.

    Attributes:
        IDENTICAL: equal pixels, or declared the same image (`aa_of`).
        TOO_ALIKE: pHash and RGB difference are both small.
        NO_EXPOSURES: a creative without a single impression.
        FEW_IMPRESSIONS: a creative under `min_impressions`.
        FLAGGED_GROUP: both are in a declared experiment whose traffic was not split as declared.
        NO_OVERLAP: too few of the impressions lie in strata that both share.
        NO_CLICKS: no estimate: no click in the shared strata, or nothing but clicks.
        SMALL_GAP: the adjusted gap is not over `min_gap`.
        LOW_CONFIDENCE: the winner is less sure than `min_confidence`.
        OVER_CAP: qualifies, but the item already has `per_item` candidates.
    """

    IDENTICAL = "identical"
    TOO_ALIKE = "too_alike"
    NO_EXPOSURES = "no_exposures"
    FEW_IMPRESSIONS = "few_impressions"
    FLAGGED_GROUP = "flagged_group"
    NO_OVERLAP = "no_overlap"
    NO_CLICKS = "no_clicks"
    SMALL_GAP = "small_gap"
    LOW_CONFIDENCE = "low_confidence"
    OVER_CAP = "over_cap"


class PairSettings(BaseModel):
    """The thresholds of a build.

    Attributes:
        min_impressions: of each creative of a candidate, over all its exposures.
        min_gap: the adjusted gap `ctr_hi / ctr_lo − 1` must be over this.
        min_confidence: the winner's probability must reach this.
        min_shared_share: share of a pair's impressions that must lie in shared strata.
        per_item: most candidates of one item; pairs of an item are correlated.
        phash_radius: pHash distance, in bits of 64, up to which pictures may be too alike.
        max_rgb_difference: mean RGB difference of thumbnails, 0 to 255, under which they are.
            Re-encoding a photo stays under 2; another headline on a plain card starts at 3.
        seed: of the draws under the cap and in very large items.
        without_logs: build from images alone; exposures and their filters are not looked at.
        include_flagged_groups: keep pairs whose declared experiment fails its check.
        min_group_p: p-value under which a declared experiment fails it.
        expected_shares: of the creatives of declared experiments; equal ones in the others.
        noise: what the counts alone leave out; None fits it on the build's own A/A pairs.
        tau: standard deviation of true log CTR ratios within an item; None fits it on the build's
            other pairs, over all and in each category.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_impressions: int = Field(default=1000, ge=0)
    min_gap: float = Field(default=0.60, ge=0, allow_inf_nan=False)
    min_confidence: float = Field(default=0.95, ge=0.5, lt=1)
    min_shared_share: float = Field(default=0.5, ge=0, le=1)
    per_item: int = Field(default=3, ge=1)
    phash_radius: int = Field(default=4, ge=0, le=64)
    max_rgb_difference: float = Field(default=3.0, ge=0, le=255)
    seed: int = 0
    without_logs: bool = False
    include_flagged_groups: bool = False
    min_group_p: float = Field(default=0.001, ge=0, lt=1)
    expected_shares: tuple[ExpectedShare, ...] = ()
    noise: NoiseModel | None = None
    tau: float | None = Field(default=None, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class PairBuild:
    """What a build found.

    Attributes:
        pairs: every pair considered, ordered by item and creative ids.
        evidence: of the pairs where both creatives have impressions, in the same order.
        funnel: `not_considered`, each `Reason` in the order of the tests, `candidate`; how many
            pairs each. All but the first sum to `len(pairs)`.
        flagged_groups: declared experiments that failed their check, kept or not.
        noise_scale: root mean square of θ̂/√v over the A/A pairs; None without such pairs.
        num_aa_pairs: how many A/A pairs it was measured on.
        noise, tau: the constants of the evidence, fitted or given.
        tau_by_category: that of items with a category; none where tau was given.
        tau_shape: share of each of `SHAPE_SCALES`, multiples of tau; all at 1 where tau was given.
        expected_wrong: mean false sign rate of the candidates; None without any evidence.
    """

    pairs: list[Pair]
    evidence: list[Evidence]
    funnel: dict[str, int]
    flagged_groups: list[FlaggedGroup]
    noise_scale: float | None
    num_aa_pairs: int
    noise: NoiseFit
    tau: TauFit
    tau_by_category: dict[str, TauFit]
    tau_shape: Shape
    expected_wrong: float | None

    @property
    def near_duplicates(self) -> int:
        """Pairs that show the same picture, or one too alike."""
        return self.funnel[Reason.IDENTICAL] + self.funnel[Reason.TOO_ALIKE]


def build_pairs(
    creatives: Sequence[Creative],
    exposures: Sequence[Exposure],
    settings: PairSettings,
    *,
    version: int,
    rgb_difference: RgbDifference,
    category_of: Mapping[str, str | None] = _NOTHING,
    judged: AbstractSet[str] = frozenset(),
) -> PairBuild:
    """Find the candidate pairs among all pairs of creatives of an item.

    An item with more than `MAX_PAIRS_PER_ITEM` pairs is looked at only between creatives with
    enough impressions, and if these are still too many, in a seeded sample.

    Args:
        creatives: in any order.
        exposures: of these creatives, in any order; rows with the same key add up.
        settings: the thresholds.
        version: number of the build, written into its evidence.
        rgb_difference: mean RGB difference, 0 to 255, of two creatives' thumbnails; called only
            where the pHash is close, since it reads pictures.
        category_of: category by item id, where there is one; its items share a tau.
        judged: ids of pairs that people have judged; the cap takes these first.

    Raises:
        InputError: when a creative is given twice, an exposure names a creative not given, or
            expected shares do not fit the logs.
    """
    pool = _sort_pool(creatives)
    place = {(creative.item_id, creative.creative_id): i for i, creative in enumerate(pool)}
    log = read_log([] if settings.without_logs else exposures, place)
    shares = () if settings.without_logs else settings.expected_shares
    flagged = flag_groups(log, arrange_shares(shares, log, place), settings.min_group_p)
    pairs, not_considered = _draw_pairs(pool, log.impressions, settings)
    estimates, declared = estimate_pairs(log, pairs.a, pairs.b)
    item = _number_items(pool)[pairs.a]
    identical = _find_identical(pool, pairs)
    in_flagged = find_in_groups(log, pairs.a, pairs.b, flagged)
    left_out = in_flagged & (not settings.include_flagged_groups)
    aa, different = identical & ~left_out, ~identical & ~left_out
    names, category = _number_categories(pool, category_of)
    noise, tau, by_category = fit_constants(
        estimates,
        item,
        category[pairs.a],
        aa,
        different,
        noise=settings.noise,
        tau=settings.tau,
    )
    # The last place is that of NO_CATEGORY.
    taus = np.full(len(names) + 1, tau.tau)
    for number, fit in by_category.items():
        taus[number] = fit.tau
    tau_of_pair = taus[category[pairs.a]]
    estimates = with_constants(estimates, noise.noise, tau_of_pair)
    shape = NORMAL_SHAPE
    if settings.tau is None:
        shape = fit_shape(
            estimates.log_ratio[different],
            estimates.variance[different],
            tau_of_pair[different],
            item[different],
        )
        estimates = with_constants(estimates, noise.noise, tau_of_pair, shape)
    tests = [identical, _find_too_alike(pool, pairs, identical, settings, rgb_difference)]
    if not settings.without_logs:
        tests += _test_evidence(log, pairs, estimates, left_out, settings)
    reasons = _cap_items(pool, pairs, _give_first_reasons(tests), settings, judged)

    scale, num_aa_pairs = noise_scale(estimates.log_ratio[aa], estimates.count_variance[aa])
    return PairBuild(
        pairs=_write_pairs(pool, pairs, reasons),
        evidence=_write_evidence(log, pairs, estimates, declared & ~in_flagged, version),
        funnel=_count_reasons(reasons, not_considered),
        flagged_groups=list(flagged.values()),
        noise_scale=scale,
        num_aa_pairs=num_aa_pairs,
        noise=noise,
        tau=tau,
        tau_by_category={names[number]: fit for number, fit in by_category.items()},
        tau_shape=shape,
        expected_wrong=_expect_wrong(estimates.prob_a, reasons),
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs considered; `a` and `b` are places in the pool, [num_pairs]."""

    ids: list[str]
    a: Ints
    b: Ints

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the places of A and B of each pair."""
        return zip(self.a.tolist(), self.b.tolist(), strict=True)


def _sort_pool(creatives: Sequence[Creative]) -> list[Creative]:
    counted = Counter((creative.item_id, creative.creative_id) for creative in creatives)
    if twice := sorted(key for key, count in counted.items() if count > 1):
        raise InputError(
            f"{len(twice)} creatives are given twice: {list_keys(twice)}",
            hint="Give each (item_id, creative_id) once.",
        )
    return sorted(creatives, key=lambda creative: (creative.item_id, creative.creative_id))


def _number_items(pool: Sequence[Creative]) -> Ints:
    """Return for each creative the number of its item, [num_creatives]; the pool is sorted."""
    starts = [i == 0 or pool[i - 1].item_id != creative.item_id for i, creative in enumerate(pool)]
    numbers: Ints = np.cumsum(np.array(starts, dtype=np.int64)) - 1
    return numbers


def _number_categories(
    pool: Sequence[Creative], category_of: Mapping[str, str | None]
) -> tuple[list[str], Ints]:
    """Return the categories, and for each creative the number of its own, [num_creatives]."""
    names = sorted({name for name in category_of.values() if name})
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    codes = [numbers.get(category_of.get(creative.item_id), NO_CATEGORY) for creative in pool]
    return names, np.array(codes, dtype=np.int64)


def _draw_pairs(
    pool: Sequence[Creative], impressions: Floats, settings: PairSettings
) -> tuple[_Pairs, int]:
    """Return the pairs to consider, and how many are left out."""
    able = impressions >= (0 if settings.without_logs else settings.min_impressions)
    drawn: list[tuple[int, int]] = []
    left_out = 0
    for item_id, group in groupby(range(len(pool)), key=lambda i: pool[i].item_id):
        members = list(group)
        considered = _draw_pairs_of_item(item_id, members, able, settings.seed)
        drawn += considered
        left_out += math.comb(len(members), 2) - len(considered)
    ids, places = [], []
    for i, j in drawn:
        item_id, first, second = pool[i].item_id, pool[i].creative_id, pool[j].creative_id
        ids.append(pair_id_of(item_id, first, second))
        places.append((i, j) if order_identities(item_id, first, second)[0] == first else (j, i))
    a, b = np.array(places, dtype=np.int64).reshape(-1, 2).T
    return _Pairs(ids, a, b), left_out


def _draw_pairs_of_item(
    item_id: str, members: Sequence[int], able: Flags, seed: int
) -> list[tuple[int, int]]:
    if math.comb(len(members), 2) > MAX_PAIRS_PER_ITEM:
        members = [i for i in members if able[i]]
    num_pairs = math.comb(len(members), 2)
    if num_pairs <= MAX_PAIRS_PER_ITEM:
        return list(combinations(members, 2))
    # Seeded by the item, so that another item in the build does not change this one's sample.
    rng = np.random.default_rng(list(hashlib.sha256(f"{seed}\x1f{item_id}".encode()).digest()))
    ranks = np.sort(rng.choice(num_pairs, MAX_PAIRS_PER_ITEM, replace=False, shuffle=False))
    # In the order of `combinations`, the pairs that begin with member i start at rank start[i].
    start = np.concatenate([[0], np.cumsum(np.arange(len(members) - 1, 0, -1))])
    i = np.searchsorted(start, ranks, side="right") - 1
    j = i + 1 + ranks - start[i]
    return [(members[x], members[y]) for x, y in zip(i.tolist(), j.tolist(), strict=True)]


def _find_identical(pool: Sequence[Creative], pairs: _Pairs) -> Flags:
    look = _name_looks(pool)
    return np.array([look[a] == look[b] for a, b in pairs.places()], dtype=bool)


def _name_looks(pool: Sequence[Creative]) -> list[str]:
    """Return for each creative a name that it shares with all that show the same image.

    "The same image" carries over: a copy of a copy is a copy, so chains of `aa_of` are followed.
    """
    looks: list[str] = []
    for item_id, group in groupby(pool, key=lambda creative: creative.item_id):
        members = list(group)
        look = {creative.creative_id: creative.pixel_sha256 for creative in members}
        for creative in members:
            if creative.aa_of is None:
                continue
            # The original may have been withdrawn: its copies still show one image.
            new = look.setdefault(creative.aa_of, f"{item_id}\x1f{creative.aa_of}")
            old = look[creative.creative_id]
            if new != old:
                look = {name: new if of == old else of for name, of in look.items()}
        looks += [look[creative.creative_id] for creative in members]
    return looks


def _find_too_alike(
    pool: Sequence[Creative],
    pairs: _Pairs,
    identical: Flags,
    settings: PairSettings,
    rgb_difference: RgbDifference,
) -> Flags:
    def too_alike(a: Creative, b: Creative) -> bool:
        return (
            a.recipe == b.recipe  # hashes of two recipes cannot be compared
            and hamming(a.phash, b.phash) <= settings.phash_radius
            and rgb_difference(a, b) < settings.max_rgb_difference
        )

    return np.array(
        [
            not same and too_alike(pool[a], pool[b])
            for (a, b), same in zip(pairs.places(), identical.tolist(), strict=True)
        ],
        dtype=bool,
    )


def _test_evidence(
    log: ExposureLog, pairs: _Pairs, estimates: Estimates, left_out: Flags, settings: PairSettings
) -> list[Flags]:
    """Return one array per `Reason` from NO_EXPOSURES to LOW_CONFIDENCE: where it applies."""
    fewest = np.minimum(log.impressions[pairs.a], log.impressions[pairs.b])
    confidence = np.maximum(estimates.prob_a, 1 - estimates.prob_a)
    return [
        fewest == 0,
        fewest < settings.min_impressions,
        left_out,
        estimates.shared_share < settings.min_shared_share,
        np.isnan(estimates.log_ratio),
        estimates.rel_gap <= settings.min_gap,
        confidence < settings.min_confidence,
    ]


def _give_first_reasons(tests: Sequence[Flags]) -> list[Reason | None]:
    """Return the first reason that applies to each pair; tests are in the order of `Reason`."""
    first = np.select(tests, range(len(tests)), default=-1)
    named: dict[int, Reason | None] = dict(enumerate(Reason))
    return [named.get(number) for number in first.tolist()]


def _cap_items(
    pool: Sequence[Creative],
    pairs: _Pairs,
    reasons: Sequence[Reason | None],
    settings: PairSettings,
    judged: AbstractSet[str],
) -> list[Reason | None]:
    """Leave at most `per_item` candidates an item: judged ones first, then by a seeded hash.

    What people have judged keeps its place; new creatives must not undo their work.

    Not those with the largest gaps: among many pairs these are the ones whose noise was luckiest,
    so the gaps kept would be overstated, and the data would hold only the easiest comparisons. A
    hash rather than a shuffle: a pair's place does not depend on which other pairs qualify.
    """

    def draw(position: int) -> tuple[bool, bytes]:
        pair_id = pairs.ids[position]
        digest = hashlib.sha256(f"{settings.seed}\x1f{pair_id}".encode()).digest()
        return pair_id not in judged, digest

    candidates: dict[str, list[int]] = defaultdict(list)
    for position, (a, reason) in enumerate(zip(pairs.a.tolist(), reasons, strict=True)):
        if reason is None:
            candidates[pool[a].item_id].append(position)
    capped = list(reasons)
    for positions in candidates.values():
        for position in sorted(positions, key=draw)[settings.per_item :]:
            capped[position] = Reason.OVER_CAP
    return capped


def _expect_wrong(prob_a: Floats, reasons: Sequence[Reason | None]) -> float | None:
    kept = np.array([reason is None for reason in reasons], dtype=bool) & ~np.isnan(prob_a)
    if not kept.any():
        return None
    return float(np.minimum(prob_a, 1 - prob_a)[kept].mean())


def _count_reasons(reasons: Sequence[Reason | None], not_considered: int) -> dict[str, int]:
    counted = Counter(reasons)
    return {
        NOT_CONSIDERED: not_considered,
        **{reason.value: counted[reason] for reason in Reason},
        PairStatus.CANDIDATE.value: counted[None],
    }


def _write_pairs(
    pool: Sequence[Creative], pairs: _Pairs, reasons: Sequence[Reason | None]
) -> list[Pair]:
    return [
        Pair(
            pair_id=pair_id,
            item_id=pool[a].item_id,
            creative_a=pool[a].creative_id,
            creative_b=pool[b].creative_id,
            status=PairStatus.EXCLUDED if reason else PairStatus.CANDIDATE,
            reject_reason=reason.value if reason else None,
        )
        for pair_id, (a, b), reason in zip(pairs.ids, pairs.places(), reasons, strict=True)
    ]


def _write_evidence(
    log: ExposureLog, pairs: _Pairs, estimates: Estimates, randomised: Flags, version: int
) -> list[Evidence]:
    columns: dict[str, list[Any]] = {
        name: [None if math.isnan(x) else x for x in getattr(estimates, name).tolist()]
        for name in ESTIMATED_FIELDS
    }
    impressions = [int(count) for count in log.impressions.tolist()]
    clicks = [int(count) for count in log.clicks.tolist()]
    return [
        Evidence(
            pair_id=pair_id,
            version=version,
            impressions_a=impressions[a],
            clicks_a=clicks[a],
            impressions_b=impressions[b],
            clicks_b=clicks[b],
            randomised=True if declared else None,
            **{name: column[row] for name, column in columns.items()},
        )
        for row, (pair_id, (a, b), declared) in enumerate(
            zip(pairs.ids, pairs.places(), randomised.tolist(), strict=True)
        )
        if impressions[a] and impressions[b]
    ]
