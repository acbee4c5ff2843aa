"""Measurements of one ad image, at a fixed working size so that they compare.

They need no model: contrast, colour, sharpness, the subject against the border's colours, areas
that look like text, clutter, harmony of hues.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from creativepair.fingerprints import fingerprint, thumbnail_rgb

WORKING_SIDE_PX = 256
_BORDER_SHARE = 0.04
_LEAST_DISTANCE = 0.07
_HUE_BINS = 12

_STROKE_STEP = 20.0  # grey levels from one pixel to the next that are the edge of a stroke
_STROKE_WINDOW_PX = 17  # bridges the gap between two letters

Floats = NDArray[np.float64]
Strokes = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of one image.

    Attributes:
        contrast: standard deviation of luminance, 0 to 0.5.
        colourfulness: Hasler and Süsstrunk (2003), 0 (grey) to about 150.
        sharpness: variance of the Laplacian of luminance × 1,000, 0 up.
        subject_size: share of the frame that stands out from the border's colours, 0 to 1.
        centring: 1 where the subject's centre is the frame's, 0 in a corner.
        cut_off: share of the frame's border that the subject touches, 0 to 1.
        text_area: share of the frame covered by text-like strokes, 0 to 1.
        clutter: share of edge pixels outside the subject, 0 to 1.
        harmony: 1 − entropy of the hues (12 bins, weighted by chroma), 0 to 1; 1 for one hue.
        phash: perceptual hash, 16 hexadecimal digits.
        thumbnail: (64, 64, 3) RGB.
    """

    contrast: float
    colourfulness: float
    sharpness: float
    subject_size: float
    centring: float
    cut_off: float
    text_area: float
    clutter: float
    harmony: float
    phash: str
    thumbnail: NDArray[np.uint8]


def measure(image: Image.Image) -> Measures:
    """Measure an RGB image of any size."""
    # Hashing 1,600 pixels a side costs three times as much as all the rest together.
    small = image.resize(_fit(image.size, 2 * WORKING_SIDE_PX), Image.Resampling.BOX)
    pixels = _working_pixels(image)
    luminance = pixels @ np.array([0.2126, 0.7152, 0.0722])
    subject = _find_subject(pixels)
    edges = _edge_strength(luminance) > 0.12
    size, centring, cut_off = _describe_subject(subject)
    return Measures(
        contrast=float(luminance.std()),
        colourfulness=_colourfulness(pixels),
        sharpness=float(1_000 * ndimage.laplace(luminance).var()),
        subject_size=size,
        centring=centring,
        cut_off=cut_off,
        text_area=float(_find_text((255 * luminance).astype(np.float32)).mean()),
        clutter=float((edges & ~subject).mean()),
        harmony=_harmony(pixels),
        phash=fingerprint(small).phash,
        thumbnail=thumbnail_rgb(image),
    )


def _working_pixels(image: Image.Image) -> Floats:
    """Return (height, width, 3) in 0 to 1, longest side `WORKING_SIDE_PX`, no side under 8."""
    small = image.resize(_fit(image.size, WORKING_SIDE_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255


def _fit(size: tuple[int, int], side_px: int) -> tuple[int, int]:
    scale = side_px / max(size)
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))


def _colourfulness(pixels: Floats) -> float:
    """Source: Hasler and Süsstrunk (2003), Measuring colourfulness in natural images."""
    r, g, b = (255 * pixels[..., i] for i in range(3))
    rg, yb = r - g, (r + g) / 2 - b
    spread = float(np.hypot(rg.std(), yb.std()))
    return spread + 0.3 * float(np.hypot(rg.mean(), yb.mean()))


def _find_subject(pixels: Floats) -> Mask:
    """Mark what differs from the border: a plane of colour is fitted to the border's pixels.

    The plane follows flat and graded backgrounds; the threshold is Otsu's, never under a floor.
    """
    height, width, _ = pixels.shape
    rim = max(1, round(_BORDER_SHARE * min(height, width)))
    y, x = np.mgrid[0:height, 0:width]
    border = (y < rim) | (y >= height - rim) | (x < rim) | (x >= width - rim)
    terms = np.stack([np.ones(y.shape), y / height, x / width], axis=-1)
    places, colours = terms[border], pixels[border]
    keep = np.ones(len(places), dtype=np.bool_)
    for _ in range(3):  # without what does not fit: a subject that touches the frame tilts it
        plane, *_ = np.linalg.lstsq(places[keep], colours[keep], rcond=None)
        misfit = np.sqrt(((colours - places @ plane) ** 2).mean(axis=-1))
        keep = misfit <= 1.5 * max(float(np.median(misfit)), 1e-3)
    distance = np.sqrt(((pixels - terms @ plane) ** 2).mean(axis=-1))
    usual = float(np.median(misfit))  # noise and texture differ from any plane
    mask = distance > max(_LEAST_DISTANCE, 1.5 * usual, _otsu(distance))
    if usual > _LEAST_DISTANCE:
        mask = ndimage.binary_opening(mask, iterations=2)
    mask = ndimage.binary_closing(mask, iterations=2, border_value=0) | mask
    labels, count = ndimage.label(ndimage.binary_fill_holes(mask))
    if not count:
        return np.zeros((height, width), dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    # The largest part and what is nearly as large: several products, not every speck.
    return np.asarray(np.isin(labels, np.flatnonzero(sizes >= 0.25 * sizes.max())))


def _otsu(values: Floats) -> float:
    """Source: Otsu (1979), A threshold selection method from gray-level histograms."""
    counts, bounds = np.histogram(values, bins=64)
    middles = (bounds[:-1] + bounds[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(middles[int(np.nanargmax(np.where(np.isfinite(between), between, 0)))])


def _describe_subject(subject: Mask) -> tuple[float, float, float]:
    """Return size, centring and the share of the frame's border that is touched."""
    if not subject.any():
        return 0.0, 0.5, 0.0
    height, width = subject.shape
    y, x = ndimage.center_of_mass(subject)
    off = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5) / np.hypot(0.5, 0.5)
    rim = np.r_[subject[0], subject[-1], subject[:, 0], subject[:, -1]]
    return float(subject.mean()), float(1 - off), float(rim.mean())


def _edge_strength(luminance: Floats) -> Floats:
    across, down = ndimage.sobel(luminance, axis=1), ndimage.sobel(luminance, axis=0)
    return np.asarray(np.hypot(across, down) / 4, dtype=np.float64)


def _find_text(luma: Strokes) -> Mask:
    """Return which pixels lie in lines of text-like strokes, at full and at half size."""
    height, width = luma.shape
    half = np.asarray(Image.fromarray(luma).reduce(2))
    doubled = _find_text_lines(half).repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return _find_text_lines(luma) | doubled


def _find_text_lines(luma: Strokes) -> Mask:
    """Mark rows of strokes: wider than tall, rising and falling edges in turn, two grey levels.

    Fur, foliage and noise fail the two levels; stripes and plaid are too tall.
    """
    step = np.zeros_like(luma)
    step[:, 1:] = np.diff(luma, axis=1)
    rising, falling = step > _STROKE_STEP, step < -_STROKE_STEP
    dense = [
        ndimage.uniform_filter1d(edges.astype(np.float32), _STROKE_WINDOW_PX, mode="constant")
        for edges in (rising, falling)
    ]
    starts = rising.copy()
    starts[:, 1:] &= ~rising[:, :-1]
    labels, _ = ndimage.label(np.minimum(*dense) > 0.07)  # more than one stroke a window
    found = np.zeros(luma.shape, dtype=np.bool_)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        region = labels[place] == number
        if _is_text_line(region, starts[place], luma[place], luma.shape[0]):
            found[place] |= region
    return found


def _is_text_line(region: Mask, starts: Mask, luma: Strokes, frame_height: int) -> bool:
    height, width = region.shape
    if height < 4 or height > 0.3 * frame_height or width < 2 * height:
        return False
    strokes_a_row = float((starts & region).sum()) / height
    # A stroke and its gap take five pixels or more here; what is finer is texture.
    if region.mean() < 0.5 or not 3 <= strokes_a_row <= width / 5:
        return False
    values = luma[region].astype(np.float64)
    high = values > _otsu(values)
    share = float(high.mean())
    if share in (0.0, 1.0):
        return False
    gap = float(values[high].mean() - values[~high].mean())
    return bool(share * (1 - share) * gap**2 > 0.75 * values.var())  # Otsu's separability


def _harmony(pixels: Floats) -> float:
    high, low = pixels.max(axis=-1), pixels.min(axis=-1)
    chroma = high - low
    if chroma.sum() < 1e-3 * chroma.size:
        return 1.0
    hue = np.asarray(
        Image.fromarray((255 * pixels).astype(np.uint8)).convert("HSV"), dtype=np.float64
    )[..., 0]
    bins = np.minimum((hue * _HUE_BINS / 256).astype(int), _HUE_BINS - 1)
    weights = np.bincount(bins.ravel(), weights=chroma.ravel(), minlength=_HUE_BINS)
    shares = weights[weights > 0] / weights.sum()
    return float(1 + (shares * np.log(shares)).sum() / np.log(_HUE_BINS))
