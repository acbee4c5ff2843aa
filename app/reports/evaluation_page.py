"""What a model is worth beside what it has to beat, as one HTML page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.commands.evaluate import Evaluation
from app.reports.charts import Axis, Chart
from creativepair.errors import InputError
from creativepair.estimates import Estimate
from model_assist.creative4u.evaluation import Bin

_TICKS = [(share / 100, f"{share}%") for share in range(50, 101, 10)]
_SHARES = [(share / 100, f"{share}%") for share in range(0, 101, 20)]


def render_evaluation_page(found: Evaluation) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("app", "reports"), undefined=StrictUndefined, autoescape=True
    )
    environment.filters["share"] = _say_share
    environment.filters["value"] = _say_value
    return environment.get_template("evaluation.html.j2").render(
        found=found,
        rows=[(found.model_version, found.model), *found.baselines.items()],
        diagram=draw_reliability(found.bins),
        confusion=[_tabulate(question, found) for question in found.confusion],
    )


def write_evaluation_page(path: Path, found: Evaluation) -> None:
    """Write the page.

    Raises:
        InputError: when the file cannot be written.
    """
    try:
        path.write_text(render_evaluation_page(found), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", hint="Name another file with --html."
        ) from error


def draw_reliability(bins: Sequence[Bin]) -> str:
    """Draw how often each confidence is right, with Wilson's interval, beside a perfect model."""
    chart = Chart(
        "How often the model is right, by how sure it says it is",
        Axis("what the model says", 0.5, 1.0, _TICKS),
        Axis("share that is right", 0.0, 1.0, _SHARES),
    )
    ends = np.array([0.5, 1.0])
    chart.line(ends, ends, "threshold")
    for each in bins:
        right = each.right
        if each.confidence is None or right.value is None:
            continue
        at = np.array([each.confidence])
        if right.low is not None and right.high is not None:
            chart.line(np.repeat(at, 2), np.array([right.low, right.high]), "ideal")
        chart.dots(at, np.array([right.value]), "kept")
    return chart.render()


def _tabulate(question: str, found: Evaluation) -> dict[str, object]:
    counter = found.confusion[question]
    reviewed = sorted({said for said, _ in counter})
    written = sorted({said for _, said in counter})
    agree = sum(number for (one, other), number in counter.items() if one == other)
    return {
        "question": question,
        "columns": written,
        "rows": [(said, [counter[said, other] for other in written]) for said in reviewed],
        "agree": agree,
        "of": counter.total(),
    }


def _say_value(estimate: Estimate) -> str:
    return "" if estimate.value is None else f"{estimate.value:.3f}"


def _say_share(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _say_value(estimate)
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
