"""Log rows added up to counts as one Ibis expression, for whatever engine holds the rows.

`mark_rows` says which rows are plainly fine, and what each of those counts; `aggregate_rows` adds
them up by their raw cells and UTC day. Nothing here knows an engine: DuckDB runs it in process,
and the same expression compiles for Spark, Trino, BigQuery and ClickHouse. `count_log` is for
those: it makes of a log that lies there a counted log that `ingest` reads.

"Plainly fine" is strict on purpose: numbers, clicks and times in the forms that programs write. It
must imply that the schemas accept these cells with the same values; every other row is decided by
the schemas themselves, one at a time. Ids, sources and strata are the cells by which rows are
added up, so they are looked at once per group, by the schemas as well.

The engine's session must be in UTC: the date of a time with zone is taken there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import and_
from zoneinfo import ZoneInfo

import ibis
from ibis import ir

FINE, DAY, ROWS = "cp_fine", "cp_day", "cp_rows"
IMPRESSIONS, CLICKS, FIRST_ROW = "cp_impressions", "cp_clicks", "cp_first_row"
INTERNAL = frozenset({FINE, DAY, ROWS, IMPRESSIONS, CLICKS, FIRST_ROW})

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


def mark_rows(rows: ir.Table, spans: Sequence[Span] | None = None) -> ir.Table:
    """Add to each row whether it is plainly fine, its UTC day, and what it counts.

    Args:
        rows: events, with `ts` and `clicked`, or counts, with `impressions`, `clicks` and perhaps
            `day`; `cp_fine`, where it is there, says which rows may be fine at all.
        spans: of the time zone of times that name none. Without it an event at such a time is
            fine but for its day, which is null, so that its group is looked at once.
    """
    if _has_events(rows):
        day = _read_day(rows.ts, spans)
        clicked = _read_flag(rows.clicked)
        is_day = _in_calendar(day) if spans else _in_calendar(day) | _is_naive(rows.ts)
        fine = [is_day, clicked.notnull()]
        impressions, clicks = ibis.literal(1, "int64"), clicked.cast("int64")
    else:
        impressions, clicks = _read_count(rows.impressions), _read_count(rows.clicks)
        fine = [impressions.notnull(), clicks.notnull(), clicks <= impressions]
        day = ibis.null("date")
        if "day" in rows.columns:
            day = _read_day(rows.day, spans)
            fine.append(_in_calendar(day) | rows.day.isnull())
    if FINE in rows.columns:
        fine.append(rows[FINE])
    is_fine = reduce(and_, fine).fill_null(False)
    return rows.mutate(
        **{
            FINE: is_fine,
            DAY: ibis.cases((is_fine, day)),
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
        A row per group: the cells, `cp_day`, `cp_fine`, `cp_rows`, and where the rows are fine
        `cp_impressions` and `cp_clicks`.
    """
    first = {FIRST_ROW: marked[row].min()} if row else {}
    # Counting where a flag holds stays a whole number in every engine; a sum of flags need not.
    events = _has_events(marked)
    clicks = marked.count(where=marked[CLICKS] == 1) if events else marked[CLICKS].sum()
    impressions = marked.count() if events else marked[IMPRESSIONS].sum()
    return marked.group_by([*by, DAY, FINE]).agg(
        **{
            ROWS: marked.count(),
            IMPRESSIONS: impressions.cast("int64"),
            CLICKS: clicks.cast("int64"),
        },
        **first,
    )


def count_log(
    rows: ir.Table, strata: Sequence[str] = (), spans: Sequence[Span] | None = None
) -> ir.Table:
    """Make a counted log of a log, to be written to a file that `ingest` reads.

    Rows that are not plainly fine are added up as well, but their counts are null: `ingest` lists
    them as rejected, and nothing is lost in silence.

    Args:
        rows: as for `mark_rows`; a counted log must not hold a row twice.
        strata: columns to keep as strata.
        spans: as for `mark_rows`.
    """
    named = [c for c in ("item_id", "creative_id", "source", "experiment_id") if c in rows.columns]
    by = [*named, *strata]
    trimmed = rows.mutate(**{c: rows[c].strip() for c in by if rows[c].type().is_string()})
    added = aggregate_rows(mark_rows(trimmed, spans), by)
    counts = added[FINE] & added[DAY].notnull() if _has_events(rows) else added[FINE]
    return added.select(
        *by,
        *([added[DAY].name("day")] if _has_events(rows) or "day" in rows.columns else []),
        ibis.cases((counts, added[IMPRESSIONS])).name("impressions"),
        ibis.cases((counts, added[CLICKS])).name("clicks"),
    )


def offsets(zone: ZoneInfo, first: date, last: date) -> list[Span]:
    """List where the offset of local times changes, as Python reads times that occur twice.

    Args:
        first, last: local days, both included; from 1973 on offsets are whole minutes.
    """
    at = datetime.combine(first, time())
    end = datetime.combine(max(first, last), time()) + timedelta(days=1)
    spans = [Span(at, _offset_minutes(zone, at))]
    while at < end:
        after = at + timedelta(hours=1)
        if _offset_minutes(zone, after) != spans[-1].offset_minutes:
            minutes = (at + timedelta(minutes=m) for m in range(1, 61))
            start = next(m for m in minutes if _offset_minutes(zone, m) != spans[-1].offset_minutes)
            spans.append(Span(start, _offset_minutes(zone, start)))
        at = after
    return spans


def _offset_minutes(zone: ZoneInfo, local: datetime) -> int:
    offset = local.replace(tzinfo=zone).utcoffset() or timedelta()
    return round(offset.total_seconds() / 60)


def time_column(rows: ir.Table) -> ir.Value | None:
    """Return the column that says when rows happened, if there is one."""
    name = "ts" if _has_events(rows) else "day"
    return rows[name] if name in rows.columns else None


def range_of_naive_times(column: ir.Value) -> dict[str, ir.Value]:
    """Return the `first` and `last` day, as text, of the times without zone."""
    if column.type().is_string():
        naive = column.re_search(f"^{_DATE}[T ]{_CLOCK}$")
        days = ibis.cases((naive, column.left(10)))
    else:
        days = column.date().cast("string")
    return {"first": days.min(), "last": days.max()}


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


def _has_events(rows: ir.Table) -> bool:
    return {"ts", "clicked"} <= set(rows.columns)


def _is_naive(column: ir.Value) -> ir.BooleanValue:
    """Whether a time names no zone, and could be one of Python's whatever the zone."""
    kind = column.type()
    if kind.is_string():
        day = column.left(10).try_cast("date")
        return column.re_search(f"^{_DATE}[T ]{_CLOCK}$") & _in_calendar(day)
    if kind.is_timestamp() and kind.timezone is None:
        return _in_calendar(column.date())
    return ibis.literal(False)


def _in_calendar(day: ir.DateValue) -> ir.BooleanValue:
    """Whether Python has the day, and those beside it."""
    return day.between(_FIRST_DAY, _LAST_DAY).fill_null(False)


def _read_day(column: ir.Value, spans: Sequence[Span] | None) -> ir.DateValue:
    """Return the UTC day, null where the cell is not plainly a day or a time."""
    kind = column.type()
    if kind.is_string():
        return _read_day_text(column, spans)
    day = column if kind.is_date() else column.date()
    if kind.is_date() or kind.timezone is not None:
        return day
    if not spans:
        return ibis.null("date")
    minute = column.hour() * 60 + column.minute()
    within = day.between(FIRST_ZONED_DAY, LAST_ZONED_DAY)
    return ibis.cases((within, _move(day, minute - _zone_offset(column, spans))))


def _read_day_text(text: ir.StringValue, spans: Sequence[Span] | None) -> ir.DateValue:
    day = text.left(10).try_cast("date")
    minute = _number(text, 11, 2) * 60 + _number(text, 14, 2)
    end = text.right(6)  # such as +05:30
    size = _number(end, 1, 2) * 60 + _number(end, 4, 2)
    offset = ibis.cases((text.endswith("Z"), 0), (end.startswith("-"), -size), else_=size)
    found = [
        (text.re_search(f"^{_DATE}$"), day),
        (text.re_search(f"^{_DATE}[T ]{_CLOCK}{_OFFSET}$"), _move(day, minute - offset)),
    ]
    if spans:
        local = text.left(10).concat(" ", text.substr(11, 5))
        naive = text.re_search(f"^{_DATE}[T ]{_CLOCK}$")
        within = naive & day.between(FIRST_ZONED_DAY, LAST_ZONED_DAY)
        found.append((within, _move(day, minute - _zone_offset(local, spans))))
    return ibis.cases(*found)


def _number(text: ir.StringValue, start: int, length: int) -> ir.Value:
    return text.substr(start, length).try_cast("int64")


def _move(day: ir.DateValue, minute: ir.Value) -> ir.DateValue:
    """Return the UTC day of a minute of a local day, from which the offset is taken already."""
    days = (minute + _DAY_MINUTES) // _DAY_MINUTES - 1  # offsets are shorter than a day
    # Engines disagree on whether a date and days make a date; a time and days make a time in all.
    return (day.cast("timestamp") + days.as_interval("D")).date()


def _zone_offset(local: ir.Value, spans: Sequence[Span]) -> ir.Value:
    """Return the offset of local times in minutes."""
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
