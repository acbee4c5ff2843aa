"""Pair building: one reason per rejected pair, order, caps, groups, A/A pairs, realised errors."""

import hashlib
import math
import random
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from creativepair import evidence as evidence_module
from creativepair.errors import InputError
from creativepair.evidence import DEFAULT_NOISE, DEFAULT_TAU, NoiseModel, read_log
from creativepair.groups import ExpectedShare, FlaggedGroup, arrange_shares
from creativepair.pairing import (
    MAX_PAIRS_PER_ITEM,
    PairBuild,
    PairSettings,
    Reason,
    build_pairs,
)
from creativepair.records import (
    NOT_CONSIDERED,
    Creative,
    Exposure,
    Pair,
    PairStatus,
    order_identities,
    pair_id_of,
)
from creativepair.shrinkage import SHAPE_SCALES, update

GOOD = (20_000, 600)  # impressions, clicks: 3 %
POOR = (20_000, 200)  # 1 %


def make_creative(creative_id: str, item_id: str = "i", **changes: Any) -> Creative:
    digest = hashlib.sha256(f"{item_id}/{creative_id}".encode()).hexdigest()
    values = {
        "item_id": item_id,
        "creative_id": creative_id,
        "image_sha256": digest,
        "pixel_sha256": digest,
        "derivative_sha256": digest,
        "width": 64,
        "height": 64,
        "phash": digest[:16],  # random bits: about 32 of 64 apart
        "dhash": digest[:16],
        "colorhash": digest[:11],
        "recipe": "r1",
    }
    return Creative(**{**values, **changes})


def expose(
    creative_id: str, counts: tuple[int, int], item_id: str = "i", **changes: Any
) -> Exposure:
    return Exposure(
        item_id=item_id,
        creative_id=creative_id,
        impressions=counts[0],
        clicks=counts[1],
        **changes,
    )


def far_apart(a: Creative, b: Creative) -> float:
    return 255.0


def build(
    creatives: list[Creative],
    exposures: list[Exposure],
    rgb_difference: Any = far_apart,
    **settings: Any,
) -> PairBuild:
    return build_pairs(
        creatives,
        exposures,
        PairSettings(**{"noise": DEFAULT_NOISE, "tau": DEFAULT_TAU, **settings}),
        version=7,
        rgb_difference=rgb_difference,
    )


def only_reason(found: PairBuild) -> str | None:
    (pair,) = found.pairs
    assert found.funnel[pair.reject_reason or "candidate"] == 1
    assert sum(found.funnel.values()) == 1
    assert pair.status == (PairStatus.EXCLUDED if pair.reject_reason else PairStatus.CANDIDATE)
    return pair.reject_reason


TWO = [make_creative("x"), make_creative("y")]
CLEAR = [expose("x", GOOD), expose("y", POOR)]


def test_a_clear_randomised_pair_is_a_candidate_with_evidence() -> None:
    logs = [expose(e.creative_id, (e.impressions, e.clicks), experiment_id="e") for e in CLEAR]
    found = build(TWO, logs)
    assert only_reason(found) is None
    (pair,), (row,) = found.pairs, found.evidence
    assert pair.pair_id == row.pair_id == pair_id_of("i", "x", "y")
    assert row.version == 7
    x_is_a = pair.creative_a == "x"
    assert row.winner == ("A" if x_is_a else "B")
    assert (row.clicks_a, row.clicks_b) == ((600, 200) if x_is_a else (200, 600))
    assert row.rel_gap == pytest.approx(2.0)  # 3 % over 1 %
    assert row.shared_share == 1
    assert row.randomised is True
    assert found.expected_wrong == row.false_sign_rate


@pytest.mark.parametrize(
    ("second", "exposures", "reason"),
    [
        pytest.param(
            {"pixel_sha256": TWO[0].pixel_sha256}, CLEAR, Reason.IDENTICAL, id="equal pixels"
        ),
        pytest.param({"aa_of": "x"}, CLEAR, Reason.IDENTICAL, id="declared"),
        pytest.param({}, [CLEAR[0]], Reason.NO_EXPOSURES, id="never logged"),
        pytest.param({}, [CLEAR[0], expose("y", (0, 0))], Reason.NO_EXPOSURES, id="never shown"),
        pytest.param({}, [CLEAR[0], expose("y", (999, 9))], Reason.FEW_IMPRESSIONS, id="few"),
        pytest.param({}, [CLEAR[0], expose("y", (1, 1))], Reason.FEW_IMPRESSIONS, id="one"),
        pytest.param({}, [expose(c, (1, 1)) for c in "xy"], Reason.FEW_IMPRESSIONS, id="one each"),
        pytest.param(
            {},
            [
                expose("x", (20_000, 600), experiment_id="e"),
                expose("y", (10_000, 100), experiment_id="e"),
            ],
            Reason.FLAGGED_GROUP,
            id="uneven traffic in an experiment",
        ),
        pytest.param(
            {},
            [expose("x", GOOD, period="2026-01-01"), expose("y", POOR, period="2026-01-02")],
            Reason.NO_OVERLAP,
            id="other days",
        ),
        pytest.param(
            {},
            [expose("x", GOOD, source="feed"), expose("y", POOR, source="search")],
            Reason.NO_OVERLAP,
            id="other sources",
        ),
        pytest.param(
            {},
            [
                *CLEAR,
                expose("x", (90_000, 900), stratum="position=1"),
                expose("y", (90_000, 900), stratum="position=2"),
            ],
            Reason.NO_OVERLAP,
            id="most strata with one creative only",
        ),
        pytest.param(
            {},
            [expose("x", (5_000, 0)), expose("y", (5_000, 0))],
            Reason.NO_CLICKS,
            id="nobody clicked",
        ),
        pytest.param(
            {},
            [expose("x", (20_000, 300)), expose("y", POOR)],
            Reason.SMALL_GAP,
            id="half as many again",
        ),
        pytest.param(
            {},
            [expose("x", (1_000, 8)), expose("y", (1_000, 4))],
            Reason.LOW_CONFIDENCE,
            id="twice as many of few",
        ),
        pytest.param(
            {},
            [expose("x", (10**12, 10**10)), expose("y", (10**12, 10**9))],
            None,
            id="a trillion impressions",
        ),
    ],
)
def test_each_reason_is_reached(
    second: dict[str, Any], exposures: list[Exposure], reason: Reason | None
) -> None:
    assert only_reason(build([TWO[0], make_creative("y", **second)], exposures)) == reason


def alike(**changes: Any) -> list[Creative]:
    """Return two creatives whose pHashes differ in four bits."""
    return [
        make_creative("x", phash="00000000000000ff"),
        make_creative("y", phash="00000000000000f0", **changes),
    ]


def test_too_alike_needs_both_a_close_phash_and_close_colours() -> None:
    assert only_reason(build(alike(), CLEAR, lambda a, b: 2.9)) == Reason.TOO_ALIKE
    assert only_reason(build(alike(), CLEAR, lambda a, b: 3.0)) is None
    assert only_reason(build(alike(), CLEAR, lambda a, b: 0.0, phash_radius=3)) is None
    other_recipe = alike(recipe="r2")
    assert only_reason(build(other_recipe, CLEAR, lambda a, b: 0.0)) is None


def test_colours_are_compared_only_where_the_phash_is_close_and_pixels_differ() -> None:
    asked = []

    def rgb_difference(a: Creative, b: Creative) -> float:
        asked.append({a.creative_id, b.creative_id})
        return 100.0

    copy = make_creative("z", pixel_sha256=alike()[0].pixel_sha256, phash="00000000000000ff")
    build([*alike(), copy, make_creative("w")], [], rgb_difference)
    assert sorted(map(sorted, asked)) == [["x", "y"], ["y", "z"]]


def test_the_first_reason_that_applies_is_given() -> None:
    identical = [TWO[0], make_creative("y", pixel_sha256=TWO[0].pixel_sha256)]
    assert only_reason(build(identical, [])) == Reason.IDENTICAL
    assert only_reason(build(alike(), [], lambda a, b: 0.0)) == Reason.TOO_ALIKE
    few_and_apart = [expose("x", (10, 0)), expose("y", (10, 0), period="2026-01-02")]
    assert only_reason(build(TWO, few_and_apart)) == Reason.FEW_IMPRESSIONS


def test_thresholds_over_all_exposures_and_edges() -> None:
    halves = [expose(c, (500, 5), stratum=f"position={p}") for c in "xy" for p in (1, 2)]
    assert only_reason(build(TWO, halves)) == Reason.SMALL_GAP  # 1,000 in all is enough
    # 2,000 of 4,000 impressions in the shared stratum: just half is enough.
    half_shared = [
        expose("x", (1000, 90)),
        expose("x", (1000, 90), stratum="position=2"),
        expose("y", (1000, 10)),
        expose("y", (1000, 10), stratum="position=3"),
    ]
    assert only_reason(build(TWO, half_shared)) is None
    assert only_reason(build(TWO, half_shared, min_shared_share=0.51)) == Reason.NO_OVERLAP
    # A gap equal to the setting is not over it: 3 / 2 − 1.
    exact = [expose("x", (4096, 96)), expose("y", (4096, 64))]
    assert only_reason(build(TWO, exact, min_gap=0.5001)) == Reason.SMALL_GAP
    assert only_reason(build(TWO, exact, min_gap=0.4999)) != Reason.SMALL_GAP


def test_rows_with_the_same_key_add_up() -> None:
    twice = [*CLEAR, *CLEAR]
    doubled = [expose(e.creative_id, (2 * e.impressions, 2 * e.clicks)) for e in CLEAR]
    assert build(TWO, twice) == build(TWO, doubled)


def test_position_alone_makes_no_winner() -> None:
    top_heavy = [
        expose("x", (9000, 900), stratum="position=1"),
        expose("x", (1000, 10), stratum="position=2"),
        expose("y", (1000, 100), stratum="position=1"),
        expose("y", (9000, 90), stratum="position=2"),
    ]
    found = build(TWO, top_heavy)
    assert only_reason(found) == Reason.SMALL_GAP
    assert found.evidence[0].prob_a == pytest.approx(0.5)


def test_the_cap_draws_by_seed_and_not_by_gap() -> None:
    names = [f"c{k}" for k in range(12)]
    creatives = [make_creative(name) for name in names]
    exposures = [expose(name, (20_000, 100 * 2**k)) for k, name in enumerate(names[:8])]
    builds = [build(creatives, exposures, per_item=4, seed=seed) for seed in range(12)]
    kept = [frozenset(p.pair_id for p in b.pairs if p.reject_reason is None) for b in builds]
    assert {len(ids) for ids in kept} == {4}
    assert builds[0].funnel[Reason.OVER_CAP] == 28 - 4  # 8 creatives, each twice the one before
    assert len(set(kept)) > 6
    gaps = {row.pair_id: row.rel_gap or 0 for row in builds[0].evidence}
    largest = frozenset(sorted(gaps, key=lambda pair_id: -gaps[pair_id])[:4])
    assert largest not in kept


def test_judged_pairs_keep_their_place_under_the_cap() -> None:
    creatives = [make_creative(f"c{k}") for k in range(8)]
    exposures = [expose(f"c{k}", (20_000, 100 * 2**k)) for k in range(8)]
    for number in range(28):
        judged = build(creatives, exposures).pairs[number]
        found = build_pairs(
            creatives,
            exposures,
            PairSettings(per_item=1, noise=DEFAULT_NOISE, tau=DEFAULT_TAU),
            version=1,
            rgb_difference=far_apart,
            judged=[judged],
        )
        kept = [p.pair_id for p in found.pairs if p.reject_reason is None]
        assert kept == [judged.pair_id]


@pytest.mark.parametrize("without_logs", [False, True])
def test_a_pair_judged_on_another_item_text_gives_its_place_to_the_next(without_logs: bool) -> None:
    creatives = [make_creative(f"c{k}") for k in range(4)]
    exposures = [expose(f"c{k}", (20_000, 100 * 2**k)) for k in range(4)]
    settings = PairSettings(
        per_item=1, noise=DEFAULT_NOISE, tau=DEFAULT_TAU, without_logs=without_logs
    )
    (first,) = [
        pair
        for pair in build(creatives, exposures, per_item=1, without_logs=without_logs).pairs
        if pair.reject_reason is None
    ]
    found = build_pairs(
        creatives,
        exposures,
        settings,
        version=1,
        rgb_difference=far_apart,
        judged=[first],
        outdated={first.pair_id},
    )
    reasons = {pair.pair_id: pair.reject_reason for pair in found.pairs}
    assert reasons[first.pair_id] == Reason.ITEM_CHANGED
    assert found.funnel["candidate"] == found.funnel[Reason.ITEM_CHANGED] == 1


def test_without_logs_only_images_and_the_cap_decide() -> None:
    creatives = [make_creative(f"c{k}") for k in range(4)]
    creatives.append(make_creative("copy", aa_of="c0"))
    exposures = [expose("c0", (10, 0))]
    found = build(creatives, exposures, without_logs=True)
    assert found.evidence == []
    assert found.funnel["candidate"] == 3
    assert found.funnel[Reason.OVER_CAP] == 6
    assert found.near_duplicates == found.funnel[Reason.IDENTICAL] == 1
    assert (found.noise_scale, found.num_aa_pairs, found.expected_wrong) == (None, 0, None)


def test_copies_of_a_copy_are_identical_and_yield_the_noise_scale() -> None:
    creatives = [
        make_creative("x"),
        make_creative("y", aa_of="x"),
        make_creative("z", aa_of="y"),
        make_creative("orphan", aa_of="withdrawn"),
        make_creative("sibling", aa_of="withdrawn"),
    ]
    exposures = [
        expose("x", (1000, 30)),
        expose("y", (1000, 20)),
        expose("orphan", (1000, 20)),
    ]
    found = build(creatives, exposures)
    reasons = {frozenset((p.creative_a, p.creative_b)): p.reject_reason for p in found.pairs}
    identical = {"".join(sorted(pair)) for pair, why in reasons.items() if why == "identical"}
    assert identical == {"xy", "xz", "yz", "orphansibling"}
    # Of those only x and y were shown: |log 1.5| / √(12.2 / 150).
    assert found.num_aa_pairs == 1
    assert found.noise_scale == pytest.approx(math.log(1.5) / math.sqrt(12.2 / 150))


@pytest.mark.parametrize(("num_items", "enough"), [(12, False), (13, True)])
def test_noise_stands_alone_from_a_hundred_free_differences_on(
    num_items: int, enough: bool
) -> None:
    # Nine copies an item, of one picture in all items: 36 pairs and 8 free differences in each.
    rng = np.random.default_rng(0)
    creatives, exposures = [], []
    for item in map(str, range(num_items)):
        for k in map(str, range(9)):
            creatives.append(make_creative(k, item, pixel_sha256="0" * 64))
            exposures.append(expose(k, (20_000, int(rng.binomial(20_000, 0.03))), item))
    found = build(creatives, exposures, noise=None)
    assert found.num_aa_pairs == 36 * num_items
    assert (found.noise.phi_interval is not None) == enough


def test_an_uneven_experiment_is_flagged_and_kept_only_when_asked() -> None:
    logs = [
        expose("x", (20_000, 600), experiment_id="e"),
        expose("y", (10_000, 100), experiment_id="e"),
    ]
    found = build(TWO, logs)
    assert found.flagged_groups == [FlaggedGroup("i", "e", 0.0)]
    asked = build(TWO, logs, include_flagged_groups=True)
    assert only_reason(asked) is None
    assert asked.flagged_groups == found.flagged_groups
    assert asked.evidence[0].randomised is None  # declared, but the traffic says otherwise


def share(creative_id: str, of: float, experiment_id: str = "e", item_id: str = "i") -> Any:
    return ExpectedShare(
        item_id=item_id, experiment_id=experiment_id, creative_id=creative_id, share=of
    )


UNEVEN = [
    expose("x", (20_000, 600), experiment_id="e"),
    expose("y", (10_000, 100), experiment_id="e"),
]


def test_traffic_is_held_against_the_shares_that_its_experiment_declares() -> None:
    as_declared = build(TWO, UNEVEN, expected_shares=[share("y", 0.333), share("x", 0.667)])
    assert only_reason(as_declared) is None
    assert as_declared.flagged_groups == []
    assert as_declared.evidence[0].randomised is True
    otherwise = build(TWO, UNEVEN, expected_shares=[share("x", 0.6), share("y", 0.4)])
    assert only_reason(otherwise) == Reason.FLAGGED_GROUP
    assert 0 < otherwise.flagged_groups[0].p_value < 1e-100
    backwards = build(TWO, UNEVEN[::-1], expected_shares=[share("y", 0.4), share("x", 0.6)])
    assert backwards.flagged_groups == otherwise.flagged_groups


def test_a_creative_that_was_to_be_shown_and_never_was_fails_the_check() -> None:
    creatives = [*TWO, make_creative("z")]
    even = [expose(c, (10_000, 300), experiment_id="e") for c in "xy"]
    assert build(creatives, even).flagged_groups == []
    thirds = [share(c, 0.333) for c in "xyz"]
    assert build(creatives, even, expected_shares=thirds).flagged_groups != []


def test_without_logs_nothing_is_asked_of_the_shares() -> None:
    found = build(TWO, UNEVEN, without_logs=True, expected_shares=[share("x", 0.1, "unknown")])
    assert only_reason(found) is None


@pytest.mark.parametrize(
    ("shares", "problem"),
    [
        ([share("x", 0.5), share("q", 0.5)], r"i/e/q: the item has no creative 'q'"),
        ([share("x", 0.5), share("y", 0.6)], r"the shares of i/e sum to 1\.1, not 1"),
        ([share("x", 0.5), share("y", 0.498)], r"the shares of i/e sum to 0\.998, not 1"),
        ([share("x", 0), share("y", 0)], r"the shares of i/e sum to 0, not 1"),
        ([share("x", 1.0)], r"i/e has no share for y"),
        ([share("x", 0.5), share("x", 0.5)], r"i/e/x has two shares"),
        ([share("x", 0.5, "f"), share("y", 0.5, "f")], r"i/f is no experiment of the logs"),
    ],
)
def test_shares_that_do_not_fit_the_logs_are_refused(shares: list[Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build(TWO, UNEVEN, expected_shares=shares)


def test_shares_of_nothing_but_zeros_are_refused_however_many() -> None:
    names = [f"c{number}" for number in range(2_001)]
    place = {("i", name): number for number, name in enumerate(names)}
    log = read_log([expose("c0", GOOD, experiment_id="e")], place)
    with pytest.raises(InputError, match="the shares of i/e sum to 0, not 1"):
        arrange_shares([share(name, 0) for name in names], log, place)


def test_of_many_problems_with_shares_twenty_are_told() -> None:
    unknown = [share(f"u{k:02}", 0.04) for k in range(25)]
    with pytest.raises(InputError, match=r"'u00'.*'u19'; and 5 more"):
        build(TWO, UNEVEN, expected_shares=unknown)


def test_uneven_traffic_that_nobody_declared_randomised_is_left_alone() -> None:
    found = build(TWO, [expose("x", (20_000, 600)), expose("y", (10_000, 100))])
    assert only_reason(found) is None
    assert found.flagged_groups == []


def test_a_flagged_experiment_of_one_item_does_not_touch_another() -> None:
    creatives = [*TWO, make_creative("x", "j"), make_creative("y", "j")]
    logs = [
        expose("x", (20_000, 600), experiment_id="e"),
        expose("y", (10_000, 100), experiment_id="e"),
        expose("x", GOOD, "j", experiment_id="e"),
        expose("y", POOR, "j", experiment_id="e"),
    ]
    found = build(creatives, logs)
    assert [p.reject_reason for p in found.pairs] == ["flagged_group", None]


@pytest.mark.parametrize(
    ("x_group", "y_group", "randomised"),
    [("e", "e", True), ("e", "f", None), ("e", None, None), (None, None, None)],
)
def test_randomised_is_said_only_where_one_experiment_covers_both(
    x_group: str | None, y_group: str | None, randomised: bool | None
) -> None:
    logs = [expose("x", GOOD, experiment_id=x_group), expose("y", POOR, experiment_id=y_group)]
    assert build(TWO, logs).evidence[0].randomised is randomised


def test_shared_traffic_outside_the_experiment_leaves_randomised_unknown() -> None:
    inside = [expose(c, GOOD, experiment_id="e") for c in "xy"]
    outside = [expose(c, GOOD, stratum="position=2") for c in "xy"]
    assert build(TWO, inside + outside[:1]).evidence[0].randomised is True  # x alone: not shared
    assert build(TWO, inside + outside).evidence[0].randomised is None
    same_key = [expose(c, GOOD) for c in "xy"]
    assert build(TWO, inside + same_key).evidence[0].randomised is None


def draw_build_input(seed: int, items: int = 30) -> tuple[list[Creative], list[Exposure]]:
    rng = np.random.default_rng(seed)
    creatives, exposures = [], []
    for item in map(str, range(items)):
        for name in map(str, range(int(rng.integers(1, 7)))):
            copies = {"aa_of": "0"} if name != "0" and rng.random() < 0.1 else {}
            creatives.append(make_creative(name, item, **copies))
            for day in range(int(rng.integers(0, 4))):
                n = int(rng.integers(0, 3000))
                clicks = int(rng.binomial(n, 0.02 * math.exp(rng.normal(0, 0.6))))
                group = "e" if rng.random() < 0.3 else None
                exposures.append(
                    expose(name, (n, clicks), item, period=f"d{day}", experiment_id=group)
                )
    return creatives, exposures


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_input_does_not_matter(seed: int) -> None:
    creatives, exposures = draw_build_input(seed)
    expected = build(creatives, exposures)
    shuffler = random.Random(seed)
    for _ in range(3):
        shuffler.shuffle(creatives)
        shuffler.shuffle(exposures)
        assert build(creatives, exposures) == expected


def test_the_funnel_counts_every_pair_once() -> None:
    creatives, exposures = draw_build_input(9, items=200)
    found = build(creatives, exposures, min_impressions=500)
    sizes = Counter(creative.item_id for creative in creatives)
    assert sum(found.funnel.values()) == sum(math.comb(size, 2) for size in sizes.values())
    assert list(found.funnel) == [NOT_CONSIDERED, *Reason, "candidate"]
    counted = Counter(pair.reject_reason or "candidate" for pair in found.pairs)
    assert found.funnel == {name: counted[name] for name in found.funnel}
    assert len({pair.pair_id for pair in found.pairs}) == len(found.pairs)
    shown = {(e.item_id, e.creative_id) for e in exposures if e.impressions}
    assert {row.pair_id for row in found.evidence} == {
        p.pair_id
        for p in found.pairs
        if {(p.item_id, p.creative_a), (p.item_id, p.creative_b)} <= shown
    }


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    creatives, exposures = draw_build_input(4)
    expected = build(creatives, exposures)
    monkeypatch.setattr(evidence_module, "MAX_ROWS_PER_BLOCK", 3)
    assert build(creatives, exposures) == expected


def test_nothing_and_single_creatives_give_no_pairs() -> None:
    for creatives in ([], [make_creative("x")], [make_creative("x"), make_creative("x", "j")]):
        found = build(creatives, [])
        assert (list(found.pairs), list(found.evidence)) == ([], [])
        assert sum(found.funnel.values()) == 0


def test_a_very_large_item_is_looked_at_between_creatives_with_impressions() -> None:
    names = [f"c{k:04}" for k in range(5000)]
    creatives = [make_creative(name) for name in names]
    exposures = [expose(name, (2000, 20 + 20 * (k % 7))) for k, name in enumerate(names[:100])]
    exposures += [expose(name, (3, 0)) for name in names[100:]]
    found = build(creatives, exposures)
    assert len(found.pairs) == math.comb(100, 2)
    assert found.funnel[NOT_CONSIDERED] == math.comb(5000, 2) - math.comb(100, 2)
    assert found.funnel["candidate"] == 3


def test_five_thousand_creatives_with_logs_end_in_a_sample_whose_funnel_adds_up() -> None:
    names = [f"c{k:04}" for k in range(5000)]
    creatives = [make_creative(name) for name in names]
    exposures = [expose(name, (2000, 20 + 20 * (k % 7))) for k, name in enumerate(names)]
    tracemalloc.start()
    found = build(creatives, exposures)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 200 * 2**20  # 12.5 million pairs as rows would be gigabytes
    assert len(found.pairs) == len(found.evidence) == MAX_PAIRS_PER_ITEM
    assert sum(found.funnel.values()) == math.comb(5000, 2)
    assert found.funnel["candidate"] == 3


# Counts as logs hold them when something is wrong with them, or with the world.
STRANGE = [0, 1, 2, 999, 1000, 10**12, 10**15]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xyz"),
            st.sampled_from(["", "position=1", "position=2"]),
            st.sampled_from(STRANGE),
            st.floats(0, 1) | st.sampled_from([0.0, 1e-12, 1.0]),
            st.sampled_from([None, "e"]),
        ),
        max_size=9,
    ),
    st.booleans(),
)
def test_strange_counts_end_in_one_reason_a_pair_and_numbers_that_are_numbers(
    rows: list[tuple[str, str, int, float, str | None]], open_to_all: bool
) -> None:
    creatives = [make_creative("x"), make_creative("y"), make_creative("z", aa_of="x")]
    exposures = [
        expose(name, (n, int(n * share)), stratum=stratum, experiment_id=group)
        for name, stratum, n, share, group in rows
    ]
    settings: dict[str, Any] = (
        {"min_impressions": 0, "min_gap": 0, "min_confidence": 0.5, "min_shared_share": 0}
        if open_to_all
        else {}
    )
    found = build(creatives, exposures, noise=None, tau=None, **settings)
    assert len(found.pairs) == sum(found.funnel.values()) == 3
    for row in found.evidence:
        values = [value for value in row.model_dump().values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in values)
    assert 0.5 > (found.expected_wrong or 0) >= 0
    assert math.isfinite(found.tau.tau)
    assert found.tau.tau > 0


def test_a_very_large_item_beyond_that_is_sampled_by_seed() -> None:
    names = [f"c{k:03}" for k in range(400)]
    creatives = [make_creative(name) for name in names]
    exposures = [expose(name, (2000, 20)) for name in names]
    found, again = (build(creatives[::step], exposures) for step in (1, -1))
    assert found == again
    assert len({pair.pair_id for pair in found.pairs}) == MAX_PAIRS_PER_ITEM
    assert found.funnel[NOT_CONSIDERED] == math.comb(400, 2) - MAX_PAIRS_PER_ITEM
    appearances = Counter(c for p in found.pairs for c in (p.creative_a, p.creative_b))
    # 20,000 of 79,800 pairs: each of the 399 pairs of a creative has one chance in four, sd 8.6.
    assert len(appearances) == 400
    assert 50 < min(appearances.values()) <= max(appearances.values()) < 150
    other = build(creatives, exposures, seed=1)
    assert {p.pair_id for p in other.pairs} != {p.pair_id for p in found.pairs}


def make_judged(first: str, second: str) -> Pair:
    a, b = order_identities("i", first, second)
    return Pair(
        pair_id=pair_id_of("i", a, b),
        item_id="i",
        creative_a=a,
        creative_b=b,
        status=PairStatus.CANDIDATE,
    )


def test_judged_pairs_of_a_very_large_item_are_always_looked_at() -> None:
    names = [f"c{k:03}" for k in range(400)]
    creatives = [make_creative(name) for name in names]
    # c399 alone has too few impressions to be drawn.
    exposures = [expose(name, (2000, 20 + k)) for k, name in enumerate(names[:399])]
    exposures.append(expose("c399", (5, 1)))
    sampled = build(creatives, exposures)
    drawn = {pair.pair_id for pair in sampled.pairs}
    pairs = [make_judged("c000", name) for name in names[1:]]
    outside = [pair for pair in pairs if pair.pair_id not in drawn]
    inside = [pair for pair in pairs if pair.pair_id in drawn]
    assert len(outside) > len(inside) > 0
    withdrawn = make_judged("c000", "gone")
    found = build_pairs(
        creatives,
        exposures,
        PairSettings(noise=DEFAULT_NOISE, tau=DEFAULT_TAU),
        version=1,
        rgb_difference=far_apart,
        judged=[withdrawn, *pairs[::-1]],
    )
    assert {p.pair_id for p in found.pairs} == drawn | {p.pair_id for p in outside}
    assert len(found.pairs) == MAX_PAIRS_PER_ITEM + len(outside)
    assert sum(found.funnel.values()) == math.comb(400, 2)
    judged = {pair.pair_id: pair for pair in pairs}
    identities = [(p.creative_a, p.creative_b) for p in found.pairs if p.pair_id in judged]
    assert sorted(identities) == sorted((p.creative_a, p.creative_b) for p in pairs)
    candidates = {p.pair_id for p in found.pairs if p.reject_reason is None}
    assert len(candidates) == 3
    assert candidates <= judged.keys()


def test_creatives_given_twice_and_unknown_ones_are_named() -> None:
    with pytest.raises(InputError, match=r"1 creatives are given twice: i/x"):
        build([*TWO, TWO[0]], [])
    unknown = [expose(f"u{k:02}", (1, 0)) for k in range(25)]
    with pytest.raises(InputError, match=r"name 25 creatives not given: i/u00.*u19 and 5 more"):
        build(TWO, [*CLEAR, *unknown])


@pytest.mark.parametrize(
    "settings",
    [
        {"min_impressions": -1},
        {"min_gap": -0.1},
        {"min_confidence": 0.4},
        {"min_confidence": 1.0},
        {"min_shared_share": 1.1},
        {"per_item": 0},
        {"phash_radius": 65},
        {"max_rgb_difference": 256},
        {"min_group_p": 1.0},
        {"tau": 0.0},
        {"noise": {"phi": 0, "omega": 0}},
        {"unknown": 1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PairSettings(**settings)


def test_settings_survive_the_way_to_json_and_back() -> None:
    changed = PairSettings(min_gap=0.3, tau=0.2, expected_shares=(share("x", 0.25),))
    assert PairSettings.model_validate_json(changed.model_dump_json()) == changed


Planted = tuple[list[Creative], list[Exposure], np.ndarray]


def plant(
    noise: NoiseModel, tau: float, items: int, num_copies: int = 0, seed: int = 2026
) -> Planted:
    """Plant ratios, positions that favour some creatives, overdispersion, noise per creative.

    Returns:
        Three creatives an item, their exposures, and the true log CTR of each, [items, 3]; in the
        first `num_copies` items, creative 1 is a copy of creative 0.
    """
    rng = np.random.default_rng(seed)
    true = rng.normal(0, tau / math.sqrt(2), (items, 3))  # differences: sd tau
    true[:num_copies, 1] = true[:num_copies, 0]
    noisy = true + rng.normal(0, noise.omega / math.sqrt(2), true.shape)
    base = rng.uniform(0.01, 0.04, (items, 1, 1)) * np.array([1.0, 0.4])  # second position: 40 %
    ctr = base * np.exp(noisy)[..., None]
    n = rng.integers(800, 8000, (items, 3, 2))
    size = (n - 1) / (noise.phi**2 - 1) - 1  # beta-binomial: variance times phi²
    clicks = rng.binomial(n, rng.beta(ctr * size, (1 - ctr) * size))
    creatives, exposures = [], []
    for item in range(items):
        for k in range(3):
            copy = {"aa_of": "0"} if k == 1 and item < num_copies else {}
            creatives.append(make_creative(str(k), str(item), **copy))
            exposures += [
                expose(
                    str(k),
                    (int(n[item, k, p]), int(clicks[item, k, p])),
                    str(item),
                    stratum=f"position={p}",
                )
                for p in range(2)
            ]
    return creatives, exposures, true


def find_wrong(found: PairBuild, true: np.ndarray) -> list[bool]:
    """Say of each candidate whether its winner is the wrong one."""
    answers = {row.pair_id: row.winner for row in found.evidence}
    return [
        (true[int(p.item_id), int(p.creative_a)] > true[int(p.item_id), int(p.creative_b)])
        != (answers[p.pair_id] == "A")
        for p in found.pairs
        if p.reject_reason is None
    ]


def test_realised_wrong_winners_stay_within_a_point_of_the_promise() -> None:
    creatives, exposures, true = plant(DEFAULT_NOISE, DEFAULT_TAU, 20_000)
    found = build(creatives, exposures)
    wrong = find_wrong(found, true)
    assert len(wrong) >= 5000
    assert found.expected_wrong is not None
    assert 0 < found.expected_wrong < 0.05
    assert np.mean(wrong) <= found.expected_wrong + 0.01


def test_constants_fitted_on_the_build_keep_its_promise_where_the_defaults_break_it() -> None:
    noise = NoiseModel(phi=1.8, omega=0.35)
    creatives, exposures, true = plant(noise, 0.3, 6_000, num_copies=2_000)
    settings = {"min_gap": 0.2, "min_confidence": 0.9}
    fitted = build(creatives, exposures, noise=None, tau=None, **settings)
    assert fitted.noise.num_pairs == fitted.num_aa_pairs == 2_000
    assert fitted.noise.noise.phi == pytest.approx(noise.phi, abs=0.1)
    assert fitted.noise.noise.omega == pytest.approx(noise.omega, abs=0.03)
    assert fitted.tau.tau == pytest.approx(0.3, abs=0.03)
    promises = {}
    for name, found in (("fitted", fitted), ("default", build(creatives, exposures, **settings))):
        assert found.expected_wrong is not None
        promises[name] = (float(np.mean(find_wrong(found, true))), found.expected_wrong)
    realised, promised = promises["fitted"]
    assert realised <= promised + 0.01
    realised, promised = promises["default"]
    assert realised > promised + 0.03  # or this world would not show the difference


def plant_categories() -> tuple[list[Creative], list[Exposure], dict[str, str | None]]:
    """Two categories of 1,500 items, tau 0.1 and 0.7; two items are without."""
    drawn = {name: plant(DEFAULT_NOISE, tau, 1_500) for name, tau in (("calm", 0.1), ("wild", 0.7))}
    creatives = [
        row.model_copy(update={"item_id": f"{name}{row.item_id}"})
        for name, (rows, _, _) in drawn.items()
        for row in rows
    ]
    exposures = [
        row.model_copy(update={"item_id": f"{name}{row.item_id}"})
        for name, (_, rows, _) in drawn.items()
        for row in rows
    ]
    category_of: dict[str, str | None] = {c.item_id: c.item_id[:4] for c in creatives}
    return creatives, exposures, category_of | {"calm0": None, "wild0": ""}


def build_categories(tau: float | None) -> tuple[PairBuild, dict[str, str | None]]:
    creatives, exposures, category_of = plant_categories()
    found = build_pairs(
        creatives,
        exposures,
        PairSettings(noise=DEFAULT_NOISE, tau=tau),
        version=1,
        rgb_difference=far_apart,
        category_of=category_of,
    )
    return found, category_of


def test_each_pair_is_shrunken_by_the_planted_spread_of_its_category() -> None:
    found, category_of = build_categories(tau=None)
    assert list(found.tau_by_category) == ["calm", "wild"]
    assert found.tau_by_category["calm"].tau == pytest.approx(0.1, abs=0.03)
    assert found.tau_by_category["wild"].tau == pytest.approx(0.7, abs=0.03)
    assert 0.3 < found.tau.tau < 0.6
    assert found.tau_shape[SHAPE_SCALES.index(1)] > 0.7  # each category is one normal
    item_of = {pair.pair_id: pair.item_id for pair in found.pairs}
    taus = np.array(
        [
            found.tau_by_category.get(category_of[item_of[row.pair_id]] or "", found.tau).tau
            for row in found.evidence
        ]
    )
    log_ratio, variance, prob_a = np.array(
        [(row.log_ratio, row.variance, row.prob_a) for row in found.evidence], dtype=np.float64
    ).T
    assert prob_a == pytest.approx(
        update(log_ratio, variance, taus, found.tau_shape)[2], nan_ok=True
    )


def test_a_category_of_nothing_but_copies_has_the_spread_of_all() -> None:
    creatives = [make_creative("x"), make_creative("y"), make_creative("0", "j")]
    creatives.append(make_creative("1", "j", aa_of="0"))
    exposures = [
        expose("x", GOOD),
        expose("y", POOR),
        expose("0", GOOD, "j"),
        expose("1", POOR, "j"),
    ]
    found = build_pairs(
        creatives,
        exposures,
        PairSettings(),
        version=1,
        rgb_difference=far_apart,
        category_of={"i": "a", "j": "b"},
    )
    assert found.tau_by_category == {}
    assert all(0.5 < max(row.prob_a or 0, 1 - (row.prob_a or 0)) < 1 for row in found.evidence)


def test_a_given_spread_is_that_of_every_category() -> None:
    found, _ = build_categories(tau=0.3)
    assert (found.tau.tau, found.tau_by_category) == (0.3, {})
    creatives, exposures, _ = plant_categories()
    plain = build_pairs(
        creatives,
        exposures,
        PairSettings(noise=DEFAULT_NOISE, tau=0.3),
        version=1,
        rgb_difference=far_apart,
    )
    assert found == plain
