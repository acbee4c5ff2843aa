"""Plots of the pages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt

_ROW_PX = 26
_ROOM_PX = {"left": 0, "top": 4, "right": 16, "bottom": 4}  # a dot at the end is not cut
_LONGEST_NAME_PX = 320
_COLOUR = "#4a9085"  # seen on light and on dark


@dataclass(frozen=True, slots=True)
class Interval:
    """A named number with its interval; without one where nothing can be said of it."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int


def plot_intervals(
    rows: Sequence[Interval], label: str, low: float, high: float
) -> alt.LayerChart | alt.FacetChart:
    """Return dots with intervals, one row each in the given order, on an axis from low to high."""
    data = _make_data([asdict(row) for row in rows])
    names = [row.name for row in rows]
    tips = [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("value:Q", format=".3f"),
        alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"),
        alt.Tooltip("n:Q"),
    ]
    names_axis = alt.Axis(labelLimit=_LONGEST_NAME_PX, labelFlush=False)
    y = alt.Y("name:N", sort=names, title=None, axis=names_axis)
    scale = alt.Scale(domain=[low, high])
    axis = alt.Axis(labelFlush=True)  # the numbers at the ends stay within the plot
    base = alt.Chart(data).encode(y=y, tooltip=tips)
    lines = base.mark_rule(strokeWidth=3, color=_COLOUR, aria=False).encode(
        x=alt.X("low:Q", scale=scale, axis=axis, title=label), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=90, opacity=1, color=_COLOUR, aria=False).encode(
        x=alt.X("value:Q", scale=scale, axis=axis, title=label)
    )
    origin = alt.Chart(_make_data([{"at": 0}]))
    zero = origin.mark_rule(strokeDash=[3, 3], color="#888888", aria=False).encode(x="at:Q")
    layers = [lines, dots, *([zero] if low < 0 else [])]
    return alt.layer(*layers).properties(height=alt.Step(_ROW_PX), padding=_ROOM_PX)


def _make_data(values: list[dict[str, Any]]) -> alt.Data:
    # altair's generated constructors have no types.
    return alt.Data(values=values)  # type: ignore[no-untyped-call]
