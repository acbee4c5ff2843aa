"""What releases keep in the store, on every database."""

from datetime import UTC, datetime
from threading import Barrier, Thread

import pytest

from creativepair.errors import StateError
from creativepair.store import Store
from creativepair.store.keys import make_key
from creativepair.store.splits import SplitRecords, read_splits, record_splits

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
FIRST = SplitRecords({"i1": "train", "i2": "test"}, {"a" * 64: "train", "b" * 64: "test"})


def record(store: Store, released: SplitRecords, version: str = "1.0.0") -> None:
    with store.write() as connection:
        record_splits(connection, released, version=version, now=NOW)


def read(store: Store) -> SplitRecords:
    with store.read() as connection:
        return read_splits(connection)


def test_splits_are_read_back_as_recorded_and_again_is_no_change(store: Store) -> None:
    assert read(store) == SplitRecords({}, {})
    record(store, FIRST)
    record(store, FIRST, "1.0.1")
    assert read(store) == FIRST


def test_later_releases_add_to_the_record_and_cannot_change_it(store: Store) -> None:
    record(store, FIRST)
    record(store, SplitRecords({"i3": "validation"}, {}), "1.1.0")
    for moved in (SplitRecords({"i1": "test"}, {}), SplitRecords({}, {"b" * 64: "train"})):
        with pytest.raises(StateError, match="meanwhile"):
            record(store, moved, "2.0.0")
    assert read(store).items == {"i1": "train", "i2": "test", "i3": "validation"}
    assert read(store).pictures == FIRST.pictures


def test_a_key_is_drawn_once_and_stays(store: Store) -> None:
    keys = []
    for name in ("pseudonyms", "pseudonyms", "other"):
        with store.write() as connection:
            keys.append(make_key(connection, name, now=NOW))
    assert len(keys[0]) == 32
    assert keys[0] == keys[1] != keys[2]


def test_two_that_need_a_key_at_once_get_the_same(store: Store) -> None:
    found: list[bytes] = []
    start = Barrier(4)

    def take() -> None:
        start.wait()
        with store.write() as connection:
            found.append(make_key(connection, "pseudonyms", now=NOW))

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
