"""Drawings of synthetic ads: every attribute shows, and nothing else does."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from creativepair.errors import InputError
from creativepair.synthetic import drawing
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.world import (
    COLOUR_NAMES,
    HELD_OUT_COLOURS,
    HELD_OUT_KINDS,
    KINDS,
    PLANTED,
    Ad,
    AdAttributes,
    AdItem,
    draw_world,
    find_kind,
)

SIDE_PX = 160


def make_item(kind: str, colour: str = "red") -> AdItem:
    words = find_kind(kind)
    return AdItem("i1", "a title", words.category, words.queries, kind, colour, base_ctr=0.02)


def draw(item: AdItem, **levels: str) -> NDArray[np.int16]:
    """Return the pixels, shape (side, side, 3)."""
    ad = Ad(item.item_id, "c00000000", AdAttributes(**levels), true_ctr=0.02)
    return np.asarray(draw_ad(item, ad, side_px=SIDE_PX), dtype=np.int16)


def share_changed(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    """Share of pixels with a difference that an eye notices (over 16 of 255 in a channel)."""
    return float((np.abs(a - b).max(axis=2) > 16).mean())


def test_an_ad_is_a_square_rgb_image_of_the_side_asked_for() -> None:
    world = draw_world(1, seed=0)
    assert draw_ad(world.items[0], world.ads[0]).size == (640, 640)
    small = draw_ad(world.items[0], world.ads[0], side_px=100)
    assert (small.size, small.mode) == ((100, 100), "RGB")


def test_a_smaller_master_draws_the_same_ad_coarser() -> None:
    world = draw_world(3, seed=4)
    items = {item.item_id: item for item in world.items}
    for ad in world.ads:
        fine = np.asarray(draw_ad(items[ad.item_id], ad, side_px=64), dtype=np.float64)
        coarse = np.asarray(
            draw_ad(items[ad.item_id], ad, side_px=64, master_px=320), dtype=np.float64
        )
        assert np.abs(fine - coarse).mean() < 6  # of 255


# What learns from small drawings is to know large ones: where these had bolder headlines and finer
# shadows, it read them twice as badly.
@pytest.mark.parametrize("kind", KINDS)
def test_headlines_and_shadows_look_the_same_from_a_smaller_master(kind: str) -> None:
    def at(master_px: int, **levels: str) -> NDArray[np.float64]:
        ad = Ad("i1", "c00000000", AdAttributes(**levels), true_ctr=0.02)
        image = draw_ad(make_item(kind), ad, side_px=SIDE_PX, master_px=master_px)
        return np.asarray(image, dtype=np.float64)

    headlines = [at(master_px, copy="benefit")[5:25].mean() for master_px in (1280, 480)]
    assert headlines[0] == pytest.approx(headlines[1], abs=4)  # of 255
    grounds = [at(master_px)[134:] for master_px in (1280, 480)]
    assert np.abs(grounds[0] - grounds[1]).max(axis=2).mean() < 1


def test_drawing_twice_gives_the_same_pixels() -> None:
    world = draw_world(2, seed=1)
    for item, ad in ((world.items[0], world.ads[0]), (world.items[1], world.ads[-1])):
        assert draw_ad(item, ad).tobytes() == draw_ad(item, ad).tobytes()


def test_duplicates_have_identical_pixels() -> None:
    world = draw_world(34, seed=2)
    items = {item.item_id: item for item in world.items}
    by_id = {ad.creative_id: ad for ad in world.ads}
    twins = [ad for ad in world.ads if ad.aa_of is not None]
    assert len(twins) == 2
    for twin in twins:
        first, item = by_id[twin.aa_of or ""], items[twin.item_id]
        assert draw_ad(item, first).tobytes() == draw_ad(item, twin).tobytes()


def test_the_click_rate_leaves_no_trace_in_the_picture() -> None:
    world = draw_world(1, seed=3)
    item, ad = world.items[0], world.ads[0]
    richer = draw_ad(replace(item, base_ctr=0.04), replace(ad, true_ctr=0.2), side_px=SIDE_PX)
    assert richer.tobytes() == draw_ad(item, ad, side_px=SIDE_PX).tobytes()


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_every_two_levels_of_an_attribute_look_different(name: str) -> None:
    pictures = [draw(make_item("perfume"), **{name: level}) for level in PLANTED[name]]
    for i, first in enumerate(pictures):
        for second in pictures[i + 1 :]:
            assert share_changed(first, second) > 0.01


@pytest.mark.parametrize("kind", [*KINDS, *HELD_OUT_KINDS])
def test_every_kind_shows_its_feature_its_prop_and_its_colour(kind: str) -> None:
    item = make_item(kind)
    reference = draw(item, subject_size="large", palette="vivid")
    for change in ({"query_match": "missed"}, {"title_match": "other_colour"}, {"prop": "useful"}):
        changed = draw(item, subject_size="large", palette="vivid", **change)
        assert share_changed(reference, changed) > 0.008, change


def test_kinds_do_not_share_a_picture() -> None:
    pictures = [draw(make_item(kind), palette="vivid") for kind in (*KINDS, *HELD_OUT_KINDS)]
    for i, first in enumerate(pictures):
        for second in pictures[i + 1 :]:
            assert share_changed(first, second) > 0.05


def test_every_unrelated_prop_gets_its_turn() -> None:
    item = make_item("mug")
    pictures = {
        draw(replace(item, item_id=f"i{i:05d}"), prop="unrelated").tobytes() for i in range(12)
    }
    assert len(pictures) == 3


@pytest.mark.parametrize("colour", [*COLOUR_NAMES, *HELD_OUT_COLOURS])
def test_the_product_has_the_colour_of_the_title_unless_it_is_mismatched(colour: str) -> None:
    item = make_item("mug", colour)
    planted = np.array(drawing._PALETTE_COLOURS[colour])
    near = [
        (np.abs(draw(item, title_match=level, palette="vivid") - planted).max(axis=2) < 40).mean()
        for level in ("as_titled", "other_colour")
    ]
    assert near[0] > 0.05
    assert near[1] < near[0] / 2


def test_a_larger_subject_covers_more_and_a_cropped_one_less() -> None:
    def covered(**levels: str) -> float:
        pixels = draw(make_item("mug"), palette="vivid", query_match="missed", **levels)
        return float((np.abs(pixels - [206, 48, 48]).max(axis=2) < 60).mean())

    sizes = [covered(subject_size=size) for size in ("small", "medium", "large")]
    assert sizes[0] < 0.6 * sizes[1] < 0.6 * sizes[2]
    assert covered(completeness="cropped") < 0.85 * covered()


def test_all_copy_fits_its_box_in_a_size_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fits = drawing._fits
    smallest = drawing._MIN_TEXT

    def record(lines: Sequence[str], size: int, width: float, height: float) -> bool:
        fitted = fits(lines, size, width, height)
        if fitted:
            sizes.append(size)
        # A text that reaches the smallest size without fitting is recorded as size 0.
        elif size <= smallest:
            sizes.append(0)
        return fitted

    monkeypatch.setattr(drawing, "_fits", record)
    for kind in KINDS:
        for layout in ("clean", "border", "split"):
            sizes.clear()
            draw(make_item(kind), copy="too_much", layout=layout, subject_size="large")
            assert min(sizes) >= 20  # of 1,280, so at least 10 px in an ad of 640 px
            for copy in ("brand", "benefit_cta", "pain_point"):
                if kind == "perfume":
                    continue  # its label is text too, and small
                sizes.clear()
                draw(make_item(kind), copy=copy, layout=layout)
                assert min(sizes) >= 40


def test_an_ad_of_another_item_is_refused() -> None:
    world = draw_world(2, seed=0)
    with pytest.raises(InputError, match="belongs to item i00001, not i00000"):
        draw_ad(world.items[0], world.ads[-1])


@pytest.mark.parametrize("side_px", [63, 1281])
def test_a_side_outside_its_range_is_refused(side_px: int) -> None:
    world = draw_world(1, seed=0)
    with pytest.raises(InputError, match=f"side_px={side_px}"):
        draw_ad(world.items[0], world.ads[0], side_px=side_px)


@pytest.mark.parametrize(
    ("levels", "is_drawn_otherwise"),
    [
        ({"palette": "vivid"}, False),
        ({"palette": "soft"}, True),
        ({"palette": "dull"}, True),
        ({"palette": "vivid", "layout": "border"}, True),
        ({"palette": "vivid", "layout": "inset"}, True),
        ({"palette": "vivid", "layout": "split"}, True),
    ],
)
def test_held_out_ads_have_layouts_and_palettes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, levels: dict[str, str], is_drawn_otherwise: bool
) -> None:
    item = make_item("kettle", "orange")
    held_out = draw(item, **levels)
    monkeypatch.setattr(drawing, "HELD_OUT_KINDS", {})
    usual = draw(item, **levels)
    assert (np.abs(held_out - usual).max() > 0) == is_drawn_otherwise
