"""A plot as SVG: two axes and four kinds of marks, coloured by the page's style sheet.

A plotting library would bring its own colours and fonts, for light pages only; the marks here take
classes, so that one style sheet serves light, dark and print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tick = tuple[float, str]

_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 10, 46  # pixels around the frame


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values and the ticks along it.

    Attributes:
        low, high: ends of the range, low under high; over 0 on a logarithmic axis.
        ticks: values with what stands beside them.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[Tick]
    is_log: bool = False

    def place(self, values: Floats) -> Floats:
        """Return where values lie: 0 at the low end, 1 at the high; outside ones at the ends."""
        low, high = self.low, self.high
        inside = np.clip(values, low, high)
        if self.is_log:
            inside, low, high = np.log(inside), math.log(low), math.log(high)
        placed: Floats = (inside - low) / (high - low)
        return placed


@dataclass
class Chart:
    """A frame with marks; what is added first lies below. Values are in units of the axes.

    Attributes:
        title: what the picture shows, for those who cannot see it.
        width, height: pixels before the page scales it.
    """

    title: str
    x: Axis
    y: Axis
    width: int = 560
    height: int = 340
    _marks: list[str] = field(default_factory=list)

    def dots(self, x: Floats, y: Floats, style: str) -> None:
        """Add a dot per value; `style` is a class of the style sheet, here and below."""
        self._path("".join(f"M{a:.1f} {b:.1f}h0" for a, b in self._points(x, y)), f"dots {style}")

    def crosses(self, x: Floats, y: Floats, style: str) -> None:
        """Add a cross per value, to be told from dots without colour."""
        arms = "m-2.5-2.5l5 5m0-5l-5 5"
        self._path("".join(f"M{a:.1f} {b:.1f}{arms}" for a, b in self._points(x, y)), style)

    def line(self, x: Floats, y: Floats, style: str) -> None:
        """Add a line through values."""
        self._path(self._through(x, y), style)

    def area(self, x: Floats, low: Floats, high: Floats, style: str) -> None:
        """Add the area between two lines over the same x."""
        outline = self._through(np.append(x, x[::-1]), np.append(low, high[::-1]))
        self._path(f"{outline}Z", f"area {style}")

    def bars(self, edges: Floats, heights: Floats, style: str) -> None:
        """Add bars from the low end of y; edges [num_bars + 1], heights [num_bars]."""
        floor = np.full(2, self.y.low)
        for start, end, height in zip(edges, edges[1:], heights, strict=False):
            gap = (edges[-1] - edges[0]) / 400
            self.area(np.array([start + gap, end - gap]), floor, np.full(2, height), style)

    def render(self) -> str:
        """Return the SVG element; its text is escaped."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img">'
            f"<title>{escape(self.title)}</title>{self._frame()}{''.join(self._marks)}</svg>"
        )

    def _frame(self) -> str:
        left, right = _LEFT, self.width - _RIGHT
        top, bottom = _TOP, self.height - _BOTTOM
        parts = []
        for value, text in self.x.ticks:
            at = self._across(np.array([value]))[0]
            parts.append(f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>')
            parts.append(_text(at, bottom + 16, text, "middle"))
        for value, text in self.y.ticks:
            at = self._down(np.array([value]))[0]
            parts.append(f'<path class="grid" d="M{left} {at:.1f}H{right}"/>')
            parts.append(_text(left - 6, at + 4, text, "end"))
        parts.append(f'<path class="frame" d="M{left} {top}V{bottom}H{right}"/>')
        middle = (top + bottom) / 2
        parts.append(_text((left + right) / 2, self.height - 8, self.x.label, "middle"))
        parts.append(
            f'<text transform="translate(13 {middle:.1f}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y.label)}</text>"
        )
        return "".join(parts)

    def _across(self, values: Floats) -> Floats:
        return _LEFT + self.x.place(values) * (self.width - _LEFT - _RIGHT)

    def _down(self, values: Floats) -> Floats:
        return self.height - _BOTTOM - self.y.place(values) * (self.height - _BOTTOM - _TOP)

    def _points(self, x: Floats, y: Floats) -> list[tuple[float, float]]:
        return list(zip(self._across(x).tolist(), self._down(y).tolist(), strict=True))

    def _through(self, x: Floats, y: Floats) -> str:
        points = self._points(x, y)
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points) if points else ""

    def _path(self, d: str, style: str) -> None:
        if d:
            self._marks.append(f'<path class="{style}" d="{d}"/>')


def list_round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return values at 1, 2 or 5 times a power of ten apart, within a range."""
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def list_log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten within a range, with 2 and 5 times them where these are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [10.0**d * f for d in decades for f in factors if low <= 10.0**d * f <= high]
        if len(ticks) >= 4:
            break
    return ticks


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
