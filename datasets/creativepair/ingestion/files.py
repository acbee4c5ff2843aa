"""Tables from outside as rows of raw values: CSV, Parquet or JSONL, each also compressed.

Forgiving where that is safe (byte order mark, semicolons, tabs), strict where it is not: a row
with too few or too many fields is a problem with its row number, never shifted values.
"""

import glob
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from creativepair.errors import InputError
from creativepair.ingestion.delimited import find_delimiter, read_records
from creativepair.sources import fetch_bytes

_FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
_FORMAT_HINT = "Give CSV, Parquet or JSONL, each also as .gz."


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row before any check.

    Attributes:
        file: the name the user gave.
        row: line number in text files (the header is line 1), row number from 1 in Parquet.
        values: cells by column, after renaming; empty text cells are absent.
        problem: why the row cannot be read at all, or None.
    """

    file: str
    row: int
    values: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One input file.

    Attributes:
        sha256: of the bytes of the file.
        columns: after renaming.
        renames: our column name by the file's, where the two differ.
    """

    name: str
    sha256: str
    columns: tuple[str, ...]
    rows: Sequence[RawRow]
    renames: Mapping[str, str] = field(default_factory=dict)


def expand(pattern: str, *, allow_remote: bool) -> list[str]:
    """List the files that a path, glob or URL names.

    Raises:
        InputError: when it names none, or is remote without leave.
    """
    if "://" in pattern:
        if not allow_remote:
            raise InputError(
                f"{pattern} is a remote address", hint="Pass --allow-remote to read it."
            )
        return [pattern]
    if Path(pattern).is_file():
        return [pattern]
    found = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())  # noqa: PTH207 (absolute patterns)
    if not found:
        raise InputError(f"no file {pattern}", hint="Check the path; quote a glob.")
    return found


def read_table(name: str, renames: Mapping[str, str], required: Sequence[str]) -> Table:
    """Read a whole table.

    Args:
        renames: our column name by the file's.
        required: columns that must be there.

    Raises:
        InputError: when the file is empty, not a table, damaged, or lacks a column.
    """
    data = _read_bytes(name)
    digest = hashlib.sha256(data).hexdigest()
    suffixes = Path(name.split("?")[0]).suffixes
    if suffixes and suffixes[-1].lower() == ".gz":
        data, suffixes = _decompress(data, name), suffixes[:-1]
    form = suffixes[-1].lower() if suffixes else ""
    if form not in _FORMATS:
        raise InputError(f"{name}: unknown kind of file {form!r}", hint=_FORMAT_HINT)
    if not data.strip():
        raise InputError(f"{name} is empty", hint="A table needs a header and rows.")
    if form == ".parquet":
        columns, rows = _read_parquet(data, name)
    elif form in (".jsonl", ".ndjson"):
        columns, rows = _read_jsonl(_decode(data, name), name)
    else:
        columns, rows = _read_csv(_decode(data, name), name)
    return _rename(Table(name, digest, columns, rows), renames, required)


def _read_bytes(name: str) -> bytes:
    if name.startswith(("http://", "https://")):
        return fetch_bytes(name)
    if "://" in name:
        if name.startswith(("file:", "local:")):
            raise InputError(f"{name} is a local address", hint="Give the path itself.")
        try:
            with fsspec.open(name, "rb") as file:
                return bytes(file.read())
        except (OSError, ImportError, ValueError) as error:
            raise InputError(
                f"{name} cannot be read: {error}", hint="Check the address."
            ) from error
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(
            f"{name} cannot be read: {error.strerror}", hint="Check the path."
        ) from error


def _decompress(data: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{name} is a damaged gzip file: {error}", hint="Fetch it again."
        ) from error


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{name}, line {line}: byte {data[error.start]:#04x} is not UTF-8",
            hint="Save the file as UTF-8.",
        ) from error


def _read_csv(text: str, name: str) -> tuple[tuple[str, ...], list[RawRow]]:
    delimiter = find_delimiter(text.lstrip("\r\n").split("\n", 1)[0])
    records = read_records(io.StringIO(text, newline=""), delimiter, name)
    header = next(records, None)
    columns = tuple(cell.strip() for cell in header.cells) if header else ()
    rows = [
        RawRow(name, record.line, {}, record.problem)
        if record.problem
        else RawRow(
            name, record.line, _without_empty(dict(zip(columns, record.cells, strict=True)))
        )
        for record in records
    ]
    return columns, rows


def _read_jsonl(text: str, name: str) -> tuple[tuple[str, ...], list[RawRow]]:
    columns: dict[str, None] = {}
    rows = []
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if "\\u" in line:  # half of a surrogate pair is legal JSON and no text
                json.dumps(values, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            rows.append(RawRow(name, row, {}, f"is not JSON: {error}"))
            continue
        if not isinstance(values, dict):
            rows.append(RawRow(name, row, {}, "is not a JSON object"))
            continue
        columns.update(dict.fromkeys(values))
        rows.append(RawRow(name, row, _without_empty(values)))
    return tuple(columns), rows


def _read_parquet(data: bytes, name: str) -> tuple[tuple[str, ...], list[RawRow]]:
    try:
        table = pq.read_table(io.BytesIO(data))
        rows = _to_rows(table, name)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not a Parquet file: {error}", hint=_FORMAT_HINT) from error
    return tuple(table.column_names), rows


def _to_rows(table: pa.Table, name: str) -> list[RawRow]:
    """Return the rows of an Arrow table; one with a time outside the years 1 to 9999 is a problem.

    Arrow's times reach further than Python's.
    """
    try:
        listed = table.to_pylist()
    except OverflowError:
        pass
    except ValueError as error:
        if isinstance(error, (pa.ArrowException, UnicodeDecodeError)):
            raise
    else:
        return [RawRow(name, n, _without_empty(values)) for n, values in enumerate(listed, start=1)]
    return [_to_row(table.slice(n, 1), name, n + 1) for n in range(table.num_rows)]


def _to_row(table: pa.Table, name: str, number: int) -> RawRow:
    for column in table.column_names:
        try:
            table[column].to_pylist()
        except (OverflowError, ValueError) as error:
            if isinstance(error, (pa.ArrowException, UnicodeDecodeError)):
                raise
            return RawRow(name, number, {}, f"has a time in {column} that is out of range")
    (values,) = table.to_pylist()
    return RawRow(name, number, _without_empty(values))


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in values.items()}
    return {k: v for k, v in stripped.items() if v is not None and v != ""}


def _rename(table: Table, renames: Mapping[str, str], required: Sequence[str]) -> Table:
    columns = tuple(renames.get(column, column) for column in table.columns)
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise InputError(
            f"{table.name}: column {', '.join(repeated)} stands there twice", hint="Rename one."
        )
    missing = [column for column in required if column not in columns]
    if missing:
        raise InputError(
            f"{table.name} lacks the column {', '.join(missing)}; it has {', '.join(columns)}",
            hint=f"Name yours: --map {missing[0]}=YOUR_COLUMN.",
        )
    applied = {c: renames[c] for c in table.columns if renames.get(c, c) != c}
    if not applied:
        return table
    rows = [
        RawRow(r.file, r.row, {applied.get(k, k): v for k, v in r.values.items()}, r.problem)
        for r in table.rows
    ]
    return replace(table, columns=columns, rows=rows, renames=applied)
