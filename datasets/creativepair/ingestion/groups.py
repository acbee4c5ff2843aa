"""Groups of rows that an engine added up, held to the same schemas as single rows.

A group is a row of raw cells that many rows share, so the schemas look at it once. Where they
refuse it, its rows are looked at one by one, as far as rejected rows are listed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from creativepair.ingestion.aggregation import (
    CLICKS,
    DAY,
    FINE,
    FIRST_ROW,
    IMPRESSIONS,
    ROWS,
)
from creativepair.ingestion.engine import EngineLog
from creativepair.ingestion.exposures import LogTally
from creativepair.ingestion.files import strip_cells
from creativepair.ingestion.rejects import RejectList
from creativepair.ingestion.schemas import CountRow, stratum_of
from creativepair.ingestion.totals import Key

_NAMED = ("item_id", "creative_id", "source", "experiment_id")
Keyed = tuple[Key, str | None]


def add_groups(opened: EngineLog, tally: LogTally) -> bool:
    """Count a log by its groups.

    Returns:
        False when a key has two experiments: the first row decides, so the order of rows matters.

    Raises:
        duckdb.Error: when the log has a damaged row.
    """
    reader = _GroupReader(tally, opened.by)
    unfit: list[dict[str, Any]] = []
    num_unfit, has_odd = 0, False
    for batch in opened.groups():
        for group, key in reader.read(batch):
            if not group[FINE]:
                has_odd = True
            elif key is None:
                unfit.append(group)
                num_unfit += group[ROWS]
            else:
                tally.num_rows += group[ROWS]
                tally.add_total(*key, group[IMPRESSIONS], group[CLICKS], None)
    if has_odd:
        for raw in opened.odd_rows():
            tally.add_row(raw)
    if unfit:
        num_before = tally.num_rows
        odd, tally.rejects = tally.rejects, RejectList(tally.rejects.limit)
        for raw in opened.rows_of(unfit, tally.rejects.limit):
            tally.add_row(raw)
        num_unlisted = num_unfit - (tally.num_rows - num_before)
        tally.rejects.add_unlisted(num_unlisted)
        tally.num_rows += num_unlisted
        tally.rejects.insert(odd)
    return tally.num_conflicts == 0


def locate_keys(opened: EngineLog, tally: LogTally, keys: Collection[Key]) -> Mapping[Key, int]:
    """Return the number of the first row of each key that a log has."""
    reader = _GroupReader(tally, opened.by)
    for raw in opened.odd_rows():  # one of them may be the first row of a key
        tally.add_row(raw)
    found = {key: total.row for key, total in tally.totals.items() if total.row and key in keys}
    for batch in opened.first_rows():
        for group, key in reader.read(batch):
            if key and group[FINE] and key[0] in keys:
                found[key[0]] = min(group[FIRST_ROW], found.get(key[0], group[FIRST_ROW]))
    return found


@dataclass(slots=True)
class _GroupReader:
    """Gives groups their keys. Cells repeat a great deal over groups, so all is kept."""

    tally: LogTally
    by: tuple[str, ...]
    _names: dict[tuple[object, ...], CountRow | None] = field(default_factory=dict)
    _strata: dict[tuple[object, ...], str] = field(default_factory=dict)

    def read(self, batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any], Keyed | None]]:
        """Return each group with its key and experiment; None where the schemas refuse it."""
        named = [column for column in self.by if column in _NAMED]
        strata = [column for column in self.by if column not in _NAMED]
        for group in batch.to_pylist():
            names = self._name({column: group[column] for column in named})
            day: date | None = group[DAY]
            if names is None or (day is None and self.tally.log.has_events):
                yield group, None
                continue
            period = day.isoformat() if day else ""
            stratum = self._stratum({column: group[column] for column in strata})
            key = (names.item_id, names.creative_id, names.source, stratum, period)
            yield group, (key, names.experiment_id)

    def _name(self, cells: dict[str, Any]) -> CountRow | None:
        kept = tuple(cells.values())
        if kept not in self._names:
            self._names[kept] = self._find_names(cells)
        return self._names[kept]

    def _find_names(self, cells: dict[str, Any]) -> CountRow | None:
        try:
            row = CountRow.model_validate(strip_cells(cells) | {"impressions": 0, "clicks": 0})
        except ValidationError:
            return None
        return row if (row.item_id, row.creative_id) in self.tally.creative_ids else None

    def _stratum(self, cells: dict[str, Any]) -> str:
        kept = tuple(cells.values())
        if kept not in self._strata:
            self._strata[kept] = stratum_of(strip_cells(cells), self.tally.strata)
        return self._strata[kept]
