"""The `train` commands. Heavy imports are inside them, so that help answers at once."""

from typing import Annotated, Literal

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit, note

train_cli = typer.Typer(help="Train models on releases.", no_args_is_help=True)


@train_cli.command("creative4u")
def train_creative4u(
    release: Annotated[str, typer.Option(help="Version of the release to learn from.")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="key=value, in place of lines of the settings.")
    ] = None,
    recipe: Annotated[
        Literal["sft", "grpo"], typer.Option(help="Chains to copy, or labels to be right on.")
    ] = "sft",
    config: Annotated[
        str | None,
        typer.Option(
            help="YAML file in place of lines of the recipe's, or qwen2.5-vl-3b and other names."
        ),
    ] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Train a comparative model on a release; goes on where it was cut off."""
    from app.bootstrap import open_studio
    from app.commands import train

    note("Training; a run that is cut off goes on when the same is asked again …")
    report = train.train_creative4u(
        open_studio(workspace),
        release=release,
        recipe=recipe,
        config=config,
        overrides=tuple(settings or ()),
    )
    if report is None:
        return
    lines = [f"Registered {report.model_version} in {report.path}"]
    lines += [f"  {name}: {value:.4g}" for name, value in report.metrics.items()]
    if report.logs:
        lines.append(f"Its curves: tensorboard --logdir {report.logs.parent}")
    lines.append(f"Next: creativepair draft --drafter {report.model_version}")
    emit(
        {
            "model_version": report.model_version,
            "metrics": report.metrics,
            "losses": [{"step": step, "loss": loss} for step, loss in report.losses.items()],
            "path": str(report.path),
            "logs": str(report.logs) if report.logs else None,
        },
        as_json=as_json,
        lines="\n".join(lines),
    )
