"""The `models` commands. Heavy imports are inside them, so that help answers at once."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit

if TYPE_CHECKING:
    from model_assist.registry import ModelSummary

models_cli = typer.Typer(help="Trained models.", no_args_is_help=True)

_NONE = "No models yet."


@models_cli.command("list")
def models_list(workspace: WorkspacePath = None, as_json: AsJson = False) -> None:
    """List the models, and what speaks against them."""
    from app.bootstrap import open_studio
    from model_assist.registry import list_models

    found = list_models(open_studio(workspace).workspace.models)
    lines = "\n".join(f"{each.version:>16}  {_say(each)}" for each in found)
    emit({"models": [_entry(each) for each in found]}, as_json=as_json, lines=lines or _NONE)


@models_cli.command("show")
def models_show(
    version: Annotated[str, typer.Argument(help="Version of a model, such as creative4u-1.")],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Show what a model is, after checking every byte of it."""
    from app.bootstrap import open_studio
    from model_assist.registry import ModelSummary, read_mark, verify_model

    models = open_studio(workspace).workspace.models
    record = verify_model(models, version)
    summary = ModelSummary(version, models / version, record, read_mark(models, version), None)
    training = record.training
    entry = _entry(summary) | {
        "training": training.model_dump(mode="json"),
        "digest": record.digest,
        "files": list(record.files),
    }
    learned = ", ".join(each.release for each in training.trained_on) or "drawn ads alone"
    metrics = "".join(f"\n  {name}: {value:.4g}" for name, value in training.metrics.items())
    lines = (
        f"{version}: {_say(summary)}\n"
        f"from {training.base or 'nothing'} by {training.recipe}, on {learned}\n"
        f"{summary.path}{metrics}"
    )
    emit({"models": [entry]}, as_json=as_json, lines=lines)


def _entry(summary: "ModelSummary") -> dict[str, Any]:
    record = summary.record
    return {
        "version": summary.version,
        "path": str(summary.path),
        "kind": record.kind if record else None,
        "created": record.created.isoformat() if record else None,
        "trained_on": [each.release for each in record.training.trained_on] if record else [],
        "mark": str(summary.mark) if summary.mark else None,
        "problem": summary.problem,
    }


def _say(summary: "ModelSummary") -> str:
    if summary.problem or summary.record is None:
        return summary.problem or "its record is missing"
    of = ", ".join(each.release for each in summary.record.training.trained_on)
    words = f"{summary.record.created:%Y-%m-%d}  {of or 'drawn ads'}"
    return f"{words}  {summary.mark}" if summary.mark else words
