"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

WorkspacePath = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder of the workspace; default: the nearest one upward."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
