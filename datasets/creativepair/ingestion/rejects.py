"""Rejected rows: where each stands, what is wrong, with which value."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from creativepair.cells import escape_cell
from creativepair.ingestion.files import RawRow

_HEADER = ("file", "row", "column", "value", "reason")
_LONGEST_VALUE = 200
MOST_LISTED = 100_000


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected row."""

    file: str
    row: int
    column: str
    value: str
    reason: str


@dataclass(slots=True)
class RejectList:
    """The first rejected rows, and how many there are in all.

    A file of the wrong shop has as many rejected rows as rows; nobody reads the millionth.
    """

    limit: int = MOST_LISTED
    kept: list[Reject] = field(default_factory=list)
    num: int = 0

    def append(self, reject: Reject) -> None:
        """Add one."""
        self.num += 1
        if len(self.kept) < self.limit:
            self.kept.append(reject)

    def add_unlisted(self, num: int) -> None:
        """Count rejected rows that need not be listed."""
        self.num += num

    def extend(self, other: "RejectList") -> None:
        """Add those of another list."""
        self.num += other.num
        self.kept += other.kept[: self.limit - len(self.kept)]

    def insert(self, other: "RejectList") -> None:
        """Add those of another list of the same file, by their rows."""
        self.num += other.num
        self.kept = sorted(self.kept + other.kept, key=lambda reject: reject.row)[: self.limit]


def reject_row(raw: RawRow, reason: str, *, column: str = "") -> Reject:
    """Reject a row for a reason of our own."""
    value = str(raw.values.get(column, ""))[:_LONGEST_VALUE]
    return Reject(raw.file, raw.row, column, value, reason)


def reject_invalid(raw: RawRow, error: ValidationError) -> Reject:
    """Reject a row that does not follow its schema; the first problem stands for the row."""
    first = error.errors()[0]
    column = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return Reject(raw.file, raw.row, column, "", "is missing")
    reason = first["msg"].removeprefix("Value error, ")
    value = raw.values.get(column, "") if column else ""
    return Reject(raw.file, raw.row, column, str(value)[:_LONGEST_VALUE], reason)


def write_rejects(rejects: Sequence[Reject], folder: Path, *, now: datetime) -> Path:
    """Write rejected rows as CSV; cells that a spreadsheet would run are quoted."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rejects-{now:%Y%m%dT%H%M%S%f}Z.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for reject in rejects:
            cells = astuple(reject)
            writer.writerow(escape_cell(cell) if isinstance(cell, str) else cell for cell in cells)
    return path
