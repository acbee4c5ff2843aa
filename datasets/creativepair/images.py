"""Image bytes to sRGB pixels, and pixels to the derivative that is shown, trained on and released.

Use `decode` for every picture that comes from outside: what it returns is upright, opaque and in
one colour space, whatever the file was, and what it refuses it refuses with the file's name. Use
`encode_derivative` for every picture that leaves: it holds pixels and nothing else (no GPS).
"""

import hashlib
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

from creativepair.errors import InputError

MAX_SIDE_PX = 16_000
MAX_PIXELS = 64_000_000

DERIVATIVE_RECIPE = "jpeg-92-444-v1"
DERIVATIVE_MEDIA_TYPE = "image/jpeg"
DERIVATIVE_SIDE_PX = 1_600

_ACCEPTED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_SAVE_AGAIN = "Save it again as JPEG, PNG or WEBP from an image editor."

# How a file of an accepted format starts. One that starts so and cannot be opened is damaged;
# anything else was never an image we read. BMP is left out: "BM" starts ordinary text as well.
_ACCEPTED_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_OTHER_STARTS = {b"%PDF": "PDF", b"8BPS": "Photoshop", b"%!PS": "PostScript", b"\0\0\1\0": "icon"}
_BRANDS = {
    b"WEBP": "WEBP",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIC",
}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WARNING_FILTERS = threading.Lock()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture as people and models see it.

    Attributes:
        image: mode RGB, in sRGB, upright, opaque, without metadata; [height, width] pixels.
        format: what the bytes were, such as `JPEG`; an animation is represented by its first frame.
        width: pixels, after the orientation was applied.
        height: pixels, after the orientation was applied.
        pixel_sha256: SHA-256 of width and height (big-endian, 32 bits each) and the RGB bytes.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    pixel_sha256: str


def decode(data: bytes, *, name: str) -> Decoded:
    """Decode the bytes of one image file.

    Args:
        data: the whole file.
        name: what the user calls the file; every refusal starts with it.

    Raises:
        InputError: when the file is empty, damaged, not an image of an accepted format (vector
            images are not), has a side over `MAX_SIDE_PX` or more than `MAX_PIXELS` pixels (read
            from the header, before any pixel is decoded), or has pixels without a fixed white.
    """
    if not data:
        raise InputError(f"{name} is empty (0 bytes)", hint="Export or download the image again.")
    with _quiet_pillow():
        opened = _open(data, name)
        _refuse_oversized(opened.size, name)
        image = _decode_pixels(opened, name)
    # Pillow calls a JPEG with a second picture behind it, as phones write it, MPO.
    file_format = "JPEG" if opened.format == "MPO" else str(opened.format)
    return Decoded(image, file_format, image.width, image.height, _pixel_sha256(image))


def encode_derivative(image: Image.Image) -> bytes:
    """Encode pixels by `DERIVATIVE_RECIPE`: JPEG quality 92, 4:4:4, optimised, no metadata.

    The longest side is reduced to `DERIVATIVE_SIDE_PX` (Lanczos) and never enlarged. The same
    pixels give the same bytes under the same version of Pillow and its JPEG library.

    Args:
        image: mode RGB in sRGB, as `decode` returns it.
    """
    scale = DERIVATIVE_SIDE_PX / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        bare = image.resize(size, Image.Resampling.LANCZOS)
    else:
        bare = image.copy()
    bare.info = {}  # the encoder would carry a comment over from here
    buffer = BytesIO()
    bare.save(buffer, "JPEG", quality=92, subsampling="4:4:4", optimize=True)
    return buffer.getvalue()


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about odd files from the user, who cannot act on them.

    Warning filters belong to the process: two threads that swapped them at once could restore them
    in the wrong order, so one file is decoded at a time. Decode in processes to use more cores.
    """
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def _readable_formats() -> tuple[str, ...]:
    Image.init()  # AVIF came with Pillow 11.3
    return tuple(name for name in _ACCEPTED if name in Image.OPEN)


def _open(data: bytes, name: str) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(BytesIO(data), formats=_readable_formats())
    except Image.DecompressionBombError as error:
        raise _oversized(f"{name} has over {MAX_PIXELS // 10**6} million pixels") from error
    except Exception as error:  # parsers of hostile bytes raise anything
        raise _refusal(data, name) from error


def _refusal(data: bytes, name: str) -> InputError:
    """Say what bytes that could not be opened are, as far as their start tells."""
    if _is_svg(data):
        return InputError(
            f"{name} is a vector image (SVG)",
            hint="Vector images must be rasterised first: export it as PNG in the size shown.",
        )
    starts = _ACCEPTED_STARTS | _OTHER_STARTS
    known = next((starts[start] for start in starts if data.startswith(start)), None)
    if data.startswith(b"RIFF") or data[4:8] == b"ftyp":
        known = _BRANDS.get(data[8:12])  # containers that say at byte 8 what they hold
    if known is None:
        return InputError(
            f"{name} is not an image: it starts with {data[:16]!r}",
            hint="Check that the file holds the picture itself, not a web page or an error text.",
        )
    if known in _ACCEPTED:
        return InputError(
            f"{name} starts like a {known} file but is damaged or truncated",
            hint="Export or download the image again.",
        )
    return InputError(f"{name} is a {known} file, which is not accepted", hint=_SAVE_AGAIN)


def _is_svg(data: bytes) -> bool:
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_markup = head.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--"))
    return is_markup and b"<svg" in head and b"<html" not in head


def _refuse_oversized(size: tuple[int, int], name: str) -> None:
    width, height = size
    if max(size) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise _oversized(f"{name} is {width:,} × {height:,} pixels")


def _oversized(message: str) -> InputError:
    return InputError(
        f"{message}, which is too large",
        hint=f"Reduce it to at most {MAX_SIDE_PX:,} pixels a side"
        f" and {MAX_PIXELS // 10**6} million pixels in all.",
    )


def _decode_pixels(opened: Image.Image, name: str) -> Image.Image:
    try:
        opened.load()
        if opened.mode in ("I", "F", "LAB"):
            raise InputError(
                f"{name} has pixels of an unsupported kind (Pillow mode {opened.mode})",
                hint="Save it with 8 or 16 bits per channel, in RGB or grey.",
            )
        profile = opened.info.get("icc_profile")
        colour, alpha = _split_alpha(_turn_upright(opened))
        image = _flatten(_convert_to_srgb(colour, profile), alpha)
    except InputError:
        raise
    except Exception as error:  # parsers of hostile bytes raise anything
        raise InputError(
            f"{name} is damaged or truncated: {error}", hint="Export or download the image again."
        ) from error
    image.info = {}
    return image


def _turn_upright(image: Image.Image) -> Image.Image:
    orientation = 1
    # Orientation that cannot be read is no reason to refuse a picture that can. (Not
    # `ImageOps.exif_transpose`: it also rewrites the metadata and fails on tags it cannot write.)
    with suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colour part, in a mode that profiles are written for, and the alpha part."""
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((samples * 255 + 32_767) // 65_535).astype(np.uint8)), None
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        layered = image.convert("LA" if is_grey else "RGBA")
        return layered.convert("L" if is_grey else "RGB"), layered.getchannel("A")
    if is_grey or image.mode == "CMYK":
        return (image.convert("L") if is_grey else image), None
    return image.convert("RGB"), None


def _convert_to_srgb(colour: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        # Browsers show a picture whose profile is broken or of the wrong kind as if it had none.
        with suppress(ImageCms.PyCMSError):
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(colour, BytesIO(profile), srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return colour.convert("RGB")


def _flatten(colour: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is None:
        return colour
    page = Image.new("RGB", colour.size, "white")
    page.paste(colour, mask=alpha)
    return page


def _pixel_sha256(image: Image.Image) -> str:
    digest = hashlib.sha256(struct.pack(">II", image.width, image.height))
    digest.update(image.tobytes())
    return digest.hexdigest()
