from collections.abc import Iterator

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from creativepair.colours import count_classes, hash_colours

colours = st.tuples(*[st.integers(0, 255)] * 3)


def picture(rows: list[list[tuple[int, int, int]]]) -> Image.Image:
    return Image.fromarray(np.array(rows, dtype=np.uint8))


@settings(deadline=None)
@given(st.lists(colours, min_size=1, max_size=40))
def test_the_hash_is_imagehashs_bit_for_bit(row: list[tuple[int, int, int]]) -> None:
    image = picture([row])
    assert hash_colours(image) == str(imagehash.colorhash(image))


@settings(deadline=None)
@given(colours, colours, st.integers(0, 64))
def test_shares_are_rounded_as_imagehash_rounds_them(
    one: tuple[int, int, int], other: tuple[int, int, int], count: int
) -> None:
    image = picture([[one] * count + [other] * (64 - count)])
    assert hash_colours(image) == str(imagehash.colorhash(image))


def every_colour() -> Iterator[Image.Image]:
    for red in range(256):
        grid = np.full((256, 256, 3), red, dtype=np.uint8)
        grid[..., 1], grid[..., 2] = np.mgrid[:256, :256]
        yield Image.fromarray(grid)


def test_every_colour_there_is_counts_as_in_imagehash() -> None:
    for image in every_colour():
        intensity = np.asarray(image.convert("L"))
        hue, saturation, _ = (np.asarray(c) for c in image.convert("HSV").split())
        # The masks and the bins of `imagehash.colorhash`.
        black = intensity < 32
        grey = saturation < 256 // 3
        coloured = ~black & ~grey
        faint = coloured & (saturation < 256 * 2 // 3)
        bright = coloured & (saturation > 256 * 2 // 3)
        bins = np.linspace(0, 255, 7)
        expected = [black.sum(), (~black & grey).sum()]
        expected += [*np.histogram(hue[faint], bins)[0], *np.histogram(hue[bright], bins)[0]]
        expected.append((coloured & ~faint & ~bright).sum())
        assert count_classes(image) == [int(count) for count in expected]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "HSV"])
def test_a_picture_of_another_mode_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"of mode {mode} "):
        hash_colours(Image.new(mode, (2, 2)))
