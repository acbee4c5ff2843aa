"""Synthetic logs: counts are possible, and what was planted can be found again."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creativepair.errors import InputError
from creativepair.synthetic.logs import ExposureCount, draw_exposures
from creativepair.synthetic.world import PLANTED, Ad, AdAttributes, World, draw_world

Cells = dict[tuple[date, str], tuple[int, int]]  # (day, position) -> impressions, clicks


def twin_world(num_items: int, true_ctr: float) -> World:
    """Items with two ads that do not differ in anything."""
    ads = [
        Ad(f"i{i}", f"c{i}{side}", AdAttributes(), true_ctr)
        for i in range(num_items)
        for side in "ab"
    ]
    return World(items=(), ads=tuple(ads), seed=0)


def group_by_creative(rows: Sequence[ExposureCount]) -> dict[str, Cells]:
    cells: dict[str, Cells] = defaultdict(dict)
    for row in rows:
        cells[row.creative_id][row.day, row.position] = (row.impressions, row.clicks)
    return cells


def pooled_log_ratio(a: Cells, b: Cells) -> float:
    (n_a, c_a), (n_b, c_b) = (np.sum(list(cells.values()), axis=0) for cells in (a, b))
    return log((c_a / n_a) / (c_b / n_b))


def mantel_haenszel_log_ratio(a: Cells, b: Cells) -> float:
    shared = [(*a[key], *b[key]) for key in a.keys() & b.keys()]
    above = sum(c_a * n_b / (n_a + n_b) for n_a, c_a, n_b, c_b in shared)
    below = sum(c_b * n_a / (n_a + n_b) for n_a, c_a, n_b, c_b in shared)
    return log(above / below)


def test_the_helper_for_mantel_haenszel_agrees_with_a_hand_calculation() -> None:
    day = date(2026, 1, 5)
    a: Cells = {(day, "top"): (900, 90), (day, "bottom"): (100, 2)}
    b: Cells = {(day, "top"): (100, 10), (day, "bottom"): (900, 18)}
    # Equal CTR in both strata (10 % and 2 %), yet pooled 9.2 % against 2.8 %.
    # above = 90 * 100 / 1000 + 2 * 900 / 1000 = 10.8; below = 10 * 900 / 1000 + 18 * 100 / 1000
    assert mantel_haenszel_log_ratio(a, b) == pytest.approx(0)
    assert pooled_log_ratio(a, b) == pytest.approx(log(92 / 28))


def test_the_same_seed_gives_the_same_log_and_another_seed_another() -> None:
    world = draw_world(3, seed=1)
    assert draw_exposures(world, seed=2) == draw_exposures(world, seed=2)
    assert draw_exposures(world, seed=2) != draw_exposures(world, seed=3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    per_day=st.floats(0.1, 5_000),
    overdispersion=st.floats(0, 3),
    effects=st.lists(st.floats(-2, 6), min_size=1, max_size=4),
)
def test_clicks_never_exceed_impressions(
    seed: int, per_day: float, overdispersion: float, effects: list[float]
) -> None:
    rows = draw_exposures(
        draw_world(2, seed=0),
        seed=seed,
        days=2,
        impressions_per_day=per_day,
        positions=[f"p{i}" for i in range(len(effects))],
        position_effect=effects,
        overdispersion=overdispersion,
    )
    assert all(0 <= row.clicks <= row.impressions and row.impressions >= 1 for row in rows)


def test_a_log_covers_the_days_asked_for_and_has_one_row_per_cell() -> None:
    rows = draw_exposures(draw_world(4, seed=0), seed=0, days=3)
    assert {row.day for row in rows} == {date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)}
    assert {row.position for row in rows} == {"top", "middle", "bottom"}
    assert len({(row.creative_id, row.day, row.position) for row in rows}) == len(rows)


def test_most_creatives_get_thousands_of_impressions_and_a_few_get_hardly_any() -> None:
    cells = group_by_creative(draw_exposures(draw_world(250, seed=0), seed=0))
    totals = np.array([sum(n for n, _ in c.values()) for c in cells.values()])
    assert ((totals > 8_000) & (totals < 40_000)).mean() > 0.8
    assert 0.02 < (totals < 1_000).mean() < 0.12


def test_pooling_over_positions_misleads_and_comparing_within_strata_does_not() -> None:
    rows = draw_exposures(
        twin_world(120, true_ctr=0.03),
        seed=7,
        impressions_per_day=20_000,
        position_effect=(0.45, 0.0, -0.45),
        overdispersion=0.0,
    )
    cells = group_by_creative(rows)
    pairs = [(cells[f"c{i}a"], cells[f"c{i}b"]) for i in range(120)]
    # Starved creatives are left out: their noise would hide what is compared here.
    served = [p for p in pairs if all(sum(n for n, _ in c.values()) > 20_000 for c in p)]
    assert len(served) > 80
    pooled = np.array([pooled_log_ratio(a, b) for a, b in served])
    stratified = np.array([mantel_haenszel_log_ratio(a, b) for a, b in served])
    # The position effects have a variance of 0.135 over an even mix; a flat Dirichlet over three
    # positions keeps a quarter of it between creatives: sd sqrt(2 * 0.135 / 4) = 0.26 per pair.
    # Within strata only counting noise is left: about 140,000 * 3 % = 4,200 clicks each give
    # sqrt(2 / 4,200) = 0.022, and more where the mixes hardly overlap.
    assert 0.2 < sqrt(float(np.mean(pooled**2))) < 0.35
    assert sqrt(float(np.mean(stratified**2))) < 0.04


def test_position_effects_can_be_recovered_from_the_clicks() -> None:
    effects = {"top": 0.4, "middle": 0.0, "bottom": -0.7}
    rows = draw_exposures(
        twin_world(200, true_ctr=0.02),
        seed=1,
        impressions_per_day=5_000,
        position_effect=tuple(effects.values()),
    )
    for position, effect in effects.items():
        n = sum(row.impressions for row in rows if row.position == position)
        clicks = sum(row.clicks for row in rows if row.position == position)
        # Overdispersion leaves the expected rate alone, so the ratio is exp(effect).
        assert clicks / n == pytest.approx(0.02 * exp(effect), rel=0.03)


@pytest.mark.parametrize("planted", [0.0, 0.2, 0.5])
def test_overdispersion_can_be_recovered_from_the_scatter_of_the_rates(planted: float) -> None:
    rows = draw_exposures(
        twin_world(100, true_ctr=0.03),
        seed=4,
        impressions_per_day=20_000,
        position_effect=(0.0, 0.0, 0.0),
        overdispersion=planted,
    )
    n = np.array([row.impressions for row in rows], dtype=np.float64)
    clicks = np.array([row.clicks for row in rows], dtype=np.float64)
    # E (clicks - n p)^2 = n p (1 - p) + n (n - 1) p^2 (exp(s^2) - 1), solved for s by moments.
    p = 0.03
    excess = ((clicks - n * p) ** 2 - n * p * (1 - p)).sum() / (n * (n - 1) * p**2).sum()
    assert sqrt(log(1 + max(0.0, excess))) == pytest.approx(planted, abs=0.04)


def test_planted_utilities_can_be_recovered_from_the_clicks() -> None:
    world = draw_world(500, seed=3)
    cells = group_by_creative(
        draw_exposures(
            world,
            seed=3,
            impressions_per_day=50_000,
            position_effect=(0.0, 0.0, 0.0),
            overdispersion=0.0,
        )
    )
    counts = [np.sum(list(cells[ad.creative_id].values()), axis=0) for ad in world.ads]
    kept = [(ad, n, c) for ad, (n, c) in zip(world.ads, counts, strict=True) if n > 50_000]
    effects = [
        (name, level, planted.utility)
        for name, levels in PLANTED.items()
        for level, planted in levels.items()
        if planted.utility != 0
    ]
    design = np.array(
        [[getattr(ad.attributes, name) == level for name, level, _ in effects] for ad, _, _ in kept]
    ).astype(np.float64)
    response = np.array([log(c / n) for _, n, c in kept])
    _, item = np.unique([ad.item_id for ad, _, _ in kept], return_inverse=True)
    for column in (response, *design.T):  # centre within the item: its base CTR drops out
        column -= (np.bincount(item, column) / np.bincount(item))[item]
    found, *_ = np.linalg.lstsq(design, response, rcond=None)
    assert found == pytest.approx([utility for *_, utility in effects], abs=0.02)


def test_arguments_outside_their_range_are_named_together() -> None:
    with pytest.raises(InputError) as caught:
        draw_exposures(
            draw_world(1, seed=0),
            seed=-1,
            days=0,
            impressions_per_day=0,
            positions=(),
            overdispersion=-0.1,
        )
    for words in ("seed=-1", "days=0", "impressions_per_day=0", "positions is empty", "-0.1"):
        assert words in caught.value.message
    assert "0 positions have 3 effects" in caught.value.message
