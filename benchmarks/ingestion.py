"""python benchmarks/ingestion.py [--rows 100000000] [--creatives 10000] [--memory 1GB] [--folder F]

Times how event logs become counts, against a bare DuckDB group-by over the same files.

The logs are generated: a Parquet file a day for 30 days, times in UTC, three positions, and
creatives whose impressions follow a power law. Ways take turns in three rounds, each in a process
of its own under the same memory limit, so that other work on the machine slows all of them and
peaks of memory do not mix; a ratio is taken within a round. "expression" is the Ibis expression of
`creativepair.ingestion.aggregation`, file after file, to Arrow; "reading" is what `ingest` does
with logs: checksums, the schemas, and exposures as records in memory.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb

from creativepair.ingestion.engine import LogEngine
from creativepair.ingestion.exposures import ExposureTally
from creativepair.ingestion.logs import open_log

DAYS = 30
STRATA = ("position",)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--creatives", type=int, default=10_000)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--folder", type=Path, help="where the logs are made; a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        generate(folder, options.rows, options.creatives)
        size = sum(file.stat().st_size for file in folder.glob("*.parquet")) / 1e9
        print(
            f"{options.rows:,} events of {options.creatives:,} creatives, {size:.1f} GB of Parquet"
        )
        ways = {"bare group-by": group_by, "expression": run_expression, "reading": read_logs}
        rounds = [
            {name: in_process(way, folder, options) for name, way in ways.items()} for _ in range(3)
        ]
    print(f"memory limit {options.memory}; median of three rounds\n")
    print(f"{'way':<16}{'groups':>12}{'seconds':>10}{'ratio':>8}{'ratios':>22}{'peak MB':>10}")
    for name in ways:
        found = [one[name] for one in rounds]
        seconds = statistics.median(f["seconds"] for f in found)
        ratios = [one[name]["seconds"] / one["bare group-by"]["seconds"] for one in rounds]
        print(
            f"{name:<16}{found[0]['groups']:>12,.0f}{seconds:>10.1f}"
            f"{statistics.median(ratios):>8.2f}"
            f"{', '.join(f'{ratio:.2f}' for ratio in ratios):>22}"
            f"{max(f['peak_mb'] for f in found):>10,.0f}"
        )
    counted = {(f["impressions"], f["clicks"]) for one in rounds for f in one.values()}
    print(f"\nimpressions, clicks: {counted} (one pair: every way counts the same)")


def generate(folder: Path, rows: int, creatives: int) -> None:
    """Write a Parquet file of events for each day."""
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    for day in range(DAYS):
        connection.execute(f"SELECT setseed({(day + 1) / 100})")
        connection.execute(
            f"""COPY (
                SELECT ts, 'item-' || (c // 5) AS item_id, 'creative-' || c AS creative_id,
                       clicked, position, 'u' || user_number AS user_id
                FROM (SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00' + INTERVAL ({day}) DAY
                             + INTERVAL (n * 86399000 // {rows // DAYS}) MILLISECOND AS ts,
                             floor({creatives} * pow(random(), 2))::INT AS c,
                             random() < 0.02 AS clicked, 1 + (random() * 3)::INT % 3 AS position,
                             (random() * 1000000)::INT AS user_number
                      FROM range({rows // DAYS}) t(n)))
            TO '{folder}/{day:02d}.parquet' (FORMAT PARQUET)"""
        )


def in_process(
    way: Callable[[Path, str], dict[str, int]], folder: Path, options: argparse.Namespace
) -> dict[str, float]:
    """Run a way in a process of its own, and add its seconds and its peak of memory."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_measure, args=(way, folder, options.memory, there)
    )
    process.start()
    there.close()
    found: dict[str, float] = here.recv()
    process.join()
    return found


def _measure(
    way: Callable[[Path, str], dict[str, int]], folder: Path, memory: str, answer: Connection
) -> None:
    start = time.perf_counter()
    found = way(folder, memory)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    answer.send({**found, "seconds": seconds, "peak_mb": peak})


def group_by(folder: Path, memory: str) -> dict[str, int]:
    """Group all files at once in DuckDB, as short as it can be said."""
    connection = duckdb.connect(
        config={"memory_limit": memory, "temp_directory": str(folder / "bare")}
    )
    connection.execute("SET enable_progress_bar = false")
    table = connection.execute(
        f"""SELECT item_id, creative_id, position, ts::DATE AS day, count(*) AS impressions,
                   count(*) FILTER (clicked) AS clicks
            FROM read_parquet('{folder}/*.parquet') GROUP BY ALL"""
    ).to_arrow_table()
    return _sum(len(table), table["impressions"].to_pylist(), table["clicks"].to_pylist())


def run_expression(folder: Path, memory: str) -> dict[str, int]:
    """Run the expression of the project on each file."""
    engine = LogEngine(memory, folder)
    groups = impressions = clicks = 0
    for path in sorted(folder.glob("*.parquet")):
        opened = engine.open(
            open_log(str(path), {}, folder), ("item_id", "creative_id", *STRATA), None
        )
        assert opened
        for batch in opened.groups():
            groups += len(batch)
            impressions += sum(batch["cp_impressions"].to_pylist())
            clicks += sum(batch["cp_clicks"].to_pylist())
    engine.close()
    return {"groups": groups, "impressions": impressions, "clicks": clicks}


def read_logs(folder: Path, memory: str) -> dict[str, int]:
    """Read the logs as `ingest` does."""
    known = {(f"item-{c // 5}", f"creative-{c}") for c in range(1_000_000)}
    with ExposureTally(zone=None, creative_ids=known, memory=memory, folder=folder) as tally:
        for path in sorted(folder.glob("*.parquet")):
            tally.add(open_log(str(path), {}, folder), STRATA)
        exposures = tally.merge(replace=False)
    return _sum(len(exposures), [e.impressions for e in exposures], [e.clicks for e in exposures])


def _sum(groups: int, impressions: list[int], clicks: list[int]) -> dict[str, int]:
    return {"groups": groups, "impressions": sum(impressions), "clicks": sum(clicks)}


if __name__ == "__main__":
    main()
