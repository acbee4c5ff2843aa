"""DuckDB as the engine of `aggregation`: in process, within a memory limit, spilling to disk.

A log is opened where DuckDB and the row reader are sure to see the same cells: Parquet of plain
types, and CSV without quotes or blank lines. Every other log is read row by row. Row numbers come
from the file itself; in a CSV of that kind, record n is line n.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import ir
from ibis.backends.duckdb import Backend

from creativepair.errors import StateError
from creativepair.ingestion.aggregation import (
    DAY,
    FINE,
    FIRST_ZONED_DAY,
    INTERNAL,
    LAST_ZONED_DAY,
    Span,
    aggregate_rows,
    mark_rows,
    offsets,
    range_of_naive_times,
    time_column,
)
from creativepair.ingestion.files import RawRow, to_rows
from creativepair.ingestion.logs import Log

EngineError = duckdb.Error
Group = dict[str, Any]
ROW = "cp_row"
_RESERVED = INTERNAL | {ROW, "file_row_number"}
_BATCH_ROWS = 50_000
_BUFFER_BYTES = 32_000_000  # what it takes by itself, unless lines have a limit
_GLOB = frozenset("*?[")
# What str.strip takes off and the trimming of SQL does not: equal cells must stay equal.
_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())


class LogEngine:
    """A DuckDB of its own; close it after use.

    Args:
        memory: the most it may hold, such as "1GB".
        folder: where it spills what does not fit.
    """

    def __init__(self, memory: str, folder: Path) -> None:
        self._memory, self._spills = memory, str(folder / "spilled")
        # No extension is fetched or loaded: one would bring time zones of its own.
        self._connection = ibis.duckdb.connect(
            memory_limit=memory,
            temp_directory=self._spills,
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )
        self._connection.raw_sql("SET enable_progress_bar = false")  # it would write to stdout

    def close(self) -> None:
        """Let go of memory and files."""
        self._connection.disconnect()

    @contextmanager
    def name_limits(self, log: Log) -> Iterator[None]:
        """Tell what this machine lacks from what is wrong with a log, which stays an `EngineError`.

        Raises:
            StateError: when memory or disk are not enough for the log.
        """
        try:
            yield
        except duckdb.Error as error:
            if isinstance(error, duckdb.OutOfMemoryException) or self._spills in str(error):
                first, *_ = str(error).splitlines()
                raise StateError(
                    f"{log.name} cannot be added up within log_memory = {self._memory!r}: {first}",
                    hint="Raise log_memory in creativepair.toml, or make room on the disk of the "
                    "workspace.",
                ) from error
            raise
        except RuntimeError as error:  # what DuckDB makes of Ctrl-C
            if str(error) == "Query interrupted":
                raise KeyboardInterrupt from error
            raise

    def open(self, log: Log, by: Sequence[str], zone: ZoneInfo | None) -> "EngineLog | None":
        """Open a log, or return None when it must be read row by row.

        Args:
            by: columns whose cells tell the groups apart, as far as the log has them.
            zone: of times that name none.

        Raises:
            duckdb.Error: when DuckDB cannot read it: which row is damaged, the row reader tells.
        """
        source = _source_of(log, by)
        if source is None:
            return None
        fine = "true" if log.has_events else _mark_repeats(self._connection, log, source)
        rows = f"SELECT *, {fine} AS {FINE} FROM {source}"
        spans = _find_spans(self._connection.sql(rows), zone)
        marked = numbered = mark_rows(self._connection.sql(rows), spans)
        if log.form != ".parquet":  # numbering forces one thread, so it is kept apart
            rows = f"SELECT *, 1 + row_number() OVER () AS {ROW} FROM ({rows})"
            numbered = mark_rows(self._connection.sql(rows), spans)
        groups = tuple(column for column in by if column in log.columns)
        return EngineLog(log, groups, marked, numbered, self._connection)


@dataclass(frozen=True, slots=True)
class EngineLog:
    """A log that DuckDB reads. Everything it does may raise `duckdb.Error` for a damaged row.

    Attributes:
        by: columns whose cells tell its groups apart.
    """

    log: Log
    by: tuple[str, ...]
    _marked: ir.Table
    _numbered: ir.Table
    _connection: Backend

    def groups(self) -> Iterator[pa.RecordBatch]:
        """Add the rows up; see `aggregate_rows` for the columns."""
        yield from self._batches(aggregate_rows(self._marked, self.by))

    def first_rows(self) -> Iterator[pa.RecordBatch]:
        """Add up again, with `cp_first_row`: the number of the first row of each group."""
        yield from self._batches(aggregate_rows(self._numbered, self.by, row=ROW))

    def odd_rows(self) -> Iterator[RawRow]:
        """Return the rows that are not plainly fine, in order."""
        return self._fetch(self._numbered.filter(~self._numbered[FINE]))

    def rows_of(self, groups: Sequence[Group], limit: int) -> Iterator[RawRow]:
        """Return the first rows of some groups, in order."""
        return self._fetch(self._members(groups), limit)

    def _members(self, groups: Sequence[Group]) -> ir.Table:
        names = [*self.by, DAY]
        schema = self._numbered.select(names).schema().to_pyarrow()
        table = pa.Table.from_pylist([{n: g[n] for n in names} for g in groups], schema=schema)
        table = table.rename_columns([f"unfit_{n}" for n in range(len(names))])
        wanted = self._connection.create_table("unfit", table, temp=True, overwrite=True)
        same = [
            self._numbered[name].identical_to(wanted[f"unfit_{n}"]) for n, name in enumerate(names)
        ]
        return self._numbered.filter(self._numbered[FINE]).semi_join(wanted, same)

    def _fetch(self, rows: ir.Table, limit: int | None = None) -> Iterator[RawRow]:
        columns = [column for column in self.log.columns if column in rows.columns]
        ordered = rows.select([*columns, ROW]).order_by(ROW)
        for batch in self._batches(ordered if limit is None else ordered.limit(limit)):
            table = pa.Table.from_batches([batch])
            numbers = table[ROW].to_pylist()
            for raw in to_rows(table.drop_columns([ROW]), self.log.name, numbers):
                if raw.values or raw.problem or self.log.form == ".parquet":
                    yield raw  # the row reader knows no blank lines in a CSV

    def _batches(self, table: ir.Table) -> Iterator[pa.RecordBatch]:
        yield from table.to_pyarrow_batches(chunk_size=_BATCH_ROWS)


def _source_of(log: Log, by: Sequence[str]) -> str | None:
    """Return what stands after FROM for a log, its columns under our names; None when unsure."""
    folded = [column.casefold() for column in (*log.columns, *_RESERVED)]
    if len(set(folded)) < len(folded) or "" in log.columns or _GLOB & set(str(log.path)):
        return None
    if len({column.casefold() for column in log.originals}) < len(log.originals):
        return None
    if log.form == ".parquet":
        return _parquet_source(log, by)
    return _csv_source(log) if log.simple_delimiter else None


def _parquet_source(log: Log, by: Sequence[str]) -> str | None:
    schema = pq.read_schema(log.path)
    kinds = {
        column: kind.value_type if pa.types.is_dictionary(kind) else kind
        for column, kind in zip(log.columns, schema.types, strict=True)
    }
    used = {*by, "day", "ts", "impressions", "clicks", "clicked"} & set(kinds)
    looked_at = used if log.has_events else set(kinds)  # repeated counts are equal in all cells
    if any(not _is_plain(kinds[c], is_time=c in ("day", "ts")) for c in looked_at):
        return None
    if any(pa.types.is_floating(kinds[c]) for c in by if c in kinds):
        return None  # 0.0 and -0.0 are one group and two texts
    cells = [
        f"{_quoted(old)} AS {_quoted(new)}"
        for old, new in zip(log.originals, log.columns, strict=True)
        if new in looked_at
    ]
    file = f"read_parquet({_text(log.path)}, file_row_number=true, hive_partitioning=false)"
    return f"(SELECT {', '.join(cells)}, 1 + file_row_number AS {ROW} FROM {file})"


def _is_plain(kind: pa.DataType, *, is_time: bool) -> bool:
    """Whether both readers see the same Python value in such a cell, and the same order of time."""
    types = pa.types
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    times = (types.is_date32, types.is_timestamp)
    numbers = (types.is_integer, types.is_boolean, types.is_float64)
    return any(is_kind(kind) for is_kind in (*texts, *(times if is_time else numbers)))


def _csv_source(log: Log) -> str:
    columns = ", ".join(f"{_text(column)}: 'VARCHAR'" for column in log.columns)
    packed = "gzip" if log.compressed else "none"
    return (
        f"read_csv({_text(log.path)}, auto_detect=false, header=false, skip=1, "
        f"delim={_text(log.simple_delimiter or '')}, quote='', escape='', nullstr='', "
        f"max_line_size={csv.field_size_limit()}, buffer_size={_BUFFER_BYTES}, "
        f"compression='{packed}', hive_partitioning=false, columns={{{columns}}})"
    )


def _mark_repeats(connection: Backend, log: Log, source: str) -> str:
    """Return an expression that is false in rows that are equal in all cells but their counts.

    It compares hashes: rows of one hash by chance are looked at one by one, and nothing is lost.
    """
    named = [c for c in log.columns if c not in ("impressions", "clicks")]
    cells = connection.sql(f"SELECT * FROM {source}").schema()
    trimmed = ", ".join(
        f"nullif(trim({_quoted(c)}, {_text(_SPACE)}), '')" if cells[c].is_string() else _quoted(c)
        for c in named
    )
    connection.raw_sql(
        f"CREATE OR REPLACE TEMP TABLE repeats AS SELECT hash({trimmed}) AS h FROM {source} "
        "GROUP BY 1 HAVING count(*) > 1"
    )
    (found,) = connection.raw_sql("SELECT count(*) FROM repeats").fetchone() or (0,)
    return f"hash({trimmed}) NOT IN (SELECT h FROM repeats)" if found else "true"


def _find_spans(rows: ir.Table, zone: ZoneInfo | None) -> list[Span] | None:
    """Return the offsets of a zone over the days on which a log has times without zone."""
    column = time_column(rows)
    if zone is None or column is None:
        return None
    kind = column.type()
    if not kind.is_string() and (kind.is_date() or kind.timezone is not None):
        return None
    (found,) = rows.agg(**range_of_naive_times(column)).to_pyarrow().to_pylist()
    first, last = FIRST_ZONED_DAY.isoformat(), LAST_ZONED_DAY.isoformat()
    low, high = max(found["first"] or last, first), min(found["last"] or first, last)
    if not (_is_day(low) and _is_day(high)):
        return offsets(zone, FIRST_ZONED_DAY, LAST_ZONED_DAY)
    return offsets(zone, date.fromisoformat(low), date.fromisoformat(high))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
