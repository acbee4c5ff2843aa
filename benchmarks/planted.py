"""python benchmarks/planted.py [--items 20000] [--seed 0] [--world NAME]

Holds the pre-labels against planted truth: worlds with one fault of real ad logs each, and all at
once, taken through `build_pairs` as it ships. What a build promises, the mean false sign rate of
its candidates, is held against the share of candidates whose winner is wrong.

The truth is the CTR of a creative as an identity: no factor of a day, a position, an audience or a
bot is part of it. An item has four creatives whose true log CTR ratios are normal with sd 0.35, or,
in the worlds marked "near equal", 0.05 in 85 % of the items and 0.80 in the others; these have
twice the items, since few of their pairs qualify. In a fifth of the items creative 1 is a declared
copy of creative 0 (A/A). In another fifth it is an ad of its own with the same true CTR; in worlds
with a position effect it has the top in 90 % of its impressions and creative 0 in 10 %. Such a
pair, if kept, counts as half wrong: as a pair does whose ads hardly differ.

Methods: the build as it ships, noise and spread fitted on the logs; the same with the default
constants, as where nothing could be fitted; a plain filter, pooled CTR ratio over 1.6; pooled
Beta(1, 1) posteriors with P >= 0.95 and that ratio. The last two see totals, not strata, and have
no cap of pairs an item. All ask for 1,000 impressions a creative.

Columns: kept pairs; wrong winners promised and realised (95 % interval clustered by item); ECE of P
over one pair an item (20 bins of equal size) beside the value under which 95 % of perfect models of
that n stay; A/A pairs called either way at P >= 0.95, and of these the ones over the gap, which
would be kept; equal pairs kept in favour of creative 1, and of creative 0.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, ndtr, polygamma

from creativepair.evidence import DEFAULT_NOISE, DEFAULT_TAU, INTERVAL_Z, Flags, Floats, Ints
from creativepair.pairing import PairBuild, PairSettings, build_pairs
from creativepair.records import Creative, Exposure, PairStatus

NUM_CREATIVES = 4
NUM_DAYS = 5
POSITIONS = ("top", "bottom")
FIRST, SECOND = np.triu_indices(NUM_CREATIVES, 1)  # the pairs of an item; the first is (0, 1)
COPIES = slice(0, None, 5)  # items whose creative 1 is a declared copy of creative 0
EQUALS = slice(1, None, 5)  # items whose creative 1 has creative 0's CTR and another picture
TAU = 0.35
NUM_BINS = 20
LIMITS = PairSettings()
CALLED = LIMITS.min_confidence
HEADER = (
    "| world | method | kept | promised wrong | realised wrong | ECE of P, limit | A/A called "
    "| … and over the gap | equal, shown at the top wins | … the other wins |"
)


@dataclass(frozen=True, slots=True)
class World:
    """What is planted; a fault at its default is absent.

    Attributes:
        near_equal: most items hold ads that hardly differ.
        position: log CTR of the top over the bottom; the share of the top varies by creative.
        phi: clicks of a cell spread phi² times a binomial's variance (beta-binomial).
        day_sd: sd of a log-normal factor per creative and day; it averages out over days.
        creative_sd: sd of a log-normal factor per creative, a copy having its own (an audience, a
            slot that no stratum names). No number of clicks removes it.
        drift: log CTR of the last day over the first; some creatives run early, others late.
        bots: rate of bursts per creative and day. A burst adds 1 to 5 times the day's expected
            clicks, each with its impression, at one position.
    """

    name: str
    near_equal: bool = False
    position: float = 0.0
    phi: float = 1.0
    day_sd: float = 0.0
    creative_sd: float = 0.0
    drift: float = 0.0
    bots: float = 0.0


_FAULTS: dict[str, Any] = {
    "position": 0.9,
    "phi": 1.3,
    "day_sd": 0.25,
    "creative_sd": 0.1,
    "drift": 1.5,
}
WORLDS = (
    World("clean"),
    World("position", position=0.9),
    World("constant overdispersion", phi=1.5),
    World("log-normal, creative and day", day_sd=0.35),
    World("log-normal, creative", creative_sd=0.15),
    World("day drift", drift=1.5),
    World("click bots", bots=0.02),
    World("all but bots", **_FAULTS),
    World("all at once", **_FAULTS, bots=0.02),
    World("clean, near equal", near_equal=True),
    World("log-normal, creative, near equal", near_equal=True, creative_sd=0.15),
    World("all but bots, near equal", near_equal=True, **_FAULTS),
    World("all at once, near equal", near_equal=True, **_FAULTS, bots=0.02),
)


@dataclass(frozen=True, slots=True)
class Planted:
    """Logs and the truth behind them.

    Attributes:
        truth: true log CTR, [num_items, NUM_CREATIVES].
        impressions, clicks: [num_items, NUM_CREATIVES, NUM_DAYS, positions].
    """

    truth: Floats
    impressions: Ints
    clicks: Ints


@dataclass(frozen=True, slots=True)
class Answers:
    """What a method says of the pairs FIRST, SECOND of each item; [num_items, num_pairs].

    Attributes:
        log_ratio: of the CTRs of the first and the second creative, NaN without an estimate.
        prob: P(CTR of the first > CTR of the second); None where the method gives none.
        kept: whether the pair is a candidate.
    """

    log_ratio: Floats
    prob: Floats | None
    kept: Flags


def plant(world: World, num_items: int, seed: int) -> Planted:
    """Draw the logs of a world."""
    rng = np.random.default_rng(seed)
    shape = (num_items, NUM_CREATIVES, NUM_DAYS, len(POSITIONS))
    truth = _draw_truth(rng, world, num_items)
    day = np.linspace(-0.5, 0.5, NUM_DAYS)
    top = rng.uniform(0.1, 0.9, shape[:2]) if world.position else np.full(shape[:2], 0.5)
    if world.position:
        top[EQUALS, 0], top[EQUALS, 1] = 0.1, 0.9
    early = np.exp(rng.normal(0, 2 if world.drift else 0, shape[:2])[..., None] * day)
    volume = np.exp(rng.uniform(np.log(1_500), np.log(30_000), shape[:2]))
    expected = volume[..., None] * early / early.sum(axis=2, keepdims=True)
    impressions = rng.poisson(expected[..., None] * np.stack([top, 1 - top], axis=2)[:, :, None])
    log_ctr = (
        (truth + rng.normal(0, world.creative_sd, shape[:2]))[..., None, None]
        + (world.drift * day + rng.normal(0, world.day_sd, shape[:3]))[..., None]
        + world.position * np.array([0.5, -0.5])
    )
    ctr = np.minimum(np.exp(log_ctr), 0.5)
    clicks = rng.binomial(impressions, _disperse(rng, ctr, impressions, world.phi))
    burst = (rng.random(shape[:3]) < world.bots) * rng.uniform(1, 5, shape[:3])
    at = rng.integers(0, 2, shape[:3])[..., None] == np.arange(2)
    extra = rng.poisson(burst * (impressions * ctr).sum(axis=3))[..., None] * at
    return Planted(truth, impressions + extra, clicks + extra)


def _draw_truth(rng: np.random.Generator, world: World, num_items: int) -> Floats:
    """Return the true log CTRs; the CTR of an item is 1 to 4 %."""
    sd = np.where(rng.random((num_items, 1)) < 0.85, 0.05, 0.8) if world.near_equal else TAU
    # Two creatives of an item differ by a normal number with the stated sd.
    truth = rng.normal(0, sd / np.sqrt(2), (num_items, NUM_CREATIVES))
    truth += np.log(rng.uniform(0.01, 0.04, (num_items, 1)))
    for items in (COPIES, EQUALS):
        truth[items, 1] = truth[items, 0]
    return truth


def _disperse(rng: np.random.Generator, ctr: Floats, impressions: Ints, phi: float) -> Floats:
    """Return the rates of binomials whose counts spread phi² times as much."""
    if phi == 1:
        return ctr
    # 1 + (n − 1) / (size + 1) = phi², as far as so few impressions allow.
    size = np.maximum((impressions - 1) / (phi**2 - 1) - 1, 0.1)
    return rng.beta(ctr * size, (1 - ctr) * size)


def write_creatives(num_items: int) -> list[Creative]:
    """Return creatives of pictures that no two share, except the declared copies."""
    copies = set(range(num_items)[COPIES])
    return [
        _write_creative(item, k, 0 if k == 1 and item in copies else k)
        for item in range(num_items)
        for k in range(NUM_CREATIVES)
    ]


def _write_creative(item: int, number: int, picture: int) -> Creative:
    digest = hashlib.sha256(f"{item}/{picture}".encode()).hexdigest()
    return Creative(
        item_id=str(item),
        creative_id=str(number),
        image_sha256=digest,
        pixel_sha256=digest,
        derivative_sha256=digest,
        width=64,
        height=64,
        phash=digest[:16],
        dhash=digest[:16],
        colorhash=digest[:11],
        recipe="r1",
    )


def write_exposures(planted: Planted, *, with_strata: bool = True) -> list[Exposure]:
    """Return one exposure a creative, day and position, or one a creative."""
    n, c = planted.impressions, planted.clicks
    if not with_strata:
        n, c = (counts.sum(axis=(2, 3), keepdims=True) for counts in (n, c))
    cells = np.argwhere(n > 0)
    counts = np.stack([n, c], axis=-1)[n > 0]
    return [
        Exposure(
            item_id=str(item),
            creative_id=str(number),
            stratum=f"position={POSITIONS[position]}" if with_strata else "",
            period=f"2026-01-{day + 1:02}" if with_strata else "",
            impressions=impressions,
            clicks=clicks,
        )
        for (item, number, day, position), (impressions, clicks) in zip(
            cells.tolist(), counts.tolist(), strict=True
        )
    ]


def build(
    creatives: Sequence[Creative], exposures: Sequence[Exposure], settings: PairSettings
) -> PairBuild:
    """Build pairs; no two pictures are alike."""
    return build_pairs(
        creatives, exposures, settings, version=1, rgb_difference=lambda _a, _b: 255.0
    )


def read_build(found: PairBuild, num_items: int) -> Answers:
    """Arrange a build by item and pair."""
    place = {pair: at for at, pair in enumerate(zip(FIRST.tolist(), SECOND.tolist(), strict=True))}
    shape = (num_items, len(place))
    log_ratio, prob, kept = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, bool)
    evidence = {row.pair_id: row for row in found.evidence}
    for pair in found.pairs:
        a, b = int(pair.creative_a), int(pair.creative_b)
        at = int(pair.item_id), place[min(a, b), max(a, b)]
        kept[at] = pair.status is PairStatus.CANDIDATE
        row = evidence.get(pair.pair_id)
        if row is not None and row.log_ratio is not None and row.prob_a is not None:
            log_ratio[at] = row.log_ratio if a < b else -row.log_ratio
            prob[at] = row.prob_a if a < b else 1 - row.prob_a
    return Answers(log_ratio, prob, kept)


def filter_ratio(planted: Planted) -> Answers:
    """Keep pairs by the ratio of their pooled CTRs."""
    n, c = (counts.sum(axis=(2, 3)) for counts in (planted.impressions, planted.clicks))
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ctr = np.log(c / n)
        log_ratio = log_ctr[:, FIRST] - log_ctr[:, SECOND]
    kept = (np.minimum(n[:, FIRST], n[:, SECOND]) >= LIMITS.min_impressions) & _over_gap(log_ratio)
    kept[COPIES, 0] = False
    return Answers(log_ratio, None, kept)


def compare_betas(planted: Planted) -> Answers:
    """Keep pairs by pooled Beta(1, 1) posteriors under the same filter.

    The log odds of a Beta(a, b) are taken as normal with mean ψ(a) − ψ(b) and variance
    ψ′(a) + ψ′(b); with ten clicks or more P is right to about 0.001.
    """
    n, c = (counts.sum(axis=(2, 3)) for counts in (planted.impressions, planted.clicks))
    mean = digamma(c + 1) - digamma(n - c + 1)
    variance = polygamma(1, c + 1) + polygamma(1, n - c + 1)
    prob = ndtr(
        (mean[:, FIRST] - mean[:, SECOND]) / np.sqrt(variance[:, FIRST] + variance[:, SECOND])
    )
    plain = filter_ratio(planted)
    return Answers(plain.log_ratio, prob, plain.kept & (np.maximum(prob, 1 - prob) >= CALLED))


def answer(planted: Planted) -> Iterator[tuple[str, Answers]]:
    """Yield the answers of each method."""
    num_items = len(planted.truth)
    creatives, exposures = write_creatives(num_items), write_exposures(planted)
    constants = PairSettings(noise=DEFAULT_NOISE, tau=DEFAULT_TAU)
    yield "**ours**", read_build(build(creatives, exposures, PairSettings()), num_items)
    yield "ours, default constants", read_build(build(creatives, exposures, constants), num_items)
    yield "pooled ratio", filter_ratio(planted)
    yield "pooled Beta", compare_betas(planted)


def find_wrong(truth: Floats, log_ratio: Floats) -> Floats:
    """Return 1 where the winner is not the one with the higher true CTR, ½ where both have one."""
    agree = np.sign(truth[:, FIRST] - truth[:, SECOND]) * np.sign(log_ratio)
    wrong: Floats = (1 - agree) / 2
    return wrong


def promise(answers: Answers) -> float | None:
    """Return the mean false sign rate of the kept pairs."""
    if answers.prob is None or not answers.kept.any():
        return None
    kept = answers.prob[answers.kept]
    return float(np.minimum(kept, 1 - kept).mean())


def realise(truth: Floats, answers: Answers) -> tuple[float, float]:
    """Return the share of kept pairs whose winner is wrong, and its standard error by item."""
    num_kept = answers.kept.sum(axis=1)
    wrong = np.where(answers.kept, find_wrong(truth, answers.log_ratio), 0).sum(axis=1)
    share = wrong.sum() / num_kept.sum()
    # Of a ratio of sums over items (Cochran 1977, "Sampling techniques", 6.3).
    return float(share), float(np.sqrt(((wrong - share * num_kept) ** 2).sum()) / num_kept.sum())


def calibrate(truth: Floats, prob: Floats, seed: int) -> tuple[float, float]:
    """Return the ECE of P on one pair an item, and its 95th percentile for a perfect model.

    Over all pairs but the A/A ones, on which no spread is fitted. P promises how often the first
    is truly better among pairs that look like this one, and says 0.5 of ads that do not differ: a
    pair of equal truth is among those that P was fitted on, and counts as won by half. Left out, a
    posterior under the planted prior and noise would be called too unsure. One pair an item: the
    perfect model is drawn pair by pair, and pairs of one item are not independent.
    """
    rng = np.random.default_rng(seed)
    usable = ~np.isnan(prob)
    usable[COPIES, 0] = False
    drawn = np.argmax(usable * rng.random(usable.shape), axis=1)
    rows = np.flatnonzero(usable.any(axis=1))
    difference = (truth[:, FIRST] - truth[:, SECOND])[rows, drawn[rows]]
    p, won = prob[rows, drawn[rows]], (1 + np.sign(difference)) / 2
    order = np.argsort(p)
    p, won = p[order], won[order]
    perfect = [_compute_ece(p, rng.random(len(p)) < p) for _ in range(400)]
    return _compute_ece(p, won), float(np.quantile(perfect, 0.95))


def _compute_ece(p: Floats, won: Floats | Flags) -> float:
    """Return the expected calibration error of sorted P in bins of equal size."""
    bins = np.array_split(p - won, NUM_BINS)
    return float(sum(abs(part.sum()) for part in bins) / len(p))


def describe(truth: Floats, answers: Answers, seed: int) -> list[str]:
    """Return the cells of a row after world and method."""
    promised, (realised, error) = promise(answers), realise(truth, answers)
    low, high = max(0.0, realised - INTERVAL_Z * error), realised + INTERVAL_Z * error
    gap = _over_gap(answers.log_ratio)[COPIES, 0]
    called = gap if answers.prob is None else call(answers)[COPIES, 0]
    kept, wins = answers.kept[EQUALS, 0], answers.log_ratio[EQUALS, 0] < 0
    ece = (
        ""
        if answers.prob is None
        else "{:.4f}, {:.4f}".format(*calibrate(truth, answers.prob, seed))
    )
    return [
        f"{int(answers.kept.sum()):,}",
        "" if promised is None else f"{promised:.2%}",
        f"{realised:.2%} ({low:.2%} to {high:.2%})",
        ece,
        "" if answers.prob is None else f"{called.mean():.2%}",
        f"{(called & gap).mean():.2%}",
        f"{(kept & wins).mean():.2%}",
        f"{(kept & ~wins).mean():.2%}",
    ]


def call(answers: Answers) -> Flags:
    """Return whether a winner is named with P >= 0.95, either way."""
    assert answers.prob is not None
    called: Flags = np.maximum(answers.prob, 1 - answers.prob) >= CALLED
    return called


def _over_gap(log_ratio: Floats) -> Flags:
    over: Flags = np.expm1(np.abs(log_ratio)) > LIMITS.min_gap
    return over


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000, help="items of each world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", choices=[world.name for world in WORLDS], help="only this one")
    given = parser.parse_args()
    print(HEADER + "\n|---|---|" + "---:|" * 8)
    for world in WORLDS:
        if given.world in (None, world.name):
            num_items = given.items * (2 if world.near_equal else 1)
            planted = plant(world, num_items, given.seed)
            for method, answers in answer(planted):
                cells = describe(planted.truth, answers, given.seed)
                print("| " + " | ".join([world.name, method, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
