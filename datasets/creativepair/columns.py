"""Records kept as columns: millions of rows as arrays, as records where one is looked at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from creativepair.records import Record

Row = dict[str, Any]
Column = Sequence[Any] | NDArray[Any]
AnyRecord = TypeVar("AnyRecord", bound=Record)

_BATCH = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Columns(Sequence[AnyRecord], Generic[AnyRecord]):
    """A sequence of records of one kind.

    Attributes:
        kind: the class of the records, which are checked when they are made.
        columns: values by field, all of one length; NaN in an array is None in a record.
    """

    kind: type[AnyRecord]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @overload
    def __getitem__(self, place: int) -> AnyRecord: ...
    @overload
    def __getitem__(self, place: slice) -> list[AnyRecord]: ...
    def __getitem__(self, place: int | slice) -> AnyRecord | list[AnyRecord]:
        if isinstance(place, slice):
            return [self.kind(**row) for row in self._cut(place)]
        start = range(len(self))[place]  # counts from the end too, and refuses what is not there
        return self[start : start + 1][0]

    def __iter__(self) -> Iterator[AnyRecord]:
        return (self.kind(**row) for batch in self.batches() for row in batch)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def batches(self) -> Iterator[list[Row]]:
        """Yield all rows as values by field, some thousands at a time and unchecked."""
        for start in range(0, len(self), _BATCH):
            yield list(self._cut(slice(start, start + _BATCH)))

    def _cut(self, part: slice) -> Iterator[Row]:
        values = [_to_values(column[part]) for column in self.columns.values()]
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True))


def list_batches(records: Sequence[Record]) -> Iterator[list[Row]]:
    """Yield records as rows of plain values by field, some thousands at a time."""
    if isinstance(records, Columns):
        yield from records.batches()
        return
    for start in range(0, len(records), _BATCH):
        yield [record.model_dump(mode="json") for record in records[start : start + _BATCH]]


def _to_values(column: Column) -> Sequence[Any]:
    if not isinstance(column, np.ndarray):
        return column
    values: list[Any] = column.tolist()
    return [None if x != x else x for x in values] if column.dtype.kind == "f" else values
