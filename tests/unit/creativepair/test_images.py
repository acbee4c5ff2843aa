import hashlib
import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from creativepair.errors import InputError
from creativepair.images import (
    DERIVATIVE_SIDE_PX,
    MAX_PIXELS,
    MAX_SIDE_PX,
    decode,
    encode_derivative,
)

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def gradient(width: int = 48, height: int = 32) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([across, down, 255 - across]).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds next to no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 64)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def colour_at(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return tuple(int(channel) for channel in value)


def jpeg_markers(data: bytes) -> list[int]:
    """The marker bytes of a JPEG up to the start of its pixels."""
    markers, at = [], 2
    while data[at + 1] != 0xDA:
        markers.append(data[at + 1])
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return markers


# --- what is accepted -------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_accepted_format_decodes_to_rgb_of_the_right_size(file_format: str) -> None:
    decoded = decode(encode(gradient(), file_format), name="a")
    assert (decoded.format, decoded.width, decoded.height) == (file_format, 48, 32)
    assert (decoded.image.mode, decoded.image.size) == ("RGB", (48, 32))


def test_the_pixel_hash_is_of_width_height_and_rgb_bytes() -> None:
    decoded = decode(encode(Image.new("RGB", (2, 1), RED)), name="a")
    by_hand = bytes([0, 0, 0, 2, 0, 0, 0, 1]) + bytes([255, 0, 0, 255, 0, 0])
    assert decoded.pixel_sha256 == hashlib.sha256(by_hand).hexdigest()


def test_the_same_pixels_in_two_files_have_one_pixel_hash() -> None:
    hashes = {decode(encode(gradient(), kind), name="a").pixel_sha256 for kind in ("PNG", "BMP")}
    assert len(hashes) == 1


def test_the_same_bytes_in_another_shape_have_another_pixel_hash() -> None:
    wide, tall = (encode(Image.new("RGB", size, RED)) for size in ((2, 3), (3, 2)))
    assert decode(wide, name="a").pixel_sha256 != decode(tall, name="a").pixel_sha256


# Where the red pixel of a 3 × 2 picture, stored top left, belongs, for EXIF orientations 1 to 8.
@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (3, 2), (0, 0)),
        (2, (3, 2), (2, 0)),
        (3, (3, 2), (2, 1)),
        (4, (3, 2), (0, 1)),
        (5, (2, 3), (0, 0)),
        (6, (2, 3), (1, 0)),
        (7, (2, 3), (1, 2)),
        (8, (2, 3), (0, 2)),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_the_exif_orientation_is_applied_once(
    orientation: int, size: tuple[int, int], corner: tuple[int, int], file_format: str
) -> None:
    image = Image.new("RGB", (3, 2), BLUE)
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encode(image, file_format, exif=exif), name="a")
    assert (decoded.width, decoded.height) == size
    assert colour_at(decoded.image, *corner) == RED
    assert not decoded.image.info


def test_metadata_that_cannot_be_read_does_not_cost_the_picture() -> None:
    data = encode(gradient(), exif=b"Exif\0\0broken")
    assert decode(data, name="a").image.size == (48, 32)


def test_a_colour_profile_is_converted_to_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # With the red and the blue primary swapped, what is stored as red means blue.
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    red = Image.new("RGB", (4, 4), RED)
    assert colour_at(decode(encode(red, icc_profile=swapped), name="a").image) == BLUE
    assert colour_at(decode(encode(red, icc_profile=srgb), name="a").image) == RED


def test_an_srgb_profile_changes_no_pixel() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = encode(gradient()), encode(gradient(), icc_profile=srgb)
    assert decode(plain, name="a").pixel_sha256 == decode(tagged, name="a").pixel_sha256


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_profile_that_is_broken_is_ignored(mode: str) -> None:
    image = gradient().convert(mode)
    decoded = decode(encode(image, icc_profile=b"not a profile"), name="a")
    assert decoded.image.tobytes() == image.convert("RGB").tobytes()


def test_a_transparent_picture_is_shown_on_white() -> None:
    # Half-transparent black: 0 · 128/255 + 255 · 127/255 = 127.
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.putpixel((2, 0), (255, 0, 0, 255))
    shown = decode(encode(image), name="a").image
    assert [colour_at(shown, x) for x in range(3)] == [WHITE, (127, 127, 127), RED]


@pytest.mark.parametrize("mode", ["LA", "P", "L", "RGB"])
def test_every_kind_of_transparency_is_shown_on_white(mode: str) -> None:
    if mode == "LA":
        data = encode(Image.new("LA", (2, 2), (0, 0)))
    else:
        black = (0, 0, 0) if mode == "RGB" else 0
        data = encode(Image.new(mode, (2, 2), black), transparency=black)
    assert colour_at(decode(data, name="a").image) == WHITE


def test_a_palette_with_graded_alpha_is_shown_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    shown = decode(encode(image, transparency=bytes([255, 0])), name="a").image
    assert [colour_at(shown, x) for x in range(2)] == [RED, WHITE]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_to_eight(file_format: str) -> None:
    # 65535 · 255/65535 = 255; 32768 · 255/65535 = 127.502 -> 128; 128 · 255/65535 = 0.498 -> 0.
    samples = np.array([[65_535, 32_768, 128]], dtype=np.uint16)
    shown = decode(encode(Image.fromarray(samples), file_format), name="a").image
    assert [colour_at(shown, x)[0] for x in range(3)] == [255, 128, 0]


def test_cmyk_and_one_bit_pictures_are_converted() -> None:
    cmyk = decode(encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), name="a").image
    one_bit = decode(encode(Image.new("1", (8, 8), 1)), name="a").image
    assert colour_at(cmyk) == colour_at(one_bit) == WHITE


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_stands_for_an_animation(file_format: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE))
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(first, file_format, save_all=True, append_images=[second], **options)
    assert colour_at(decode(data, name="a").image) == RED


def test_a_phone_jpeg_with_a_second_picture_is_a_jpeg() -> None:
    data = encode(gradient(), "MPO", save_all=True, append_images=[gradient()])
    assert decode(data, name="a").format == "JPEG"


# --- what is refused --------------------------------------------------------------------------

SVG = b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
HTML = b"<!doctype html><html><body>404 <svg></svg></body></html>"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"BMW of the week", "is not an image"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "is not an image"),
        (HTML, "is not an image"),
        (b"<?xml version='1.0'?><html><svg/></html>", "is not an image"),
        (SVG, "is a vector image"),
        (b"  <svg/>", "is a vector image"),
        (b"%PDF-1.7 ...", "is a PDF file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC file"),
        (b"\x89PNG\r\n\x1a\nbroken", "starts like a PNG file"),
        (b"RIFF\x04\0\0\0WEBPVP8 ", "starts like a WEBP file"),
    ],
)
def test_what_is_not_a_usable_image_is_refused_by_name(data: bytes, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(data, name="shoe.jpg")
    assert caught.value.message.startswith(f"shoe.jpg {complaint}")
    assert caught.value.hint


def test_a_vector_image_is_to_be_rasterised_first() -> None:
    with pytest.raises(InputError) as caught:
        decode(SVG, name="logo.svg")
    assert "rasterised first" in caught.value.hint


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_half_a_file_is_refused(file_format: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), file_format)
    with pytest.raises(InputError, match=r"shoe\.jpg .*damaged or truncated"):
        decode(data[: len(data) // 2], name="shoe.jpg")


@pytest.mark.parametrize(
    ("width", "height"), [(60_000, 1), (1, MAX_SIDE_PX + 1), (8_001, 8_000), (60_000, 60_000)]
)
def test_an_oversized_picture_is_refused_from_its_header(width: int, height: int) -> None:
    # The file holds 64 bytes of pixels: had they been looked at, it would be called truncated.
    with pytest.raises(InputError, match="too large") as caught:
        decode(png_header(width, height), name="huge.png")
    assert caught.value.message.startswith("huge.png ")
    assert "16,000" in caught.value.hint


def test_a_picture_at_the_limits_is_not_too_large() -> None:
    assert MAX_SIDE_PX * 4_000 == MAX_PIXELS
    with pytest.raises(InputError, match="truncated"):  # past the size check, and then no pixels
        decode(png_header(MAX_SIDE_PX, 4_000), name="large.png")


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_fixed_white_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match=f"mode {mode}"):
        decode(encode(Image.new(mode, (4, 4)), "TIFF"), name="a")


def test_no_warning_of_the_decoder_leaks_out() -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([0, 0, 0] * 256)
    odd = encode(image, "TIFF")[:-6]  # cut tags
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(encode(image, transparency=bytes([1, 2, 3])), name="a")
        with pytest.raises(InputError):
            decode(odd, name="a")


SAMPLES = [encode(gradient(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_bytes_give_a_picture_or_a_refusal_and_nothing_else(
    sample: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        assert decode(bytes(damaged), name="a").image.mode == "RGB"


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=64))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        decode(data, name="a")


# --- derivatives ------------------------------------------------------------------------------


def test_a_derivative_holds_no_metadata() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"  # GPS latitude reference
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(gradient(), "JPEG", exif=exif, icc_profile=srgb, comment=b"made by me")
    assert {0xE1, 0xE2, 0xFE} <= set(jpeg_markers(data))  # EXIF, ICC and a comment going in
    derivative = encode_derivative(decode(data, name="a").image)
    # JFIF header, quantisation, frame and Huffman tables: nothing else.
    assert set(jpeg_markers(derivative)) == {0xE0, 0xDB, 0xC0, 0xC4}
    assert b"made by me" not in derivative


def test_metadata_on_the_image_object_is_not_carried_over() -> None:
    image = gradient()
    image.info["comment"] = b"made by me"
    assert b"made by me" not in encode_derivative(image)
    assert image.info  # the caller's object is left alone


def test_a_derivative_is_the_same_every_time() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "me")
    plain, noted = encode(gradient()), encode(gradient(), pnginfo=text)
    first, second = (encode_derivative(decode(data, name="a").image) for data in (plain, noted))
    assert first == second


def test_a_derivative_keeps_full_colour_resolution() -> None:
    with Image.open(BytesIO(encode_derivative(gradient()))) as image:
        assert image.format == "JPEG"
        # (name, horizontal, vertical sampling, table): 1 × 1 for all three channels is 4:4:4.
        assert [layer[1:3] for layer in getattr(image, "layer")] == [(1, 1)] * 3  # noqa: B009


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3_200, 1_000), (1_600, 500)),
        ((1_000, 3_200), (500, 1_600)),
        ((1_600, 1_600), (1_600, 1_600)),
        ((30, 20), (30, 20)),
        ((16_000, 1), (1_600, 1)),
    ],
)
def test_the_longest_side_is_reduced_and_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    with Image.open(BytesIO(encode_derivative(Image.new("RGB", size)))) as image:
        assert image.size == expected
        assert max(image.size) <= DERIVATIVE_SIDE_PX


def test_a_derivative_is_close_to_its_picture() -> None:
    with Image.open(BytesIO(encode_derivative(gradient()))) as image:
        difference = np.asarray(image).astype(int) - np.asarray(gradient()).astype(int)
    assert np.abs(difference).mean() < 2
