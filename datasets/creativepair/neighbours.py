"""Which of many 64-bit hashes are nearly equal: an exact search that need not compare all pairs.

faiss does the searching. Two hashes that differ in at most 8 bits differ in at most 2 in one of
three bands, so looking up each band with up to 2 bits flipped finds every neighbour. Of the ways
that benchmarks/neighbours.py compares, this is the fastest that is exact and not our own code.
Hashes in a crowd (cards of one template) propose each other again and again; those are compared
with everything instead, which faiss does sixty times as fast for each comparison.
faiss-cpu is MIT, a wheel of 19 MB, and asks for nothing but numpy and packaging. Not chosen:
usearch searches approximately, pybktree takes hours, imagededup asks for torch.

Source: Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", 2012.
"""

from collections.abc import Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

_NUM_BANDS = 3
_BAND_BITS = 21  # the last bit of a hash is in no band, which costs nothing: bands only propose
_WIDEST_BY_BANDS = 8
"""Radius in bits up to which looking up flipped bands is faster than comparing everything."""
_CROWD = 1 / 300
"""Share of all hashes with an equal band from which comparing everything is faster, as measured."""

_FIRST_QUERIES = {"by bands": 1_024, "in a crowd": 64}
_MOST_QUERIES = 16_384
_MOST_RESULTS = 4_000_000
"""Neighbours found at once, about: they take 12 bytes each."""


def iterate_neighbours(hashes: Hashes, radius: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield every two rows whose hashes differ in at most `radius` bits, once, some at a time.

    Memory stays small as long as no one hash has very many neighbours: where n hashes are all
    alike there are n²/2 pairs, and they are found in parts. Leave out repeated hashes beforehand.

    Args:
        hashes: [n].
        radius: bits, 0 to 64.

    Yields:
        Rows of the smaller and of the larger number, [k] each.

    Raises:
        ValueError: when the radius is not from 0 to 64.
    """
    if not 0 <= radius <= 64:
        raise ValueError(f"a radius of {radius} bits is not from 0 to 64")
    crowded = _find_crowded(hashes, radius)
    for is_crowd in (False, True):
        queries = np.flatnonzero(crowded == is_crowd)
        if len(queries):
            yield from _search(hashes, queries, radius, by_bands=not is_crowd)


def _find_crowded(hashes: Hashes, radius: int) -> NDArray[np.bool_]:
    """Return which hashes are better compared with everything, [n]."""
    if radius > _WIDEST_BY_BANDS:
        return np.ones(len(hashes), dtype=bool)
    num_equal = np.zeros(len(hashes), dtype=np.int64)
    for band in range(_NUM_BANDS):
        keys = hashes >> np.uint64(band * _BAND_BITS) & np.uint64(2**_BAND_BITS - 1)
        places = keys.astype(np.int64)
        num_equal += np.bincount(places)[places]
    return num_equal > _NUM_BANDS + _CROWD * len(hashes)


def _search(
    hashes: Hashes, queries: Rows, radius: int, *, by_bands: bool
) -> Iterator[tuple[Rows, Rows]]:
    codes = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)
    index = _make_bands(radius) if by_bands else faiss.IndexBinaryFlat(64)
    index.add(codes)
    start, num_queries = 0, _FIRST_QUERIES["by bands" if by_bands else "in a crowd"]
    while start < len(queries):
        asked = queries[start : start + num_queries]
        # faiss leaves the radius itself out.
        limits, _, found = index.range_search(codes[asked], radius + 1)
        rows = np.repeat(asked, np.diff(limits.astype(np.int64)))
        once = rows < found
        yield rows[once], found[once]
        start += len(asked)
        # Neighbours come in crowds, so the last queries tell best what the next will find.
        per_query = max(1, len(found) // len(asked))
        num_queries = max(1, min(_MOST_QUERIES, 2 * num_queries, _MOST_RESULTS // per_query))


def _make_bands(radius: int) -> "faiss.IndexBinaryMultiHash":
    index = faiss.IndexBinaryMultiHash(64, _NUM_BANDS, _BAND_BITS)
    # Of `radius` differing bits, the band with fewest has no more than this.
    index.nflip = radius // _NUM_BANDS
    return index
