import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from annotators.exchange import COLUMNS, ImportReport, export_rows, import_rows
from app.commands.tables import write_table
from creativepair.ingestion.files import RawRow, read_table
from creativepair.records import Source, Step
from creativepair.store import create_store
from creativepair.store.tables import autosaves, judgement_events, leases
from creativepair.workspace import open_workspace

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk

Row = dict[str, Any]


def export(desk: "Desk") -> list[Row]:
    with desk.store.read() as connection:
        return export_rows(connection)


def import_(desk: "Desk", rows: Sequence[Mapping[str, Any]]) -> ImportReport:
    raw = [RawRow("judged.csv", number, dict(row)) for number, row in enumerate(rows, start=2)]
    with desk.store.write() as connection:
        return import_rows(connection, desk.protocol, raw)


def row_of(desk: "Desk", **change: Any) -> Row:
    """A valid row for the first pair; a value of None leaves the column out."""
    row = {
        "pair_id": desk.pairs[0].pair_id,
        "annotator_id": "carol",
        "left_is": "B",
        "blind": "A",
        "final": "B",
        "shown_at": "2025-03-01T12:00:00+00:00",
        "decided_at": "2025-03-01T12:00:09+00:00",
    } | change
    return {column: value for column, value in row.items() if value is not None}


@pytest.fixture
def judged(desk: "Desk") -> "Desk":
    """Three pairs, judged: kept against the draft, cannot tell, and one only blind."""
    lease = desk.lease()
    desk.blind(lease, "B")
    desk.final(lease, "keep_mine")
    desk.blind(desk.lease(), "cannot_tell", reason='other: "both, really"\nsecond line')
    desk.blind(desk.lease(), "A")
    return desk


@pytest.fixture
def unjudged(judged: "Desk", tmp_path: Path, make_desk: Callable[..., "Desk"]) -> "Desk":
    """A copy of the same workspace without judgements."""
    judged.store.close()  # folds the write-ahead log into the one file
    copy = make_desk("copy")
    copy.store.close()
    shutil.copyfile(judged.workspace.root / "studio.db", copy.workspace.root / "studio.db")
    copy.workspace = open_workspace(copy.workspace.root)
    copy.store = create_store(copy.workspace.database_url)
    copy.pairs = judged.pairs
    with copy.store.write() as connection:
        for table in (judgement_events, autosaves, leases):
            connection.execute(delete(table))
    return copy


def test_only_finished_judgements_are_exported(judged: "Desk") -> None:
    rows = export(judged)
    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    kept, could_not = rows
    assert (kept["blind"], kept["final"], kept["reason"]) == ("B", "B", None)
    assert (kept["arm"], kept["pass"], kept["source"]) == ("blind", 1, "desk")
    assert (could_not["final"], could_not["source"]) == ("cannot_tell", "desk")


@pytest.mark.parametrize("name", ["judged.csv", "judged.parquet"])
def test_an_export_imported_elsewhere_gives_the_same_export_again(
    judged: "Desk", unjudged: "Desk", tmp_path: Path, name: str
) -> None:
    rows = export(judged)
    write_table(rows, COLUMNS, tmp_path / name)
    table = read_table(str(tmp_path / name), {}, COLUMNS)
    for expected in ((2, 0, ()), (0, 2, ())):  # the second time, all are there already
        with unjudged.store.write() as connection:
            report = import_rows(connection, unjudged.protocol, table.rows)
        assert (report.imported, report.skipped, report.rejects) == expected
        assert export(unjudged) == rows
    write_table(export(unjudged), COLUMNS, tmp_path / f"again-{name}")
    assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_a_csv_export_can_be_read_by_anybody(judged: "Desk", tmp_path: Path) -> None:
    write_table(export(judged), COLUMNS, tmp_path / "judged.csv")
    with (tmp_path / "judged.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == ["", 'other: "both, really"\nsecond line']


def test_an_imported_judgement_keeps_what_it_says(desk: "Desk") -> None:
    report = import_(desk, [row_of(desk)])
    assert (report.imported, report.skipped, report.rejects) == (1, 0, ())
    [judgement] = desk.judgements()
    assert (judgement.blind, judgement.final, judgement.left_is) == ("A", "B", "B")
    assert (judgement.source, judgement.arm, judgement.pass_) == (Source.IMPORT, "blind", 1)
    assert (judgement.chain, judgement.chain_status) == (None, "none")
    assert [e.step for e in desk.events()] == [Step.BLIND, Step.FINAL]


def test_a_time_without_a_zone_is_utc(desk: "Desk") -> None:
    import_(desk, [row_of(desk, shown_at="2025-03-01 12:00:00", decided_at="2025-03-01T13:00+01")])
    [judgement] = desk.judgements()
    assert judgement.shown_at.isoformat() == "2025-03-01T12:00:00+00:00"
    assert judgement.decided_at == judgement.shown_at


def test_the_same_row_twice_in_one_file_counts_once(desk: "Desk") -> None:
    report = import_(desk, [row_of(desk), row_of(desk)])
    assert (report.imported, report.skipped) == (1, 1)


def test_two_passes_of_one_person_are_two_judgements(desk: "Desk") -> None:
    report = import_(desk, [row_of(desk), {**row_of(desk, final="A"), "pass": 2}])
    assert (report.imported, report.rejects) == (2, ())
    assert [row["pass"] for row in export(desk)] == [1, 2]


def test_a_row_that_says_otherwise_than_the_store_is_rejected(desk: "Desk") -> None:
    import_(desk, [row_of(desk)])
    before = desk.events()
    report = import_(desk, [row_of(desk, final="A"), row_of(desk, blind="B")])
    assert (report.imported, report.skipped) == (0, 0)
    assert [(r.row, r.column, r.reason) for r in report.rejects] == [
        (2, "final", "this annotator's judgement is stored as B"),
        (3, "final", "this annotator's judgement is stored as B"),
    ]
    assert desk.events() == before


def test_an_unfinished_judgement_here_is_not_overruled(desk: "Desk") -> None:
    lease = desk.lease("carol")
    desk.blind(lease, "A")
    report = import_(desk, [row_of(desk, pair_id=lease.pair_id)])
    assert [r.reason for r in report.rejects] == ["this annotator's judgement is stored as A"]


def test_a_judgement_taken_back_here_is_not_brought_back(desk: "Desk") -> None:
    lease = desk.lease("carol")
    desk.blind(lease, "broken")
    desk.undo(f"{lease.lease_id}-final-1", "carol")
    report = import_(desk, [row_of(desk, pair_id=lease.pair_id), row_of(desk, annotator_id="dan")])
    assert [(r.row, r.reason) for r in report.rejects] == [(2, "was taken back here and is open")]
    assert report.imported == 1


def test_an_unknown_pair_is_rejected_and_the_rows_around_it_are_kept(desk: "Desk") -> None:
    others = [row_of(desk, pair_id=pair.pair_id) for pair in desk.pairs]
    report = import_(desk, [others[0], row_of(desk, pair_id="f" * 16), others[1]])
    assert report.imported == 2
    [reject] = report.rejects
    assert (reject.row, reject.column, reject.value) == (3, "pair_id", "f" * 16)
    assert reject.reason == "is an unknown pair"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("blind", "left"),
        ("final", "tie"),
        ("final", "a"),
        ("left_is", "left"),
        ("shown_at", "yesterday"),
        ("decided_at", "2025-13-01"),
        ("arm", "sighted"),
        ("source", "me"),
        ("annotator_id", "a\x00b"),
        ("reason", "too\x00alike"),
        ("pass", -1),
        ("pass", "one"),
        ("pass", 10**30),
        ("blind", None),
        ("decided_at", None),
    ],
)
def test_a_bad_cell_is_rejected_by_row_and_column(desk: "Desk", column: str, value: Any) -> None:
    good = row_of(desk, annotator_id="dan")
    report = import_(desk, [good, row_of(desk, **{column: value})])
    assert report.imported == 1
    [reject] = report.rejects
    assert (reject.row, reject.column) == (3, column)
    assert reject.value == ("" if value is None else str(value))
    assert len(desk.judgements()) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arm": "blind_only"}, "nothing was revealed"),
        ({"blind": "cannot_tell", "reason": "too alike"}, "nothing was revealed"),
        ({"blind": "cannot_tell", "final": "cannot_tell"}, "cannot_tell needs a reason"),
        ({"decided_at": "2025-03-01T11:59:59Z"}, "was decided before it was shown"),
        ({"decided_at": "2199-01-01T00:00:00Z"}, "was decided in the future"),
    ],
)
def test_a_judgement_that_nobody_can_have_given_is_rejected(
    desk: "Desk", change: Row, reason: str
) -> None:
    report = import_(desk, [row_of(desk, **change)])
    assert report.imported == 0
    assert reason in report.rejects[0].reason


def test_a_line_that_is_no_row_is_rejected_for_that_reason(desk: "Desk", tmp_path: Path) -> None:
    row = row_of(desk)
    text = ",".join(row) + "\n" + ",".join(row.values()) + "\n" + "just,two\n"
    (tmp_path / "judged.csv").write_text(text, encoding="utf-8")
    table = read_table(str(tmp_path / "judged.csv"), {}, ())
    with desk.store.write() as connection:
        report = import_rows(connection, desk.protocol, table.rows)
    assert report.imported == 1
    assert [(r.row, r.reason) for r in report.rejects] == [(3, "has 2 fields, the header 7")]
