"""The `evaluate` commands. Heavy imports are inside them, so that help answers at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit, progress

if TYPE_CHECKING:
    from app.commands.evaluate import Evaluation
    from creativepair.estimates import Estimate
    from model_assist.creative4u.evaluation import Measured

evaluate_cli = typer.Typer(help="Measure models on releases.", no_args_is_help=True)

_COLUMNS = ("comparer", "accuracy", "both orders", "one order", "flips", "NLL", "ECE", "band")


@evaluate_cli.command("creative4u")
def evaluate_creative4u(
    model: Annotated[
        str,
        typer.Option(
            help="pocket, a version such as creative4u-1, vllm:VERSION@URL or, with --chains, "
            "openai:MODEL@URL."
        ),
    ],
    release: Annotated[str, typer.Option(help="Version of the release.")],
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Whose pairs are compared.")
    ] = "test",
    chains: Annotated[
        int, typer.Option(min=0, help="Written in each order; 0 asks for the answer at once.")
    ] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pairs.")] = None,
    judge: Annotated[
        str | None, typer.Option(help="openai:MODEL@URL of a model that rates the chains.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Another model, measured on the same pairs; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn by chance.")] = 0,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with plots here.")
    ] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Measure a comparative model beside what it has to beat."""
    from app.bootstrap import open_studio
    from app.commands import evaluate
    from app.reports.evaluation_page import write_evaluation_page

    found = evaluate.evaluate_creative4u(
        open_studio(workspace),
        model=model,
        release=release,
        split=split,
        chains=chains,
        limit=limit,
        seed=seed,
        judge=judge,
        against=against or (),
        on_progress=progress("Pairs"),
    )
    result, lines = _to_json(found), _to_lines(found)
    if html is not None:
        write_evaluation_page(html, found)
        result["path"] = str(html.resolve())
        lines += f"\n{html.resolve()}"
    emit(result, as_json=as_json, lines=lines)


def _to_json(found: "Evaluation") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "model_version": found.model_version,
        "release": found.release,
        "digest": found.digest,
        "split": found.split,
        "mode": found.mode,
        "pairs": found.num_pairs,
        "items": found.num_items,
        "metrics": asdict(found.model),
        "baselines": {name: asdict(each) for name, each in found.baselines.items()},
        "leads": {name: asdict(each) for name, each in found.leads.items()},
        "selection": {name: asdict(each) for name, each in found.selection.items()},
        "rationale_score": asdict(found.rated) if found.rated else None,
        "reliability": [asdict(each) for each in found.bins],
        "confusion": {
            question: [{"reviewed": r, "model": m, "pairs": n} for (r, m), n in sorted(c.items())]
            for question, c in found.confusion.items()
        },
    }


def _to_lines(found: "Evaluation") -> str:
    rows = [(found.model_version, found.model), *found.baselines.items()]
    width = max(len(name) for name, _ in rows)
    fitted = f"fitted on {found.fitted_on}" if found.fitted_on else "not fitted"
    head = (
        f"{found.num_pairs:,} pairs of {found.num_items:,} items, {found.split} of release "
        f"{found.release}, {found.mode}; 95 % intervals; temperature "
        f"{found.model.temperature:.2f}, {fitted}"
    )
    titles = f"{_COLUMNS[0]:<{width}}  " + "  ".join(f"{title:>22}" for title in _COLUMNS[1:3])
    titles += "  " + "  ".join(f"{title:>9}" for title in _COLUMNS[3:])
    lines = [head, "", titles, *(_row(name, each, width) for name, each in rows)]
    lines += ["", f"On the same pairs {found.model_version} is more often right, by:"]
    lines += [f"{name:<{width}}  {_share(each):>24}" for name, each in found.leads.items()]
    if rated := found.rated:
        lines += ["", f"Rationale score by {rated.judge}: {_share(rated.score)}"]
        lines += [f"  {name}: {_share(each)}" for name, each in rated.criteria.items()]
        lines.append(f"  {rated.unread} ratings could not be read")
    return "\n".join([*lines, "", *_list_selection(found, width)])


def _list_selection(found: "Evaluation", width: int) -> list[str]:
    of_model = found.selection[found.model_version]
    if not of_model.pools:
        return ["No item has three images and all pairs of its best one: choosing is not measured."]
    lines = [
        f"The best image of an item is chosen, {of_model.pools:,} items (by chance "
        f"{of_model.chance:.3f}):",
        *(f"{name:<{width}}  {_share(each.best):>22}" for name, each in found.selection.items()),
    ]
    if of_model.triads:
        lines.append(f"{of_model.cycles} of {of_model.triads} triples have no order by the model.")
    return lines


def _row(name: str, measured: "Measured", width: int) -> str:
    low, high = measured.ece_band
    return (
        f"{name:<{width}}  {_share(measured.accuracy):>22}  {_share(measured.both_right):>22}  "
        f"{_value(measured.one_order):>9}  {_value(measured.flips):>9}  {measured.nll:>9.3f}  "
        f"{measured.ece:>9.3f}  {f'{low:.3f}-{high:.3f}':>9}"
    )


def _share(estimate: "Estimate") -> str:
    if estimate.low is None:
        return _value(estimate)
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _value(estimate: "Estimate") -> str:
    return "" if estimate.value is None else f"{estimate.value:.3f}"
