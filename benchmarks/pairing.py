"""python benchmarks/pairing.py [--creatives 1000000] [--seed 0] [--postgresql]

Seconds of building pairs and evidence, beside two limits in the same run: making the ids of the
same pairs and nothing else, and Mantel–Haenszel ratios in plain numpy on counts that are arrays
already. Items have four creatives, each with exposures in one to three strata; one item in twenty
shows an image twice. Reading from and saving into SQLite, in a folder that is deleted afterwards,
are rows of their own; with `--postgresql`, so is saving into a throw-away server that waits for the
disk as well. Memory is the largest that the process has had by then.
"""

import argparse
import hashlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import insert

from creativepair.pairing import PairBuild, PairSettings, build_pairs
from creativepair.records import Creative, pair_id_of
from creativepair.store import Store, catalogue, create_store, pairs, tables
from tests.postgres_server import find_binaries, run_postgres

PER_ITEM = 4
_BATCH = 50_000
Result = TypeVar("Result")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--creatives", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = create_store(f"sqlite:///{Path(folder) / 'studio.db'}")
        num_items = arguments.creatives // PER_ITEM
        fill(store, num_items, arguments.seed)
        if arguments.postgresql:
            with run_postgres(require_binaries(), durable=True) as server:
                other = create_store(server.make_database())
                fill(other, num_items, arguments.seed)
                measure(store, other)
                other.close()
        else:
            measure(store, None)
        store.close()


def require_binaries() -> Path:
    """Return the folder of PostgreSQL's programs, or end with a sentence."""
    found = find_binaries()
    if found is None:
        raise SystemExit("PostgreSQL is not installed: leave --postgresql out.")
    return found


def measure(store: Store, other: Store | None) -> None:
    """Measure a build of everything in a store, and saving it into another one as well."""
    lines: list[tuple[str, float, float]] = []

    def timed(name: str, step: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = step()
        took = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        lines.append((name, took, peak))
        return result

    with store.read() as connection:
        creatives = timed("read creatives", lambda: catalogue.list_creatives(connection))
        exposures = timed("read exposures", lambda: catalogue.list_exposures(connection))
    timed("limit: the ids of the pairs alone", lambda: name_pairs(creatives))
    counts = draw_counts(np.random.default_rng(0), len(creatives) * (PER_ITEM - 1) // 2)
    timed("limit: Mantel–Haenszel in plain numpy", lambda: estimate_plainly(*counts))
    build = timed(
        "build_pairs",
        lambda: build_pairs(
            creatives, exposures, PairSettings(), version=1, rgb_difference=lambda *_: 255.0
        ),
    )
    timed("save_build", lambda: save(store, build))
    timed("save_build again", lambda: save(store, build))
    if other:
        timed("save_build, PostgreSQL", lambda: save(other, build))
        timed("save_build again, PostgreSQL", lambda: save(other, build))
    ids = next(took for name, took, _ in lines if name.startswith("limit: the ids"))
    print(f"{len(creatives):,} creatives, {len(exposures):,} exposures, {len(build.pairs):,} pairs")
    print("| step | seconds | of the ids alone | peak memory, GiB |\n|---|---:|---:|---:|")
    for name, took, peak in lines:
        print(f"| {name} | {took:.1f} | {took / ids:.2f} | {peak:.2f} |")


def fill(store: Store, num_items: int, seed: int) -> None:
    """Write items, creatives and exposures into an empty store, without the checks of ingestion."""
    rng = np.random.default_rng(seed)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with store.write() as connection:
        for start in range(0, num_items, _BATCH):
            names = [f"item{number}" for number in range(start, min(start + _BATCH, num_items))]
            revisions = [{"item_id": name, "revision": 1} for name in names]
            text: dict[str, Any] = {"title": "", "category": None, "queries": [], "created_at": now}
            connection.execute(insert(tables.item_revisions), [row | text for row in revisions])
            connection.execute(insert(tables.items), revisions)
            connection.execute(insert(tables.creatives), list(draw_creatives(names)))
            connection.execute(insert(tables.exposures), list(draw_exposures(names, rng)))


def draw_creatives(item_ids: list[str]) -> Iterator[dict[str, Any]]:
    """Draw creatives with hashes that are far apart; in one item of twenty, one is a copy."""
    for number, item_id in enumerate(item_ids):
        for k in range(PER_ITEM):
            copy = k == 1 and number % 20 == 0
            digest = hashlib.sha256(f"{item_id}/{0 if copy else k}".encode()).hexdigest()
            yield {
                "item_id": item_id,
                "creative_id": f"{item_id}-{k}",
                "image_sha256": digest,
                "pixel_sha256": digest,
                "derivative_sha256": digest,
                "width": 800,
                "height": 800,
                "phash": digest[:16],
                "dhash": digest[16:32],
                "colorhash": digest[:11],
                "recipe": "r1",
                "aa_of": None,
                "text": None,
                "synthetic": True,
            }


def draw_exposures(item_ids: list[str], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Draw counts in one to three positions; true log CTRs differ by 0.3 within an item."""
    shape = (len(item_ids), PER_ITEM, 3)
    n = np.exp(rng.normal(np.log(3000), 1.0, shape)).astype(int)
    ctr = 0.02 * np.exp(rng.normal(0, 0.3 / np.sqrt(2), shape[:2]))[..., None] * [1, 0.6, 0.4]
    clicks = rng.binomial(n, ctr)
    num_strata = rng.integers(1, 4, len(item_ids))
    for number, item_id in enumerate(item_ids):
        for k in range(PER_ITEM):
            for position in range(num_strata[number]):
                yield {
                    "item_id": item_id,
                    "creative_id": f"{item_id}-{k}",
                    "source": "feed",
                    "stratum": f"position={position + 1}",
                    "period": "",
                    "impressions": int(n[number, k, position]),
                    "clicks": int(clicks[number, k, position]),
                    "experiment_id": None,
                }


def name_pairs(creatives: list[Creative]) -> list[str]:
    """Return the id of each pair of items whose creatives follow each other."""
    return [
        pair_id_of(creatives[start].item_id, first.creative_id, second.creative_id)
        for start in range(0, len(creatives), PER_ITEM)
        for first, second in combinations(creatives[start : start + PER_ITEM], 2)
    ]


def draw_counts(rng: np.random.Generator, num_pairs: int) -> tuple[np.ndarray, ...]:
    """Draw n_a, c_a, n_b, c_b of pairs in two strata, [num_pairs, 2]."""
    n_a, n_b = rng.integers(1000, 9000, (2, num_pairs, 2)).astype(np.float64)
    return n_a, rng.binomial(n_a.astype(int), 0.02), n_b, rng.binomial(n_b.astype(int), 0.02)


def estimate_plainly(
    n_a: np.ndarray, c_a: np.ndarray, n_b: np.ndarray, c_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Mantel–Haenszel log ratios and their variances, [num_pairs]."""
    total = n_a + n_b
    r, s = (c_a * n_b / total).sum(axis=1), (c_b * n_a / total).sum(axis=1)
    p = ((n_a * n_b * (c_a + c_b) - c_a * c_b * total) / total**2).sum(axis=1)
    return np.log(r / s), p / (r * s)


def save(store: Store, build: PairBuild) -> None:
    """Save a build in a transaction."""
    with store.write() as connection:
        pairs.save_build(
            connection,
            pairs_built=build.pairs,
            evidence_built=build.evidence,
            settings={},
            summary={},
            now=datetime(2026, 1, 1, tzinfo=UTC),
        )


if __name__ == "__main__":
    main()
