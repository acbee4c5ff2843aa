"""Looking through the pairs on every database: filters, pages by key, batches."""

from datetime import UTC, datetime

import pytest

from creativepair.records import Item, Pair, PairStatus, Task
from creativepair.store import Store, catalogue, listing, pairs, tasks
from creativepair.store.listing import PairFilter

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
PROTOCOL = "1"


def name(number: int) -> str:
    return f"{number:016x}"


@pytest.fixture
def filled(store: Store) -> Store:
    """Ten pairs of two items; every third is excluded, the others are in one batch."""
    built = [
        Pair(
            pair_id=name(n),
            item_id="mug" if n < 5 else "cup",
            creative_a=f"a{n}",
            creative_b=f"b{n}",
            status=PairStatus.CANDIDATE if n % 3 else PairStatus.EXCLUDED,
            reject_reason=None if n % 3 else "small_gap",
        )
        for n in range(10)
    ]
    with store.write() as connection:
        catalogue.put_items(
            connection, [Item(item_id="mug", title="100% Mug"), Item(item_id="cup")], now=NOW
        )
        pairs.save_build(
            connection, pairs_built=built, evidence_built=[], settings={}, summary={}, now=NOW
        )
        batch_id = tasks.add_batch(connection, "first", PROTOCOL, priority=0, now=NOW)
        tasks.add_tasks(
            connection,
            [Task(pair_id=name(n), batch_id=batch_id) for n in range(10) if n % 3],
        )
        tasks.pause_tasks(connection, [name(1)], paused_at=NOW)
    return store


def listed(store: Store, wanted: PairFilter, after: str = "", limit: int = 24) -> list[int]:
    with store.read() as connection:
        ids = listing.page_pair_ids(connection, wanted, after=after, limit=limit)
    return [int(pair_id, 16) for pair_id in ids]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (PairFilter(), list(range(10))),
        (PairFilter(text=" mUG "), [0, 1, 2, 3, 4]),
        (PairFilter(text="%"), [0, 1, 2, 3, 4]),
        (PairFilter(text="cup"), [5, 6, 7, 8, 9]),
        (PairFilter(text=name(7)), [7]),
        (PairFilter(text="no such"), []),
        (PairFilter(status=PairStatus.EXCLUDED), [0, 3, 6, 9]),
        (PairFilter(reject_reason="small_gap", text="cup"), [6, 9]),
        (PairFilter(is_open=True), [2, 4, 5, 7, 8]),
        (PairFilter(is_open=False), [1]),
        (PairFilter(batch_id=1), [1, 2, 4, 5, 7, 8]),
        (PairFilter(batch_id=2), []),
    ],
)
def test_a_filter_lists_what_it_names(filled: Store, wanted: PairFilter, found: list[int]) -> None:
    assert listed(filled, wanted) == found


def test_pages_by_key_hold_every_pair_once(filled: Store) -> None:
    seen: list[int] = []
    while page := listed(filled, PairFilter(), name(seen[-1]) if seen else "", limit=3):
        seen += page
    assert seen == list(range(10))


def test_reasons_and_batches_are_told(filled: Store) -> None:
    with filled.read() as connection:
        assert listing.list_reject_reasons(connection) == ["small_gap"]
        assert listing.count_batches(connection) == {1: listing.BatchCounts(6, 5, 1)}
        [one] = listing.list_pairs(connection, [name(1)], PROTOCOL)
    assert one.title == "100% Mug"
    assert one.task is not None
    assert one.task.paused_at == NOW
    assert not one.is_open
