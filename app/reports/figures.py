"""The figures of the report about a build of pairs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.reports.charts import Axis, Chart, Floats, list_log_ticks, list_round_ticks
from creativepair.diagnostics import find_needed_impressions, plot_quantiles
from creativepair.evidence import NoiseModel
from creativepair.shrinkage import Shape

Rows = NDArray[Any]
COLUMNS = (
    ("pair_id", "U16"), ("impressions_a", "f8"), ("clicks_a", "f8"), ("impressions_b", "f8"),
    ("clicks_b", "f8"), ("log_ratio", "f8"), ("count_variance", "f8"), ("rel_gap", "f8"),
    ("prob_a", "f8"), ("z", "f8"), ("status", "U9"), ("reject_reason", "U16"),
    ("randomised", "?"), ("in_flagged_group", "?"),
)  # fmt: skip
"""Of `Rows`, a structured array of pairs by id; NaN where there is no estimate, and the reason
"None" where there is none."""

MOST_DOTS = 2_000
"""Of each kind of pair: a page about a million pairs must stay a page."""

_GAP_TICKS = (0.0, 0.2, 0.6, 1.0, 2.0, 4.0, 9.0, 19.0, 49.0, 99.0)
_MOST_GAP_TICKS = 14  # as many lines of text as the frame is high
_SHOWN_SHARE = 0.998
_LARGEST_Z = 8.0
_NUM_BARS = 10
_BY_EVIDENCE, _OTHERWISE, _KEPT = range(3)


@dataclass(frozen=True, slots=True)
class GapFigure:
    """The gap against impressions.

    Attributes:
        shown, total: marks that are drawn, and pairs that could be.
        num_above: of these pairs, with a gap over the frame; they lie on its upper edge.
        ctr_low, ctr, ctr_high: 10th, 50th and 90th percentile of the loser's CTR.
    """

    svg: str
    shown: int
    total: int
    num_above: int
    ctr_low: float
    ctr: float
    ctr_high: float


def draw_gaps(
    rows: Rows,
    settings: Mapping[str, Any],
    noise: NoiseModel | None,
    tau: float | None,
    shape: Shape,
) -> GapFigure | None:
    """Draw each pair's gap against its impressions, and where a pair must lie to be kept.

    Args:
        rows: evidence of pairs of different images, [num_pairs]; see `COLUMNS`.
        settings: thresholds of the build.
        noise, tau, shape: constants of the build; without noise or tau there is no line of equal
            confidence.

    Returns:
        None when no pair has an estimate.
    """
    rows = rows[~np.isnan(rows["log_ratio"])]
    if not len(rows):
        return None
    fewest = np.minimum(rows["impressions_a"], rows["impressions_b"])
    size = np.abs(rows["log_ratio"])
    x = _make_impressions_axis(fewest, settings["min_impressions"])
    y = _make_gap_axis(size, settings["min_gap"])
    chart = Chart("Gap in CTR against impressions", x, y)
    ctrs = np.quantile(_find_loser_ctr(rows), (0.1, 0.5, 0.9)).tolist()
    grid = np.geomspace(max(x.low, settings["min_impressions"]), x.high, 200)
    least = math.log1p(settings["min_gap"])
    bounds: list[Floats] = []
    if noise is not None and tau is not None:
        constants = (noise, tau, shape, settings["min_confidence"])
        bounds = [_find_least_gap(grid, y.high, ctr, *constants) for ctr in ctrs]
    floor = np.maximum(least, bounds[1] if bounds else 0.0)
    chart.area(grid, np.broadcast_to(floor, grid.shape), np.full(len(grid), y.high), "region")

    rng, kind, shown = np.random.default_rng(0), _sort_out(rows), 0
    for number, draw, style in (
        (_BY_EVIDENCE, chart.dots, "rejected"),
        (_OTHERWISE, chart.crosses, "other"),
        (_KEPT, chart.dots, "kept"),
    ):
        chosen = np.sort(rng.permutation(np.flatnonzero(kind == number))[:MOST_DOTS])
        draw(fewest[chosen], size[chosen], style)
        shown += len(chosen)

    chart.line(np.array([x.low, x.high]), np.full(2, least), "threshold")
    if settings["min_impressions"] > x.low:
        chart.line(np.full(2, grid[0]), np.array([y.low, y.high]), "threshold")
    for bound, style in zip(bounds, ("bound faint", "bound", "bound faint"), strict=False):
        chart.line(grid, bound, style)
    num_above = int((size > y.high).sum())
    return GapFigure(chart.render(), shown, len(rows), num_above, *ctrs)


def draw_quantiles(title: str, z: Floats, furthest: float) -> str:
    """Draw z of A/A pairs against a normal, with the band of a perfect model.

    Args:
        title: what z was divided by, in words.
        z: [num_pairs], without NaN, at least one.
        furthest: largest absolute z to show.
    """
    plot = plot_quantiles(z)
    end = min(max(3.5, furthest * 1.05), _LARGEST_Z)
    side = max(3.0, float(plot.expected[-1]) + 0.2)
    ticks = [
        (float(at), f"{at:+d}".replace("-", "−") if at else "0")
        for at in range(-8, 9, 2)
        if abs(at) <= end
    ]
    chart = Chart(
        title,
        Axis("expected of a normal", -side, side, [t for t in ticks if abs(t[0]) <= side]),
        Axis("observed", -end, end, ticks),
        width=340,
        height=320,
    )
    chart.area(plot.expected, plot.low, plot.high, "band")
    chart.line(np.array([-side, side]), np.array([-side, side]), "ideal")
    chart.dots(plot.expected, plot.observed, "kept")
    return chart.render()


def draw_probabilities(probabilities: Floats, min_confidence: float) -> str | None:
    """Draw how many candidates have a winner of which probability; None without any.

    Args:
        probabilities: of each candidate's winner, `min_confidence` to 1, [num_candidates].
    """
    if not len(probabilities):
        return None
    # Later changes of a pair's status can leave a candidate that an earlier build had chosen.
    lowest = min(min_confidence, float(probabilities.min()))
    counts, edges = np.histogram(probabilities, np.linspace(lowest, 1.0, _NUM_BARS + 1))
    tallest = float(counts.max())
    chart = Chart(
        "Candidates by the probability of their winner",
        Axis(
            "probability of the winner",
            lowest,
            1.0,
            [(float(edge), f"{100 * edge:.4g}%") for edge in edges[::2]],
        ),
        Axis(
            "candidates",
            0.0,
            tallest * 1.05,
            [(at, f"{at:,.0f}") for at in list_round_ticks(0, tallest, 5) if at == round(at)],
        ),
        height=240,
    )
    chart.bars(edges, counts.astype(np.float64), "bar")
    return chart.render()


def _sort_out(rows: Rows) -> NDArray[np.int64]:
    """Return `_KEPT`, `_BY_EVIDENCE` or `_OTHERWISE` for each pair, [num_pairs]."""
    by_evidence = np.isin(
        rows["reject_reason"], ("few_impressions", "small_gap", "low_confidence", "no_overlap")
    )
    return np.select(
        [rows["status"] == "candidate", by_evidence], [_KEPT, _BY_EVIDENCE], _OTHERWISE
    )


def _find_loser_ctr(rows: Rows) -> Floats:
    """Return the CTR of the creative with the lower one, [num_pairs]; 0 is taken as half a click.

    Every row has impressions on both sides.
    """
    ctr = [
        np.maximum(rows[f"clicks_{side}"], 0.5) / rows[f"impressions_{side}"] for side in ("a", "b")
    ]
    lower: Floats = np.minimum(*ctr)
    return lower


def _find_least_gap(
    impressions: Floats,
    top: float,
    ctr: float,
    noise: NoiseModel,
    tau: float,
    shape: Shape,
    min_confidence: float,
) -> Floats:
    """Return the smallest log ratio that reaches a confidence at so many impressions each."""
    ratio = np.linspace(1e-3, top, 2_000)
    needed = find_needed_impressions(ratio, ctr, noise, tau, shape, min_confidence)
    usable = np.isfinite(needed)
    if not usable.any():
        return np.full(len(impressions), top)
    # Beyond the largest ratio on the frame, the line runs along its upper edge.
    least: Floats = np.interp(
        impressions, needed[usable][::-1], ratio[usable][::-1], left=top, right=None
    )
    return least


def _make_impressions_axis(fewest: Floats, min_impressions: float) -> Axis:
    low = max(1.0, min(float(fewest.min()), min_impressions or math.inf) * 0.8)
    high = max(float(fewest.max()), min_impressions, low) * 1.25
    ticks = [(at, f"{at:,.0f}") for at in list_log_ticks(low, high)]
    label = "impressions of the creative that was shown less"
    return Axis(label, low, high, ticks, is_log=True)


def _make_gap_axis(size: Floats, min_gap: float) -> Axis:
    """Return an axis of log ratios, whose ticks say gaps."""
    # A few pairs with next to no clicks would press all others together.
    high = max(float(np.quantile(size, _SHOWN_SHARE)), math.log1p(min_gap)) * 1.1 + 0.02
    ticks: list[tuple[float, str]] = []
    for gap in _GAP_TICKS:
        at = math.log1p(gap)
        if at <= high and (not ticks or at - ticks[-1][0] >= high / _MOST_GAP_TICKS):
            ticks.append((at, f"+{gap:,.0%}" if gap else "0%"))
    return Axis("adjusted gap in CTR", 0.0, high, ticks)
