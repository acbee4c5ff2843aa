"""From rows of counted or event logs to exposures: one per (source, creative, stratum, period)."""

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
from creativepair.records import Exposure

Key = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _Total:
    impressions: int = 0
    clicks: int = 0
    experiment_id: str | None = None


@dataclass(slots=True)
class ExposureTally:
    """Adds up logs and lists the rows that cannot count.

    Attributes:
        creative_ids: known (item_id, creative_id).
    """

    zone: ZoneInfo | None
    creative_ids: AbstractSet[tuple[str, str]]
    rejects: list[Reject] = field(default_factory=list)
    _totals: dict[Key, _Total] = field(default_factory=dict)
    _counted: dict[tuple[object, ...], tuple[RawRow, int, int]] = field(default_factory=dict)

    def add(self, table: Table, strata: tuple[str, ...]) -> None:
        """Add a log; its columns say whether its rows are counts or events.

        Args:
            strata: columns that make the stratum; other columns of the log are summed over.
        """
        events = set(EVENT_COLUMNS) <= set(table.columns)
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
                self._count(raw, row, stratum_of(raw.values, strata))

    def exposures(self) -> list[Exposure]:
        """Return what was added up."""
        return [
            Exposure(
                item_id=item_id,
                creative_id=creative_id,
                source=source,
                stratum=stratum,
                period=period,
                impressions=total.impressions,
                clicks=total.clicks,
                experiment_id=total.experiment_id,
            )
            for (item_id, creative_id, source, stratum, period), total in self._totals.items()
        ]

    def _count(self, raw: RawRow, row: CountRow | EventRow, stratum: str) -> None:
        period = row.ts if isinstance(row, EventRow) else row.day
        key = (row.item_id, row.creative_id, row.source, stratum, period)
        total = self._totals.setdefault(key, _Total(experiment_id=row.experiment_id))
        if total.experiment_id != row.experiment_id:
            reason = f"its counts belong to experiment {total.experiment_id!r} as well"
            self.rejects.append(reject_row(raw, reason, column="experiment_id"))
            return
        total.impressions += 1 if isinstance(row, EventRow) else row.impressions
        total.clicks += int(row.clicked) if isinstance(row, EventRow) else row.clicks

    def _is_new(self, raw: RawRow, row: CountRow) -> bool:
        """Whether no earlier counted row has the same cells apart from its counts."""
        named = {k: v for k, v in raw.values.items() if k not in ("impressions", "clicks")}
        key = tuple(sorted((name, str(value)) for name, value in named.items()))
        first, impressions, clicks = self._counted.setdefault(
            key, (raw, row.impressions, row.clicks)
        )
        if first is raw:
            return True
        same = (impressions, clicks) == (row.impressions, row.clicks)
        where = f"row {first.row}" + (f" of {first.file}" if first.file != raw.file else "")
        reason = f"repeats {where}" if same else f"counts the same as {where} with other numbers"
        self.rejects.append(reject_row(raw, reason, column="creative_id"))
        return False
