"""From rows of counted or event logs to exposures: one per (source, creative, stratum, period).

Within a counted log, rows of one key add up: they differ in a column that is no stratum. Across
counted logs they are compared (`totals`). Events have no key of their own: the event logs of one
reading, such as the hourly files of a day, add up, so no event may stand in two of them.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from creativepair.ingestion.files import RawRow, Table
from creativepair.ingestion.rejects import Reject, reject_invalid, reject_row
from creativepair.ingestion.schemas import (
    EVENT_COLUMNS,
    CountRow,
    EventRow,
    stratum_of,
)
from creativepair.ingestion.totals import Key, Total, merge_totals, to_exposures
from creativepair.records import Exposure

Totals = dict[Key, Total]


@dataclass(slots=True)
class ExposureTally:
    """Adds up logs and lists the rows that cannot count.

    Attributes:
        creative_ids: known (item_id, creative_id).
    """

    zone: ZoneInfo | None
    creative_ids: AbstractSet[tuple[str, str]]
    rejects: list[Reject] = field(default_factory=list)
    _logs: list[Totals] = field(default_factory=list)
    _events: Totals | None = None
    _counted: dict[tuple[object, ...], tuple[RawRow, int, int]] = field(default_factory=dict)

    def add(self, table: Table, strata: tuple[str, ...]) -> None:
        """Add a log; its columns say whether its rows are counts or events.

        Args:
            strata: columns that make the stratum; other columns of the log are summed over.
        """
        events = set(EVENT_COLUMNS) <= set(table.columns)
        totals = self._totals_of_events() if events else self._totals_of_counts()
        for raw in table.rows:
            if raw.problem:
                self.rejects.append(reject_row(raw, raw.problem))
                continue
            try:
                row = (EventRow if events else CountRow).model_validate(
                    raw.values, context=self.zone
                )
            except ValidationError as error:
                self.rejects.append(reject_invalid(raw, error))
                continue
            if (row.item_id, row.creative_id) not in self.creative_ids:
                self.rejects.append(
                    reject_row(raw, "is an unknown creative of its item", column="creative_id")
                )
            elif isinstance(row, EventRow) or self._is_new(raw, row):
                self._count(totals, raw, row, stratum_of(raw.values, strata))

    def merge(self, *, replace: bool) -> list[Exposure]:
        """Return what was added up; keys that a later log repeats join the rejected rows.

        Args:
            replace: let the later log win where logs differ on a key.

        Raises:
            StateError: when logs differ on a key and `replace` is not set.
        """
        totals, repeats = merge_totals(self._logs, replace=replace)
        self.rejects += repeats
        return to_exposures(totals)

    def _totals_of_events(self) -> Totals:
        if self._events is None:
            self._events = {}
            self._logs.append(self._events)
        return self._events

    def _totals_of_counts(self) -> Totals:
        self._counted.clear()
        self._logs.append({})
        return self._logs[-1]

    def _count(self, totals: Totals, raw: RawRow, row: CountRow | EventRow, stratum: str) -> None:
        period = row.ts if isinstance(row, EventRow) else row.day
        key = (row.item_id, row.creative_id, row.source, stratum, period)
        total = totals.setdefault(key, Total(raw, row.experiment_id))
        if total.experiment_id != row.experiment_id:
            reason = f"its counts belong to experiment {total.experiment_id!r} as well"
            self.rejects.append(reject_row(raw, reason, column="experiment_id"))
            return
        total.impressions += 1 if isinstance(row, EventRow) else row.impressions
        total.clicks += int(row.clicked) if isinstance(row, EventRow) else row.clicks

    def _is_new(self, raw: RawRow, row: CountRow) -> bool:
        """Whether no earlier row of the log has the same cells apart from its counts."""
        named = {k: v for k, v in raw.values.items() if k not in ("impressions", "clicks")}
        key = tuple(sorted((name, str(value)) for name, value in named.items()))
        first, impressions, clicks = self._counted.setdefault(
            key, (raw, row.impressions, row.clicks)
        )
        if first is raw:
            return True
        same = (impressions, clicks) == (row.impressions, row.clicks)
        reason = (
            f"repeats row {first.row}"
            if same
            else f"counts the same as row {first.row} with other numbers"
        )
        self.rejects.append(reject_row(raw, reason, column="creative_id"))
        return False
