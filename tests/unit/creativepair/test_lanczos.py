from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from creativepair import lanczos
from creativepair.lanczos import reduce_grey

SIZES = ((32, 32), (9, 8))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    # Black and white: sums leave the range of a pixel, so that clipping shows.
    pixels = np.random.default_rng(seed).integers(0, 2, (height, width), dtype=np.uint8) * 255
    return Image.fromarray(pixels.astype(np.uint8))


def reduce_by_pillow(image: Image.Image) -> list[bytes]:
    return [image.resize(size, Image.Resampling.LANCZOS).tobytes() for size in SIZES]


def reduce_by_us(image: Image.Image) -> list[bytes]:
    return [small.tobytes() for small in reduce_grey(image, SIZES)]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 99))
def test_the_pixels_are_those_of_pillow(width: int, height: int, seed: int) -> None:
    image = noise(width, height, seed)
    assert reduce_by_us(image) == reduce_by_pillow(image)


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (32, 32), (9, 8), (9000, 64), (64, 96), (3, 5000), (1600, 2000)]
)
def test_the_pixels_are_those_of_pillow_in_odd_shapes(width: int, height: int) -> None:
    image = noise(width, height)
    assert reduce_by_us(image) == reduce_by_pillow(image)


def test_the_sizes_keep_their_order_and_their_shape() -> None:
    found = reduce_grey(noise(100, 80), ((5, 7), (11, 3)))
    assert [small.size for small in found] == [(5, 7), (11, 3)]


def test_ordinary_pictures_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lanczos._agrees_with_pillow(SIZES)
    image = noise(800, 600)
    expected = reduce_by_pillow(image)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("Pillow was asked")

    monkeypatch.setattr(Image.Image, "resize", refuse)
    assert reduce_by_us(image) == expected


def test_a_pillow_that_computes_otherwise_is_left_to_compute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanczos, "_UNIT", 2.0**10)  # coarser weights than Pillow's
    lanczos._agrees_with_pillow.cache_clear()
    lanczos._weights.cache_clear()
    try:
        assert not lanczos._agrees_with_pillow(SIZES)
        assert reduce_by_us(noise(100, 100)) == reduce_by_pillow(noise(100, 100))
    finally:
        lanczos._agrees_with_pillow.cache_clear()
        lanczos._weights.cache_clear()


def test_a_picture_that_is_not_grey_is_refused() -> None:
    with pytest.raises(ValueError, match="mode RGB is not grey"):
        reduce_grey(Image.new("RGB", (4, 4)), SIZES)
