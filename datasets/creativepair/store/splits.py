"""In which split each released item and picture stands; written once, moved never."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from sqlalchemy import Connection, insert, select

from creativepair.errors import StateError
from creativepair.store.locks import take_turn
from creativepair.store.tables import split_records

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class SplitRecords:
    """Splits by item id, and by the SHA-256 of a picture's pixels."""

    items: dict[str, Split]
    pictures: dict[str, Split]


def read_splits(connection: Connection) -> SplitRecords:
    """Return every recorded split."""
    by_kind: dict[str, dict[str, Split]] = {"item": {}, "picture": {}}
    columns = (split_records.c.kind, split_records.c.key, split_records.c.split)
    for kind, key, split in connection.execute(select(*columns)):
        by_kind[kind][key] = split
    return SplitRecords(by_kind["item"], by_kind["picture"])


def record_splits(
    connection: Connection, released: SplitRecords, *, version: str, now: datetime
) -> None:
    """Record what has no record yet.

    Args:
        connection: of a write transaction.
        version: the release that they appear in first.

    Raises:
        StateError: when something is recorded in another split: a release was built meanwhile.
    """
    take_turn(connection, "splits")
    known = read_splits(connection)
    for kind, new, old in (
        ("item", released.items, known.items),
        ("picture", released.pictures, known.pictures),
    ):
        if moved := sorted(key for key, split in new.items() if old.get(key, split) != split):
            raise StateError(
                f"{kind} {moved[0]} was released in {old[moved[0]]} meanwhile",
                hint="Build again: the splits that stand now are taken then.",
            )
        rows = (
            {"kind": kind, "key": key, "split": split, "version": version, "recorded_at": now}
            for key, split in sorted(new.items())
            if key not in old
        )
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            connection.execute(insert(split_records), some)
