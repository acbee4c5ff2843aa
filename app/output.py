"""What commands print: one JSON object, or lines for people; errors as a sentence and a way on."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from creativepair.errors import CreativePairError


def emit(result: Mapping[str, Any], *, as_json: bool, lines: str = "") -> None:
    """Print a result and flush it: as one JSON object on stdout, or as the given lines."""
    text = json.dumps(result, default=str, ensure_ascii=False) if as_json else lines
    typer.echo(text)
    sys.stdout.flush()


def emit_file(rows: int, path: Path, as_json: bool) -> None:
    """Print that rows were written to a file."""
    absolute = path.resolve()
    result = {"rows": rows, "path": str(absolute)}
    emit(result, as_json=as_json, lines=f"Wrote {rows} rows to {absolute}")


def note(text: str) -> None:
    """Print something that is not the result: to stderr."""
    typer.echo(text, err=True)


def progress(label: str) -> Callable[[int, int], None]:
    """Return a callback that shows progress on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{label}: {done} of {total}" + ("\n" if done >= total else ""))
        sys.stderr.flush()

    return show


def print_error(error: CreativePairError) -> None:
    """Print what is wrong and what to do next."""
    note(f"Error: {error.message}")
    note(f"Try: {error.hint}")
