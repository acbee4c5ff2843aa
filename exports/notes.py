"""Short notes on pairs that lie in a temporary file, so that many of them take no memory.

The file is SQLite's own temporary database: it is written only once the notes outgrow a small
cache, and the system takes it back when the process ends, however it ends.
"""

import pickle
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from creativepair.errors import StateError


class OfItem(Protocol):
    """What is noted of a pair says which item it is of."""

    @property
    def item_id(self) -> str:
        """The item."""


T = TypeVar("T", bound=OfItem)


class Notes(Mapping[str, T], Generic[T]):
    """Notes by pair id; gone through in the order of items and, within them, of ids.

    Those that are there may be changed, keeping their item, while all are gone through.

    Raises:
        StateError: where one cannot be kept: the disk of temporary files is full.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        # What is lost with the process needs neither a journal nor syncing.
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE notes (pair_id TEXT PRIMARY KEY, item_id TEXT NOT NULL, note BLOB NOT NULL)
                WITHOUT ROWID;
            CREATE INDEX by_item ON notes (item_id, pair_id);
            """
        )

    def __setitem__(self, pair_id: str, note: T) -> None:
        with _full_disk_named():
            self._database.execute(
                "INSERT INTO notes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET note = excluded.note",
                (pair_id, note.item_id, pickle.dumps(note, pickle.HIGHEST_PROTOCOL)),
            )

    def __getitem__(self, pair_id: str) -> T:
        query = "SELECT note FROM notes WHERE pair_id = ?"
        with _full_disk_named():
            found = self._database.execute(query, (pair_id,)).fetchone()
        if found is None:
            raise KeyError(pair_id)
        return self._load(found[0])

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM notes").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        return (pair_id for pair_id, _ in self.in_order())

    def in_order(self) -> Iterator[tuple[str, T]]:
        """Go through all notes by item and id."""
        query = "SELECT pair_id, note FROM notes ORDER BY item_id, pair_id"
        for pair_id, note in self._database.execute(query):
            yield pair_id, self._load(note)

    def _load(self, note: bytes) -> T:
        # The bytes are this process's own, from a file that no other can open.
        loaded: T = pickle.loads(note)  # noqa: S301
        return loaded


@contextmanager
def _full_disk_named() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StateError(
            f"notes on the pairs of a release cannot be kept: {error}",
            hint="Make room where temporary files lie, or name another folder in SQLITE_TMPDIR.",
        ) from error
