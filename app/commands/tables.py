"""Writing rows as a table file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from creativepair.errors import InputError


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: Path) -> None:
    """Write rows as CSV or Parquet, as the name of the file says; a table without rows too.

    Raises:
        InputError: when the name says neither, or the folder does not exist.
    """
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"cannot write {out.name}", hint="Name a .csv or .parquet file.")
    if not out.parent.is_dir():
        raise InputError(f"no folder {out.parent}", hint="Make it first.")
    table = pa.table({column: [row[column] for row in rows] for column in columns})
    if out.suffix.lower() == ".csv":
        pa_csv.write_csv(table, out)
    else:
        pq.write_table(table, out)
