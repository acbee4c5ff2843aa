"""Writing rows as a table file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from creativepair.cells import escape_cell
from creativepair.errors import InputError


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: Path) -> None:
    """Write rows as CSV or Parquet, as the name of the file says; a table without rows too.

    Texts in CSV are escaped, so that no spreadsheet takes one for a formula.

    Raises:
        InputError: when the name says neither, the folder does not exist or the file cannot be
            written.
    """
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"cannot write {out.name}", hint="Name a .csv or .parquet file.")
    if not out.parent.is_dir():
        raise InputError(f"no folder {out.parent}", hint="Make it first.")
    is_csv = out.suffix.lower() == ".csv"
    kept = _escape if is_csv else _keep
    table = pa.table({column: [kept(row[column]) for row in rows] for column in columns})
    write = pa_csv.write_csv if is_csv else pq.write_table
    try:
        write(table, out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error}", hint="Name another file.") from error


def _escape(value: object) -> object:
    return escape_cell(value) if isinstance(value, str) else value


def _keep(value: object) -> object:
    return value
