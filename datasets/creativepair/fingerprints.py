"""Perceptual hashes and small thumbnails: how alike two pictures are.

pHash alone is not enough. It is computed from the grey picture, so hue-shifted photos, recoloured
products and cards of one template look equal to it. Call a pair too alike only when the pHash
distance is small *and* `mean_rgb_difference` of the two thumbnails is small as well.

The hashes are those of imagehash, which stays their definition; only the ways there are shorter
(`creativepair.lanczos`, `creativepair.colours`), and tests hold them against it bit for bit.

Source: the hashes are `imagehash.phash`, `dhash` and `colorhash` with their defaults.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creativepair.colours import hash_colours
from creativepair.errors import InputError
from creativepair.lanczos import reduce_grey

FINGERPRINT_RECIPE = "phash-64-dhash-64-colorhash-42-v1"
# v1 was plain Lanczos, which took twice as long as decoding; v2 first reduces by whole pixels to
# about twice the size. The two differ by 0.3 to 0.5 of 255 on average.
THUMBNAIL_RECIPE = "lanczos-64-gap-2-v2"
THUMBNAIL_SIDE_PX = 64
_REDUCING_GAP = 2.0


# The pixels that imagehash reduces a picture to, which leaves it nothing more to reduce.
_PHASH_SIZE_PX = (32, 32)
_DHASH_SIZE_PX = (9, 8)
_HASH_64_BITS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The perceptual hashes of one picture.

    Attributes:
        phash: 64 bits as 16 hex digits; low frequencies of the grey picture.
        dhash: 64 bits as 16 hex digits; signs of the grey picture's horizontal differences.
        colorhash: 42 bits as 11 hex digits; shares of black, grey and twelve hue bins. Its bits
            are binned shares, so compare it for equality, not by `hamming`.
        recipe: what computed them; hashes of different recipes are not comparable.
    """

    phash: str
    dhash: str
    colorhash: str
    recipe: str = FINGERPRINT_RECIPE


def fingerprint(image: Image.Image) -> Fingerprints:
    """Return the perceptual hashes of an RGB picture."""
    for_phash, for_dhash = reduce_grey(image.convert("L"), (_PHASH_SIZE_PX, _DHASH_SIZE_PX))
    return Fingerprints(
        phash=str(imagehash.phash(for_phash)),
        dhash=str(imagehash.dhash(for_dhash)),
        colorhash=hash_colours(image),
    )


def hamming(a_hex: str, b_hex: str) -> int:
    """Return in how many bits, 0 to 64, two 64-bit hashes differ.

    Raises:
        InputError: when a hash is not 16 lower-case hex digits.
    """
    return (_to_int(a_hex) ^ _to_int(b_hex)).bit_count()


def to_bits(hashes: Iterable[str]) -> NDArray[np.uint64]:
    """Return 64-bit hashes as numbers, [n]; `np.bitwise_count` of two XORed is their distance.

    Raises:
        InputError: when a hash is not 16 lower-case hex digits.
    """
    return np.array([_to_int(text) for text in hashes], dtype=np.uint64)


def hamming_matrix(hashes: Sequence[str]) -> NDArray[np.uint8]:
    """Return the bits, 0 to 64, in which any two of n 64-bit hashes differ, as [n, n].

    Memory is n² bytes: the matrix itself.

    Raises:
        InputError: when a hash is not 16 lower-case hex digits.
    """
    values = to_bits(hashes)
    distances = np.empty((len(values), len(values)), dtype=np.uint8)
    for row, value in enumerate(values):  # all rows at once would need 8 n² bytes for the XOR
        np.bitwise_count(values ^ value, out=distances[row])
    return distances


def thumbnail_rgb(image: Image.Image, side_px: int = THUMBNAIL_SIDE_PX) -> NDArray[np.uint8]:
    """Return the picture squeezed to a square, [side_px, side_px, 3], values 0 to 255.

    The aspect ratio is not kept: the same picture in another size gives nearly the same thumbnail.

    Args:
        image: mode RGB.
        side_px: width and height of the thumbnail.
    """
    small = image.resize((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    return np.array(small, dtype=np.uint8)


def mean_rgb_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference, 0 to 255, of two thumbnails over pixels and channels.

    Raises:
        ValueError: when the thumbnails differ in shape.
    """
    if a.shape != b.shape:
        raise ValueError(f"thumbnails of shapes {a.shape} and {b.shape} cannot be compared")
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


def _to_int(text: str) -> int:
    if not _HASH_64_BITS.fullmatch(text):
        raise InputError(
            f"{text!r} is not a 64-bit hash",
            hint="A hash is 16 lower-case hex digits, as `fingerprint` writes it.",
        )
    return int(text, 16)
