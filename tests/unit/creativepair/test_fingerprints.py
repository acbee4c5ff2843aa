from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from creativepair.errors import InputError
from creativepair.fingerprints import (
    Fingerprints,
    fingerprint,
    hamming,
    hamming_matrix,
    mean_rgb_difference,
    thumbnail_rgb,
)

hashes = st.integers(0, 2**64 - 1).map("{:016x}".format)


def noise(seed: int, size: tuple[int, int] = (90, 70)) -> Image.Image:
    width, height = size
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def assert_equals_imagehash(image: Image.Image) -> None:
    found = fingerprint(image)
    assert found.phash == str(imagehash.phash(image))
    assert found.dhash == str(imagehash.dhash(image))
    assert found.colorhash == str(imagehash.colorhash(image))
    assert imagehash.hex_to_hash(found.phash) == imagehash.phash(image)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_hashes_are_those_of_imagehash_bit_for_bit(seed: int, size: tuple[int, int]) -> None:
    assert_equals_imagehash(noise(seed, size))


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3000, 20), (20, 3000), (200, 150)])
@pytest.mark.parametrize("colour", ["black", "white", "#808080", "#ff0000", "#00ff00", "#1010ff"])
def test_hashes_of_plain_pictures_are_those_of_imagehash(
    size: tuple[int, int], colour: str
) -> None:
    assert_equals_imagehash(Image.new("RGB", size, colour))


@pytest.mark.parametrize("size", [(300, 200), (200, 290), (150, 600), (7, 3), (2000, 9)])
def test_hashes_of_raw_noise_and_of_grey_pictures_are_those_of_imagehash(
    size: tuple[int, int],
) -> None:
    shape = (size[1], size[0], 3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    assert_equals_imagehash(image)
    assert_equals_imagehash(image.convert("L").convert("RGB"))


def test_hashes_of_real_photos_are_those_of_imagehash() -> None:
    folder = Path(__file__).parents[3].parent / "shared" / "data" / "retail_products" / "images"
    photos = sorted(folder.glob("*.jpg"))[::6]
    if not photos:
        pytest.skip("no real photos beside the checkout: shared/data/retail_products")
    for photo in photos:
        with Image.open(photo) as image:
            assert_equals_imagehash(image.convert("RGB"))


def test_hashes_have_fixed_widths_and_name_their_recipe() -> None:
    found = fingerprint(Image.new("RGB", (20, 20)))
    assert (len(found.phash), len(found.dhash), len(found.colorhash)) == (16, 16, 11)
    assert found == Fingerprints(found.phash, found.dhash, found.colorhash)
    assert found.recipe.endswith("-v1")


def test_the_same_picture_in_another_size_stays_close() -> None:
    image = noise(3, (600, 400))
    small = image.resize((300, 200), Image.Resampling.LANCZOS)
    assert hamming(fingerprint(image).phash, fingerprint(small).phash) <= 4
    assert mean_rgb_difference(thumbnail_rgb(image), thumbnail_rgb(small)) < 2


def test_phash_cannot_tell_a_recoloured_product_and_the_thumbnail_can() -> None:
    def card(colour: tuple[int, int, int]) -> Image.Image:
        image = Image.new("RGB", (200, 200), "white")
        ImageDraw.Draw(image).ellipse((40, 60, 160, 140), fill=colour)
        return image

    # Two colours of one brightness: 0.299 · 200 = 59.8 and 0.587 · 102 = 59.9.
    red, green = card((200, 0, 0)), card((0, 102, 0))
    assert hamming(fingerprint(red).phash, fingerprint(green).phash) <= 4
    # The ellipse covers π · 60 · 40 / 200² = 0.188; there the channels differ by (200 + 102) / 3.
    difference = mean_rgb_difference(thumbnail_rgb(red), thumbnail_rgb(green))
    assert difference == pytest.approx(0.188 * 302 / 3, abs=0.5)
    assert fingerprint(red).colorhash != fingerprint(green).colorhash


def test_hamming_counts_the_bits_that_differ() -> None:
    # 0x5 = 0101 and 0x3 = 0011 differ in two bits.
    assert hamming("0000000000000005", "0000000000000003") == 2
    assert hamming("0" * 16, "f" * 16) == 64


@given(hashes, hashes)
def test_hamming_agrees_with_imagehash(a: str, b: str) -> None:
    assert hamming(a, b) == imagehash.hex_to_hash(a) - imagehash.hex_to_hash(b)


@given(st.lists(hashes, max_size=8))
def test_the_matrix_holds_every_pair(found: list[str]) -> None:
    matrix = hamming_matrix(found)
    assert matrix.dtype == np.uint8
    assert matrix.shape == (len(found), len(found))
    assert matrix.tolist() == [[hamming(a, b) for b in found] for a in found]


@pytest.mark.parametrize(
    "text", ["", "0" * 15, "0" * 17, "0x00000000000000", "F" * 16, "0" * 16 + "\n"]
)
def test_what_is_not_a_64_bit_hash_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a 64-bit hash"):
        hamming(text, "0" * 16)
    with pytest.raises(InputError, match="is not a 64-bit hash"):
        hamming_matrix([text])


def test_a_thumbnail_is_a_square_of_rgb_values() -> None:
    thumbnail = thumbnail_rgb(Image.new("RGB", (300, 100), (10, 20, 30)), side_px=8)
    assert thumbnail.shape == (8, 8, 3)
    assert thumbnail.dtype == np.uint8
    assert (thumbnail == [10, 20, 30]).all()


def test_the_mean_difference_is_over_pixels_and_channels() -> None:
    a = np.zeros((2, 1, 3), dtype=np.uint8)
    b = np.array([[[255, 0, 0]], [[0, 0, 3]]], dtype=np.uint8)
    # (255 + 3) / 6 values = 43.
    assert mean_rgb_difference(a, b) == mean_rgb_difference(b, a) == 43.0
    assert mean_rgb_difference(b, b) == 0.0


def test_thumbnails_of_different_sizes_are_not_compared() -> None:
    small, large = np.zeros((2, 2, 3), dtype=np.uint8), np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="cannot be compared"):
        mean_rgb_difference(small, large)
