"""Logs are added up by one expression, on whatever engine they lie."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends import BaseBackend

from creativepair.ingestion.aggregation import count_log, offsets
from creativepair.ingestion.exposures import ExposureTally
from creativepair.ingestion.logs import open_log

BERLIN = ZoneInfo("Europe/Berlin")
SPANS = offsets(BERLIN, date(2025, 12, 1), date(2026, 12, 31))
KNOWN = frozenset({("i1", "a"), ("i1", "b")})
EVENTS = {
    "ts": "string",
    "item_id": "string",
    "creative_id": "string",
    "clicked": "string",
    "position": "int64",
}
TYPED_EVENTS = EVENTS | {"ts": "timestamp", "clicked": "boolean"}
COUNTS = {
    "item_id": "string",
    "creative_id": "string",
    "impressions": "int64",
    "clicks": "string",
    "day": "string",
    "source": "string",
    "position": "int64",
}


def connect_duckdb(_: Path) -> BaseBackend:
    return ibis.duckdb.connect()


def connect_spark(folder: Path) -> BaseBackend:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed (extra: spark)")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    return ibis.pyspark.connect(session)


@pytest.fixture(scope="module", params=[connect_duckdb, connect_spark], ids=["duckdb", "spark"])
def connection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseBackend]:
    connect: Callable[[Path], BaseBackend] = request.param
    found = connect(tmp_path_factory.mktemp("engine"))
    yield found
    found.disconnect()


@pytest.mark.parametrize("dialect", ["pyspark", "trino", "bigquery", "clickhouse", "duckdb"])
@pytest.mark.parametrize(
    "columns", [EVENTS, TYPED_EVENTS, COUNTS], ids=["events", "typed", "counts"]
)
def test_the_expression_compiles_for_every_engine(columns: dict[str, str], dialect: str) -> None:
    sql = ibis.to_sql(count_log(ibis.table(columns, name="log"), ["position"], SPANS), dialect)
    assert "GROUP BY" in sql


def read(path: Path) -> tuple[dict[tuple[str, str, str, str], tuple[int, int]], list[str]]:
    """Return the counts that `ingest` reads in a log, and why it rejects rows."""
    with ExposureTally(
        zone=BERLIN, creative_ids=KNOWN, memory="200MB", folder=path.parent
    ) as tally:
        tally.add(open_log(str(path), {}, path.parent), ("position",))
        found = {
            (e.item_id, e.creative_id, e.stratum, e.period): (e.impressions, e.clicks)
            for e in tally.merge(replace=False)
        }
    return found, [reject.reason for reject in tally.rejects.kept]


def test_events_counted_elsewhere_and_then_read_are_what_reading_them_gives(
    connection: BaseBackend, tmp_path: Path
) -> None:
    start = datetime(2026, 3, 27, 22, 10)
    local = [start + timedelta(minutes=97 * n) for n in range(60)]  # over the change of the clock
    moments = [
        *(f"{moment:%Y-%m-%d %H:%M}" for moment in local),
        *(f"{moment.isoformat()}{zone}" for moment in local for zone in ("Z", "+05:30", "-11:00")),
        "2026-03-29",
    ]
    rows = [
        {"ts": ts, "item_id": "i1", "creative_id": "ab"[n % 2], "clicked": str(n % 3 // 2),
         "position": n % 2}
        for n, ts in enumerate(moments)
    ]  # fmt: skip
    broken = [
        rows[0] | {"ts": "2026-02-30T10:00:00Z"},
        rows[0] | {"ts": "soon"},
        rows[0] | {"clicked": "maybe"},
        rows[0] | {"creative_id": "ghost"},
    ]
    source, target = tmp_path / "events.parquet", tmp_path / "counts.parquet"
    pq.write_table(pa.Table.from_pylist([*rows, *broken]), source)
    log = connection.read_parquet(str(source))
    counted = connection.to_pyarrow(count_log(log, ["position"], SPANS))
    pq.write_table(counted, target)
    expected, reasons = read(source)
    found, found_reasons = read(target)
    assert found == expected
    assert sum(impressions for impressions, _ in found.values()) == len(rows)
    assert len(reasons) == 4
    assert set(found_reasons) == {"is missing", "is an unknown creative of its item"}


def test_a_zone_without_spans_leaves_its_times_without_counts(
    connection: BaseBackend, tmp_path: Path
) -> None:
    rows = [
        {"ts": ts, "item_id": "i1", "creative_id": "a", "clicked": "1", "position": 1}
        for ts in ("2026-03-28T10:00:00", "2026-03-28T10:00:00Z")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    log = connection.read_parquet(str(tmp_path / "events.parquet"))
    found = connection.to_pyarrow(count_log(log)).to_pylist()
    assert sorted((row["impressions"] or 0, row["clicks"] or 0) for row in found) == [
        (0, 0),
        (1, 1),
    ]


def test_offsets_list_the_changes_of_the_clock() -> None:
    spans = offsets(BERLIN, date(2026, 1, 1), date(2026, 12, 31))
    assert [(span.start, span.offset_minutes) for span in spans] == [
        (datetime.combine(date(2026, 1, 1), time()), 60),
        (datetime(2026, 3, 29, 3), 120),  # an hour that the clock leaves out reads as before it
        (datetime(2026, 10, 25, 3), 60),
    ]
