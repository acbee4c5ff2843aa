import csv
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from creativepair.cells import escape_cell
from creativepair.errors import InputError, StateError
from creativepair.ingestion import IngestReport, IngestRequest, exposures, files, ingest_files
from creativepair.ingestion.files import expand, read_table
from creativepair.ingestion.schemas import utc_day
from creativepair.records import Creative, Exposure
from creativepair.store import Store, catalogue, create_store
from creativepair.store.tables import metadata
from creativepair.workspace import Settings, Workspace, create_workspace

COUNTS = "item_id,creative_id,impressions,clicks"


def png(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((24, 24)).save(buffer, "PNG")
    return buffer.getvalue()


def wide_png(width: int) -> bytes:
    """Return a PNG whose header promises a width; the pixels are never reached."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


class Desk:
    """A workspace and a folder of input files, with short words to fill and read them."""

    def __init__(self, folder: Path) -> None:
        self.inputs = folder / "inputs"
        self.inputs.mkdir()
        self.workspace: Workspace = create_workspace(folder / "ws", Settings(name="Test"))
        self.store: Store = create_store(self.workspace.database_url)

    def write(self, name: str, *lines: str) -> str:
        path = self.inputs / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    def ingest(self, **request: Any) -> IngestReport:
        return ingest_files(self.workspace, self.store, IngestRequest(**request))

    def add_two_creatives(self) -> None:
        for name in ("c1", "c2"):
            (self.inputs / f"{name}.png").write_bytes(png(int(name[1])))
        report = self.ingest(
            items=[self.write("items.csv", "item_id,title", "i1,Shoe")],
            creatives=[
                self.write(
                    "creatives.csv", "item_id,creative_id,image", "i1,c1,c1.png", "i1,c2,c2.png"
                )
            ],
        )
        assert (report.items, report.creatives, report.rejects) == (1, 2, ())

    def log(self, *lines: str, header: str = COUNTS, **request: Any) -> IngestReport:
        return self.ingest(exposures=[self.write("log.csv", header, *lines)], **request)

    def exposures(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        with self.store.read() as connection:
            return {
                (e.creative_id, e.stratum, e.period): (e.impressions, e.clicks)
                for e in catalogue.list_exposures(connection)
            }

    def raw_exposures(self) -> list[Exposure]:
        with self.store.read() as connection:
            return catalogue.list_exposures(connection)

    def creatives(self) -> dict[str, Creative]:
        with self.store.read() as connection:
            return {c.creative_id: c for c in catalogue.list_creatives(connection)}

    def contents(self) -> tuple[dict[str, int], list[str]]:
        """Return the number of rows of every table, and every file but the database's."""
        with self.store.read() as connection:
            rows = {t.name: catalogue.count_rows(connection, t) for t in metadata.sorted_tables}
        found = [p for p in self.workspace.root.rglob("*") if not p.name.startswith("studio.db")]
        return rows, sorted(str(p) for p in found)


@pytest.fixture(params=["by rows", "by engine"])
def desk(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """A desk whose logs, however small, are read in each of the two ways."""
    monkeypatch.setattr(exposures, "ENGINE_FROM_BYTES", 0 if request.param == "by engine" else 1e9)
    made = Desk(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def stocked(desk: Desk) -> Desk:
    desk.add_two_creatives()
    return desk


def reasons(report: IngestReport) -> list[tuple[int, str, str, str]]:
    return [(r.row, r.column, r.value, r.reason) for r in report.rejects]


# --- good input -------------------------------------------------------------------------------


def test_items_creatives_and_counts_are_read_in_one_go(desk: Desk) -> None:
    for name in ("c1", "c2"):
        (desk.inputs / f"{name}.png").write_bytes(png(int(name[1])))
    report = desk.ingest(
        items=[
            desk.write("items.csv", "item_id,title,category,queries", "i1,Shoe,,red shoe | boot")
        ],
        creatives=[
            desk.write(
                "creatives.csv",
                "item_id,creative_id,image,aa_of,text",
                "i1,c1,c1.png,,20% off",
                "i1,c2,c2.png,c1,",
            )
        ],
        exposures=[desk.write("log.csv", COUNTS, 'i1,c1,"1,200",30', "i1,c2,900,12.0")],
    )
    assert (report.items, report.creatives, report.exposures) == (1, 2, 2)
    assert (report.rejects, report.rejects_file, report.recognised) == ((), None, ())
    assert desk.exposures() == {("c1", "", ""): (1200, 30), ("c2", "", ""): (900, 12)}
    with desk.store.read() as connection:
        (item,) = catalogue.list_items(connection)
        lineage = catalogue.list_ingested_files(connection)
    assert (item.title, item.category, item.queries) == ("Shoe", None, ("red shoe", "boot"))
    assert sorted((f["kind"], f["num_rows"]) for f in lineage) == [
        ("creatives", 2),
        ("exposures", 2),
        ("items", 1),
    ]
    first, second = desk.creatives()["c1"], desk.creatives()["c2"]
    assert (first.width, first.text, first.aa_of, second.aa_of) == (24, "20% off", None, "c1")
    assert desk.workspace.originals.get(first.image_sha256) == png(1)
    assert desk.workspace.derivatives.exists(second.derivative_sha256)


def test_events_are_counted_by_utc_day_and_stratum(stocked: Desk) -> None:
    report = stocked.log(
        "i1,c1,2025-03-01T23:30:00+00:00,1,top",
        "i1,c1,2025-03-02T00:30:00+01:00,no,top",  # 23:30 of the day before in UTC
        "i1,c1,2025-03-02T00:30:00Z,true,top",
        "i1,c1,2025-03-02T00:30:00Z,0,side",
        "i1,c2,2025-03-02T00:30:00Z,maybe,side",
        header="item_id,creative_id,ts,clicked,position",
    )
    assert report.strata == ("position",)
    assert stocked.exposures() == {
        ("c1", "position=top", "2025-03-01"): (2, 1),
        ("c1", "position=top", "2025-03-02"): (1, 1),
        ("c1", "position=side", "2025-03-02"): (1, 0),
    }
    assert reasons(report) == [(6, "clicked", "maybe", "is not yes or no")]


def test_times_without_a_zone_need_a_setting(stocked: Desk) -> None:
    lines = ("i1,c1,10,1,2025-03-01T00:30:00", "i1,c2,10,1,2025-03-01")
    header = f"{COUNTS},day"
    report = stocked.log(*lines, header=header)
    assert [r.row for r in report.rejects] == [2]
    assert "has no time zone" in report.rejects[0].reason
    # Berlin is one hour before UTC in winter: 00:30 there is 23:30 of the day before.
    stocked.log(*lines, header=header, timezone="Europe/Berlin")
    assert set(stocked.exposures()) == {("c1", "", "2025-02-28"), ("c2", "", "2025-03-01")}


def test_an_unknown_time_zone_is_refused_before_anything_is_written(desk: Desk) -> None:
    before = desk.contents()
    (desk.inputs / "c1.png").write_bytes(png())
    for zone in ("Mars/Olympus", "../etc"):
        with pytest.raises(InputError, match="unknown time zone"):
            desk.ingest(
                items=[desk.write("items.csv", "item_id,title", "i1,Shoe")],
                creatives=[desk.write("c.csv", "item_id,creative_id,image", "i1,c1,c1.png")],
                timezone=zone,
            )
    assert desk.contents() == before


@pytest.mark.parametrize(
    ("value", "zone", "day"),
    [
        ("2026-01-31", None, "2026-01-31"),
        ("20260131", None, "2026-01-31"),
        (date(2026, 1, 31), None, "2026-01-31"),
        (datetime(2026, 1, 31, 23), "America/New_York", "2026-02-01"),
        ("2026-01-31T23:30-05:00", None, "2026-02-01"),
        ("2026-01-31 00:30", "Asia/Tokyo", "2026-01-30"),
    ],
)
def test_days_are_utc_days(value: object, zone: str | None, day: str) -> None:
    assert utc_day(value, ZoneInfo(zone) if zone else None) == day


@pytest.mark.parametrize(
    "value",
    ["31.01.2026", "", "soon", "1767225600", 1767010100000, "0001-01-01T00:00+05:00", float("nan")],
)
def test_what_is_no_day_is_a_value_error(value: object) -> None:
    # 1767010100000 (milliseconds) must not read like the year 1767.
    with pytest.raises(ValueError, match="is "):
        utc_day(value, ZoneInfo("UTC"))


def test_strata_not_asked_for_are_summed_over(stocked: Desk) -> None:
    header = f"{COUNTS},device,position,user_id"
    lines = ("i1,c1,100,1,phone,top,u", "i1,c1,200,2,phone,side,u", "i1,c1,400,4,desk,top,u")
    assert stocked.log(*lines, header=header, strata=("device",), dry_run=True).strata == (
        "device",
    )
    stocked.log(*lines, header=header, strata=("device",))
    # phone: 100 + 200 and 1 + 2; desk alone.
    assert stocked.exposures() == {
        ("c1", "device=phone", ""): (300, 3),
        ("c1", "device=desk", ""): (400, 4),
    }


def test_all_unnamed_columns_are_strata_unless_none_is_asked_for(stocked: Desk) -> None:
    header = f"position,{COUNTS},device"
    report = stocked.log("a|b,i1,c1,100,1,phone", header=header, dry_run=True)
    assert report.strata == ("device", "position")
    stocked.log("a|b,i1,c1,100,1,phone", header=header)
    assert set(stocked.exposures()) == {("c1", "device=phone|position=a/b", "")}
    assert stocked.log("a|b,i1,c2,100,1,phone", header=header, strata=()).strata == ()
    assert ("c2", "", "") in stocked.exposures()


def test_a_stratum_that_no_log_has_is_refused(stocked: Desk) -> None:
    with pytest.raises(InputError, match="no log has the stratum column slot") as caught:
        stocked.log("i1,c1,1,0", strata=("slot",))
    assert "impressions" in caught.value.hint


def test_columns_of_other_names_are_mapped(stocked: Desk) -> None:
    renames = {"sku": "item_id", "ad": "creative_id", "views": "impressions"}
    stocked.log("i1,c1,50,5", header="sku,ad,views,clicks", renames=renames)
    assert stocked.exposures() == {("c1", "", ""): (50, 5)}


def test_a_column_mapped_onto_another_is_refused(stocked: Desk) -> None:
    with pytest.raises(InputError, match="column clicks stands there twice"):
        stocked.log("i1,c1,50,5,4", header=f"{COUNTS},taps", renames={"taps": "clicks"})


def test_a_mapped_column_that_no_file_has_is_refused(stocked: Desk) -> None:
    renames = {"sku": "item_id", "Datum": "day"}
    with pytest.raises(InputError, match="no file has the column of --map day=Datum") as caught:
        stocked.log("i1,c1,50,5", header="sku,creative_id,impressions,clicks", renames=renames)
    assert "sku" in caught.value.hint
    assert stocked.exposures() == {}


def test_items_without_titles_are_refused_instead_of_wiping_the_known_ones(stocked: Desk) -> None:
    name = stocked.write("names.csv", "item_id,name", "i1,Shoe")
    with pytest.raises(InputError, match="lacks the column title; it has item_id, name") as caught:
        stocked.ingest(items=[name])
    assert "--map title=YOUR_COLUMN" in caught.value.hint
    stocked.ingest(items=[name], renames={"name": "title"})
    with stocked.store.read() as connection:
        assert [i.title for i in catalogue.list_items(connection)] == ["Shoe"]


def test_a_query_that_is_nothing_is_left_out_and_one_that_is_no_text_refused(desk: Desk) -> None:
    rows = [["red shoe", None, 7, " "], ["a", {"b": 1}], "x|y"]
    lines = [
        json.dumps({"item_id": f"i{n}", "title": "Shoe", "queries": row})
        for n, row in enumerate(rows)
    ]
    report = desk.ingest(items=[desk.write("items.jsonl", *lines)])
    with desk.store.read() as connection:
        found = {i.item_id: i.queries for i in catalogue.list_items(connection)}
    assert found == {"i0": ("red shoe", "7"), "i2": ("x", "y")}
    assert [(r.row, r.column, r.reason) for r in report.rejects] == [
        (2, "queries", "holds something that is no text")
    ]


def test_a_glob_reads_every_file_once(stocked: Desk) -> None:
    first = stocked.write("day-1.csv", f"{COUNTS},day", "i1,c1,10,1,2025-03-01")
    stocked.write("day-2.csv", f"{COUNTS},day", "i1,c1,20,2,2025-03-02")
    stocked.ingest(exposures=[str(stocked.inputs / "day-*.csv"), first])
    assert sorted(stocked.exposures().values()) == [(10, 1), (20, 2)]


def test_logs_are_read_at_any_address_and_globs_of_them(stocked: Desk) -> None:
    store = fsspec.filesystem("memory")
    for day in (1, 2):
        row = f"{COUNTS},day\ni1,c1,{day}0,{day},2025-03-0{day}\n"
        store.pipe(f"/logs/day-{day}.csv", row.encode())
    stocked.ingest(exposures=["memory://logs/day-2.csv"], allow_remote=True)
    assert sorted(stocked.exposures().values()) == [(20, 2)]
    report = stocked.ingest(exposures=["memory://logs/day-*.csv"], allow_remote=True)
    assert len(report.recognised) == 1
    assert sorted(stocked.exposures().values()) == [(10, 1), (20, 2)]
    for address in ("memory://logs/week-*.csv", "memory://logs/day-3.csv", "nowhere://logs/*.csv"):
        with pytest.raises(InputError, match=r"no file|cannot be (read|listed)"):
            stocked.ingest(exposures=[address], allow_remote=True)


def test_a_path_that_names_nothing_is_refused(tmp_path: Path) -> None:
    for pattern in ("none.csv", "*.csv", ""):
        with pytest.raises(InputError, match="no file"):
            expand(str(tmp_path / pattern), allow_remote=False)
    with pytest.raises(InputError, match="is a remote address"):
        expand("https://shop.example/log.csv", allow_remote=False)


# --- the readers ------------------------------------------------------------------------------

CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), max_size=8
) | st.sampled_from(["a,b", 'say "hi"', "x;y", "p|q", "größe", "产品", "🧴"])


def save(path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([columns, *rows])


@given(rows=st.lists(st.tuples(st.just("i"), CELLS, CELLS), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_kind_of_file_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    folder, columns = tmp_path_factory.mktemp("tables"), ("item_id", "title", "category")
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    for name, delimiter in (("a.csv", ","), ("b.tsv", "\t"), ("c.csv", ";"), ("d.csv", "|")):
        save(folder / name, rows, columns, delimiter)
    comma = (folder / "a.csv").read_bytes()
    (folder / "bom.csv").write_bytes(b"\xef\xbb\xbf" + comma)
    (folder / "a.csv.gz").write_bytes(gzip.compress(comma, mtime=0))
    (folder / "A.CSV.GZ").write_bytes(gzip.compress(comma, mtime=0))
    lines = "\n".join(json.dumps(record) for record in records)
    (folder / "e.jsonl").write_text(lines, encoding="utf-8")
    (folder / "e.ndjson.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    pq.write_table(pa.Table.from_pylist(records), folder / "f.parquet")
    wanted = [{k: v for k, v in record.items() if v} for record in records]
    for path in folder.iterdir():
        table = read_table(str(path), {}, ("item_id",))
        assert [row.values for row in table.rows] == wanted, path.name
        assert table.columns == columns
        assert all(row.problem is None for row in table.rows)


def test_rows_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('item_id,title\n\n"a","two\nlines"\nb,x,y\nc\n"d"e,x\nf,y\n', encoding="utf-8")
    rows = read_table(str(path), {}, ("item_id",)).rows
    assert [(r.row, r.values.get("item_id"), r.problem) for r in rows] == [
        (3, "a", None),
        (5, None, "has 3 fields, the header 2"),
        (6, None, "has 1 fields, the header 2"),
        (7, None, "cannot be read as CSV: ',' expected after '\"'"),
        (8, "f", None),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('item_id,title\na,b\n"c,d\ne,f\n', 3),  # to the end of the file
        ('item_id,title\na,b\n"c,d\ne,f\n"g",h\ni,j\n', 3),  # to the next quote
        ('item_id,title\na,"b\nc,d\ne,"f"\ng,h\n', 2),
        ('item_id,title\na,b\n"c,d\n","e",f\ng,h\n', 3),  # other fields, each closed
        ('item_id,title\n"two\nlines","c\nd,e\n', 3),  # the cell before it is sound
        ('item_id,title\n"say ""hi""","c\nd,e\n', 2),
        ('item_id,title\na,"b', 2),
        ('"item_id,title\na,b\n', 1),
        ('item_id,title\na,b\n"' + "c,d\n" * 40_000 + '"', 3),  # over the largest cell
    ],
)
def test_a_quote_that_is_not_closed_is_an_error_of_the_file(
    tmp_path: Path, text: str, line: int
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"items.csv, line {line}: a cell starts with a quote"):
        read_table(str(path), {}, ("item_id",))


def test_a_log_that_ends_in_mid_row_loses_that_row_alone(stocked: Desk) -> None:
    path = stocked.inputs / "log.csv"
    path.write_text(f"{COUNTS}\ni1,c1,100,7\ni1,c2,9", encoding="utf-8")
    report = stocked.ingest(exposures=[str(path)])
    assert reasons(report) == [(3, "", "", "has 3 fields, the header 4")]
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}


def test_rejected_rows_without_end_are_counted_and_the_first_of_them_listed(stocked: Desk) -> None:
    report = stocked.log(*["i1,ghost,5,1"] * 50, "i1,c1,100,7", *["i2,c1,5,1"] * 100_000)
    assert (report.num_rejected, len(report.rejects)) == (100_050, 100_000)
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}
    assert report.rejects_file
    with report.rejects_file.open() as file:
        assert sum(1 for _ in file) == 100_001


def test_a_parquet_time_that_no_calendar_has_rejects_its_row_alone(stocked: Desk) -> None:
    path = stocked.inputs / "log.parquet"
    micros = [1_740_787_200_000_000, 2**62, -(2**62)]
    times = pa.array(micros, pa.timestamp("us", tz="UTC"))
    same = ["i1"] * 3, ["c1"] * 3, [True] * 3
    names = ["item_id", "creative_id", "clicked", "ts"]
    pq.write_table(pa.table([*map(pa.array, same), times], names=names), path)
    report = stocked.ingest(exposures=[str(path)])
    assert [(r.row, r.reason) for r in report.rejects] == [
        (row, "has a time in ts that is out of range") for row in (2, 3)
    ]
    assert stocked.exposures() == {("c1", "", "2025-03-01"): (1, 1)}


def test_lines_that_are_no_json_objects_are_named(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    lines = [
        '{"item_id": 7}',
        "{",
        "[1]",
        "",
        '{"item_id": "\\ud800"}',
        '{"n": ' + "9" * 5000 + "}",
    ]
    path.write_text("\n".join([*lines, "[" * 100_000]), encoding="utf-8")
    rows = read_table(str(path), {}, ("item_id",)).rows
    assert [(r.row, bool(r.problem)) for r in rows] == [
        (1, False),
        (2, True),
        (3, True),
        (5, True),  # half of a surrogate pair is no text
        (6, True),
        (7, True),
    ]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("log.csv", b"", "is empty"),
        ("log.csv", b" \n\n", "is empty"),
        ("log.csv", b"\xef\xbb\xbf", "lacks the column"),
        ("log.jsonl", b"\n", "is empty"),
        ("log.parquet", b"", "is empty"),
        ("log.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("log.csv.gz", b"no gzip", "damaged gzip"),
        ("log.csv.gz", gzip.compress(COUNTS.encode(), mtime=0)[:-6], "damaged gzip"),
        ("log.csv.gz", gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20, "damaged gzip"),
        ("log.parquet", b"PAR1 no", "is not a Parquet file"),
        ("log.csv", "item_id\nGröße".encode("latin-1"), "line 2: byte 0xf6 is not UTF-8"),
        ("log.csv", "item_id".encode("utf-16"), "is not UTF-8"),
        ("log.xlsx", b"PK", "unknown kind of file '.xlsx'"),
        ("log", b"item_id", "unknown kind of file ''"),
        ("log.csv", b"creative_id,clicks\nc,1", "lacks the column item_id; it has creative_id"),
        ("log.csv", b"item_id,item_id\n1,2", "column item_id stands there twice"),
    ],
)
def test_files_that_are_no_tables_are_refused_by_name(
    tmp_path: Path, name: str, data: bytes, problem: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_table(str(path), {}, ("item_id",))
    assert name in caught.value.message
    assert problem in caught.value.message
    assert caught.value.hint


def test_text_in_a_parquet_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    offsets = pa.py_buffer(np.array([0, 1], dtype=np.int32).tobytes())
    column = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"item_id": column}), path)
    with pytest.raises(InputError, match="is not a Parquet file"):
        read_table(str(path), {}, ("item_id",))


# --- bad rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "value", "reason"),
    [
        ("i1,c2,ten,1", "impressions", "ten", "is not a whole number"),
        ("i1,c2,NaN,1", "impressions", "NaN", "is not a whole number"),
        ("i1,c2,inf,1", "impressions", "inf", "is not a whole number"),
        ("i1,c2,10.5,1", "impressions", "10.5", "is not a whole number"),
        ('i1,c2,"1,20",1', "impressions", "1,20", "is not a whole number"),
        ("i1,c2,1e3,1", "impressions", "1e3", "is not a whole number"),
        ("i1,c2,-5,0", "impressions", "-5", "Input should be greater than or equal to 0"),
        ("i1,c2,10,-1", "clicks", "-1", "Input should be greater than or equal to 0"),
        ("i1,c2,9999999999999999,1", "impressions", "9999999999999999", "Input should be less"),
        ("i1,c2,10,11", "", "", "11 clicks over 10 impressions"),
        ("i1,c2,,1", "impressions", "", "is missing"),
        (",c2,10,1", "item_id", "", "is missing"),
        ("i1,c9,10,1", "creative_id", "c9", "is an unknown creative of its item"),
        ("i9,c1,10,1", "creative_id", "c1", "is an unknown creative of its item"),
        ("i1,c2,10", "", "", "has 3 fields, the header 4"),
        ("i1,c1,100,7", "creative_id", "c1", "repeats row 2"),
        ("i1,c1,100,8", "creative_id", "c1", "counts the same as row 2 with other numbers"),
    ],
)
def test_a_bad_row_is_listed_and_the_good_ones_are_kept(
    stocked: Desk, line: str, column: str, value: str, reason: str
) -> None:
    report = stocked.log("i1,c1,100,7", line)
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}
    (reject,) = report.rejects
    assert (Path(reject.file).name, reject.row) == ("log.csv", 3)
    assert (reject.column, reject.value) == (column, value)
    assert reject.reason.startswith(reason)
    assert report.rejects_file is not None
    with report.rejects_file.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["row"], row["column"], row["value"]) == ("3", column, escape_cell(value))
    assert row["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("200.000", "is ambiguous: 200.000 may mean 200 or 200,000; write it without separators"),
        ("1.234", "is ambiguous: 1.234 may mean 1.234 or 1,234; write it without separators"),
        ("1.234.567", "is ambiguous: 1.234.567 may mean"),
        ("1234.000", "is not a whole number"),
        ("1,5", "is not a whole number"),
    ],
)
def test_a_number_that_can_be_read_in_two_ways_is_not_guessed(
    stocked: Desk, cell: str, reason: str
) -> None:
    report = stocked.log(f'i1,c1,"{cell}",7', "i1,c2,1000.00,7.0")
    assert stocked.exposures() == {("c2", "", ""): (1000, 7)}
    (reject,) = report.rejects
    assert (reject.row, reject.column, reject.value) == (2, "impressions", cell)
    assert reject.reason.startswith(reason)


def test_typed_files_are_held_to_the_same_rules(stocked: Desk) -> None:
    rows: list[dict[str, Any]] = [
        {"creative_id": "c1", "impressions": 100.0, "clicks": 7},
        {"creative_id": "c2", "impressions": float("nan"), "clicks": 1},
        {"creative_id": "c2", "impressions": True, "clicks": 1},
        {"creative_id": "c2", "impressions": "12", "clicks": [1]},
        {"creative_id": {"a": 1}, "impressions": 12, "clicks": 1},
    ]
    lines = [json.dumps(row | {"item_id": "i1"}) for row in rows]
    report = stocked.ingest(exposures=[stocked.write("log.jsonl", *lines)])
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}
    assert [(r.row, r.column) for r in report.rejects] == [
        (2, "impressions"),
        (3, "impressions"),
        (4, "clicks"),
        (5, "creative_id"),
    ]


def test_one_row_in_two_files_counts_once(stocked: Desk) -> None:
    lines = (COUNTS, "i1,c1,100,7")
    names = [stocked.write("a.csv", *lines), stocked.write("b.csv", *lines, "")]
    report = stocked.ingest(exposures=names)
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}
    assert "repeats row 2 of" in report.rejects[0].reason


def test_what_two_logs_both_count_is_counted_once_whatever_else_stands_there(
    stocked: Desk,
) -> None:
    header = f"{COUNTS},day,spend"
    names = [
        stocked.write("a.csv", header, "i1,c1,100,7,2025-03-01,5", "i1,c2,90,3,2025-03-01,5"),
        stocked.write("b.csv", header, "i1,c1,100,7,2025-03-01,6", "i1,c1,10,1,2025-03-02,6"),
    ]
    report = stocked.ingest(exposures=names, strata=())
    assert stocked.exposures() == {
        ("c1", "", "2025-03-01"): (100, 7),
        ("c2", "", "2025-03-01"): (90, 3),
        ("c1", "", "2025-03-02"): (10, 1),
    }
    assert [(r.file, r.row) for r in report.rejects] == [(names[1], 2)]
    assert report.rejects[0].reason == f"repeats row 2 of {names[0]}"


def test_logs_are_compared_by_what_each_counts_in_all(stocked: Desk) -> None:
    header = f"{COUNTS},spend"
    names = [
        stocked.write("a.csv", header, "i1,c1,60,4,5", "i1,c1,40,3,6"),
        stocked.write("b.csv", header, "i1,c1,50,2,5", "i1,c1,50,5,6"),
    ]
    assert len(stocked.ingest(exposures=names, strata=()).rejects) == 1
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}


def test_logs_that_count_the_same_with_other_numbers_are_refused_whole_and_listed(
    stocked: Desk,
) -> None:
    header, days = f"{COUNTS},day,spend", [f"2025-03-{day:02d}" for day in range(1, 26)]
    names = [
        stocked.write(f"{n}.csv", header, *(f"i1,c1,10{n},7,{day},{n}" for day in days))
        for n in (0, 1)
    ]
    before = stocked.contents()
    with pytest.raises(StateError, match="25 exposures stand in several logs") as caught:
        stocked.ingest(exposures=names, strata=())
    assert caught.value.message.count("7 of 100 in") == 20
    assert f"i1/c1///2025-03-01: 7 of 100 in {names[0]}, 7 of 101 in" in caught.value.message
    assert "--replace" in caught.value.hint
    assert stocked.contents() == before
    stocked.ingest(exposures=names, strata=(), replace=True)
    assert set(stocked.exposures().values()) == {(101, 7)}


def test_logs_that_give_one_count_to_two_experiments_are_refused(stocked: Desk) -> None:
    header = f"{COUNTS},experiment_id"
    names = [stocked.write(f"{e}.csv", header, f"i1,c1,9,1,{e}") for e in ("e1", "e2")]
    with pytest.raises(StateError, match=r"1 of 9 of experiment 'e1' in .*'e2'"):
        stocked.ingest(exposures=names)


def test_event_logs_of_one_reading_add_up(stocked: Desk) -> None:
    header = "item_id,creative_id,ts,clicked"
    names = [
        stocked.write(f"{hour}.csv", header, f"i1,c1,2025-03-01T{hour}:00Z,1", "")
        for hour in (10, 11)
    ]
    assert stocked.ingest(exposures=names).rejects == ()
    assert stocked.exposures() == {("c1", "", "2025-03-01"): (2, 2)}


def test_an_event_log_and_a_counted_log_of_one_day_are_compared(stocked: Desk) -> None:
    events = stocked.write("e.csv", "item_id,creative_id,ts,clicked", "i1,c1,2025-03-01,1")
    counts = stocked.write("c.csv", f"{COUNTS},day", "i1,c1,1,0,2025-03-01")
    with pytest.raises(StateError, match=r"1 of 1 in .*e.csv, 0 of 1 in .*c.csv"):
        stocked.ingest(exposures=[events, counts])


def test_counts_belong_to_one_experiment(stocked: Desk) -> None:
    header = f"{COUNTS},experiment_id,slot"
    report = stocked.log("i1,c1,9,1,e1,x", "i1,c1,9,1,e2,y", header=header, strata=())
    (kept,) = stocked.raw_exposures()
    assert (kept.experiment_id, kept.impressions) == ("e1", 9)
    assert reasons(report) == [
        (3, "experiment_id", "e2", "its counts belong to experiment 'e1' as well")
    ]


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("item_id,creative_id,impressions", "lacks the column clicks"),
        ("item_id,creative_id,ts", "lacks the column impressions, clicks"),
        ("item_id,impressions,clicks", "lacks the column creative_id"),
    ],
)
def test_a_log_without_its_columns_is_refused(stocked: Desk, header: str, missing: str) -> None:
    with pytest.raises(InputError, match=missing) as caught:
        stocked.log("a,b,3", header=header)
    assert "--map" in caught.value.hint


def test_items_given_twice_are_listed_and_the_first_stands(desk: Desk) -> None:
    name = desk.write("items.csv", "item_id,title", "i1,Shoe", "i1,Shoe", "i1,Boot", "i2,")
    report = desk.ingest(items=[name])
    assert report.items == 2
    assert [(r.row, r.reason) for r in report.rejects] == [
        (3, "repeats an item"),
        (4, "is given twice, differently"),
    ]


def test_creatives_of_unknown_items_and_repeated_ones_are_listed(stocked: Desk) -> None:
    name = stocked.write(
        "more.csv",
        "item_id,creative_id,image",
        "i9,c1,c1.png",
        "i1,c1,c1.png",
        "i1,c1,c2.png",
        "i1,,c2.png",
    )
    report = stocked.ingest(creatives=[name])
    assert reasons(report) == [
        (2, "item_id", "i9", "is an unknown item"),
        (4, "creative_id", "c1", "is given twice for this item"),
        (5, "creative_id", "", "is missing"),
    ]


BAD_IMAGES: list[tuple[str, bytes, str]] = [
    ("cut.png", png()[:90], "damaged or truncated"),
    ("page.png", b"<html>not found</html>", "is not an image"),
    ("none.jpg", b"", "is empty (0 bytes)"),
    ("wide.png", wide_png(60_000), "60,000 × 1 pixels, which is too large"),
    ("logo.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is a vector image (SVG)"),
]


@pytest.mark.parametrize(("name", "data", "reason"), BAD_IMAGES)
def test_a_bad_image_rejects_its_row_alone(desk: Desk, name: str, data: bytes, reason: str) -> None:
    (desk.inputs / name).write_bytes(data)
    (desk.inputs / "good.png").write_bytes(png())
    report = desk.ingest(
        items=[desk.write("items.csv", "item_id,title", "i1,Shoe")],
        creatives=[
            desk.write("c.csv", "item_id,creative_id,image", f"i1,bad,{name}", "i1,good,good.png")
        ],
        exposures=[desk.write("log.csv", COUNTS, "i1,good,10,1", "i1,bad,10,1")],
    )
    assert list(desk.creatives()) == ["good"]
    image, log = report.rejects
    assert (image.row, image.column, image.value) == (2, "image", name)
    assert name in image.reason
    assert reason in image.reason
    assert log.reason == "is an unknown creative of its item"


@pytest.mark.parametrize(
    ("reference", "remote", "reason"),
    [
        ("../ws/creativepair.toml", False, "leads outside the image folder"),
        ("/etc/hostname", False, "leads outside the image folder"),
        ("gone.png", False, "does not exist"),
        ("https://shop.example/a.png", False, "fetching is switched off"),
        ("http://127.0.0.1/a.png", True, "127.0.0.1"),
        ("http://10.1.2.3/a.png", True, "10.1.2.3"),
        ("http://169.254.169.254/latest", True, "169.254.169.254"),
        ("file:///etc/hostname", True, "file:"),
    ],
)
def test_an_image_reference_leads_nowhere_it_should_not(
    desk: Desk, reference: str, remote: bool, reason: str
) -> None:
    report = desk.ingest(
        items=[desk.write("items.csv", "item_id,title", "i1,Shoe")],
        creatives=[desk.write("c.csv", "item_id,creative_id,image", f"i1,c1,{reference}")],
        allow_remote=remote,
    )
    (reject,) = report.rejects
    assert (reject.column, reject.value) == ("image", reference)
    assert reason in reject.reason
    assert desk.creatives() == {}


def test_an_image_folder_of_its_own_is_used(desk: Desk) -> None:
    folder = desk.inputs / "images"
    folder.mkdir()
    (folder / "c1.png").write_bytes(png())
    request: dict[str, Any] = {
        "items": [desk.write("items.csv", "item_id,title", "i1,Shoe")],
        "creatives": [desk.write("c.csv", "item_id,creative_id,image", "i1,c1,c1.png")],
    }
    with pytest.raises(InputError, match="is not a folder"):
        desk.ingest(**request, images=desk.inputs / "none")
    assert desk.ingest(**request, images=folder).creatives == 1


def test_a_remote_table_has_no_image_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    table = b"item_id,creative_id,image\ni1,c1,c1.png\n"
    monkeypatch.setattr(files, "fetch_bytes", lambda url: table)
    items = [desk.write("items.csv", "item_id,title", "i1,Shoe")]
    url = "https://shop.example/creatives.csv?key=1"
    report = desk.ingest(items=items, creatives=[url], allow_remote=True)
    assert "no image folder was given" in report.rejects[0].reason
    (desk.inputs / "c1.png").write_bytes(png())
    report = desk.ingest(items=items, creatives=[url], allow_remote=True, images=desk.inputs)
    assert (report.creatives, report.rejects) == (1, ())


def test_a_declared_twin_is_kept_whether_it_is_known_yet_or_not(stocked: Desk) -> None:
    for name in ("c3", "c4", "c5"):
        (stocked.inputs / f"{name}.png").write_bytes(png(1))
    header = "item_id,creative_id,image,aa_of"
    stocked.ingest(
        creatives=[stocked.write("more.csv", header, "i1,c3,c3.png,c1", "i1,c4,c4.png,c5")]
    )
    stocked.ingest(creatives=[stocked.write("late.csv", header, "i1,c5,c5.png,")])
    found = stocked.creatives()
    assert (found["c3"].aa_of, found["c4"].aa_of) == ("c1", "c5")
    assert found["c3"].pixel_sha256 == found["c1"].pixel_sha256


# --- again, otherwise, or only to see ---------------------------------------------------------


def test_the_same_files_again_change_nothing(stocked: Desk) -> None:
    stocked.log("i1,c1,100,7", "i1,c2,90,3")
    before = stocked.contents()
    report = stocked.log("i1,c1,100,7", "i1,c2,90,3")
    stocked.add_two_creatives()
    assert [Path(name).name for name in report.recognised] == ["log.csv"]
    assert stocked.contents() == before


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({}, {"strata": ()}, ("--strata 'device'", "--strata ''")),
        ({"strata": ()}, {"strata": ("device",)}, ("--strata ''", "--strata 'device'")),
        ({"timezone": "Asia/Tokyo"}, {"timezone": "UTC"}, ("--timezone Asia/Tokyo",)),
        ({}, {"renames": {"device": "source"}}, ("--map source=device",)),
        ({}, {"strata": (), "replace": True}, ("--strata 'device'",)),
    ],
)
def test_the_same_log_read_in_another_way_is_refused_since_it_would_count_twice(
    stocked: Desk, first: dict[str, Any], second: dict[str, Any], named: tuple[str, ...]
) -> None:
    header = f"{COUNTS},day,device"
    lines = ("i1,c1,100,7,2025-03-01T20:00,phone", "i1,c2,90,3,2025-03-01,desk")
    stocked.log(*lines, header=header, **first)
    before = stocked.contents(), stocked.exposures()
    with pytest.raises(StateError, match="1 logs were read before in another way") as caught:
        stocked.log(*lines, header=header, **second)
    assert all(words in caught.value.message for words in named)
    assert "new workspace" in caught.value.hint
    assert (stocked.contents(), stocked.exposures()) == before


def test_a_time_zone_given_later_counts_the_rows_it_was_missing_for_once(stocked: Desk) -> None:
    header = f"{COUNTS},day"
    lines = ("i1,c1,100,7,2025-03-01T20:00", "i1,c2,90,3,2025-03-01")
    assert len(stocked.log(*lines, header=header).rejects) == 1
    for _ in range(2):  # 20:00 in Tokyo is 11:00 UTC
        stocked.log(*lines, header=header, timezone="Asia/Tokyo")
    stocked.log(*lines, header=header)  # and the zone is not forgotten by this
    with pytest.raises(StateError, match="--timezone Asia/Tokyo, now with"):
        stocked.log(*lines, header=header, timezone="America/New_York")
    assert stocked.exposures() == {
        ("c1", "", "2025-03-01"): (100, 7),
        ("c2", "", "2025-03-01"): (90, 3),
    }


def test_a_log_is_read_the_same_whatever_comes_with_it(stocked: Desk) -> None:
    plain = stocked.write("plain.csv", f"{COUNTS},day", "i1,c1,100,7,2025-03-01")
    devices = stocked.write("devices.csv", f"{COUNTS},device", "i1,c1,50,3,phone")
    report = stocked.ingest(exposures=[plain, devices])
    assert report.strata == ("device",)
    assert stocked.ingest(exposures=[plain]).recognised == (plain,)
    assert stocked.exposures() == {
        ("c1", "", "2025-03-01"): (100, 7),
        ("c1", "device=phone", ""): (50, 3),
    }


def test_two_copies_of_one_event_log_count_once(stocked: Desk) -> None:
    lines = ("item_id,creative_id,ts,clicked", "i1,c1,2025-03-01T10:00Z,1", "")
    first, second = stocked.write("a.csv", *lines), stocked.write("b.csv", *lines)
    report = stocked.ingest(exposures=[first, second])
    assert report.copies == (second,)
    assert stocked.exposures() == {("c1", "", "2025-03-01"): (1, 1)}


def test_other_numbers_for_known_keys_are_refused_whole_and_listed(stocked: Desk) -> None:
    days = [f"2025-03-{day:02d}" for day in range(1, 26)]
    header = f"{COUNTS},day"
    stocked.log(*(f"i1,c1,100,7,{day}" for day in days), header=header)
    before, numbers = stocked.contents(), stocked.exposures()
    with pytest.raises(StateError, match="25 known exposures") as caught:
        stocked.log(
            *(f"i1,c1,100,8,{day}" for day in days), "i1,c2,5,1,2025-04-01", "bad", header=header
        )
    assert caught.value.message.count("7 of 100 known, 8 of 100 given") == 20
    assert "i1/c1///2025-03-01" in caught.value.message
    assert "--replace" in caught.value.hint
    assert (stocked.contents(), stocked.exposures()) == (before, numbers)


def test_other_numbers_win_when_replacing_is_asked_for(stocked: Desk) -> None:
    stocked.log("i1,c1,100,7", "i1,c2,90,3")
    stocked.log("i1,c1,120,9", replace=True)
    assert stocked.exposures() == {("c1", "", ""): (120, 9), ("c2", "", ""): (90, 3)}


def test_a_known_creative_with_another_image_is_refused_unless_replaced(stocked: Desk) -> None:
    (stocked.inputs / "c1.png").write_bytes(png(99))
    creatives = [str(stocked.inputs / "creatives.csv")]
    before = stocked.creatives()
    with pytest.raises(StateError, match="i1/c1"):
        stocked.ingest(creatives=creatives)
    assert stocked.creatives() == before
    stocked.ingest(creatives=creatives, replace=True)
    assert stocked.creatives()["c1"].pixel_sha256 != before["c1"].pixel_sha256
    assert stocked.creatives()["c2"] == before["c2"]


def test_a_dry_run_reports_everything_and_writes_nothing(desk: Desk) -> None:
    (desk.inputs / "c1.png").write_bytes(png())
    request: dict[str, Any] = {
        "items": [desk.write("items.csv", "item_id,title", "i1,Shoe", "i1,Shoe")],
        "creatives": [desk.write("c.csv", "item_id,creative_id,image", "i1,c1,c1.png")],
        "exposures": [desk.write("log.csv", COUNTS, "i1,c1,10,1", "i1,c1,10,x")],
    }
    before = desk.contents()
    dry = desk.ingest(**request, dry_run=True)
    assert desk.contents() == before
    assert dry.rejects_file is None
    real = desk.ingest(**request)
    assert (dry.items, dry.creatives, dry.exposures, dry.rejects) == (
        real.items,
        real.creatives,
        real.exposures,
        real.rejects,
    )


def test_a_dry_run_finds_the_conflicts_that_the_real_one_would(stocked: Desk) -> None:
    stocked.log("i1,c1,100,7")
    with pytest.raises(StateError, match="7 of 100 known, 8 of 100 given"):
        stocked.log("i1,c1,100,8", dry_run=True)
    assert stocked.log("i1,c1,100,8", dry_run=True, replace=True).exposures == 1
    assert stocked.exposures() == {("c1", "", ""): (100, 7)}


@pytest.mark.parametrize("make", [lambda d: d.inputs / "none.csv", lambda d: d.inputs])
def test_a_file_that_cannot_be_read_stops_everything(
    stocked: Desk, make: Callable[[Desk], Path]
) -> None:
    before = stocked.contents()
    with pytest.raises(InputError):
        stocked.log("i1,c1,1,0", items=[str(make(stocked))])
    assert stocked.contents() == before
