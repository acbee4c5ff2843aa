"""The colour hash: which shares of a picture are black, grey, and of which hues.

`imagehash.colorhash` converts every picture to HSV and masks full-size arrays, which takes ten
times as long as decoding it. What a pixel counts as depends on its colour alone, though, and there
are 2**24 colours: their classes are looked up in a table that is filled once from Pillow's own
conversions. The hash is imagehash's, bit for bit.

Source: `imagehash.colorhash` with its default of 3 bits a share.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

_BITS = 3
_NUM_HUES = 6
# A class is the sum of what hue, saturation and brightness say, each by its own table: hue says
# 0 to 5, and the largest other number decides.
_FAINT, _NEITHER, _BRIGHT, _GREY, _BLACK = 0, 8, 16, 32, 64
"""_NEITHER: a saturation of exactly 170, which counts as coloured, but not as faint or bright."""

_SIDE = 4096  # a picture of this side holds every colour once
_TABLE_ROWS = 256  # of that picture, converted at once: all of it would take 300 MB
_RGB = np.uint32(0xFFFFFF)
# imagehash means to write a share's binary digits; its middle digit says instead whether any of
# the upper two is set.
_CODES = tuple(4 * (v >= 4) + 2 * (v >= 2) + v % 2 for v in range(2**_BITS))


def hash_colours(image: Image.Image) -> str:
    """Return `str(imagehash.colorhash(image))`: 42 bits as 11 hex digits.

    Args:
        image: mode RGB.

    Raises:
        ValueError: when the picture is of another mode.
    """
    if image.mode != "RGB":
        raise ValueError(f"a picture of mode {image.mode} has no colours to count")
    return _write_hash(count_classes(image))


def count_classes(image: Image.Image) -> list[int]:
    """Return how many pixels are black, grey, of 6 faint hues, of 6 bright hues, and neither, [15].

    Args:
        image: mode RGB.
    """
    colours = np.frombuffer(image.tobytes("raw", "RGBX"), dtype="<u4") & _RGB
    # Not `table[colours]`: numpy would first widen every colour to a 64-bit index.
    classes = pc.take(_table(), _to_arrow(colours, pa.uint32()), boundscheck=False).buffers()[1]
    counts = Image.frombuffer("L", image.size, classes, "raw", "L", 0, 1).histogram()
    faint, bright = counts[_FAINT:][:_NUM_HUES], counts[_BRIGHT:][:_NUM_HUES]
    neither = sum(counts[_NEITHER:][:_NUM_HUES])
    return [sum(counts[_BLACK:]), sum(counts[_GREY:_BLACK]), *faint, *bright, neither]


def _write_hash(counts: Sequence[int]) -> str:
    num_pixels, num_coloured = sum(counts), sum(counts[2:])
    # Divided and multiplied in imagehash's order, whose roundings are part of the hash.
    steps = [count / num_pixels * 2**_BITS for count in counts[:2]]
    steps += [count * 2**_BITS / max(1, num_coloured) for count in counts[2:-1]]
    number = 0
    for step in steps:
        number = number << _BITS | _CODES[min(2**_BITS - 1, int(step))]
    return f"{number:011x}"


@cache
def _table() -> pa.Array:
    """Return the class of every colour, by red + 256 · green + 65,536 · blue, [2**24]."""
    classes = np.empty((_SIDE, _SIDE), dtype=np.uint8)
    for row in range(0, _SIDE, _TABLE_ROWS):
        first = row * _SIDE
        colours = np.arange(first, first + _TABLE_ROWS * _SIDE, dtype="<u4").tobytes()
        size = (_SIDE, _TABLE_ROWS)
        image = Image.frombuffer("RGB", size, colours, "raw", "RGBX", 0, 1)
        classes[row : row + _TABLE_ROWS] = _classify(image)
    return _to_arrow(classes.ravel(), pa.uint8())


def _to_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    # `pa.array` imports pandas, which takes a second, to see whether it was given something of it.
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _classify(image: Image.Image) -> NDArray[np.uint8]:
    """Return the class of each pixel, [height, width]."""
    hue, saturation, _ = image.convert("HSV").split()
    edges = np.linspace(0, 255, _NUM_HUES + 1)[1:-1]
    by_hue = np.searchsorted(edges, np.arange(256), side="right").tolist()
    by_saturation = 85 * [_GREY] + 85 * [_FAINT] + [_NEITHER] + 85 * [_BRIGHT]
    by_brightness = 32 * [_BLACK] + 224 * [0]
    classes = np.array(hue.point(by_hue), dtype=np.uint8)
    classes += np.asarray(saturation.point(by_saturation))
    classes += np.asarray(image.convert("L").point(by_brightness))
    return classes
