"""Which pairs of creatives are worth a judgement: filters, evidence and a cap, in that order.

Use `build_pairs` on all creatives and exposures of a workspace. It reads and writes nothing, and
the order of its inputs does not matter. Every pair that is not a candidate has one reason.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import groupby
from types import MappingProxyType

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from creativepair.columns import Columns
from creativepair.errors import InputError
from creativepair.evidence import (
    CreativeKey,
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
from creativepair.fingerprints import to_bits
from creativepair.groups import (
    ExpectedShare,
    FlaggedGroup,
    arrange_shares,
    find_in_groups,
    flag_groups,
)
from creativepair.noise import NO_CATEGORY, NoiseFit, TauFit, fit_constants
from creativepair.records import (
    NOT_CONSIDERED,
    Creative,
    Evidence,
    Exposure,
    Pair,
    PairStatus,
    identity_rank,
    pair_id_of,
)
from creativepair.shrinkage import Shape

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
        ITEM_CHANGED: judged on an item whose title, category or queries have changed since.
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
    ITEM_CHANGED = "item_changed"
    OVER_CAP = "over_cap"


REASONS = tuple(Reason)
CANDIDATE = -1  # in place of a place in REASONS


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
        num_groups: declared experiments that were checked: those with two creatives or more.
        noise_scale: root mean square of θ̂/√v over the A/A pairs; None without such pairs.
        num_aa_pairs: how many A/A pairs it was measured on.
        noise, tau: the constants of the evidence, fitted or given.
        tau_by_category: that of items with a category; none where tau was given.
        tau_shape: share of each of `SHAPE_SCALES`, multiples of tau; all at 1 where tau was given.
        expected_wrong: mean false sign rate of the candidates; None without any evidence.
    """

    pairs: Columns[Pair]
    evidence: Columns[Evidence]
    funnel: dict[str, int]
    flagged_groups: list[FlaggedGroup]
    num_groups: int
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
    judged: Collection[Pair] = (),
    outdated: AbstractSet[str] = frozenset(),
) -> PairBuild:
    """Find the candidate pairs among all pairs of creatives of an item.

    An item with more than `MAX_PAIRS_PER_ITEM` pairs is looked at only between creatives with
    enough impressions, and if these are still too many, in a seeded sample; and at judged pairs.

    Args:
        creatives: in any order.
        exposures: of these creatives, in any order; rows with the same key add up.
        settings: the thresholds.
        version: number of the build, written into its evidence.
        rgb_difference: mean RGB difference, 0 to 255, of two creatives' thumbnails; called only
            where the pHash is close, since it reads pictures.
        category_of: category by item id, where there is one; its items share a tau.
        judged: pairs that people have judged; they are always looked at, and the cap takes them
            first.
        outdated: ids of those that were judged on an item that reads otherwise today.

    Raises:
        InputError: when a creative is given twice, an exposure names a creative not given, or
            expected shares do not fit the logs.
    """
    pool = _sort_pool(creatives)
    place = {(creative.item_id, creative.creative_id): i for i, creative in enumerate(pool)}
    log = read_log([] if settings.without_logs else exposures, place)
    shares = () if settings.without_logs else settings.expected_shares
    flagged = flag_groups(log, arrange_shares(shares, log, place), settings.min_group_p)
    pairs, not_considered = _draw_pairs(
        pool, log.impressions, settings, _find_places(judged, place)
    )
    estimates, declared = estimate_pairs(log, pairs.a, pairs.b)
    image = _number_images(pool)
    identical: Flags = image[pairs.a] == image[pairs.b]
    in_flagged = find_in_groups(log, pairs.a, pairs.b, flagged)
    left_out = in_flagged & (not settings.include_flagged_groups)
    aa = identical & ~left_out
    names, category = _number_categories(pool, category_of)
    fitted = fit_constants(
        estimates,
        _number_items(pool)[pairs.a],
        image[pairs.a],
        category[pairs.a],
        aa,
        ~identical & ~left_out,
        noise=settings.noise,
        tau=settings.tau,
    )
    estimates = with_constants(
        estimates, fitted.noise.noise, fitted.tau_of_pair, shape=fitted.shape
    )
    tests: dict[Reason, Flags] = {
        Reason.IDENTICAL: identical,
        Reason.TOO_ALIKE: _find_too_alike(pool, pairs, identical, settings, rgb_difference),
        Reason.ITEM_CHANGED: np.array([name in outdated for name in pairs.ids], dtype=bool),
    }
    if not settings.without_logs:
        tests |= _test_evidence(log, pairs, estimates, left_out, settings)
    judged_ids = {pair.pair_id for pair in judged}
    reasons = _cap_items(pool, pairs, _give_first_reasons(tests), settings, judged_ids)

    scale, num_aa_pairs = noise_scale(estimates.log_ratio[aa], estimates.count_variance[aa])
    return PairBuild(
        pairs=_write_pairs(pool, pairs, reasons),
        evidence=_write_evidence(log, pairs, estimates, declared & ~in_flagged, version),
        funnel=_count_reasons(reasons, not_considered),
        flagged_groups=list(flagged.values()),
        num_groups=sum(len(members) > 1 for members in log.groups.values()),
        noise_scale=scale,
        num_aa_pairs=num_aa_pairs,
        noise=fitted.noise,
        tau=fitted.tau,
        tau_by_category={names[at]: fit for at, fit in fitted.tau_by_category.items()},
        tau_shape=fitted.shape,
        expected_wrong=_expect_wrong(estimates.prob_a, reasons),
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs considered; `a` and `b` are places in the pool, [num_pairs]."""

    ids: list[str]
    a: Ints
    b: Ints


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


def _find_places(pairs: Collection[Pair], place: Mapping[CreativeKey, int]) -> Ints:
    """Return the places of the creatives of pairs, lower first, [2, num_found]."""
    found = [
        sorted(place[key] for key in keys)
        for pair in pairs
        if (keys := {(pair.item_id, name) for name in (pair.creative_a, pair.creative_b)})
        <= place.keys()
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T


def _draw_pairs(
    pool: Sequence[Creative], impressions: Floats, settings: PairSettings, judged: Ints
) -> tuple[_Pairs, int]:
    """Return the pairs to consider, and how many are left out."""
    able = impressions >= (0 if settings.without_logs else settings.min_impressions)
    first, sizes = np.unique(_number_items(pool), return_index=True, return_counts=True)[1:]
    drawn = [judged]
    for size in np.unique(sizes).tolist():
        starts = first[sizes == size]
        if math.comb(size, 2) <= MAX_PAIRS_PER_ITEM:
            within = np.stack(np.triu_indices(size, 1))
            drawn.append((starts[:, None] + within[:, None, :]).reshape(2, -1))
        else:
            for start in starts.tolist():
                members = start + np.flatnonzero(able[start : start + size])
                drawn.append(_draw_pairs_of_item(pool[start].item_id, members, settings.seed))
    # In order, and judged ones that were drawn as well once.
    i, j = np.divmod(np.unique(np.array([len(pool), 1]) @ np.concatenate(drawn, axis=1)), len(pool))
    ids = [
        pair_id_of(pool[x].item_id, pool[x].creative_id, pool[y].creative_id)
        for x, y in zip(i.tolist(), j.tolist(), strict=True)
    ]
    rank = np.array([identity_rank(c.item_id, c.creative_id) for c in pool], dtype="S64")
    in_order = rank[i] <= rank[j]
    num_pairs = int((sizes * (sizes - 1) // 2).sum())
    return _Pairs(ids, np.where(in_order, i, j), np.where(in_order, j, i)), num_pairs - len(ids)


def _draw_pairs_of_item(item_id: str, members: Ints, seed: int) -> Ints:
    """Return pairs of an item's members, [2, num_pairs]: all, or a sample where they are many."""
    num_pairs = math.comb(len(members), 2)
    if num_pairs <= MAX_PAIRS_PER_ITEM:
        return np.stack([members[k] for k in np.triu_indices(len(members), 1)])
    # Seeded by the item, so that another item in the build does not change this one's sample.
    rng = np.random.default_rng(list(hashlib.sha256(f"{seed}\x1f{item_id}".encode()).digest()))
    ranks = rng.choice(num_pairs, MAX_PAIRS_PER_ITEM, replace=False, shuffle=False)
    # Pairs in the order of `combinations`: those that begin with member i start at rank start[i].
    start = np.concatenate([[0], np.cumsum(np.arange(len(members) - 1, 0, -1))])
    i = np.searchsorted(start, ranks, side="right") - 1
    return np.stack([members[i], members[i + 1 + ranks - start[i]]])


def _number_images(pool: Sequence[Creative]) -> Ints:
    """Return for each creative the number of its image, another in each item, [num_creatives]."""
    looks = _name_looks(pool)
    return _number((creative.item_id, look) for creative, look in zip(pool, looks, strict=True))


def _number(names: Iterable[Hashable]) -> Ints:
    """Return a number for each name, equal where the names are, [num_names]."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


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
    recipe = _number(creative.recipe for creative in pool)  # hashes of two cannot be compared
    phash = to_bits(creative.phash for creative in pool)
    distance = np.bitwise_count(phash[pairs.a] ^ phash[pairs.b])
    found: Flags = (
        ~identical & (recipe[pairs.a] == recipe[pairs.b]) & (distance <= settings.phash_radius)
    )
    for row in np.flatnonzero(found).tolist():
        a, b = pool[int(pairs.a[row])], pool[int(pairs.b[row])]
        found[row] = rgb_difference(a, b) < settings.max_rgb_difference
    return found


def _test_evidence(
    log: ExposureLog, pairs: _Pairs, estimates: Estimates, left_out: Flags, settings: PairSettings
) -> dict[Reason, Flags]:
    """Return where each reason that looks at the logs applies."""
    fewest = np.minimum(log.impressions[pairs.a], log.impressions[pairs.b])
    confidence = np.maximum(estimates.prob_a, 1 - estimates.prob_a)
    return {
        Reason.NO_EXPOSURES: fewest == 0,
        Reason.FEW_IMPRESSIONS: fewest < settings.min_impressions,
        Reason.FLAGGED_GROUP: left_out,
        Reason.NO_OVERLAP: estimates.shared_share < settings.min_shared_share,
        Reason.NO_CLICKS: np.isnan(estimates.log_ratio),
        Reason.SMALL_GAP: estimates.rel_gap <= settings.min_gap,
        Reason.LOW_CONFIDENCE: confidence < settings.min_confidence,
    }


def _give_first_reasons(tests: Mapping[Reason, Flags]) -> Ints:
    """Return the place in `REASONS` of the first that applies to each pair, or CANDIDATE."""
    asked = [place for place, reason in enumerate(REASONS) if reason in tests]
    first: Ints = np.select([tests[REASONS[p]] for p in asked], asked, default=CANDIDATE)
    return first


def _cap_items(
    pool: Sequence[Creative],
    pairs: _Pairs,
    reasons: Ints,
    settings: PairSettings,
    judged: AbstractSet[str],
) -> Ints:
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
    for position in np.flatnonzero(reasons == CANDIDATE).tolist():
        candidates[pool[int(pairs.a[position])].item_id].append(position)
    capped = reasons.copy()
    for positions in candidates.values():
        if len(positions) > settings.per_item:
            capped[sorted(positions, key=draw)[settings.per_item :]] = REASONS.index(
                Reason.OVER_CAP
            )
    return capped


def _expect_wrong(prob_a: Floats, reasons: Ints) -> float | None:
    kept = (reasons == CANDIDATE) & ~np.isnan(prob_a)
    if not kept.any():
        return None
    return float(np.minimum(prob_a, 1 - prob_a)[kept].mean())


def _count_reasons(reasons: Ints, not_considered: int) -> dict[str, int]:
    return {
        NOT_CONSIDERED: not_considered,
        **{r.value: int((reasons == place).sum()) for place, r in enumerate(REASONS)},
        PairStatus.CANDIDATE.value: int((reasons == CANDIDATE).sum()),
    }


def _write_pairs(pool: Sequence[Creative], pairs: _Pairs, reasons: Ints) -> Columns[Pair]:
    # CANDIDATE is the last place.
    names = [*(reason.value for reason in REASONS), None]
    statuses = [*(PairStatus.EXCLUDED.value for _ in REASONS), PairStatus.CANDIDATE.value]
    a, b = pairs.a.tolist(), pairs.b.tolist()
    return Columns(
        Pair,
        {
            "pair_id": pairs.ids,
            "item_id": [pool[i].item_id for i in a],
            "creative_a": [pool[i].creative_id for i in a],
            "creative_b": [pool[i].creative_id for i in b],
            "status": [statuses[place] for place in reasons.tolist()],
            "reject_reason": [names[place] for place in reasons.tolist()],
        },
    )


def _write_evidence(
    log: ExposureLog, pairs: _Pairs, estimates: Estimates, randomised: Flags, version: int
) -> Columns[Evidence]:
    rows = np.flatnonzero((log.impressions[pairs.a] > 0) & (log.impressions[pairs.b] > 0))
    a, b = pairs.a[rows], pairs.b[rows]
    return Columns(
        Evidence,
        {
            "pair_id": [pairs.ids[row] for row in rows.tolist()],
            "version": np.full(len(rows), version),
            "impressions_a": log.impressions[a].astype(np.int64),
            "clicks_a": log.clicks[a].astype(np.int64),
            "impressions_b": log.impressions[b].astype(np.int64),
            "clicks_b": log.clicks[b].astype(np.int64),
            "randomised": [True if declared else None for declared in randomised[rows].tolist()],
            **{name: getattr(estimates, name)[rows] for name in ESTIMATED_FIELDS},
        },
    )
