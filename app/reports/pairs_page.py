"""The report about a build of pairs: its figures put into words and into one HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.reports.figures import (
    MOST_DOTS,
    Rows,
    draw_gaps,
    draw_probabilities,
    draw_quantiles,
)
from creativepair.diagnostics import (
    ClickClass,
    divide_by_clicks,
    root_mean_square,
)
from creativepair.evidence import DEFAULT_NOISE, DEFAULT_TAU, INTERVAL_Z, NoiseModel
from creativepair.noise import ENOUGH_PAIRS
from creativepair.pairing import PairSettings
from creativepair.records import NOT_CONSIDERED, Evidence, Item, Pair
from creativepair.shrinkage import NORMAL_SHAPE, SHAPE_SCALES, Shape

_SHOWN_GROUPS = 20
_SHOWN_CATEGORIES = 30
# Under this, three classes of clicks would show luck.
_ENOUGH_TO_DIVIDE = 90
_ENOUGH_TO_DRAW = 10

_LARGEST_GAP = 99.0

KINDS = {
    "clear": "Clear: the surest winners",
    "typical": "Typical: the middle of the candidates",
    "borderline": "Borderline: the least sure that were kept",
    "nearly_sure": "Rejected, not sure enough: the closest misses",
    "wide_unsure": "Rejected, not sure enough: the widest gaps",
    "small_gap": "Rejected, gap too small: the surest of them",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A pair to look at.

    Attributes:
        kind: a key of `KINDS`.
        picture_a, picture_b: data addresses; None where the image is gone.
    """

    kind: str
    pair: Pair
    item: Item
    evidence: Evidence
    picture_a: str | None
    picture_b: str | None


@dataclass(frozen=True, slots=True)
class PairsReport:
    """What the page is made of.

    Attributes:
        settings: of the build, completed by today's defaults.
        summary: of the build; an older one may lack some figures.
        rows: its evidence, [num_pairs].
        num_stale: pairs of any build that are stale now.
    """

    workspace: str
    synthetic: bool
    version: int
    built_at: datetime
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    rows: Rows
    num_stale: int
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One reason; `left` pairs remain after it."""

    reason: str
    words: str
    count: int
    share: float
    left: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The A/A pairs of a build.

    Attributes:
        before, after: quantile plots of z by the counts alone and with noise; None for few pairs.
        beyond_before, beyond_after: share of pairs with an absolute z over 1.96.
    """

    num_pairs: int
    rms_before: float
    rms_after: float
    beyond_before: float
    beyond_after: float
    before: str | None
    after: str | None
    classes: Sequence[ClickClass]


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of the build beside its default; `interval` is None where it leans on that."""

    symbol: str
    words: str
    value: float
    interval: Sequence[float] | None
    num_pairs: int
    default: float


def render(report: PairsReport) -> str:
    """Return the page; everything that comes from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("app", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "count": _count,
        "number": _number,
        "gap": _gap,
        "setting": _setting,
        "probability": _probability,
    }
    summary, settings, rows = report.summary, report.settings, report.rows
    defaults = PairSettings().model_dump(mode="json")
    noise, tau, shape = _read_constants(summary)
    kept = rows[(rows["status"] == "candidate") & ~np.isnan(rows["prob_a"])]
    probabilities = np.maximum(kept["prob_a"], 1 - kept["prob_a"])
    return environment.get_template("pairs.html.j2").render(
        report=report,
        summary=summary,
        settings=settings,
        defaults=defaults,
        changed={name: value for name, value in settings.items() if value != defaults.get(name)},
        has_logs=not settings["without_logs"],
        num_kept=len(kept),
        num_randomised=int(kept["randomised"].sum()),
        num_groups=summary.get("num_groups"),
        noise_given=settings["noise"] is not None,
        kinds=KINDS,
        wrong=_say_wrong(summary),
        funnel=list_funnel(summary.get("funnel", {}), settings),
        most_dots=MOST_DOTS,
        gaps=draw_gaps(rows[rows["reject_reason"] != "identical"], settings, noise, tau, shape),
        calibration=calibrate(rows, settings, noise),
        groups=sorted(summary.get("flagged_groups", ()), key=lambda g: g["p_value"]),
        shown_groups=_SHOWN_GROUPS,
        constants=list_constants(summary),
        shape=[
            (scale, share)
            for scale, share in zip(SHAPE_SCALES, shape, strict=True)
            if share >= 0.005
        ],
        categories=_list_categories(summary),
        enough_pairs=ENOUGH_PAIRS,
        probabilities=draw_probabilities(probabilities, settings["min_confidence"]),
    )


def list_funnel(funnel: Mapping[str, int], settings: Mapping[str, Any]) -> list[FunnelRow]:
    """Return the rows of the funnel in the order of the tests; the candidates come last."""
    total = left = sum(funnel.values())
    rows = []
    for reason, count in funnel.items():
        left -= count if reason != "candidate" else 0
        share = count / total if total else 0.0
        rows.append(FunnelRow(reason, explain_reason(reason, settings), count, share, left))
    return rows


def explain_reason(reason: str, settings: Mapping[str, Any]) -> str:
    """Return what a reason means, with the threshold it was given by."""
    words = {
        NOT_CONSIDERED: "Not looked at: the item has too many creatives, so a sample was drawn.",
        "identical": "Both creatives show the same image. These are the A/A pairs of section 4.",
        "too_alike": "The images are too alike to be judged (near-duplicates).",
        "no_exposures": "One creative was never shown.",
        "few_impressions": (
            f"One creative has fewer than {settings['min_impressions']:,} impressions."
        ),
        "flagged_group": "Both belong to an experiment that failed the check of section 5.",
        "no_overlap": (
            f"Less than {_percent(settings['min_shared_share'])} of their impressions lie in "
            "strata (day, position, …) in which both were shown."
        ),
        "no_clicks": "The clicks allow no estimate: there are none where both were shown.",
        "small_gap": f"The adjusted CTR gap is not over {_percent(settings['min_gap'])}.",
        "low_confidence": (
            f"The winner's probability is under {_percent(settings['min_confidence'])}."
        ),
        "item_changed": "Judged, and the item's title, category or queries changed since.",
        "over_cap": f"Good enough, but its item already has {settings['per_item']} candidates.",
        "candidate": "Kept. The winner that the logs name is the pre-label.",
    }
    return words.get(reason, reason.replace("_", " "))


def calibrate(
    rows: Rows, settings: Mapping[str, Any], noise: NoiseModel | None
) -> Calibration | None:
    """Look at the A/A pairs that the noise was measured on; None without any, or without noise."""
    # Builds made before it was kept have no variance of the counts.
    is_aa = (rows["reject_reason"] == "identical") & ~np.isnan(rows["count_variance"])
    if not settings["include_flagged_groups"]:
        is_aa &= ~rows["in_flagged_group"]
    aa = rows[is_aa]
    if noise is None or not len(aa):
        return None
    before = aa["log_ratio"] / np.sqrt(aa["count_variance"])
    after = aa["z"]
    furthest = float(np.abs([before, after]).max())
    draws = len(aa) >= _ENOUGH_TO_DRAW
    clicks = aa["clicks_a"] + aa["clicks_b"]
    return Calibration(
        num_pairs=len(aa),
        rms_before=root_mean_square(before),
        rms_after=root_mean_square(after),
        beyond_before=float(np.mean(np.abs(before) > INTERVAL_Z)),
        beyond_after=float(np.mean(np.abs(after) > INTERVAL_Z)),
        before=draw_quantiles("z by the counts alone", before, furthest) if draws else None,
        after=draw_quantiles("z with noise", after, furthest) if draws else None,
        classes=list(divide_by_clicks(clicks, before, after))
        if len(aa) >= _ENOUGH_TO_DIVIDE
        else [],
    )


def list_constants(summary: Mapping[str, Any]) -> list[Constant]:
    """Return the constants that a build recorded."""
    constants = []
    if noise := summary.get("noise"):
        for name, words, default in (
            ("phi", "factor on the spread that the counts alone give", DEFAULT_NOISE.phi),
            ("omega", "spread that no number of clicks removes", DEFAULT_NOISE.omega),
            ("kappa", "factor on the spread by which strata disagree", DEFAULT_NOISE.kappa),
        ):
            if name not in noise:
                continue
            interval = noise.get(f"{name}_interval")
            constants.append(
                Constant(name, words, noise[name], interval, noise["num_pairs"], default)
            )
    if tau := summary.get("tau"):
        words = "spread of true log CTR ratios between creatives of one item"
        constants.append(
            Constant("tau", words, tau["tau"], tau["interval"], tau["num_pairs"], DEFAULT_TAU)
        )
    return constants


def _list_categories(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the categories with a tau of their own, those with most pairs first."""
    fits = summary.get("tau_by_category", {}).items()
    return sorted(fits, key=lambda entry: (-entry[1]["num_pairs"], entry[0]))[:_SHOWN_CATEGORIES]


def _read_constants(summary: Mapping[str, Any]) -> tuple[NoiseModel | None, float | None, Shape]:
    noise, tau, shape = (summary.get(name) for name in ("noise", "tau", "tau_shape"))
    return (
        NoiseModel(**{n: noise[n] for n in ("phi", "omega", "kappa") if n in noise})
        if noise
        else None,
        tau["tau"] if tau else None,
        tuple(shape[str(scale)] for scale in SHAPE_SCALES) if shape else NORMAL_SHAPE,
    )


def _say_wrong(summary: Mapping[str, Any]) -> str | None:
    share, candidates = summary.get("expected_wrong"), summary["candidates"]
    if share is None:
        return None
    wrong = share * candidates
    return f"{'under 1' if wrong < 0.5 else f'about {wrong:,.0f}'} of {candidates:,}"


def _percent(value: float, digits: int = 0) -> str:
    """Return a share with the digits asked for, and more where it would look like none or all."""
    if 0 < value < 1 and f"{value:.{digits}%}" in (f"{0:.{digits}%}", f"{1:.{digits}%}"):
        return _percent(value, digits + 1)
    return f"{value:.{digits}%}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


def _gap(value: float) -> str:
    """Return a gap with its sign; `exp(100)` and its like as "over"."""
    if value > _LARGEST_GAP:
        return f"over +{_LARGEST_GAP:,.0%}"
    return f"{value:+,.0%}".replace("-", "−")


def _probability(value: float) -> str:
    """Return a probability with the digits that tell it from 1."""
    digits = next((digits for digits in (1, 2, 3) if value < 1 - 0.5 * 10.0 ** -(digits + 2)), None)
    return f"{value:.{digits}%}" if digits else "over 99.999%"


def _setting(value: object) -> str:
    """Return a setting in words; what is not given is fitted."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "fitted" if value is None else str(value)
