"""The `gold` commands. Heavy imports are inside them, so that help answers at once."""

from typing import Annotated

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit

gold_cli = typer.Typer(help="Pairs with a known answer.", no_args_is_help=True)


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


@gold_cli.command("practice")
def practice(
    number: Annotated[int, typer.Option(min=1, max=50, help="How many to make.")] = 5,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Set pairs with sure CTR evidence aside as practice, which comes before real work."""
    from app.bootstrap import open_studio
    from app.commands.add_gold import add_practice

    counts = add_practice(open_studio(workspace), number=number)
    lines = (
        f"Added {counts['added']} practice pairs; there are {counts['practice']} now. The pairs "
        "that they were made of are paused"
    )
    emit(counts, as_json=as_json, lines=lines)
