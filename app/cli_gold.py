"""The `gold` commands. Heavy imports are inside them, so that help answers at once."""

from typing import Annotated

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit

gold_cli = typer.Typer(help="Pairs that check attention.", no_args_is_help=True)


@gold_cli.callback()
def _group() -> None:
    """Keep `add` a command of its own, though it is the only one."""


@gold_cli.command("add")
def add(
    number: Annotated[int, typer.Option(min=1, help="How many to make.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the choice of creatives.")] = 0,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Make pairs with an obvious answer: a degraded copy, a wrong product, twice the same image."""
    from app.bootstrap import open_studio
    from app.commands.add_gold import add_gold

    counts = add_gold(open_studio(workspace), number=number, seed=seed)
    lines = f"Added {counts['added']} gold pairs; there are {counts['gold']} now"
    emit(counts, as_json=as_json, lines=lines)
