"""From rows of counted or event logs to exposures: one per (source, creative, stratum, period).

Within a counted log, rows of one key add up: they differ in a column that is no stratum. Across
counted logs they are compared (`totals`). Events have no key of their own: the event logs of one
reading, such as the hourly files of a day, add up, so no event may stand in two of them.

A large log is added up by an engine, and only its odd rows come here one at a time. Whatever the
engine is unsure of is decided here by the schemas, so that both ways give the same exposures and
the same rejected rows. Memory grows with the number of exposures, not with that of rows.
"""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from creativepair.ingestion.files import RawRow
from creativepair.ingestion.logs import Log
from creativepair.ingestion.rejects import RejectList, reject_invalid, reject_row
from creativepair.ingestion.schemas import CountRow, EventRow, stratum_of
from creativepair.ingestion.totals import Key, Total, merge_totals, to_exposures
from creativepair.records import Exposure

if TYPE_CHECKING:
    from creativepair.ingestion.engine import EngineLog, LogEngine

ENGINE_FROM_BYTES = 4_000_000
"""Smaller logs are read row by row: that takes less time than the engine takes to start. Packed
files (gzip, Parquet) hold about ten times the rows of a plain one of their size."""
_PACKING = 10

Totals = dict[Key, Total]


class ExposureTally:
    """Adds up logs and lists the rows that cannot count; use it in a `with` statement.

    Args:
        zone: of times that name none.
        creative_ids: known (item_id, creative_id).
        memory: the most an engine may hold, such as "1GB".
        folder: for what an engine spills.
    """

    def __init__(
        self,
        *,
        zone: ZoneInfo | None,
        creative_ids: AbstractSet[tuple[str, str]],
        memory: str,
        folder: Path,
    ) -> None:
        self.rejects = RejectList()
        self.num_rows: dict[str, int] = {}
        self._zone = zone
        self._creative_ids = creative_ids
        self._memory = memory
        self._folder = folder
        self._engine: LogEngine | None = None
        self._logs: list[Totals] = []
        self._events: Totals | None = None
        self._added: dict[str, tuple[Log, tuple[str, ...]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine:
            self._engine.close()

    def add(self, log: Log, strata: tuple[str, ...]) -> None:
        """Add a log; its columns say whether its rows are counts or events.

        Args:
            strata: columns that make the stratum; other columns of the log are summed over.

        Raises:
            InputError: when the log changed since it was opened.
            StateError: when the engine lacks memory or disk.
        """
        if not log.has_events:
            self._logs.append({})
        elif self._events is None:
            self._events = {}
            self._logs.append(self._events)
        into = self._events if log.has_events and self._events is not None else self._logs[-1]
        self._added[log.name] = log, strata
        found = self._add_up(log, strata, into) if self._is_large(log) else None
        if found is None:
            found = LogTally(log, strata, self._zone, self._creative_ids, into)
            for raw in log.rows():
                found.add_row(raw)
        log.require_unchanged()
        self.rejects.extend(found.rejects)
        self.num_rows[log.sha256] = found.num_rows
        _add_into(into, found.totals)

    def merge(self, *, replace: bool) -> list[Exposure]:
        """Return what was added up; keys that a later log repeats join the rejected rows.

        Args:
            replace: let the later log win where logs differ on a key.

        Raises:
            StateError: when logs differ on a key and `replace` is not set.
        """
        totals, repeats = merge_totals(self._logs, self._locate, replace=replace)
        self.rejects.extend(repeats)
        return to_exposures(totals)

    def _is_large(self, log: Log) -> bool:
        packed = log.compressed or log.form == ".parquet"
        return log.path.stat().st_size * (_PACKING if packed else 1) >= ENGINE_FROM_BYTES

    def _open(self, log: Log, strata: tuple[str, ...]) -> "EngineLog | None":
        by = ("item_id", "creative_id", "source", "experiment_id", *strata)
        return self._started_engine().open(log, by, self._zone)

    def _started_engine(self) -> "LogEngine":
        if self._engine is None:
            from creativepair.ingestion.engine import LogEngine

            self._engine = LogEngine(self._memory, self._folder)
        return self._engine

    def _add_up(self, log: Log, strata: tuple[str, ...], known: Totals) -> "LogTally | None":
        """Add up a log in the engine; None when its rows must be looked at in their order."""
        from creativepair.ingestion.engine import EngineError
        from creativepair.ingestion.groups import add_groups

        engine = self._started_engine()
        tally = LogTally(log, strata, self._zone, self._creative_ids, known)
        try:
            with engine.name_limits(log):
                opened = self._open(log, strata)
                return tally if opened and add_groups(opened, tally) else None
        except EngineError:  # a damaged row: which one, the row reader tells
            return None

    def _locate(self, file: str, keys: Collection[Key]) -> Mapping[Key, int]:
        from creativepair.ingestion.groups import locate_keys

        log, strata = self._added[file]
        tally = LogTally(log, strata, self._zone, self._creative_ids, {})
        with self._started_engine().name_limits(log):
            opened = self._open(log, strata)
            return locate_keys(opened, tally, keys) if opened else {}


@dataclass(slots=True)
class LogTally:
    """What one log counts, and its rejected rows.

    Attributes:
        known: totals of logs that this one adds to; a key has one experiment over all of them.
    """

    log: Log
    strata: tuple[str, ...]
    zone: ZoneInfo | None
    creative_ids: AbstractSet[tuple[str, str]]
    known: Mapping[Key, Total]
    totals: Totals = field(default_factory=dict)
    rejects: RejectList = field(default_factory=RejectList)
    num_rows: int = 0
    num_conflicts: int = 0
    _counted: dict[tuple[object, ...], tuple[int, int, int]] = field(default_factory=dict)

    def add_row(self, raw: RawRow) -> None:
        """Count a row, or reject it."""
        self.num_rows += 1
        if raw.problem:
            self.rejects.append(reject_row(raw, raw.problem))
            return
        try:
            row = (EventRow if self.log.has_events else CountRow).model_validate(
                raw.values, context=self.zone
            )
        except ValidationError as error:
            self.rejects.append(reject_invalid(raw, error))
            return
        if (row.item_id, row.creative_id) not in self.creative_ids:
            reason = "is an unknown creative of its item"
            self.rejects.append(reject_row(raw, reason, column="creative_id"))
        elif isinstance(row, EventRow):
            self._count(raw, row, row.ts, 1, int(row.clicked))
        elif self._is_new(raw, row):
            self._count(raw, row, row.day, row.impressions, row.clicks)

    def add_total(
        self, key: Key, experiment_id: str | None, impressions: int, clicks: int, row: int | None
    ) -> bool:
        """Count rows of one key; False, without counting, when they are of another experiment."""
        total = self.known.get(key)
        if total is None or total.experiment_id == experiment_id:
            total = self.totals.setdefault(key, Total(self.log.name, row, experiment_id))
        if total.experiment_id != experiment_id:
            self.num_conflicts += 1
            return False
        total.impressions += impressions
        total.clicks += clicks
        return True

    def _count(
        self, raw: RawRow, row: CountRow | EventRow, period: str, impressions: int, clicks: int
    ) -> None:
        stratum = stratum_of(raw.values, self.strata)
        key = (row.item_id, row.creative_id, row.source, stratum, period)
        if not self.add_total(key, row.experiment_id, impressions, clicks, raw.row):
            first = self.known.get(key) or self.totals[key]
            reason = f"its counts belong to experiment {first.experiment_id!r} as well"
            self.rejects.append(reject_row(raw, reason, column="experiment_id"))

    def _is_new(self, raw: RawRow, row: CountRow) -> bool:
        """Whether no earlier row of the log has the same cells apart from its counts."""
        named = {k: v for k, v in raw.values.items() if k not in ("impressions", "clicks")}
        key = tuple(sorted((name, str(value)) for name, value in named.items()))
        seen = (raw.row, row.impressions, row.clicks)
        first = self._counted.setdefault(key, seen)
        if first is seen:
            return True
        reason = (
            f"repeats row {first[0]}"
            if first[1:] == seen[1:]
            else f"counts the same as row {first[0]} with other numbers"
        )
        self.rejects.append(reject_row(raw, reason, column="creative_id"))
        return False


def _add_into(totals: Totals, found: Totals) -> None:
    """Add the totals of a log to those of earlier ones, which keep their first row."""
    if not totals:
        totals.update(found)
        return
    for key, total in found.items():
        known = totals.setdefault(key, total)
        if known is not total:
            known.impressions += total.impressions
            known.clicks += total.clicks
