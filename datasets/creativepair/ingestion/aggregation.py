"""Log rows added up to counts as one Ibis expression, for whatever engine holds the rows.

`mark_rows` says which rows are plainly fine, and what each of those counts; `aggregate_rows` adds
them up by their raw cells. Nothing here knows an engine: DuckDB runs it in process, and the same
expression compiles for Spark, Trino, BigQuery and ClickHouse where logs outgrow a machine.

"Plainly fine" is strict on purpose: numbers, clicks and times in the forms that programs write. It
must imply that the schemas accept these cells with the same values; every other row is decided by
the schemas themselves, one at a time. Ids, sources and strata are the cells by which rows are
added up, so they are looked at once per group, by the schemas as well. A day is returned as it
stands in the log, with the number of days to add to it for UTC.

The engine's session must be in UTC: the date of a time with zone is taken there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import reduce
from operator import and_

import ibis
from ibis import ir

FINE, DAY, SHIFT, ROWS = "cp_fine", "cp_day", "cp_shift", "cp_rows"
IMPRESSIONS, CLICKS, FIRST_ROW = "cp_impressions", "cp_clicks", "cp_first_row"
INTERNAL = frozenset({FINE, DAY, SHIFT, ROWS, IMPRESSIONS, CLICKS, FIRST_ROW})

MAX_COUNT = 10**15
_COUNT = r"^[0-9]{1,15}$"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_TRUE, _FALSE = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n")
_DAY_MINUTES = 1_440
# Python's calendar; and where every zone's offset is a number of whole minutes.
_FIRST_DAY, _LAST_DAY = date(1, 1, 3), date(9999, 12, 29)
FIRST_ZONED_DAY, LAST_ZONED_DAY = date(1973, 1, 1), date(2199, 12, 31)


@dataclass(frozen=True, slots=True)
class Span:
    """Local times from a minute on that lie an offset after UTC, until the next span.

    Attributes:
        start: local, without zone.
        offset_minutes: local time minus UTC.
    """

    start: datetime
    offset_minutes: int


@dataclass(frozen=True, slots=True)
class _Day:
    """A day as it stands in the log; `shift` days later is the UTC day, null where no zone is."""

    fine: ir.BooleanValue
    day: ir.Value
    shift: ir.Value


def mark_rows(rows: ir.Table, spans: Sequence[Span] | None = None) -> ir.Table:
    """Add to each row whether it is plainly fine, its day, and what it counts.

    Args:
        rows: events, with `ts` and `clicked`, or counts, with `impressions`, `clicks` and perhaps
            `day`; `cp_fine`, where it is there, says which rows may be fine at all.
        spans: of the time zone of times that name none; None leaves their shift null.
    """
    events = {"ts", "clicked"} <= set(rows.columns)
    if events:
        moment = _read_day(rows.ts, spans)
        clicked = _read_flag(rows.clicked)
        fine = [moment.fine, clicked.notnull()]
        impressions, clicks = ibis.literal(1, "int64"), clicked.cast("int64")
    else:
        moment = (
            _read_day(rows.day, spans, may_lack=True)
            if "day" in rows.columns
            else _Day(ibis.literal(True), ibis.literal(""), ibis.literal(0))
        )
        impressions, clicks = _read_count(rows.impressions), _read_count(rows.clicks)
        fine = [moment.fine, impressions.notnull(), clicks.notnull(), clicks <= impressions]
    if FINE in rows.columns:
        fine.append(rows[FINE])
    is_fine = reduce(and_, fine).fill_null(False)
    return rows.mutate(
        **{
            FINE: is_fine,
            DAY: ibis.cases((is_fine, moment.day)),  # others may lie beyond any calendar
            SHIFT: ibis.cases((is_fine, moment.shift)),
            IMPRESSIONS: impressions,
            CLICKS: clicks,
        }
    )


def aggregate_rows(marked: ir.Table, by: Sequence[str], *, row: str | None = None) -> ir.Table:
    """Add up marked rows by their raw cells and day.

    Args:
        by: columns, each with its raw cells.
        row: column with the number of the row, whose least value is wanted per group.

    Returns:
        A row per group: the cells, `cp_day`, `cp_shift`, `cp_fine`, `cp_rows`, and where the rows
        are fine `cp_impressions` and `cp_clicks`.
    """
    first = {FIRST_ROW: marked[row].min()} if row else {}
    events = "clicked" in marked.columns and "ts" in marked.columns
    # Counting where a flag holds stays a whole number in every engine; a sum of flags need not.
    clicks = marked.count(where=marked[CLICKS] == 1) if events else marked[CLICKS].sum()
    impressions = marked.count() if events else marked[IMPRESSIONS].sum()
    return marked.group_by([*by, DAY, SHIFT, FINE]).agg(
        **{
            ROWS: marked.count(),
            IMPRESSIONS: impressions.cast("int64"),
            CLICKS: clicks.cast("int64"),
        },
        **first,
    )


def range_of_naive_times(rows: ir.Table) -> ir.Table:
    """Return the first and last day, as text, on which a log has times without zone."""
    column = rows.ts if "ts" in rows.columns else rows.day
    if column.type().is_string():
        naive = column.re_search(f"^{_DATE}[T ]{_CLOCK}$")
        days = ibis.cases((naive, column.left(10)))
    else:
        days = column.date().cast("string")
    return rows.agg(first=days.min(), last=days.max())


def _read_count(column: ir.Value) -> ir.Value:
    """Return a count as int64, null where it is not plainly one."""
    kind = column.type()
    if kind.is_string():
        return ibis.cases((column.re_search(_COUNT), column)).try_cast("int64")
    if kind.is_integer():
        fine = column.between(0, MAX_COUNT)
    elif kind.is_floating():
        fine = column.between(0, MAX_COUNT) & (column == column.floor())
    else:
        return ibis.null("int64")
    return ibis.cases((fine, column)).cast("int64")


def _read_flag(column: ir.Value) -> ir.Value:
    """Return yes or no as a boolean, null where it is not plainly one."""
    kind = column.type()
    if kind.is_boolean():
        return column
    if kind.is_integer():
        return ibis.cases((column == 1, True), (column == 0, False))
    if kind.is_string():
        text = column.lower()
        return ibis.cases((text.isin(_TRUE), True), (text.isin(_FALSE), False))
    return ibis.null("boolean")


def _read_day(column: ir.Value, spans: Sequence[Span] | None, *, may_lack: bool = False) -> _Day:
    kind = column.type()
    if kind.is_string():
        found = _read_day_text(column, spans)
    elif kind.is_date():
        found = _Day(column.between(_FIRST_DAY, _LAST_DAY), column, ibis.literal(0))
    else:
        day = column.date()
        fine, shift = day.between(_FIRST_DAY, _LAST_DAY), ibis.literal(0)
        if kind.timezone is None:
            minute = column.hour() * 60 + column.minute()
            shift = _shift(minute, _zone_offset(column, spans))
            fine = _in_zoned_years(day) if spans else fine
        found = _Day(fine, day, shift)
    return replace(found, fine=found.fine | column.isnull()) if may_lack else found


def _read_day_text(text: ir.StringValue, spans: Sequence[Span] | None) -> _Day:
    only_day = text.re_search(f"^{_DATE}$")
    aware = text.re_search(f"^{_DATE}[T ]{_CLOCK}{_OFFSET}$")
    naive = text.re_search(f"^{_DATE}[T ]{_CLOCK}$")
    minute = _number(text, 11, 2) * 60 + _number(text, 14, 2)
    end = text.right(6)  # such as +05:30
    size = _number(end, 1, 2) * 60 + _number(end, 4, 2)
    offset = ibis.cases((text.endswith("Z"), 0), (end.startswith("-"), -size), else_=size)
    day = text.left(10)
    local = day.concat(" ", text.substr(11, 5))
    shift = ibis.cases(
        (only_day, 0),
        (aware, _shift(minute, offset)),
        (naive, _shift(minute, _zone_offset(local, spans))),
    )
    fine_naive = naive & _in_zoned_years(day) if spans else naive
    return _Day(only_day | aware | fine_naive, day, shift)


def _number(text: ir.StringValue, start: int, length: int) -> ir.Value:
    return text.substr(start, length).try_cast("int64")


def _shift(minute: ir.Value, offset: ir.Value) -> ir.Value:
    """Return the UTC day minus the local day: offsets are less than a day."""
    return (minute - offset + _DAY_MINUTES) // _DAY_MINUTES - 1


def _zone_offset(local: ir.Value, spans: Sequence[Span] | None) -> ir.Value:
    """Return the offset of local times in minutes, null without a zone."""
    if not spans:
        return ibis.null("int64")
    *later, first = sorted(spans, key=lambda span: span.start, reverse=True)
    if not later:
        return ibis.literal(first.offset_minutes, "int64")
    text = local.type().is_string()
    return ibis.cases(
        *(
            (local >= (f"{span.start:%Y-%m-%d %H:%M}" if text else span.start), span.offset_minutes)
            for span in later
        ),
        else_=first.offset_minutes,
    )


def _in_zoned_years(day: ir.Value) -> ir.BooleanValue:
    first, last = FIRST_ZONED_DAY, LAST_ZONED_DAY
    if day.type().is_string():
        return day.between(first.isoformat(), last.isoformat())
    return day.between(first, last)
