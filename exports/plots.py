"""Plots of a card: stacked horizontal bars as SVG files that stand alone, light and dark."""

from collections.abc import Mapping, Sequence
from html import escape

FOLDER = "plots"
_WIDTH, _LABELS, _NUMBERS = 640, 150, 64  # pixels
_BAR, _STEP, _TITLE, _LEGEND = 16, 24, 28, 26
_LETTER = 7.2
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600 }
.label { text-anchor: end }
.s0 { fill: #4a9085 } .s1 { fill: #c9803b } .s2 { fill: #9aa3a7 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


def draw_bars(title: str, rows: Mapping[str, Mapping[str, int]], series: Sequence[str]) -> str:
    """Return a plot: a bar for each row, of up to three stacked series, and their sum beside it.

    Args:
        rows: numbers by series, by the name of the row.
        series: their order; named in a legend where there are several.
    """
    most = max((sum(numbers.values()) for numbers in rows.values()), default=0) or 1
    scale = (_WIDTH - _LABELS - _NUMBERS) / most
    is_named = len(series) > 1
    head = _TITLE + _LEGEND * is_named
    height = head + _STEP * len(rows)
    marks = [_text(0, 16, title, "title"), *(_legend(series) if is_named else [])]
    for number, (name, numbers) in enumerate(rows.items()):
        top = head + _STEP * number
        marks.append(_text(_LABELS - 8, top + 13, name, "label"))
        at = float(_LABELS)
        for place, one in enumerate(series):
            width = numbers.get(one, 0) * scale
            marks.append(
                f'<rect class="s{place}" x="{at:.1f}" y="{top}" width="{width:.1f}" '
                f'height="{_BAR}"/>'
            )
            at += width
        marks.append(_text(at + 6, top + 13, f"{sum(numbers.values()):,}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>{''.join(marks)}</svg>\n"
    )


def _legend(series: Sequence[str]) -> list[str]:
    marks = []
    at = float(_LABELS)
    for place, name in enumerate(series):
        marks.append(f'<rect class="s{place}" x="{at:.1f}" y="27" width="12" height="12"/>')
        marks.append(_text(at + 18, 38, name))
        at += 40 + _LETTER * len(name)
    return marks


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
