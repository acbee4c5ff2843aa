"""What a row of each input file must be. Values come as text (CSV) or typed (Parquet, JSONL)."""

import math
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from creativepair.errors import InputError
from creativepair.records import Id, Words

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_WHOLE = re.compile(r"[+-]?\d+(\.0{1,2})?")
# Half of Europe writes 200,000 so; and a program that prints three decimals writes 200 so.
_AMBIGUOUS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
_TRUE, _FALSE = {"1", "true", "yes", "t", "y"}, {"0", "false", "no", "f", "n"}


def _count(value: object) -> object:
    """Read a whole number: 12, 12.0, "12", "12.0", "1,234"; refuse everything else."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    if isinstance(value, float):
        if not math.isfinite(value) or value != int(value):
            raise ValueError("is not a whole number")
        return int(value)
    if isinstance(value, str):
        if _AMBIGUOUS.fullmatch(value):
            raise ValueError(_say_ambiguous(value))
        plain = value.replace(",", "") if _THOUSANDS.fullmatch(value) else value
        if not _WHOLE.fullmatch(plain):
            raise ValueError("is not a whole number")
        return int(plain.split(".")[0])
    return value


def _say_ambiguous(text: str) -> str:
    whole, _, fraction = text.partition(".")
    decimal = whole if fraction == "000" else text
    grouped = text.replace(".", ",")
    return f"is ambiguous: {text} may mean {decimal} or {grouped}; write it without separators"


def _text(value: object) -> object:
    """Read ids and texts that a typed file stores as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _flag(value: object) -> object:
    text = str(value).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError("is not yes or no")


Count = Annotated[int, BeforeValidator(_count), Field(ge=0, le=10**15)]
TextId = Annotated[Id, BeforeValidator(_text)]
Text = Annotated[Words, BeforeValidator(_text)]


class Row(BaseModel):
    """Columns we do not know are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ItemRow(Row):
    """A row of the items file."""

    item_id: TextId
    title: Text = Field(default="", max_length=2_000)
    category: Text | None = Field(default=None, max_length=200)
    queries: tuple[Words, ...] = ()

    @field_validator("queries", mode="before")
    @classmethod
    def _split_queries(cls, value: object) -> object:
        parts = value.split("|") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise ValueError("is neither a list nor text split at |")
        if any(isinstance(part, (bool, dict, list, tuple)) for part in parts):
            raise ValueError("holds something that is no text")
        return tuple(text for part in parts if part is not None and (text := str(part).strip()))


class CreativeRow(Row):
    """A row of the creatives file."""

    item_id: TextId
    creative_id: TextId
    image: str = Field(min_length=1, max_length=4_000)
    aa_of: TextId | None = None
    text: Text | None = Field(default=None, max_length=10_000)


class _LogRow(Row):
    item_id: TextId
    creative_id: TextId
    source: Text = Field(default="", max_length=200)
    experiment_id: TextId | None = None


class CountRow(_LogRow):
    """A row of a counted log; `day` is a date, or a time whose UTC day counts."""

    impressions: Count
    clicks: Count
    day: str = ""

    @field_validator("day", mode="before")
    @classmethod
    def _to_day(cls, value: object, info: ValidationInfo) -> str:
        return utc_day(value, info.context)

    @model_validator(mode="after")
    def _clicks_are_impressions(self) -> "CountRow":
        if self.clicks > self.impressions:
            raise ValueError(f"{self.clicks} clicks over {self.impressions} impressions")
        return self


class EventRow(_LogRow):
    """A row of an event log: one impression."""

    ts: str
    clicked: Annotated[bool, BeforeValidator(_flag)]

    @field_validator("ts", mode="before")
    @classmethod
    def _to_day(cls, value: object, info: ValidationInfo) -> str:
        return utc_day(value, info.context)


COUNT_COLUMNS = ("item_id", "creative_id", "impressions", "clicks")
EVENT_COLUMNS = ("item_id", "creative_id", "ts", "clicked")
NOT_STRATA = frozenset({*CountRow.model_fields, *EventRow.model_fields, "user_id"})
"""Columns of a log with a meaning of their own; every other one can be a stratum."""

LogForm = Literal["counts", "events"]


def find_zone(name: str | None) -> ZoneInfo | None:
    """Return a time zone by its name; None has none.

    Raises:
        InputError: when there is no such zone.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"unknown time zone {name!r}", hint="Use a name such as Europe/Berlin or UTC."
        ) from error


def utc_day(value: object, zone: ZoneInfo | None) -> str:
    """Return the UTC day of a date or time as `YYYY-MM-DD`.

    Raises:
        ValueError: when it is neither, or a time without zone while none is set.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        return value.isoformat()
    else:
        text = str(value).strip()
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            moment = _to_moment(text)
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError("has no time zone; pass --timezone, such as Europe/Berlin")
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC).date().isoformat()
    except OverflowError:
        raise ValueError("is a time whose UTC day is out of range") from None


def _to_moment(text: str) -> datetime:
    try:
        if text.isdigit():  # milliseconds since 1970 can read like the year 1767
            raise ValueError
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a date or time such as 2026-01-31 or 2026-01-31T12:00Z") from None


def stratum_of(values: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the stratum of a row: `name=value` parts joined by `|`, names sorted."""
    return "|".join(
        f"{name}={str(values.get(name, '')).replace('|', '/')}" for name in sorted(names)
    )
