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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from creativepair.errors import InputError
from creativepair.ingestion.delimited import Record, find_delimiter, read_records
from creativepair.sources import fetch_bytes

_FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
JSON_FORMS = (".jsonl", ".ndjson")
_FORMAT_HINT = "Give CSV, Parquet or JSONL, each also as .gz."
_BATCH_ROWS = 65_536
_GLOB = frozenset("*?[")


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
        return _expand_remote(pattern)
    if Path(pattern).is_file():
        return [pattern]
    found = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())  # noqa: PTH207 (absolute patterns)
    if not found:
        raise InputError(f"no file {pattern}", hint="Check the path; quote a glob.")
    return found


def _expand_remote(pattern: str) -> list[str]:
    # In a web address a question mark starts the query, and no server lists its files.
    if pattern.startswith(("http://", "https://")) or not _GLOB & set(pattern):
        return [pattern]
    try:
        system, path = fsspec.core.url_to_fs(pattern)
        found = sorted(system.unstrip_protocol(name) for name in system.glob(path))
    except (OSError, ImportError, ValueError) as error:
        raise InputError(
            f"{pattern} cannot be listed: {error}", hint="Check the address."
        ) from error
    if not found:
        raise InputError(f"no file {pattern}", hint="Check the address.")
    return found


def read_table(name: str, renames: Mapping[str, str], required: Sequence[str]) -> Table:
    """Read a whole table.

    Args:
        renames: our column name by the file's.
        required: columns that must be there.

    Raises:
        InputError: when the file is empty, not a table, damaged, or lacks a column.
    """
    data = read_bytes(name)
    digest = hashlib.sha256(data).hexdigest()
    form, compressed = form_of(name)
    if compressed:
        data = _decompress(data, name)
    if not data.strip():
        raise is_empty(name)
    if form == ".parquet":
        columns, found = read_parquet(io.BytesIO(data), name)
        rows = list(found)
    elif form in JSON_FORMS:
        columns, rows = _read_jsonl(_decode(data, name), name)
    else:
        columns, found = read_csv(io.StringIO(_decode(data, name), newline=""), name)
        rows = list(found)
    renamed, applied = rename_columns(name, columns, renames, required)
    return Table(name, digest, renamed, [rename_row(row, applied) for row in rows], applied)


def form_of(name: str) -> tuple[str, bool]:
    """Return the suffix that says what a file is, and whether it is compressed.

    Raises:
        InputError: when it is none that can be read.
    """
    suffixes = [suffix.lower() for suffix in Path(name.split("?")[0]).suffixes]
    compressed = bool(suffixes) and suffixes[-1] == ".gz"
    form = suffixes[-1 - compressed] if len(suffixes) > compressed else ""
    if form not in _FORMATS:
        raise InputError(f"{name}: unknown kind of file {form!r}", hint=_FORMAT_HINT)
    return form, compressed


def is_empty(name: str) -> InputError:
    """Return the error of a file without content."""
    return InputError(f"{name} is empty", hint="A table needs a header and rows.")


def read_bytes(name: str) -> bytes:
    """Return the bytes of a path, or of a URL (which the caller may read).

    Raises:
        InputError: when they cannot be had.
    """
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


def read_csv(lines: Iterable[str], name: str) -> tuple[tuple[str, ...], Iterator[RawRow]]:
    """Read the header of a CSV text, and its rows as they are asked for.

    Args:
        lines: with their line ends, as the text has them.

    Raises:
        InputError: when a quoted cell is not closed, as `read_records` finds it.
    """
    start, lines = [], iter(lines)
    for line in lines:
        start.append(line)
        if line.strip("\r\n"):
            break
    delimiter = find_delimiter(start[-1] if start else "")
    records = read_records(chain(start, lines), delimiter, name)
    header = next(records, None)
    columns = tuple(cell.strip() for cell in header.cells) if header else ()
    return columns, (_from_record(record, columns, name) for record in records)


def _from_record(record: Record, columns: Sequence[str], name: str) -> RawRow:
    if record.problem:
        return RawRow(name, record.line, {}, record.problem)
    cells = dict(zip(columns, record.cells, strict=True))
    return RawRow(name, record.line, strip_cells(cells))


def _read_jsonl(text: str, name: str) -> tuple[tuple[str, ...], list[RawRow]]:
    columns: dict[str, None] = {}
    rows = list(read_jsonl(text.split("\n"), name, columns))
    return tuple(columns), rows


def read_jsonl(lines: Iterable[str], name: str, columns: dict[str, None]) -> Iterator[RawRow]:
    """Read JSON lines as they are asked for.

    Args:
        columns: gets the names that occur, in order.
    """
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if "\\u" in line:  # half of a surrogate pair is legal JSON and no text
                json.dumps(values, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            yield RawRow(name, row, {}, f"is not JSON: {error}")
            continue
        if not isinstance(values, dict):
            yield RawRow(name, row, {}, "is not a JSON object")
            continue
        columns.update(dict.fromkeys(values))
        yield RawRow(name, row, strip_cells(values))


def read_parquet(source: Path | IO[bytes], name: str) -> tuple[tuple[str, ...], Iterator[RawRow]]:
    """Read the columns of a Parquet file, and its rows as they are asked for.

    Raises:
        InputError: when it is none, or damaged; damage further on shows with the rows.
    """
    try:
        file = pq.ParquetFile(source, coerce_int96_timestamp_unit="us")  # ns end in 2262
        return tuple(file.schema_arrow.names), _parquet_rows(file, name)
    except (pa.ArrowException, OSError) as error:
        raise _not_parquet(name, error) from error


def _parquet_rows(file: pq.ParquetFile, name: str) -> Iterator[RawRow]:
    number = 1
    try:
        for batch in file.iter_batches(_BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            yield from to_rows(table, name, range(number, number + len(table)))
            number += len(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(name, error) from error


def _not_parquet(name: str, error: Exception) -> InputError:
    return InputError(f"{name} is not a Parquet file: {error}", hint=_FORMAT_HINT)


def to_rows(table: pa.Table, name: str, numbers: Sequence[int]) -> list[RawRow]:
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
        return [
            RawRow(name, number, strip_cells(values))
            for number, values in zip(numbers, listed, strict=True)
        ]
    return [_to_row(table.slice(at, 1), name, number) for at, number in enumerate(numbers)]


def _to_row(table: pa.Table, name: str, number: int) -> RawRow:
    for column in table.column_names:
        try:
            table[column].to_pylist()
        except (OverflowError, ValueError) as error:
            if isinstance(error, (pa.ArrowException, UnicodeDecodeError)):
                raise
            return RawRow(name, number, {}, f"has a time in {column} that is out of range")
    (values,) = table.to_pylist()
    return RawRow(name, number, strip_cells(values))


def strip_cells(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a row without space around texts, and without those that are empty."""
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in values.items()}
    return {k: v for k, v in stripped.items() if v is not None and v != ""}


def rename_columns(
    name: str, columns: Sequence[str], renames: Mapping[str, str], required: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the columns under our names, and the renames that apply to them.

    Raises:
        InputError: when a column stands there twice or is lacking.
    """
    applied = {c: renames[c] for c in columns if renames.get(c, c) != c}
    renamed = tuple(applied.get(column, column) for column in columns)
    repeated = sorted({column for column in renamed if renamed.count(column) > 1})
    if repeated:
        raise InputError(
            f"{name}: column {', '.join(repeated)} stands there twice", hint="Rename one."
        )
    missing = [column for column in required if column not in renamed]
    if missing:
        raise InputError(
            f"{name} lacks the column {', '.join(missing)}; it has {', '.join(renamed)}",
            hint=f"Name yours: --map {missing[0]}=YOUR_COLUMN.",
        )
    return renamed, applied


def rename_row(row: RawRow, applied: Mapping[str, str]) -> RawRow:
    """Return a row under our column names."""
    if not applied:
        return row
    return replace(row, values={applied.get(k, k): v for k, v in row.values.items()})
