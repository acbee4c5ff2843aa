"""The engine and the row reader count every log alike; the reading compiles for other engines."""

import csv
import gzip
import random
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creativepair.errors import InputError, StateError
from creativepair.ingestion import engine, exposures
from creativepair.ingestion.exposures import ENGINE_FROM_BYTES, ExposureTally
from creativepair.ingestion.logs import Log, open_log
from creativepair.ingestion.rejects import RejectList
from creativepair.records import Exposure

KNOWN = frozenset({("i1", "a"), ("i1", "b"), ("i2", "a"), ("7", "7"), ("é", "a b")})
Rejected = tuple[int, str, str, str]
Write = Callable[[Path, Sequence[Mapping[str, Any]]], Path]


def read(
    path: Path, folder: Path, *, by_engine: bool, zone: ZoneInfo | None = None
) -> tuple[list[Exposure], list[Rejected], int, int]:
    """Return the exposures, the listed rejects, their number, and that of all rows."""
    log = open_log(str(path), {}, folder)
    strata = tuple(c for c in log.columns if c in ("position", "device"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposures, "ENGINE_FROM_BYTES", 0 if by_engine else 1e12)
        with ExposureTally(zone=zone, creative_ids=KNOWN, memory="200MB", folder=folder) as tally:
            tally.add(log, strata)
            found = tally.merge(replace=False)
    found.sort(key=lambda e: (e.item_id, e.creative_id, e.source, e.stratum, e.period))
    rejects = [(r.row, r.column, r.value, r.reason) for r in tally.rejects.kept]
    return found, rejects, tally.rejects.num, tally.num_rows[log.sha256]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=";", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_gz(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    plain = write_csv(path.with_suffix(".plain"), rows)
    path = path.with_name(path.name + ".gz")
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = path.with_suffix(".parquet")
    columns = {name: [None if row[name] == "" else row[name] for row in rows] for name in rows[0]}
    pq.write_table(pa.table({n: pa.array(c, pa.string()) for n, c in columns.items()}), path)
    return path


# By column: cells as programs write them, and cells as people and broken programs do.
USUAL = {
    "item_id": ["i1", "i2", "7"],
    "creative_id": ["a", "a", "b", "7"],
    "source": ["", "web"],
    "experiment_id": ["", "", "", "e1"],
    "position": ["1", "2"],
    "impressions": ["12", "1000"],
    "clicks": ["0", "1", "12"],
    "clicked": ["0", "1"],
    "user_id": ["u1", "u2"],
    "day": ["2026-01-31", "2026-02-01"],
    "ts": ["2026-01-31T10:00:00Z", "2026-01-31 23:30:00-05:00", "2026-02-01"],
}
ODD_TIMES = [
    "", "20260131", "2026-02-30", "2026-W05-6", "31.01.2026", "0001-01-01", "9999-12-31",
    "2026-01-31T23:30:00+00:00", "2026-01-31T23:30:00-05:00", "2026-01-31 00:10Z", "2026-01-31T05",
    "2026-03-29T02:30:00", "2026-10-25T02:30", "2026-10-25T00:30", "2026-01-31T24:00:00Z",
    "1769817600", "2026-01-31T23:30:00+0530", "2026-01-31T05:00:00.123456+05:30",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00", "1950-06-01T00:30:00",
    "2026-01-31t23:30:00z", "2026-01-31T23:30:00,5Z", "2026-01-31T23:30:00 Z",
    "2026-01-31T23:30:61Z", " 2026-01-31", "2026-01-31T23:30:00+24:00", "٢٠٢٦-01-31",
]  # fmt: skip
ODD = {
    "item_id": ["", " i1", "i1 ", "nobody", "i\u00a01", "x" * 300, "é"],
    "creative_id": ["", " a ", "ghost", "A", "a\u2003", "a b"],
    "source": [" web", "w" * 201, "web "],
    "experiment_id": ["e2", " e1", "e" * 300],
    "position": ["", " 1", "1|2", "top"],
    "impressions": [
        "", "1.0", "1,234", "1.234", "-1", "+3", "1e3", "nan", "x", "1000000000000000",
        "1000000000000001", "9" * 20, "0012", " 12", "١٢", "1_000",
    ],
    "clicks": ["", "1.0", "2000", "-1", "00", " 1", "0.5", "1,0"],
    "clicked": ["", "true", "FALSE", "yes", "N", "2", "t", "1.0", " 1", "İ", "ﬂ"],
    "user_id": ["", " u1"],
    "day": ODD_TIMES,
    "ts": ODD_TIMES,
}  # fmt: skip
COUNTS = ("item_id", "creative_id", "impressions", "clicks", "source", "day", "experiment_id",
          "position")  # fmt: skip
EVENTS = ("ts", "item_id", "creative_id", "clicked", "source", "experiment_id", "position",
          "user_id")  # fmt: skip
ZONES = st.sampled_from([None, "Europe/Berlin", "Asia/Kolkata", "America/New_York", "UTC"])


@st.composite
def logs(draw: st.DrawFn, columns: Sequence[str]) -> list[dict[str, str]]:
    """Draw rows of which about half have an odd cell."""
    rng = draw(st.randoms(use_true_random=False))
    experiment, rows = rng.choice(USUAL["experiment_id"]), []
    for _ in range(draw(st.integers(1, 60))):
        row = {column: rng.choice(USUAL[column]) for column in columns}
        row["experiment_id"] = experiment  # two of them make the order of rows matter
        if rng.random() < 0.5:
            column = rng.choice(columns)
            row[column] = rng.choice(ODD[column])
        rows.append(row)
    return rows


def assert_counted_alike(path: Path, folder: Path, zone: str | None = None) -> None:
    found = ZoneInfo(zone) if zone else None
    assert read(path, folder, by_engine=True, zone=found) == read(
        path, folder, by_engine=False, zone=found
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.mark.parametrize("write", [write_csv, write_gz, write_parquet])
@pytest.mark.parametrize("columns", [COUNTS, EVENTS], ids=["counts", "events"])
def test_engine_and_row_reader_count_every_log_of_text_alike(
    write: Write, columns: Sequence[str], folder: Path
) -> None:
    @settings(max_examples=20, deadline=None)
    @given(rows=logs(columns), zone=ZONES)
    def check(rows: list[dict[str, str]], zone: str | None) -> None:
        assert_counted_alike(write(folder / "log.csv", rows), folder, zone)

    check()


def typed_counts(rng: random.Random, num: int) -> pa.Table:
    """Draw counts as typed files hold them: whole and broken numbers, dates, missing cells."""

    def pick(*cells: Any) -> list[Any]:
        return [rng.choice(cells) for _ in range(num)]

    day = rng.choice(
        [
            pa.array(pick(date(2026, 1, 31), date(2026, 2, 1), None, date(1, 1, 1)), pa.date32()),
            pa.array(pick("2026-01-31", None, "2026-1-31"), pa.large_string()),
            pa.array(pick(*MOMENTS), pa.timestamp("us")),
            pa.array(pick(*MOMENTS), pa.timestamp("ns", "America/New_York")),
            pa.array(pick(*MOMENTS), pa.timestamp("ms", "UTC")),
        ]
    )
    impressions = rng.choice(
        [
            pa.array(pick(12, 1000, None, -1, 10**15, 10**15 + 1), pa.int64()),
            pa.array(pick(12, 200, 0), pa.uint8()),
            pa.array(pick(12.0, 1000.0, None, 12.5, float("nan"), float("inf"), 1e15, -0.0)),
            pa.array(pick("12", "1,000", None, "x")),
        ]
    )
    clicks = rng.choice(
        [pa.array(pick(0, 1, None, 13), pa.int32()), pa.array(pick(0.0, 1.0, 0.5, -0.0))]
    )
    return pa.table(
        {
            "item_id": pa.array(pick("i1", "i2", " i1", None)),
            "creative_id": pa.array(pick("a", "b", "ghost")),
            "impressions": impressions,
            "clicks": clicks,
            "day": day,
            "position": rng.choice(
                [pa.array(pick(1, 2, None), pa.int8()), pa.array(pick(1.0, 0.0, -0.0, None))]
            ),
            "device": pa.array(pick(True, False, None)),
        }
    )


def typed_events(rng: random.Random, num: int) -> pa.Table:
    """Draw events as typed files hold them."""

    def pick(*cells: Any) -> list[Any]:
        return [rng.choice(cells) for _ in range(num)]

    clicked = rng.choice(
        [
            pa.array(pick(True, False, None)),
            pa.array(pick(0, 1, None, 2), pa.int8()),
            pa.array(pick(0.0, 1.0)),
            pa.array(pick("yes", "0", None, "maybe")),
        ]
    )
    unit = rng.choice(["s", "ms", "us", "ns"])
    zone = rng.choice([None, "UTC", "Asia/Kolkata"])
    return pa.table(
        {
            "ts": pa.array(pick(*MOMENTS), pa.timestamp(unit, zone)),
            "item_id": pa.array(pick(7, 7, 8, None), pa.int64()),
            "creative_id": pa.array(pick(7, 7, 9), pa.int16()),
            "clicked": clicked,
            "position": pa.array(pick(1, 2, None), pa.int64()),
        }
    )


MOMENTS = (
    datetime(2026, 1, 31, 23, 30),
    datetime(2026, 3, 29, 2, 30),  # the hour that Berlin leaves out
    datetime(2026, 10, 25, 2, 30),  # and the one that it has twice
    datetime(2026, 2, 1, 4, 59, 59, 999000),
    datetime(1950, 6, 1, 0, 30),
    None,
)


@pytest.mark.parametrize("typed", [typed_counts, typed_events], ids=["counts", "events"])
def test_engine_and_row_reader_count_every_typed_log_alike(
    typed: Callable[[random.Random, int], pa.Table], folder: Path
) -> None:
    @settings(max_examples=30, deadline=None)
    @given(rng=st.randoms(use_true_random=False), num=st.integers(1, 60), zone=ZONES)
    def check(rng: random.Random, num: int, zone: str | None) -> None:
        path = folder / "typed.parquet"
        pq.write_table(typed(rng, num), path)
        assert_counted_alike(path, folder, zone)

    check()


def test_a_large_log_is_added_up_by_the_engine_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    open_in_engine = engine.LogEngine.open

    def note(self: engine.LogEngine, log: Log, *args: Any) -> engine.EngineLog | None:
        seen.append(log.name)
        return open_in_engine(self, log, *args)

    monkeypatch.setattr(engine.LogEngine, "open", note)
    line = "2026-01-31T10:00:00.000000Z;i1;a;1\n"
    path = tmp_path / "events.csv"
    path.write_text("ts;item_id;creative_id;clicked\n" + line * (ENGINE_FROM_BYTES // len(line)))
    with ExposureTally(zone=None, creative_ids=KNOWN, memory="100MB", folder=tmp_path) as tally:
        for name in (write_csv(tmp_path / "small.csv", [dict.fromkeys(EVENTS, "")]), path):
            tally.add(open_log(str(name), {}, tmp_path), ())
        (found,) = tally.merge(replace=False)
    assert seen == [str(path)]
    assert (found.period, found.impressions, found.clicks) == ("2026-01-31", *(114_285,) * 2)


HEADER = "item_id,creative_id,impressions,clicks,day,position\n"
ROW = "i1,a,10,1,2026-01-31,1\n"
TEXTS = {
    "a row with an empty cell too many": HEADER + ROW + "i1,b,10,1,2026-01-31,1,\n",
    "an empty cell too many in every row": HEADER + "i1,b,10,1,2026-01-31,1,\n" * 2,
    "a row with too few cells": HEADER + ROW + "i1,b,10,1\n",
    "a cell that is too long": HEADER + ROW + f"{ROW[:-1]}{'x' * 131_072}\n",
    "line ends of Windows": (HEADER + ROW + ROW).replace("\n", "\r\n"),
    "mixed line ends": HEADER + ROW.replace("\n", "\r\n") + ROW,
    "no line end at the end": HEADER + ROW + "i1,b,10,1,2026-01-31,1",
    "a byte order mark": "\ufeff" + HEADER + ROW,
    "no rows": HEADER,
    "rows of empty cells": HEADER + ",,,,,\n" + ROW + " ,,,, ,\n" + ROW,
    "a column that is named like one of ours": HEADER.replace("position", "CP_ROW") + ROW,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_engine_and_row_reader_count_a_csv_of_every_form_alike(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert_counted_alike(path, tmp_path)


@pytest.mark.parametrize("place", ["day=2020-01-01", "position=7", "it's"])
def test_what_a_log_counts_does_not_depend_on_its_folder(place: str, tmp_path: Path) -> None:
    path = tmp_path / place / "log.csv"
    path.parent.mkdir()
    path.write_text(HEADER + ROW)
    ((found,), *_) = read(path, tmp_path, by_engine=True)
    assert (found.stratum, found.period) == ("position=1", "2026-01-31")


def test_a_packed_log_of_several_parts_is_counted_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    parts = [HEADER + ROW[:7], ROW[7:], *(f"{ROW[:-1]}{n}\n" for n in range(500))]
    path.write_bytes(b"".join(gzip.compress(part.encode()) for part in parts))
    assert_counted_alike(path, tmp_path)
    assert read(path, tmp_path, by_engine=True)[3] == 501


def test_the_zone_of_a_counted_log_is_taken_at_its_days_and_not_at_other_times(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.csv"
    times = "2026-07-01T01:30:00,2026-01-05T00:00:00"
    path.write_text(f"item_id,creative_id,impressions,clicks,day,ts\ni1,a,12,1,{times}\n")
    ((found,), *_) = read(path, tmp_path, by_engine=True, zone=ZoneInfo("Europe/Berlin"))
    assert found.period == "2026-06-30"


@pytest.mark.parametrize("column", ["h", "repeats", "unfit_0", 'a"b', "a b.c"])
def test_no_name_of_a_column_keeps_a_log_from_the_engine(column: str, tmp_path: Path) -> None:
    rows = [
        {"item_id": "i1", "creative_id": c, "impressions": "12", "clicks": "1", column: "x"}
        for c in ("a", "b", "b", "ghost")
    ]
    log = open_log(str(write_parquet(tmp_path / "log", rows)), {}, tmp_path)
    opened = engine.LogEngine("200MB", tmp_path).open(log, ("item_id", "creative_id", column), None)
    assert opened is not None
    assert [batch.num_rows for batch in opened.groups()] == [3]


def test_old_spark_times_are_read_beyond_the_end_of_nanoseconds(tmp_path: Path) -> None:
    path, moment = tmp_path / "log.parquet", datetime(2300, 1, 5, 12)
    cells = {"item_id": "i1", "creative_id": "a", "ts": moment, "clicked": 1}
    pq.write_table(pa.Table.from_pylist([cells]), path, use_deprecated_int96_timestamps=True)
    for by_engine in (True, False):
        ((found,), *_) = read(path, tmp_path, by_engine=by_engine, zone=ZoneInfo("UTC"))
        assert found.period == "2300-01-05"


@pytest.mark.parametrize("kind", [pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_texts_are_read_by_the_engine_however_parquet_holds_them(
    kind: pa.DataType, tmp_path: Path
) -> None:
    cells = {"item_id": ["i1"], "creative_id": ["a"], "impressions": ["1"], "clicks": ["0"]}
    table = pa.table({name: pa.array(column).cast(kind) for name, column in cells.items()})
    pq.write_table(table, tmp_path / "log.parquet")
    log = open_log(str(tmp_path / "log.parquet"), {}, tmp_path)
    assert engine.LogEngine("200MB", tmp_path).open(log, ("item_id", "creative_id"), None)
    assert_counted_alike(tmp_path / "log.parquet", tmp_path)


def limit_listed_rejects(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    _, *others = RejectList.__init__.__defaults__ or ()
    monkeypatch.setattr(RejectList.__init__, "__defaults__", (limit, *others))


def test_the_first_rejected_rows_are_listed_whatever_is_wrong_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_listed_rejects(monkeypatch, 3)
    ghost, odd = "ghost,a,12,1,2026-01-31,{}\n", "i1,a,x,1,2026-01-31,{}\n"
    lines = [(odd if n in (1, 3, 4, 5, 6) else ghost).format(n) for n in range(9)]
    (tmp_path / "log.csv").write_text(HEADER + "".join(lines))
    assert_counted_alike(tmp_path / "log.csv", tmp_path)
    assert [row for row, *_ in read(tmp_path / "log.csv", tmp_path, by_engine=True)[1]] == [2, 3, 4]


def test_no_time_of_another_century_is_lost_when_few_rejects_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_listed_rejects(monkeypatch, 3)
    lines = [f"1950-01-01T0{n}:00:00,i1,a,1\n" for n in range(9)]
    (tmp_path / "log.csv").write_text("ts,item_id,creative_id,clicked\n" + "".join(lines))
    assert_counted_alike(tmp_path / "log.csv", tmp_path, "Europe/Berlin")


@pytest.mark.parametrize("first", ["large", "small"])
def test_repeated_keys_of_large_logs_are_located_at_their_first_row(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = tmp_path / "large.csv", tmp_path / "small.csv"
    odd = "i1,b,12.0,1,2026-01-31,2\n"
    large.write_text(HEADER + odd + ROW + odd.replace("12.0", "10").replace(",2\n", ",3\n"))
    small.write_text(HEADER + ROW + "i1,b,22,2,2026-01-31,1\n")
    names = [large, small] if first == "large" else [small, large]
    found = []
    for limit in (0, large.stat().st_size, 1e12):  # all, the large one and none by the engine
        monkeypatch.setattr(exposures, "ENGINE_FROM_BYTES", limit)
        with ExposureTally(zone=None, creative_ids=KNOWN, memory="99MB", folder=tmp_path) as tally:
            for name in names:
                tally.add(open_log(str(name), {}, tmp_path), ())
            tally.merge(replace=False)
        found.append([(r.file, r.row, r.reason) for r in tally.rejects.kept])
    assert found[0] == found[1] == found[2]
    assert [row for _, row, _ in found[0]] == [2, 3]


def add_large_log(folder: Path, memory: str) -> None:
    path = folder / "log.csv"
    lines = (f"i1,a,{n % 9 + 1},1,2026-01-31,{n}\n" for n in range(300_000))
    path.write_text(HEADER + "".join(lines))
    with ExposureTally(zone=None, creative_ids=KNOWN, memory=memory, folder=folder) as tally:
        tally.add(open_log(str(path), {}, folder), ("position",))


def test_too_little_memory_is_an_error_and_no_slow_reading(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"log\.csv cannot be added up within log_memory = '1MB'"):
        add_large_log(tmp_path, "1MB")


def test_a_folder_that_takes_no_spilled_data_is_an_error_and_no_slow_reading(
    tmp_path: Path,
) -> None:
    (tmp_path / "spilled").write_text("a file")
    with pytest.raises(StateError, match="spilled"):
        add_large_log(tmp_path, "60MB")


def test_an_interrupted_engine_interrupts_the_ingest(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(HEADER + ROW)
    log = open_log(str(tmp_path / "log.csv"), {}, tmp_path)
    # Seconds long and not endless: DuckDB may miss the interrupt in a thread of its own, and its
    # `close` waits for that one.
    long = "SELECT sum(range) FROM range(2000000000)"
    started = engine.LogEngine("200MB", tmp_path)
    # A process in the background may ignore the signal, and would never end.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    try:
        with pytest.raises(KeyboardInterrupt), started.name_limits(log):
            started._connection.raw_sql(long).fetchall()
    finally:
        signal.signal(signal.SIGINT, before)
        started.close()


@pytest.mark.parametrize("by_engine", [True, False])
def test_a_log_that_another_program_writes_to_is_refused(
    by_engine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + ROW)
    log = open_log(str(path), {}, tmp_path)
    path.write_text(HEADER + ROW + ROW)
    monkeypatch.setattr(exposures, "ENGINE_FROM_BYTES", 0 if by_engine else 1e12)
    with (
        ExposureTally(zone=None, creative_ids=KNOWN, memory="99MB", folder=tmp_path) as tally,
        pytest.raises(InputError, match="changed while it was read"),
    ):
        tally.add(log, ())
