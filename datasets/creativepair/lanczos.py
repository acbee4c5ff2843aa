"""Pillow's Lanczos reduction of one grey picture to several sizes in one pass, bit for bit.

Perceptual hashes look at 32 × 32 and 9 × 8 pixels of a picture, and Pillow reads all of it anew for
each. One matrix product makes both from one reading, three times as fast as two calls of
`Image.resize`. Use it where hashes are made; anything that is looked at is resized by Pillow.

The result is Pillow's because the arithmetic is: weights in fixed point, exact sums (a product of
doubles holds them: 2**22 · 255 · 2 is far below 2**53), rounding to 8 bits after each direction.
Which direction comes first matters too. All of Pillow's releases begin with the width of a picture
that is not tall; newer ones begin with the height of a tall one, and such pictures are left to
Pillow. So is everything, should an installed Pillow ever compute otherwise: that is tried once.

Source: `precompute_coeffs`, `ImagingResampleHorizontal_8bpc` in Pillow's `Resample.c`.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Doubles = NDArray[np.float64]

_LOBES = 3
_UNIT = 2.0**22  # Pillow's weights are multiples of 1 / _UNIT
_SHORTEST_SIDE_PX = 64
_TALLEST = 1.5  # height over width; Pillow 13 begins with the height from about 2
_ROWS = 64
"""Rows widened to doubles at once; all of a picture would leave the processor's cache."""


def reduce_grey(grey: Image.Image, sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
    """Return `grey.resize(size, Image.Resampling.LANCZOS)` for each size.

    Args:
        grey: mode L.
        sizes: (width, height) of the results, in pixels.

    Raises:
        ValueError: when the picture is not of mode L.
    """
    if grey.mode != "L":
        raise ValueError(f"a picture of mode {grey.mode} is not grey")
    is_tall = grey.height > _TALLEST * grey.width
    if is_tall or min(grey.size) < _SHORTEST_SIDE_PX or not _agrees_with_pillow(tuple(sizes)):
        return [grey.resize(size, Image.Resampling.LANCZOS) for size in sizes]
    return _reduce_width_first(grey, sizes)


@cache
def _agrees_with_pillow(sizes: tuple[tuple[int, int], ...]) -> bool:
    """Tell whether the installed Pillow computes as this module does, from noise."""
    rng = np.random.default_rng(0)
    side = _SHORTEST_SIDE_PX
    for shape in ((side, side), (side, 3 * side), (int(_TALLEST * side), side)):
        # Black and white, so that sums leave the range and the order of directions shows.
        noise = Image.fromarray(rng.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255))
        ours = _reduce_width_first(noise, sizes)
        if ours != [noise.resize(size, Image.Resampling.LANCZOS) for size in sizes]:
            return False
    return True


def _reduce_width_first(grey: Image.Image, sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
    narrow = _narrow(grey, tuple(width for width, _ in sizes))
    results, start = [], 0
    for width, height in sizes:
        columns = narrow[:, start : start + width]
        start += width
        small = _round(_weights(grey.height, (height,)).T @ columns)
        results.append(Image.fromarray(small.astype(np.uint8)))
    return results


def _narrow(grey: Image.Image, widths: tuple[int, ...]) -> Doubles:
    """Return the picture reduced horizontally to each width, side by side, [height, Σ widths]."""
    weights = _weights(grey.width, widths)
    pixels = np.frombuffer(grey.tobytes(), dtype=np.uint8).reshape(grey.height, grey.width)
    narrow = np.empty((grey.height, weights.shape[1]))
    for row in range(0, grey.height, _ROWS):
        block = pixels[row : row + _ROWS].astype(np.float64)
        np.matmul(block, weights, out=narrow[row : row + _ROWS])
    return _round(narrow)


def _round(sums: Doubles) -> Doubles:
    """Return sums of weighted pixels as whole numbers from 0 to 255, halves upward."""
    return np.clip(np.floor((sums + _UNIT / 2) / _UNIT), 0, 255)


@lru_cache(maxsize=16)  # creatives come in few sizes; the largest picture's weights take 5 MB
def _weights(length: int, results: tuple[int, ...]) -> Doubles:
    """Return what each of `length` pixels counts in each result, [length, Σ results]."""
    return np.ascontiguousarray(np.hstack([_weights_of_one(length, one) for one in results]))


def _weights_of_one(length: int, result: int) -> Doubles:
    step = length / result
    stretch = max(step, 1.0)
    middle = ((np.arange(result) + 0.5) * step)[:, None]
    first = np.maximum((middle - _LOBES * stretch + 0.5).astype(np.int64), 0)
    end = np.minimum((middle + _LOBES * stretch + 0.5).astype(np.int64), length)
    place = np.arange(length)
    offset = (place - middle + 0.5) * (1.0 / stretch)
    weights = np.sinc(offset) * np.sinc(offset / _LOBES)
    weights[(place < first) | (place >= end) | (offset < -_LOBES) | (offset >= _LOBES)] = 0.0
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # in Pillow's order: `sum` adds in another
    return np.trunc(weights * _UNIT + np.copysign(0.5, weights)).T
