"""python benchmarks/listing.py [--pairs 100000]

Milliseconds of the pages of the pair list on SQLite, in a pool of 1,000 pairs and in one a hundred
times as large, and the ratio: 1 is independent of the pool. COUNT(*) of the candidates, which a
list that says "page 1 of 2,084" would pay each time, stands beside them. Two rows are the worst
case on purpose: nothing is finished, and no title holds the word.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import func, select

from creativepair.records import Item, Pair, PairStatus, Task
from creativepair.store import catalogue, create_store, listing, pairs, tasks
from creativepair.store.listing import PairFilter
from creativepair.store.tables import pairs as table

RUNS = 30


SMALL = 1_000


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    num_pairs = parser.parse_args().pairs
    small, large = time_pages(SMALL), time_pages(num_pairs)
    print(f"{'what':<22} {f'{SMALL:,} ms':>12} {f'{num_pairs:,} ms':>14} {'ratio':>8}")
    for name, taken in large.items():
        before = small[name]
        print(f"{name:<22} {before * 1e3:>12.2f} {taken * 1e3:>14.2f} {taken / before:>8.2f}")


def time_pages(num_pairs: int) -> dict[str, float]:
    """Return the median seconds of each page in a pool."""
    found = {}
    now = datetime.now(UTC)
    built = [
        Pair(
            pair_id=f"{number:016x}",
            item_id=f"i{number // 4}",
            creative_a="a",
            creative_b="b",
            status=PairStatus.EXCLUDED if number % 2 else PairStatus.CANDIDATE,
            reject_reason="small_gap" if number % 2 else None,
        )
        for number in range(num_pairs)
    ]
    items = [Item(item_id=f"i{n}", title=f"Product {n}") for n in range(num_pairs // 4 + 1)]
    with tempfile.TemporaryDirectory() as folder:
        store = create_store(f"sqlite:///{Path(folder) / 'studio.db'}")
        with store.write() as connection:
            catalogue.put_items(connection, items, now=now)
            pairs.save_build(
                connection, pairs_built=built, evidence_built=[], settings={}, summary={}, now=now
            )
            batch_id = tasks.add_batch(connection, "all", "1", priority=0, now=now)
            tasks.add_tasks(
                connection,
                [Task(pair_id=p.pair_id, batch_id=batch_id) for p in built[::2]],
            )
        middle = built[num_pairs // 2].pair_id
        with store.read() as connection:

            def page(wanted: PairFilter, after: str = "") -> None:
                ids = listing.page_pair_ids(connection, wanted, after=after, limit=25)
                listing.list_pairs(connection, ids[:24], "1")

            candidates = table.c.status == PairStatus.CANDIDATE.value
            count = select(func.count()).select_from(table).where(candidates)
            found["COUNT(*) of candidates"] = time_it(lambda: connection.execute(count).scalar())
            for name, wanted, after in (
                ("first page", PairFilter(), ""),
                ("page in the middle", PairFilter(), middle),
                ("candidates", PairFilter(status=PairStatus.CANDIDATE), ""),
                ("one reason", PairFilter(reject_reason="small_gap"), ""),
                ("open", PairFilter(is_open=True), ""),
                ("none finished", PairFilter(is_open=False), ""),
                ("a batch", PairFilter(batch_id=batch_id), ""),
                ("an item id", PairFilter(text="i77"), ""),
                ("no such title", PairFilter(text="lamp"), ""),
            ):
                found[name] = time_it(partial(page, wanted, after))
        store.close()
    return found


def time_it(run: Callable[[], object]) -> float:
    """Return the median seconds of some runs."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
