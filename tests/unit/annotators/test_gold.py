from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotators.gold import GoldPair, make_gold
from creativepair.blobs import BlobStore
from creativepair.errors import StateError
from creativepair.images import decode, encode_derivative
from creativepair.records import Creative, GoldKind

CATEGORY = {"mug": "kitchen", "pan": "kitchen", "shoe": "sport"}


def make_creative(blobs: BlobStore, item_id: str, number: int) -> Creative:
    pixels = np.random.default_rng(number).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((200, 160), Image.Resampling.NEAREST)
    return Creative(
        item_id=item_id,
        creative_id=f"{item_id}-{number}",
        image_sha256="1" * 64,
        pixel_sha256="2" * 64,
        derivative_sha256=blobs.put(encode_derivative(image)),
        width=200,
        height=160,
        phash="a",
        dhash="b",
        colorhash="c",
        recipe="r1",
    )


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "derivatives"))


@pytest.fixture
def creatives(blobs: BlobStore) -> list[Creative]:
    return [make_creative(blobs, item, n) for n, item in enumerate(["mug", "pan", "shoe"] * 4)]


def answer_of(one: GoldPair) -> str | None:
    """The derivative of the side that is the right answer."""
    sides = {"A": one.gold.derivative_a, "B": one.gold.derivative_b}
    return sides.get(one.gold.answer)


def test_the_real_creative_is_the_answer_and_a_duplicate_cannot_be_told(
    blobs: BlobStore, creatives: list[Creative]
) -> None:
    real = {creative.creative_id: creative.derivative_sha256 for creative in creatives}
    made = make_gold(blobs, creatives, CATEGORY, number=12, seed=1)
    kinds = [GoldKind.DEGRADED, GoldKind.WRONG_PRODUCT, GoldKind.DUPLICATE]
    assert [one.gold.kind for one in made] == kinds * 4
    assert {one.gold.answer for one in made} == {"A", "B", "cannot_tell"}
    for one in made:
        [own] = {one.pair.creative_a, one.pair.creative_b} & real.keys()
        if one.gold.kind is GoldKind.DUPLICATE:
            assert one.gold.answer == "cannot_tell"
            assert one.gold.derivative_a == one.gold.derivative_b == real[own]
        else:
            assert answer_of(one) == real[own]
            assert one.gold.derivative_a != one.gold.derivative_b


def test_a_degraded_copy_keeps_its_size_and_loses_its_detail(
    blobs: BlobStore, creatives: list[Creative]
) -> None:
    made = make_gold(blobs, creatives, CATEGORY, number=1, seed=1)
    sides = (made[0].gold.derivative_a, made[0].gold.derivative_b)
    a, b = (decode(blobs.get(sha256), name="x").image for sha256 in sides)
    assert a.size == b.size
    contrast = sorted(
        float(np.abs(np.diff(np.asarray(image.convert("L"), int))).mean()) for image in (a, b)
    )
    assert contrast[0] < contrast[1] / 2


def test_a_wrong_product_is_of_another_category_where_there_is_one(
    blobs: BlobStore, creatives: list[Creative]
) -> None:
    item_of = {creative.derivative_sha256: creative.item_id for creative in creatives}
    made = make_gold(blobs, creatives, CATEGORY, number=12, seed=2)
    for one in made:
        if one.gold.kind is GoldKind.WRONG_PRODUCT:
            items = [item_of[side] for side in (one.gold.derivative_a, one.gold.derivative_b)]
            assert CATEGORY[items[0]] != CATEGORY[items[1]]
            assert one.pair.item_id in items


def test_one_item_alone_gives_no_wrong_product(blobs: BlobStore) -> None:
    lonely = [make_creative(blobs, "mug", n) for n in range(6)]
    kinds = {one.gold.kind for one in make_gold(blobs, lonely, {}, number=6, seed=0)}
    assert kinds == {GoldKind.DEGRADED, GoldKind.DUPLICATE}


def test_the_same_seed_makes_the_same_gold(blobs: BlobStore, creatives: list[Creative]) -> None:
    first = make_gold(blobs, creatives, CATEGORY, number=5, seed=3)
    assert make_gold(blobs, creatives, CATEGORY, number=5, seed=3) == first
    assert make_gold(blobs, creatives, CATEGORY, number=5, seed=4) != first


def test_without_creatives_there_is_nothing_to_make_gold_of(blobs: BlobStore) -> None:
    with pytest.raises(StateError, match="no creatives"):
        make_gold(blobs, [], {}, number=3, seed=0)
