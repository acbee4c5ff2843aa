"""Drawings of synthetic ads: each attribute of an ad is something that a person sees at a glance.

``draw_ad`` composes an ad from the back to the front: background, shadows, products, prop, palette,
then layout and copy. Everything is drawn larger than asked for and scaled down, which smooths the
edges. Shapes are placed in unit squares (0, 0 top left, 1, 1 bottom right) by ``_Pen``. Nothing
depends on the creative's id, so the two ads of an A/A pair have the same pixels.

The module is long because it is mostly a picture book (ten products, thirteen props, six
backgrounds); each page of it is a short function of its own.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from colorsys import hsv_to_rgb, rgb_to_hsv
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from creativepair.errors import InputError
from creativepair.synthetic.world import HELD_OUT_KINDS, Ad, AdAttributes, AdItem, find_kind

MASTER_PX = 1280
"""Side of the drawing before it is scaled down, unless asked otherwise."""

MAX_MASTER_PX = 4096

MIN_SIDE_PX = 64
"""Under this, nothing could be recognised."""

RGB = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

_WHITE, _INK, _WOOD, _GOLD = (255, 255, 255), (32, 34, 48), (176, 124, 78), (206, 168, 88)
_STEEL, _DARK, _BROWN, _LEAF = (172, 178, 188), (58, 58, 66), (112, 70, 42), (64, 140, 76)
_PALETTE_COLOURS: Mapping[str, RGB] = {
    "red": (206, 48, 48),
    "blue": (44, 98, 196),
    "green": (44, 142, 86),
    "yellow": (238, 188, 44),
    "black": (46, 46, 54),
    "pink": (236, 128, 168),
    "orange": (236, 118, 36),
    "purple": (118, 66, 168),
}
_OTHER_COLOUR: Mapping[str, str] = {
    "red": "blue",
    "blue": "yellow",
    "green": "pink",
    "yellow": "black",
    "black": "red",
    "pink": "green",
    "orange": "purple",
    "purple": "orange",
}
_VEILS: tuple[RGB, RGB] = (255, 248, 238), (104, 100, 92)  # of soft and dull palettes
_HELD_OUT_VEILS: tuple[RGB, RGB] = (238, 246, 255), (84, 96, 116)
_SIZES = {"small": 0.30, "medium": 0.47, "large": 0.64}
_GROUND = 0.86  # where products stand, as a share of the height
# In pixels of a master of MASTER_PX: the size of the smallest text, and of text that is made bold.
_MIN_TEXT, _BOLD_TEXT = 12, 45
_LINE_HEIGHT = 1.2  # as a multiple of the text size


def draw_ad(item: AdItem, ad: Ad, *, side_px: int = 640, master_px: int = MASTER_PX) -> Image.Image:
    """Draw an ad as a square RGB image; the same arguments give the same pixels.

    Args:
        item: the product; its kind and colour decide what is drawn, its id small details.
        ad: one of the item's ads.
        side_px: 64 to `master_px`.
        master_px: side of the drawing before it is scaled down, up to 4,096. An ad looks the same
            whatever it is; for many small ads, 480 draws three times as fast.

    Raises:
        InputError: an ad of another item, or a side outside its range.
    """
    if ad.item_id != item.item_id:
        raise InputError(
            f"Creative {ad.creative_id} belongs to item {ad.item_id}, not {item.item_id}",
            hint="Pass the item with the ad's item_id.",
        )
    if not MIN_SIDE_PX <= side_px <= master_px <= MAX_MASTER_PX:
        raise InputError(
            f"side_px={side_px}, master_px={master_px}: from {MIN_SIDE_PX} to the master's side, "
            f"which is at most {MAX_MASTER_PX}",
            hint="Draw at 640 and resize.",
        )
    subject = _Subject.of(item, ad.attributes)
    layouts = _HELD_OUT_LAYOUTS if subject.is_held_out else _LAYOUTS
    master = layouts[ad.attributes.layout](subject, ad.attributes, master_px)
    return master.resize((side_px, side_px), Image.Resampling.BOX, reducing_gap=1.0)


def name_drawn_colour(item: AdItem, attributes: AdAttributes) -> str:
    """Return the colour in which an ad draws the product, another than the title's or its own."""
    return item.colour if attributes.title_match == "as_titled" else _OTHER_COLOUR[item.colour]


def _mix(a: RGB, b: RGB, share_of_b: float) -> RGB:
    red, green, blue = (round(x + (y - x) * share_of_b) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _turn_hue(colour: RGB, turn: float, saturation: float, value: float) -> RGB:
    hue = rgb_to_hsv(*(c / 255 for c in colour))[0]
    red, green, blue = (round(255 * c) for c in hsv_to_rgb((hue + turn) % 1, saturation, value))
    return red, green, blue


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is advertised: kind, colour as drawn, whether the asked-for feature shows, a seed."""

    kind: str
    colour: RGB
    featured: bool
    seed: int

    @classmethod
    def of(cls, item: AdItem, attributes: AdAttributes) -> "_Subject":
        seed = zlib.crc32(item.item_id.encode())
        colour = _PALETTE_COLOURS[name_drawn_colour(item, attributes)]
        return cls(item.kind, colour, attributes.query_match == "shown", seed)

    @property
    def is_held_out(self) -> bool:
        """Whether it is of a kind that no usual world holds; all of its ad is drawn otherwise."""
        return self.kind in HELD_OUT_KINDS


class _Pen:
    """Draws in a unit square that lies at (left, top) with the given side, in pixels."""

    def __init__(self, image: Image.Image, left: float, top: float, side: float) -> None:
        # Mode "RGBA" makes colours with an alpha blend into an RGB image.
        self._draw = ImageDraw.Draw(image, "RGBA" if image.mode == "RGB" else None)
        self._left, self._top, self._side = left, top, side
        self._scale = image.height / MASTER_PX

    def _px(self, points: Sequence[Point]) -> list[Point]:
        return [(self._left + x * self._side, self._top + y * self._side) for x, y in points]

    def _box(self, box: Box) -> list[Point]:
        return self._px([box[:2], box[2:]])

    def polygon(self, points: Sequence[Point], fill: tuple[int, ...]) -> None:
        self._draw.polygon(self._px(points), fill=fill)

    def blob(self, points: Sequence[Point], fill: tuple[int, ...]) -> None:
        """Fill a closed outline after rounding its corners (Chaikin's corner cutting)."""
        corners = np.array(points)
        for _ in range(3):
            following = np.roll(corners, -1, axis=0)
            cuts = (0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following)
            corners = np.stack(cuts, axis=1).reshape(-1, 2)
        self.polygon([(x, y) for x, y in corners.tolist()], fill)

    def ellipse(self, box: Box, fill: tuple[int, ...]) -> None:
        self._draw.ellipse(self._box(box), fill=fill)

    def ring(self, box: Box, colour: RGB, width: float) -> None:
        self._draw.ellipse(self._box(box), outline=colour, width=round(width * self._side))

    def arc(self, box: Box, start: float, end: float, colour: RGB, width: float) -> None:
        self._draw.arc(self._box(box), start, end, fill=colour, width=round(width * self._side))

    def rect(self, box: Box, fill: tuple[int, ...], radius: float = 0.0) -> None:
        self._draw.rounded_rectangle(self._box(box), radius * self._side, fill=fill)

    def line(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """Draw a line with round joints and ends."""
        self._draw.line(self._px(points), fill=colour, width=round(width * self._side))
        for x, y in points:
            self.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), colour)

    def text(self, box: Box, text: str, colour: RGB, largest: float) -> None:
        """Write centred text, wrapped, in the largest size up to ``largest`` that fits the box.

        Sizes are whole pixels of a master of `MASTER_PX`, so that a smaller one looks the same.
        """
        (left, top), (right, bottom) = self._box(box)
        width, height = (right - left) / self._scale, (bottom - top) / self._scale
        size = max(_MIN_TEXT, round(largest * self._side / self._scale))
        while not _fits(lines := _wrap(text, size, width), size, width, height):
            if size <= _MIN_TEXT:
                break
            size -= 1
        # The built-in face has one weight; a stroke makes headlines bold. Fine print stays light.
        stroke = self._scale * round(size / 38) if size >= _BOLD_TEXT else 0
        font = _load_font(self._scale * size)
        middle = (top + bottom) / 2
        for i, line in enumerate(lines):
            y = middle + (i - (len(lines) - 1) / 2) * _LINE_HEIGHT * size * self._scale
            self._draw.text(((left + right) / 2, y), line, colour, font, "mm", stroke_width=stroke)


@lru_cache(maxsize=256)
def _load_font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@lru_cache(maxsize=1024)
def _measure(word: str) -> float:
    # Widths grow with the size, so one measurement serves all sizes (asking the font each time
    # would take longer than drawing the ad). The extra 3 % is for the stroke.
    return 1.03 * _load_font(100).getlength(word) / 100


def _wrap(text: str, size: int, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _measure(f"{lines[-1]} {word}") * size <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fits(lines: Sequence[str], size: int, width: float, height: float) -> bool:
    widest = max(_measure(line) for line in lines) * size
    return widest <= width and len(lines) * _LINE_HEIGHT * size <= height


# --- Products: (pen, colour, whether the feature that the queries ask for is shown) --------------


def _draw_mug(pen: _Pen, colour: RGB, featured: bool) -> None:
    pen.ring((0.56, 0.36, 0.94, 0.78), _mix(colour, _INK, 0.15), 0.075)
    pen.ellipse((0.185, 0.85, 0.715, 1.0), colour)
    pen.polygon([(0.145, 0.22), (0.755, 0.22), (0.715, 0.925), (0.185, 0.925)], colour)
    pen.ellipse((0.145, 0.13, 0.755, 0.31), _mix(colour, _WHITE, 0.35))
    pen.ellipse((0.19, 0.155, 0.71, 0.285), (78, 46, 28))
    pen.rect((0.21, 0.36, 0.26, 0.82), _mix(colour, _WHITE, 0.45), 0.025)
    if featured:
        pen.ellipse((0.11, 0.12, 0.79, 0.33), _WOOD)
        pen.ellipse((0.11, 0.08, 0.79, 0.29), _mix(_WOOD, _WHITE, 0.45))
        pen.rect((0.37, 0.0, 0.53, 0.17), _WOOD, 0.05)


def _draw_sneaker(pen: _Pen, colour: RGB, featured: bool) -> None:
    upper = [(0.05, 0.52), (0.1, 0.36), (0.2, 0.5), (0.32, 0.46), (0.4, 0.3), (0.5, 0.36)]
    upper += [(0.64, 0.6), (0.86, 0.66), (0.99, 0.8), (0.98, 0.94), (0.04, 0.94)]
    pen.blob([(0.1, 0.5), (0.2, 0.56), (0.34, 0.5), (0.42, 0.33), (0.3, 0.4)], _DARK)
    pen.blob(upper, colour)
    pen.blob(
        [(0.78, 0.67), (0.88, 0.68), (0.99, 0.8), (0.98, 0.9), (0.74, 0.9)],
        _mix(colour, _WHITE, 0.35),
    )
    pen.blob(
        [(0.03, 0.55), (0.09, 0.42), (0.17, 0.6), (0.16, 0.9), (0.04, 0.9)], _mix(colour, _INK, 0.3)
    )
    pen.blob(
        [(0.02, 0.85), (0.4, 0.89), (0.99, 0.85), (1.0, 0.97), (0.9, 1.0), (0.03, 1.0)],
        (244, 244, 240),
    )
    pen.line([(0.07, 0.975), (0.93, 0.975)], (150, 150, 156), 0.02)
    for x, y in ((0.43, 0.42), (0.485, 0.49), (0.54, 0.56), (0.6, 0.63)):
        pen.line([(x - 0.07, y + 0.05), (x + 0.04, y - 0.01)], _WHITE, 0.026)
    if featured:
        for x in (0.22, 0.32, 0.42):
            pen.line([(x, 0.61), (x + 0.1, 0.72), (x, 0.83)], (226, 255, 110), 0.055)


def _draw_headphones(pen: _Pen, colour: RGB, featured: bool) -> None:
    pen.arc((0.13, 0.04, 0.87, 0.96), 180, 360, _mix(colour, _INK, 0.25), 0.085)
    pen.arc((0.26, 0.06, 0.74, 0.6), 205, 335, _DARK, 0.05)
    for outer, inner in (((0.08, 0.46, 0.28, 0.94), (0.24, 0.5, 0.36, 0.9)),
                         ((0.72, 0.46, 0.92, 0.94), (0.64, 0.5, 0.76, 0.9))):  # fmt: skip
        pen.rect(inner, _DARK, 0.06)
        pen.rect(outer, colour, 0.09)
    pen.rect((0.12, 0.54, 0.15, 0.84), _mix(colour, _WHITE, 0.5), 0.015)
    if featured:
        pen.line([(0.2, 0.58), (0.3, 0.68), (0.44, 0.68)], _INK, 0.045)
        pen.ellipse((0.4, 0.58, 0.6, 0.78), _INK)
        pen.ellipse((0.44, 0.62, 0.56, 0.74), (206, 48, 48))


def _draw_backpack(pen: _Pen, colour: RGB, featured: bool) -> None:
    shade = _mix(colour, _INK, 0.3)
    pen.ring((0.37, 0.0, 0.63, 0.26), shade, 0.045)
    if featured:
        pen.rect((0.8, 0.26, 1.0, 0.9), (150, 226, 240), 0.05)
        pen.rect((0.84, 0.12, 0.96, 0.28), _INK, 0.02)
    pen.rect((0.74, 0.64, 1.0, 0.97), shade, 0.06)
    pen.rect((0.0, 0.64, 0.28, 0.97), shade, 0.06)
    pen.rect((0.13, 0.1, 0.87, 1.0), colour, 0.24)
    pen.rect((0.13, 0.6, 0.87, 1.0), colour, 0.08)
    pen.arc((0.22, 0.22, 0.78, 0.78), 190, 350, shade, 0.022)
    pen.rect((0.23, 0.56, 0.77, 0.92), shade, 0.07)
    pen.rect((0.245, 0.575, 0.755, 0.905), _mix(colour, _WHITE, 0.14), 0.06)
    pen.line([(0.28, 0.65), (0.72, 0.65)], _GOLD, 0.016)
    pen.line([(0.68, 0.65), (0.68, 0.73)], _GOLD, 0.022)
    pen.rect((0.41, 0.34, 0.59, 0.44), _mix(colour, _WHITE, 0.75), 0.02)


def _draw_lamp(pen: _Pen, colour: RGB, featured: bool) -> None:
    if featured:
        pen.polygon([(0.55, 0.42), (0.86, 0.32), (1.0, 0.98), (0.4, 0.98)], (255, 248, 190, 195))
    pen.line([(0.3, 0.93), (0.16, 0.52), (0.52, 0.16)], _STEEL, 0.045)
    pen.ellipse((0.115, 0.475, 0.205, 0.565), _DARK)
    pen.ellipse((0.08, 0.88, 0.52, 1.0), _mix(colour, _INK, 0.3))
    pen.ellipse((0.08, 0.86, 0.52, 0.97), colour)
    pen.ellipse((0.6, 0.31, 0.82, 0.5), (255, 244, 190) if featured else (120, 120, 124))
    pen.blob(
        [
            (0.48, 0.12),
            (0.56, 0.05),
            (0.7, 0.08),
            (0.92, 0.33),
            (0.9, 0.36),
            (0.52, 0.5),
            (0.48, 0.48),
        ],
        colour,
    )
    pen.line([(0.56, 0.16), (0.57, 0.38)], _mix(colour, _WHITE, 0.5), 0.025)


def _draw_perfume(pen: _Pen, colour: RGB, featured: bool) -> None:
    pen.rect((0.41, 0.2, 0.59, 0.4), _GOLD, 0.02)
    pen.rect((0.35, 0.02, 0.65, 0.26), _DARK, 0.04)
    pen.rect((0.38, 0.05, 0.42, 0.23), (120, 120, 132), 0.02)
    pen.rect((0.17, 0.34, 0.83, 1.0), _mix(colour, _WHITE, 0.5), 0.09)
    pen.rect((0.215, 0.44, 0.785, 0.955), colour, 0.06)
    pen.rect((0.3, 0.58, 0.7, 0.82), (250, 247, 240), 0.015)
    pen.text((0.32, 0.6, 0.68, 0.71), "PARFUM", _INK, 0.09)
    pen.line([(0.4, 0.76), (0.6, 0.76)], _GOLD, 0.014)
    if featured:
        pen.rect((0.73, 0.72, 1.0, 1.0), (250, 240, 226), 0.02)
        pen.rect((0.715, 0.67, 1.015, 0.76), (236, 222, 204), 0.02)
        pen.rect((0.84, 0.67, 0.89, 1.0), (198, 44, 74))
        pen.ring((0.755, 0.575, 0.875, 0.68), (198, 44, 74), 0.03)
        pen.ring((0.855, 0.575, 0.975, 0.68), (198, 44, 74), 0.03)


def _draw_watch(pen: _Pen, colour: RGB, featured: bool) -> None:
    strap = _BROWN if featured else (196, 200, 208)
    pen.blob(
        [
            (0.36, 0.0),
            (0.64, 0.0),
            (0.68, 0.3),
            (0.68, 0.7),
            (0.64, 1.0),
            (0.36, 1.0),
            (0.32, 0.7),
            (0.32, 0.3),
        ],
        strap,
    )
    pen.rect((0.37, 0.02, 0.63, 0.98), strap, 0.05)
    for i in range(9):
        y = 0.06 + 0.11 * i
        if featured:  # stitches along both edges of the leather
            pen.line([(0.4, y), (0.4, y + 0.04)], (232, 200, 150), 0.014)
            pen.line([(0.6, y), (0.6, y + 0.04)], (232, 200, 150), 0.014)
        else:  # links of a steel bracelet
            pen.line([(0.37, y), (0.63, y)], (120, 126, 136), 0.014)
    pen.rect((0.78, 0.46, 0.86, 0.54), _STEEL, 0.02)
    pen.ellipse((0.19, 0.19, 0.81, 0.81), (140, 144, 154))
    pen.ellipse((0.21, 0.21, 0.79, 0.79), (222, 226, 232))
    pen.ellipse((0.26, 0.26, 0.74, 0.74), colour)
    hands = _INK if sum(colour) > 450 else _WHITE
    for turn in np.arange(12) * np.pi / 6:
        tick = [
            (0.5 + r * float(np.sin(turn)), 0.5 - r * float(np.cos(turn))) for r in (0.18, 0.215)
        ]
        pen.line(tick, hands, 0.016)
    pen.line([(0.5, 0.5), (0.39, 0.43)], hands, 0.028)
    pen.line([(0.5, 0.5), (0.64, 0.38)], hands, 0.02)


def _draw_chair(pen: _Pen, colour: RGB, featured: bool) -> None:
    for foot in ((0.27, 0.9), (0.73, 0.9)):
        pen.line([(foot[0], 0.6), foot], _mix(_WOOD, _INK, 0.35), 0.04)
    pen.rect((0.22, 0.02, 0.78, 0.62), _mix(colour, _INK, 0.12), 0.14)
    pen.rect((0.26, 0.06, 0.74, 0.6), colour, 0.11)
    for x in (0.42, 0.58):
        pen.line([(x, 0.14), (x, 0.46)], _mix(colour, _INK, 0.22), 0.012)
    for foot in ((0.13, 0.98), (0.87, 0.98)):
        pen.line([(0.2 if foot[0] < 0.5 else 0.8, 0.66), foot], _WOOD, 0.05)
    pen.blob(
        [(0.22, 0.54), (0.78, 0.54), (0.9, 0.66), (0.88, 0.76), (0.12, 0.76), (0.1, 0.66)],
        _mix(colour, _INK, 0.2),
    )
    pen.blob(
        [(0.22, 0.52), (0.78, 0.52), (0.9, 0.66), (0.86, 0.7), (0.14, 0.7), (0.1, 0.66)],
        _mix(colour, _WHITE, 0.16),
    )
    if featured:
        for x, inner in ((0.08, 0.22), (0.92, 0.78)):
            pen.line([(x, 0.4), (x + (inner - x) * 0.35, 0.66)], _WOOD, 0.06)
            pen.line([(inner, 0.34), (x, 0.4)], _WOOD, 0.085)


def _draw_umbrella(pen: _Pen, colour: RGB, featured: bool) -> None:
    handle = _WOOD if featured else _STEEL
    pen.line([(0.5, 0.1), (0.5, 0.86)], _STEEL, 0.03)
    pen.line([(0.5, 0.66), (0.5, 0.86)], handle, 0.055)
    pen.arc((0.3, 0.76, 0.53, 1.0), 0, 180, handle, 0.055)
    pen.polygon([(0.02, 0.52), (0.12, 0.26), (0.5, 0.08), (0.88, 0.26), (0.98, 0.52)], colour)
    pen.blob([(0.02, 0.52), (0.14, 0.2), (0.5, 0.03), (0.86, 0.2), (0.98, 0.52)], colour)
    pen.polygon([(0.34, 0.5), (0.5, 0.08), (0.66, 0.5)], _mix(colour, _WHITE, 0.3))
    for x in (0.02, 0.34, 0.66):
        pen.ellipse((x, 0.46, x + 0.32, 0.6), _mix(colour, _INK, 0.35))
    pen.line([(0.5, 0.0), (0.5, 0.08)], _STEEL, 0.03)


def _draw_kettle(pen: _Pen, colour: RGB, featured: bool) -> None:
    pen.arc((0.56, 0.2, 0.98, 0.84), 250, 110, _DARK, 0.075)
    pen.polygon([(0.06, 0.3), (0.26, 0.26), (0.3, 0.5)], _mix(colour, _INK, 0.2))
    pen.polygon([(0.24, 0.22), (0.7, 0.22), (0.8, 0.9), (0.14, 0.9)], colour)
    pen.polygon([(0.28, 0.26), (0.36, 0.26), (0.3, 0.86), (0.2, 0.86)], _mix(colour, _WHITE, 0.45))
    pen.rect((0.1, 0.89, 0.84, 1.0), _DARK, 0.03)
    pen.ellipse((0.26, 0.14, 0.68, 0.28), _mix(colour, _INK, 0.3))
    pen.rect((0.42, 0.06, 0.52, 0.17), _DARK, 0.04)
    if featured:
        pen.ellipse((0.38, 0.42, 0.66, 0.7), _WHITE)
        pen.ring((0.38, 0.42, 0.66, 0.7), _DARK, 0.025)
        pen.line([(0.52, 0.56), (0.6, 0.47)], (206, 48, 48), 0.025)


_PRODUCTS: Mapping[str, Callable[[_Pen, RGB, bool], None]] = {
    "mug": _draw_mug,
    "sneaker": _draw_sneaker,
    "headphones": _draw_headphones,
    "backpack": _draw_backpack,
    "lamp": _draw_lamp,
    "perfume": _draw_perfume,
    "watch": _draw_watch,
    "chair": _draw_chair,
    "umbrella": _draw_umbrella,
    "kettle": _draw_kettle,
}

# --- Props ----------------------------------------------------------------------------------------


def _draw_beans(pen: _Pen) -> None:
    pen.blob([(0.1, 0.95), (0.2, 0.5), (0.5, 0.35), (0.8, 0.5), (0.9, 0.95)], (206, 176, 132))
    pen.ellipse((0.2, 0.4, 0.8, 0.62), (84, 50, 30))
    for x, y in ((0.24, 0.38), (0.42, 0.33), (0.58, 0.36), (0.0, 0.84), (0.78, 0.86), (0.34, 0.88)):
        pen.ellipse((x, y, x + 0.22, y + 0.15), (104, 62, 36))
        pen.line([(x + 0.04, y + 0.09), (x + 0.18, y + 0.06)], (52, 30, 18), 0.018)


def _draw_person(pen: _Pen, limbs: Sequence[Sequence[Point]], shirt: RGB) -> None:
    skin = (226, 176, 140)
    for limb in limbs[:2]:
        pen.line(limb, (48, 58, 92), 0.1)
    pen.line([(0.5, 0.34), (0.48, 0.58)], shirt, 0.2)
    for limb in limbs[2:]:
        pen.line(limb, skin, 0.065)
    pen.ellipse((0.41, 0.02, 0.63, 0.24), skin)
    pen.arc((0.4, 0.0, 0.64, 0.25), 150, 350, (70, 44, 30), 0.07)


def _draw_runner(pen: _Pen) -> None:
    legs = [[(0.46, 0.6), (0.62, 0.74), (0.56, 0.96)], [(0.48, 0.6), (0.36, 0.8), (0.12, 0.82)]]
    arms = [[(0.42, 0.34), (0.28, 0.5), (0.16, 0.42)], [(0.56, 0.34), (0.68, 0.5), (0.84, 0.42)]]
    _draw_person(pen, legs + arms, (242, 118, 60))


def _draw_hiker(pen: _Pen) -> None:
    pen.rect((0.18, 0.26, 0.46, 0.62), (190, 96, 52), 0.06)
    legs = [[(0.44, 0.6), (0.4, 0.96)], [(0.52, 0.6), (0.64, 0.78), (0.62, 0.96)]]
    _draw_person(pen, [*legs, [(0.56, 0.36), (0.7, 0.48), (0.8, 0.44)]], (70, 140, 120))
    pen.line([(0.8, 0.34), (0.86, 0.98)], _BROWN, 0.03)


def _draw_businessman(pen: _Pen) -> None:
    suit = (52, 60, 86)
    pen.blob([(0.0, 1.0), (0.08, 0.56), (0.36, 0.46), (0.64, 0.46), (0.92, 0.56), (1.0, 1.0)], suit)
    pen.polygon([(0.38, 0.47), (0.62, 0.47), (0.5, 0.86)], _WHITE)
    pen.polygon([(0.47, 0.5), (0.53, 0.5), (0.56, 0.78), (0.5, 0.86), (0.44, 0.78)], (176, 40, 50))
    pen.rect((0.42, 0.34, 0.58, 0.5), (214, 162, 126), 0.05)
    pen.ellipse((0.33, 0.02, 0.67, 0.42), (226, 176, 140))
    pen.arc((0.31, 0.0, 0.69, 0.42), 170, 370, (70, 44, 30), 0.09)


def _draw_phone(pen: _Pen) -> None:
    pen.rect((0.26, 0.1, 0.74, 0.98), _INK, 0.08)
    pen.rect((0.3, 0.17, 0.7, 0.91), (96, 86, 220), 0.03)
    pen.line([(0.43, 0.66), (0.43, 0.38), (0.6, 0.34), (0.6, 0.6)], _WHITE, 0.035)
    pen.ellipse((0.34, 0.61, 0.45, 0.7), _WHITE)
    pen.ellipse((0.51, 0.56, 0.62, 0.65), _WHITE)


def _draw_book(pen: _Pen) -> None:
    pen.polygon(
        [(0.0, 0.7), (0.5, 0.8), (1.0, 0.7), (1.0, 0.94), (0.5, 1.0), (0.0, 0.94)], (150, 50, 50)
    )
    pen.polygon([(0.03, 0.62), (0.5, 0.74), (0.5, 0.96), (0.03, 0.88)], (252, 248, 236))
    pen.polygon([(0.97, 0.62), (0.5, 0.74), (0.5, 0.96), (0.97, 0.88)], (238, 232, 216))
    for i in range(3):
        y = 0.7 + 0.055 * i
        pen.line([(0.1, y), (0.43, y + 0.08)], (150, 150, 150), 0.014)
        pen.line([(0.9, y), (0.57, y + 0.08)], (150, 150, 150), 0.014)


def _draw_flowers(pen: _Pen) -> None:
    blooms = (
        (0.28, 0.3, (240, 130, 160)),
        (0.7, 0.28, (250, 190, 90)),
        (0.5, 0.16, (206, 130, 220)),
    )
    for x, y, petals in blooms:
        pen.line([(0.5, 0.98), (x, y)], _LEAF, 0.03)
        for turn in np.arange(5) * 2 * np.pi / 5:
            dx, dy = 0.085 * float(np.cos(turn)), 0.085 * float(np.sin(turn))
            pen.ellipse((x + dx - 0.08, y + dy - 0.08, x + dx + 0.08, y + dy + 0.08), petals)
        pen.ellipse((x - 0.05, y - 0.05, x + 0.05, y + 0.05), (250, 220, 90))
    pen.blob([(0.36, 0.62), (0.64, 0.62), (0.7, 1.0), (0.3, 1.0)], (250, 246, 240))


def _draw_plant(pen: _Pen) -> None:
    for tip in ((0.1, 0.3), (0.3, 0.08), (0.52, 0.0), (0.74, 0.1), (0.92, 0.32)):
        middle = (0.5 + (tip[0] - 0.5) * 0.75, 0.36 + tip[1] * 0.3)
        pen.blob(
            [
                (0.48, 0.68),
                (middle[0] - 0.08, middle[1]),
                tip,
                (middle[0] + 0.08, middle[1] + 0.06),
                (0.52, 0.68),
            ],
            _LEAF,
        )
    pen.polygon([(0.28, 0.62), (0.72, 0.62), (0.66, 1.0), (0.34, 1.0)], (206, 116, 76))
    pen.rect((0.25, 0.58, 0.75, 0.68), (222, 134, 92), 0.02)


def _draw_walker(pen: _Pen) -> None:
    pen.blob([(0.3, 0.3), (0.7, 0.3), (0.76, 0.7), (0.24, 0.7)], (236, 200, 60))
    legs = [[(0.44, 0.66), (0.42, 0.96)], [(0.56, 0.66), (0.6, 0.96)]]
    _draw_person(pen, [*legs, [(0.56, 0.36), (0.72, 0.44), (0.78, 0.3)]], (236, 200, 60))


def _draw_cup(pen: _Pen) -> None:
    pen.ring((0.62, 0.52, 0.94, 0.82), (228, 232, 236), 0.06)
    pen.polygon([(0.1, 0.44), (0.8, 0.44), (0.66, 0.92), (0.24, 0.92)], (244, 246, 248))
    pen.ellipse((0.1, 0.36, 0.8, 0.52), (150, 92, 40))
    pen.ellipse((0.02, 0.88, 0.9, 1.0), (228, 232, 236))


def _draw_duck(pen: _Pen) -> None:
    body, beak = (252, 214, 50), (240, 124, 30)
    pen.blob(
        [(0.2, 0.5), (0.02, 0.5), (0.1, 0.95), (0.5, 1.0), (0.9, 0.95), (0.8, 0.55), (0.5, 0.6)],
        body,
    )
    pen.ellipse((0.42, 0.14, 0.84, 0.58), body)
    pen.blob([(0.78, 0.3), (1.02, 0.34), (1.02, 0.44), (0.78, 0.46)], beak)
    pen.ellipse((0.66, 0.26, 0.73, 0.34), _INK)
    pen.arc((0.2, 0.56, 0.6, 0.86), 20, 170, (214, 170, 30), 0.03)


def _draw_cone(pen: _Pen) -> None:
    orange = (244, 106, 30)
    pen.rect((0.05, 0.88, 0.95, 1.0), _mix(orange, _INK, 0.2), 0.03)
    pen.polygon([(0.44, 0.08), (0.56, 0.08), (0.84, 0.9), (0.16, 0.9)], orange)
    pen.polygon([(0.37, 0.3), (0.63, 0.3), (0.69, 0.48), (0.31, 0.48)], _WHITE)
    pen.polygon([(0.26, 0.62), (0.74, 0.62), (0.79, 0.76), (0.21, 0.76)], _WHITE)


def _draw_hammer(pen: _Pen) -> None:
    pen.line([(0.5, 0.2), (0.5, 0.95)], (198, 140, 84), 0.11)
    pen.rect((0.16, 0.06, 0.8, 0.3), (96, 100, 110), 0.04)
    pen.polygon(
        [(0.78, 0.08), (1.0, 0.02), (0.86, 0.18), (1.0, 0.34), (0.78, 0.28)], (96, 100, 110)
    )
    pen.rect((0.1, 0.03, 0.24, 0.33), (70, 74, 84), 0.03)


_USEFUL_PROPS: Mapping[str, Callable[[_Pen], None]] = {
    "mug": _draw_beans,
    "sneaker": _draw_runner,
    "headphones": _draw_phone,
    "backpack": _draw_hiker,
    "lamp": _draw_book,
    "perfume": _draw_flowers,
    "watch": _draw_businessman,
    "chair": _draw_plant,
    "umbrella": _draw_walker,
    "kettle": _draw_cup,
}
_UNRELATED_PROPS = (_draw_duck, _draw_cone, _draw_hammer)

# --- Backgrounds: (subject, size in pixels) -> image ----------------------------------------------


def _gradient(size: tuple[int, int], top: RGB, bottom: RGB) -> Image.Image:
    # Smooth along the column, then only repeat it: far faster than smoothing both ways.
    column = Image.linear_gradient("L").resize((1, size[1]), Image.Resampling.BILINEAR)
    return ImageOps.colorize(column, top, bottom).resize(size, Image.Resampling.NEAREST)


def _draw_harmonious(subject: _Subject, size: tuple[int, int]) -> Image.Image:
    # A pale tint of the product's own colour: the product stands out and nothing quarrels with it.
    tint = subject.colour if max(subject.colour) > 90 else (150, 160, 190)
    image = _gradient(size, _mix(tint, _WHITE, 0.9), _mix(tint, _WHITE, 0.72))
    pen = _Pen(image, 0, 0, size[1])
    aspect = size[0] / size[1]
    pen.ellipse(
        (aspect / 2 - 0.36, 0.14, aspect / 2 + 0.36, 0.86), (*_mix(tint, _WHITE, 0.97), 150)
    )
    pen.rect((0, 0.72, aspect, 1), _mix(tint, _WHITE, 0.62))
    return image


def _draw_clashing(subject: _Subject, size: tuple[int, int]) -> Image.Image:
    loud, louder = (_turn_hue(subject.colour, turn, 0.95, 0.95) for turn in (0.42, 0.22))
    image = Image.new("RGB", size, loud)
    pen = _Pen(image, 0, 0, size[1])
    for x in np.arange(-1.0, 1.0, 0.24).tolist():
        pen.polygon([(x, 1), (x + 0.12, 1), (x + 1.12, 0), (x + 1, 0)], louder)
    return image


def _draw_table(pen: _Pen, aspect: float) -> None:
    pen.rect((0, 0, aspect, 0.7), (236, 226, 210))
    pen.rect((0.06, 0.06, 0.5, 0.52), _WHITE)
    pen.rect((0.08, 0.08, 0.27, 0.5), (178, 216, 240))
    pen.rect((0.29, 0.08, 0.48, 0.5), (178, 216, 240))
    for left, right in ((0.08, 0.27), (0.29, 0.48)):
        pen.polygon([(left, 0.5), (left, 0.42), (right, 0.36), (right, 0.5)], (146, 192, 130))
    pen.rect((0.7, 0.36, aspect + 0.1, 0.385), _WOOD)
    for i, (height, colour) in enumerate(
        ((0.16, (188, 92, 80)), (0.2, (84, 120, 140)), (0.14, _GOLD))
    ):
        pen.rect((0.74 + 0.055 * i, 0.36 - height, 0.785 + 0.055 * i, 0.36), colour)
    pen.rect((0, 0.7, aspect, 1), (188, 140, 94))
    pen.rect((0, 0.7, aspect, 0.72), (212, 166, 120))
    for y in (0.79, 0.88, 0.96):
        pen.line([(0, y), (aspect, y)], (170, 122, 78), 0.004)


def _draw_outdoors(pen: _Pen, aspect: float) -> None:
    pen.rect((0, 0, aspect, 0.7), (166, 212, 244))
    pen.ellipse((0.74, 0.06, 0.9, 0.22), (255, 236, 150))
    for x, y in ((0.08, 0.12), (0.4, 0.2)):
        pen.ellipse((x, y, x + 0.2, y + 0.07), _WHITE)
        pen.ellipse((x + 0.05, y - 0.035, x + 0.15, y + 0.05), _WHITE)
    pen.polygon([(-0.1, 0.7), (0.22, 0.3), (0.5, 0.7)], (134, 156, 182))
    pen.polygon([(0.3, 0.7), (0.66, 0.38), (1.1, 0.7)], (112, 138, 168))
    pen.polygon([(0.22, 0.3), (0.156, 0.38), (0.2, 0.365), (0.24, 0.39), (0.276, 0.38)], _WHITE)
    pen.ellipse((-0.3, 0.58, 0.7, 1.1), (128, 184, 108))
    pen.ellipse((0.3, 0.6, 1.4, 1.1), (112, 170, 96))
    pen.polygon([(0.0, 1.0), (0.3, 0.72), (0.7, 0.72), (aspect, 1.0)], (222, 200, 160))


def _draw_room(pen: _Pen, aspect: float) -> None:
    pen.rect((0, 0, aspect, 0.7), (222, 226, 220))
    pen.rect((0.08, 0.1, 0.34, 0.4), _WOOD)
    pen.rect((0.095, 0.115, 0.325, 0.385), (250, 246, 238))
    pen.ellipse((0.14, 0.16, 0.24, 0.26), (236, 150, 90))
    pen.polygon([(0.1, 0.38), (0.2, 0.24), (0.32, 0.38)], (96, 140, 130))
    pen.rect((0.86, 0.1, 0.875, 0.7), _DARK)
    pen.polygon([(0.8, 0.08), (0.935, 0.08), (0.98, 0.24), (0.755, 0.24)], (250, 232, 180))
    pen.rect((0, 0.68, aspect, 0.7), _WHITE)
    pen.rect((0, 0.7, aspect, 1), (206, 168, 128))
    pen.ellipse((aspect / 2 - 0.46, 0.74, aspect / 2 + 0.46, 0.97), (232, 222, 206))
    pen.ellipse((aspect / 2 - 0.42, 0.755, aspect / 2 + 0.42, 0.955), (214, 200, 182))


_SCENES: Mapping[str, Callable[[_Pen, float], None]] = {
    "mug": _draw_table,
    "sneaker": _draw_outdoors,
    "headphones": _draw_table,
    "backpack": _draw_outdoors,
    "lamp": _draw_table,
    "perfume": _draw_room,
    "watch": _draw_table,
    "chair": _draw_room,
    "umbrella": _draw_outdoors,
    "kettle": _draw_table,
}


def _draw_scene(subject: _Subject, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size)
    _SCENES[subject.kind](_Pen(image, 0, 0, size[1]), size[0] / size[1])
    return image


def _draw_cluttered(subject: _Subject, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, (150, 132, 112))
    pen = _Pen(image, 0, 0, size[1])
    rng = np.random.default_rng(subject.seed)
    for i, (x, y, w, h, hue) in enumerate(rng.random((46, 5)).tolist()):
        left, top, w, h = x * 1.1 - 0.1, y * 1.1 - 0.1, 0.07 + 0.16 * w, 0.07 + 0.16 * h
        colour = _turn_hue((255, 0, 0), hue, 0.45, 0.55 + 0.4 * h)
        if i % 3 == 0:
            pen.ellipse((left, top, left + w, top + w), colour)
        else:
            pen.rect((left, top, left + w, top + h), _mix(colour, _INK, 0.35))
            pen.rect((left, top, left + w - 0.012, top + h - 0.012), colour)
    return image


_BACKGROUNDS: Mapping[str, Callable[[_Subject, tuple[int, int]], Image.Image]] = {
    "harmonious": _draw_harmonious,
    "scene": _draw_scene,
    "clashing": _draw_clashing,
    "cluttered": _draw_cluttered,
}

# --- The picture: background, products, prop, palette ---------------------------------------------


def _render_product(subject: _Subject, side: int) -> Image.Image:
    """Return an RGBA square: the product, lit from the left."""
    layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    _PRODUCTS[subject.kind](_Pen(layer, 0, 0, side), subject.colour, subject.featured)
    light = _gradient((side, side), _WHITE, (203, 203, 203)).transpose(Image.Transpose.TRANSPOSE)
    lit = ImageChops.multiply(layer.convert("RGB"), light)
    lit.putalpha(layer.getchannel("A"))
    return lit


def _cast_shadow(image: Image.Image, centre_x: float, ground_y: float, width: float) -> None:
    # Blurred small, as for a master of 160: a blur at full size would cost more than all the rest.
    less = max(1, round(8 * image.height / MASTER_PX))
    small = (max(1, round(width * 1.3 / less)), max(1, round(width * 0.26 / less)))
    mask = Image.new("L", small, 0)
    inner = [small[0] * 0.12, small[1] * 0.28, small[0] * 0.88, small[1] * 0.72]
    ImageDraw.Draw(mask).ellipse(inner, fill=120)
    mask = mask.filter(ImageFilter.GaussianBlur(small[1] / 8))
    mask = mask.resize((small[0] * less, small[1] * less), Image.Resampling.BICUBIC)
    corner = (round(centre_x - mask.width / 2), round(ground_y - mask.height / 2))
    image.paste((20, 18, 24), corner, mask)


def _place_products(
    attributes: AdAttributes, width: int, height: int
) -> list[tuple[float, float, int]]:
    """Return (centre x, ground y, side) of each product in pixels, the one in front last."""
    span = _SIZES[attributes.subject_size] * sqrt(width * height)
    alone = attributes.num_products == "one"
    side, half_group = (span, 0.5 * span) if alone else (0.6 * span, 0.59 * span)
    centre = width / 2 if attributes.placement == "centred" else width * 0.015 + half_group
    ground = height * _GROUND if attributes.completeness == "whole" else height + 0.28 * side
    front = (centre, ground, round(side))
    if alone:
        return [front]
    step, back = 0.48 * side, ground - 0.07 * side
    return [(centre - step, back, round(side)), (centre + step, back, round(side)), front]


def _draw_picture(
    subject: _Subject, attributes: AdAttributes, size: tuple[int, int]
) -> Image.Image:
    image = _BACKGROUNDS[attributes.background](subject, size)
    places = _place_products(attributes, *size)
    product = _render_product(subject, places[0][2])
    for x, ground, side in places:
        _cast_shadow(image, x, ground, side)
        image.paste(product, (round(x - side / 2), round(ground - side)), product)
    _add_prop(image, subject, attributes.prop)
    return _tone(image, subject, attributes.palette)


def _add_prop(image: Image.Image, subject: _Subject, prop: str) -> None:
    if prop == "none":
        return
    side = 0.3 * min(image.size)
    left, ground = image.width * 0.985 - side, image.height * (_GROUND + 0.02)
    _cast_shadow(image, left + side / 2, ground, side)
    pen = _Pen(image, left, ground - side, side)
    if prop == "useful":
        _USEFUL_PROPS[subject.kind](pen)
    else:
        _UNRELATED_PROPS[subject.seed % len(_UNRELATED_PROPS)](pen)


def _tone(image: Image.Image, subject: _Subject, palette: str) -> Image.Image:
    """Veil the picture: milky for soft, grey for dull; a lookup table is faster than a blend."""
    if palette == "vivid":
        return image
    soft, dull = _HELD_OUT_VEILS if subject.is_held_out else _VEILS
    veil, share = (soft, 0.2) if palette == "soft" else (dull, 0.48)
    return image.point([round(v + (c - v) * (1 - share)) for v in veil for c in range(256)])


# --- Copy -----------------------------------------------------------------------------------------

# Where copy goes. The bottom is left free but for the button: cropped products stand there.
_WIDE: Mapping[str, Box] = {
    "brand": (0.03, 0.03, 0.36, 0.11),
    "head": (0.03, 0.03, 0.97, 0.16),
    "button": (0.59, 0.885, 0.97, 0.975),
    "small_print": (0.03, 0.17, 0.97, 0.215),
    "column": (0.03, 0.225, 0.37, 0.6),
    "badge": (0.75, 0.4, 0.95, 0.6),
}
_PANEL: Mapping[str, Box] = {
    "brand": (0.02, 0.05, 0.36, 0.14),
    "head": (0.02, 0.05, 0.36, 0.42),
    "button": (0.03, 0.8, 0.35, 0.9),
    "small_print": (0.02, 0.86, 0.36, 0.97),
    "column": (0.02, 0.44, 0.36, 0.85),
    "badge": (0.75, 0.4, 0.95, 0.6),
}
_PANEL_RIGHT: Mapping[str, Box] = {
    name: (left + 0.62, top, right + 0.62, bottom)
    for name, (left, top, right, bottom) in _PANEL.items()
} | {"badge": (0.37, 0.4, 0.57, 0.6)}
_ALERT, _BUTTON = (150, 26, 40), (206, 66, 16)


def _shrink(box: Box, margin: float) -> Box:
    return box[0] + margin, box[1] + margin, box[2] - margin, box[3] - margin


def _write_on(
    pen: _Pen, box: Box, text: str, ink: RGB, ground: tuple[int, ...], largest: float
) -> None:
    pen.rect(box, ground, 0.02)
    pen.text(_shrink(box, 0.01), text, ink, largest)


def _add_copy(pen: _Pen, kind: str, level: str, slots: Mapping[str, Box]) -> None:
    words = find_kind(kind)
    if level == "brand":
        _write_on(pen, slots["brand"], words.brand, _INK, (*_WHITE, 225), 0.06)
    elif level in ("benefit", "benefit_cta"):
        _write_on(pen, slots["head"], words.benefit, _INK, (*_WHITE, 225), 0.085)
    elif level == "pain_point":
        _write_on(pen, slots["head"], words.pain_point, _WHITE, _ALERT, 0.085)
    elif level == "too_much":
        _add_flood(pen, kind, slots)
    if level == "benefit_cta":
        pen.rect(slots["button"], _BUTTON, 0.045)
        pen.text(_shrink(slots["button"], 0.02), "Shop now >", _WHITE, 0.055)


def _add_flood(pen: _Pen, kind: str, slots: Mapping[str, Box]) -> None:
    words, paper = find_kind(kind), (*_WHITE, 225)
    shout = f"{words.brand}! {words.benefit}! Best price ever!"
    _write_on(pen, slots["head"], shout, _ALERT, (255, 236, 80, 240), 0.06)
    small_print = "Offer ends Sunday. Free returns within 30 days. While stocks last. Terms apply."
    _write_on(pen, slots["small_print"], small_print, _INK, paper, 0.03)
    left, top, right, bottom = slots["column"]
    step = (bottom - top) / 4
    for i, detail in enumerate((*words.details, f"{words.pain_point} Not any more!")):
        y = top + step * i
        _write_on(pen, (left, y, right, y + step - 0.008), detail, _INK, paper, 0.034)
    turns = np.arange(24) * np.pi / 12
    rays = zip([0.1, 0.078] * 12, np.cos(turns).tolist(), np.sin(turns).tolist(), strict=True)
    left, top, right, bottom = slots["badge"]
    x, y = (left + right) / 2, (top + bottom) / 2
    pen.polygon([(x + r * along, y + r * down) for r, along, down in rays], (222, 30, 46))
    pen.text((x - 0.065, y - 0.055, x + 0.065, y + 0.055), "SALE -70%", _WHITE, 0.08)


# --- Layouts: (subject, attributes, side) -> the finished square ---------------------------------


def _lay_out_clean(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    image = _draw_picture(subject, attributes, (side, side))
    _add_copy(_Pen(image, 0, 0, side), subject.kind, attributes.copy, _WIDE)
    return image


def _lay_out_border(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    margin = round(0.07 * side)
    inner = side - 2 * margin
    image = Image.new("RGB", (side, side), (122, 34, 60))
    _Pen(image, 0, 0, side).rect((0.022, 0.022, 0.978, 0.978), _GOLD)
    _Pen(image, 0, 0, side).rect((0.032, 0.032, 0.968, 0.968), (122, 34, 60))
    image.paste(_draw_picture(subject, attributes, (inner, inner)), (margin, margin))
    _add_copy(_Pen(image, margin, margin, inner), subject.kind, attributes.copy, _WIDE)
    return image


def _lay_out_inset(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    image = _draw_picture(subject, attributes, (side, side))
    pen = _Pen(image, 0, 0, side)
    pen.ellipse((0.68, 0.185, 0.98, 0.485), _WHITE)
    _paste_close_up(image, _draw_close_up(subject, attributes, round(0.28 * side)))
    _add_copy(pen, subject.kind, attributes.copy, _WIDE)
    return image


def _draw_close_up(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    image = _draw_harmonious(subject, (side, side))
    product = _render_product(subject, round(side * 1.5))
    image.paste(product, (-side // 8, -side // 8), product)
    return _tone(image, subject, attributes.palette)


def _paste_close_up(image: Image.Image, close_up: Image.Image) -> None:
    mask = Image.new("L", close_up.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, close_up.width - 1, close_up.height - 1), fill=255)
    image.paste(close_up, (round(0.69 * image.width), round(0.195 * image.height)), mask)


def _lay_out_split(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    left = round(0.38 * side)
    panel = _mix(subject.colour, _INK, 0.45)
    image = Image.new("RGB", (side, side), panel)
    image.paste(_draw_picture(subject, attributes, (side - left, side)), (left, 0))
    _add_copy(_Pen(image, 0, 0, side), subject.kind, attributes.copy, _PANEL)
    return image


_LAYOUTS: Mapping[str, Callable[[_Subject, AdAttributes, int], Image.Image]] = {
    "clean": _lay_out_clean,
    "border": _lay_out_border,
    "inset": _lay_out_inset,
    "split": _lay_out_split,
}


# --- Layouts of held-out worlds: the same levels, drawn as no usual world draws them --------------


def _lay_out_dashed_border(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    margin = round(0.06 * side)
    inner = side - 2 * margin
    image = Image.new("RGB", (side, side), (24, 86, 92))
    pen = _Pen(image, 0, 0, side)
    for place in np.arange(0.01, 0.99, 0.07).tolist():
        for at in (0.022, 0.968):
            pen.rect((place, at, place + 0.04, at + 0.012), _WHITE)
            pen.rect((at, place, at + 0.012, place + 0.04), _WHITE)
    image.paste(_draw_picture(subject, attributes, (inner, inner)), (margin, margin))
    _add_copy(_Pen(image, margin, margin, inner), subject.kind, attributes.copy, _WIDE)
    return image


def _lay_out_square_inset(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    image = _draw_picture(subject, attributes, (side, side))
    pen = _Pen(image, 0, 0, side)
    pen.rect((0.68, 0.185, 0.98, 0.485), _INK)
    close_up = _draw_close_up(subject, attributes, round(0.28 * side))
    image.paste(close_up, (round(0.69 * side), round(0.195 * side)))
    _add_copy(pen, subject.kind, attributes.copy, _WIDE)
    return image


def _lay_out_split_right(subject: _Subject, attributes: AdAttributes, side: int) -> Image.Image:
    width = round(0.62 * side)
    image = Image.new("RGB", (side, side), _mix(subject.colour, _WHITE, 0.55))
    image.paste(_draw_picture(subject, attributes, (width, side)), (0, 0))
    _add_copy(_Pen(image, 0, 0, side), subject.kind, attributes.copy, _PANEL_RIGHT)
    return image


_HELD_OUT_LAYOUTS: Mapping[str, Callable[[_Subject, AdAttributes, int], Image.Image]] = {
    "clean": _lay_out_clean,
    "border": _lay_out_dashed_border,
    "inset": _lay_out_square_inset,
    "split": _lay_out_split_right,
}
