from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from creativepair.fingerprints import mean_rgb_difference, thumbnail_rgb
from creativepair.images import encode_derivative
from creativepair.thumbnails import ThumbnailCache, thumbnail_of_derivative

SHA = "ab" * 32


def card(size: tuple[int, int] = (900, 600), words: str = "Spring sale") -> Image.Image:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((size[0] // 9, size[1] // 6, size[0] // 2, size[1] // 2), fill="#c04020")
    draw.text((size[0] // 2, size[1] // 2), words, "white", font_size=max(1, size[1] // 4))
    return image


@pytest.mark.parametrize("size", [(1, 1), (40, 90), (900, 600), (1600, 1600), (3000, 200)])
def test_a_thumbnail_is_made_from_any_derivative_and_always_the_same(size: tuple[int, int]) -> None:
    data = encode_derivative(card(size))
    found = thumbnail_of_derivative(data)
    assert found.shape == (64, 64, 3)
    assert np.array_equal(found, thumbnail_of_derivative(data))


def test_it_looks_like_the_thumbnail_of_the_whole_picture() -> None:
    image = card()
    found = thumbnail_of_derivative(encode_derivative(image))
    assert mean_rgb_difference(found, thumbnail_rgb(image)) < 1


def test_a_resized_copy_stays_under_the_threshold_of_pairs_and_other_words_differ_more() -> None:
    def thumbnail(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return thumbnail_of_derivative(encode_derivative(image))

    original = thumbnail(card())
    copy = mean_rgb_difference(original, thumbnail(card().resize((630, 420))))
    other = mean_rgb_difference(original, thumbnail(card(words="Winter deals")))
    assert copy < 3
    assert 2 * copy < other


def test_what_was_put_is_got(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path / "made" / "later")
    assert cache.get(SHA) is None
    thumbnail = thumbnail_rgb(card())
    cache.put(SHA, thumbnail)
    found = cache.get(SHA)
    assert found is not None
    assert np.array_equal(found, thumbnail)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("keep", [0, 31, 500])
def test_a_torn_file_counts_as_missing(tmp_path: Path, keep: int) -> None:
    cache = ThumbnailCache(tmp_path)
    cache.put(SHA, thumbnail_rgb(card()))
    (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[:keep])
    assert cache.get(SHA) is None
    path.write_bytes(bytes(64 * 64 * 3 + 32))  # as a power cut can leave it
    assert cache.get(SHA) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ThumbnailCache(tmp_path / "file")
    cache.put(SHA, thumbnail_rgb(card()))
    assert cache.get(SHA) is None
