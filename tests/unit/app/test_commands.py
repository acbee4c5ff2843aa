import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotators.consensus import majority
from annotators.state import to_judgements
from app.bootstrap import Studio, open_studio, serve_studio, served_studio
from app.commands import demo, draft
from app.commands.build_pairs import build_workspace_pairs
from app.commands.demo import make_demo
from app.commands.draft import draft_pairs, make_drafter
from app.commands.judgements import export_judgements, import_judgements
from app.commands.list_pairs import COLUMNS, list_pairs, show_pair
from app.commands.status import count_workspace
from app.commands.tables import write_table
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.pairing import PairSettings
from creativepair.records import PairStatus, Source
from creativepair.store import create_store, judgements, pairs
from creativepair.store.pairs import KnownPair
from creativepair.workspace import Settings, create_workspace
from model_assist.drafters.drafter import DraftedChain, DraftFailure, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter

Drafted = DraftedChain | DraftFailure


@pytest.fixture
def empty(tmp_path: Path) -> Studio:
    workspace = create_workspace(tmp_path / "empty", Settings(name="empty"))
    return Studio(workspace, create_store(workspace.database_url))


def candidates(studio: Studio) -> list[KnownPair]:
    with studio.store.read() as connection:
        return list(pairs.iterate_pairs(connection, PairStatus.CANDIDATE))


# --- demo --------------------------------------------------------------------------------------


def test_a_demo_holds_as_many_pairs_as_asked_each_with_evidence_and_a_draft(
    demo_root: Path,
) -> None:
    found = candidates(open_studio(demo_root))
    assert len(found) == 8
    assert all(known.evidence and known.draft for known in found)


@pytest.mark.parametrize(("num_pairs", "seed"), [(1, 2), (8, 0), (9, 0), (13, 2), (20, 0)])
def test_a_demo_of_any_size_finds_its_products(num_pairs: int, seed: int) -> None:
    products = demo._choose_products(num_pairs, seed)
    counts = [demo._count_candidates(p, demo._settings(seed)) for p in products]
    assert sum(counts) == num_pairs


def test_a_demo_writes_the_planted_truth_of_every_creative(demo_root: Path) -> None:
    with (demo_root / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["creative_id", "true_ctr"]
    studio = open_studio(demo_root)
    assert len(rows) == count_workspace(studio)["creatives"]
    truth = {row["creative_id"]: float(row["true_ctr"]) for row in rows}
    assert all(0 < ctr < 1 for ctr in truth.values())
    for known in candidates(studio):
        assert known.pair.creative_a in truth
        assert known.pair.creative_b in truth


def test_a_demo_says_what_whoever_searched_each_query_would_click(demo_root: Path) -> None:
    tables = []
    for name in ("truth.csv", "truth_queries.csv"):
        with (demo_root / name).open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    truth, of_queries = tables
    mean: dict[str, float] = defaultdict(float)
    for row in of_queries:
        mean[row["creative_id"]] += float(row["share"]) * float(row["true_ctr"])
    assert mean == pytest.approx({r["creative_id"]: float(r["true_ctr"]) for r in truth}, abs=1e-5)


def test_a_judged_demo_marks_its_judgements_as_simulated(judged_root: Path) -> None:
    studio = open_studio(judged_root)
    with studio.store.read() as connection:
        judged = to_judgements(judgements.list_events(connection))
    assert len(judged) == 6
    assert {j.source for j in judged} == {Source.SIMULATED}
    assert len(majority(judged, "1")) == 6


def test_making_a_demo_again_opens_the_one_that_is_there(judged_root: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in judged_root.rglob("*.csv")}
    studio = make_demo(judged_root, num_pairs=3, seed=99, judged=False)
    assert len(candidates(studio)) == 6
    assert {p: p.stat().st_mtime_ns for p in judged_root.rglob("*.csv")} == before


def test_a_demo_never_goes_into_a_folder_of_something_else(
    tmp_path: Path, empty: Studio, demo_root: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x", encoding="utf-8")
    with pytest.raises(StateError, match="is not empty"):
        make_demo(tmp_path / "mine", num_pairs=1, seed=0, judged=False)
    with pytest.raises(StateError, match="not a finished demo"):
        make_demo(empty.workspace.root, num_pairs=1, seed=0, judged=False)
    (demo_root / "truth.csv").unlink()  # as after an interruption: the truth is written last
    with pytest.raises(StateError, match="not a finished demo"):
        make_demo(demo_root, num_pairs=1, seed=0, judged=False)


# --- pairs -------------------------------------------------------------------------------------


def test_building_again_makes_a_new_evidence_version_of_the_same_pairs(studio: Studio) -> None:
    before = {known.pair.pair_id: known for known in candidates(studio)}
    build, num_stale = build_workspace_pairs(studio, PairSettings(seed=1))
    after = {known.pair.pair_id: known for known in candidates(studio)}
    assert set(after) == set(before)
    for pair_id, known in after.items():
        old = before[pair_id].evidence
        assert known.evidence is not None
        assert old is not None
        assert (old.version, known.evidence.version) == (1, 2)
        assert known.evidence.log_ratio == pytest.approx(old.log_ratio)
    assert (build.funnel["candidate"], num_stale) == (8, 0)
    with studio.store.read() as connection:
        assert [b["version"] for b in pairs.list_evidence_builds(connection)] == [1, 2]


def test_without_creatives_there_is_nothing_to_pair(empty: Studio) -> None:
    with pytest.raises(StateError, match="no creatives") as caught:
        build_workspace_pairs(empty, PairSettings())
    assert "ingest" in caught.value.hint


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet"])
def test_pairs_are_listed_with_evidence_draft_and_consensus(
    judged_root: Path, tmp_path: Path, name: str
) -> None:
    studio = open_studio(judged_root)
    out = tmp_path / name
    rows = list_pairs(studio, out)
    listed: list[dict[str, object]]
    if name.endswith(".csv"):
        with out.open(encoding="utf-8", newline="") as file:
            listed = [dict(row) for row in csv.DictReader(file)]
    else:
        listed = pq.read_table(out).to_pylist()
    assert len(listed) == rows
    assert tuple(listed[0]) == COLUMNS
    found = {row["pair_id"]: row for row in listed}
    for known in candidates(studio):
        row = found[known.pair.pair_id]
        assert known.evidence is not None
        assert known.draft is not None
        assert (row["creative_a"], row["creative_b"]) == (
            known.pair.creative_a,
            known.pair.creative_b,
        )
        assert str(row["candidate"]).lower() == "true"
        assert row["ctr_winner"] == known.evidence.winner
        assert row["draft_answer"] == known.draft.answer
        assert row["consensus"] in ("A", "B", "", None)


def test_one_pair_is_shown_with_all_that_is_known(judged_root: Path) -> None:
    studio = open_studio(judged_root)
    known = candidates(studio)[0]
    record = show_pair(studio, known.pair.pair_id)
    assert record["pair_id"] == known.pair.pair_id
    assert record["item"]["item_id"] == known.pair.item_id
    assert record["creatives"]["a"]["creative_id"] == known.pair.creative_a
    assert record["evidence"]["winner"] in ("A", "B")
    assert record["evidence"]["false_sign_rate"] <= 0.05
    assert record["draft"]["pair_id"] == known.pair.pair_id
    assert [j["source"] for j in record["judgements"]] == ["simulated"]
    with pytest.raises(NotFoundError, match="no pair 'nope'"):
        show_pair(studio, "nope")


# --- drafts ------------------------------------------------------------------------------------


def test_pairs_with_a_draft_are_not_drafted_again(studio: Studio) -> None:
    report = draft_pairs(studio)
    assert (report.drafted, report.failed) == (0, {})
    assert count_workspace(studio)["drafts"] == 8


def test_a_run_goes_on_where_its_limit_stopped_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvidenceDrafter, "model_version", "evidence-next")
    progress: list[tuple[int, int]] = []
    first = draft_pairs(studio, limit=3, on_progress=lambda *at: progress.append(at))
    assert (first.drafted, progress) == (3, [(3, 3)])
    assert draft_pairs(studio).drafted == 5
    assert count_workspace(studio)["drafts"] == 16


def test_what_a_run_drafted_before_it_broke_off_stands(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvidenceDrafter, "model_version", "evidence-next")
    monkeypatch.setattr(draft, "_BATCH", 3)
    asked: list[int] = []
    drafting = EvidenceDrafter.draft

    def die(self: EvidenceDrafter, requests: Sequence[DraftRequest]) -> list[Drafted]:
        asked.append(len(requests))
        if len(asked) == 2:
            raise StateError("the server is gone", hint="Start it.")
        return drafting(self, requests)

    monkeypatch.setattr(EvidenceDrafter, "draft", die)
    with pytest.raises(StateError, match="the server is gone"):
        draft_pairs(studio)
    assert count_workspace(studio)["drafts"] == 8 + 3
    assert draft_pairs(studio).drafted == 5
    assert asked == [3, 3, 3, 2]


def test_a_draft_is_stored_as_it_was_written(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvidenceDrafter, "model_version", "evidence-next")
    written: list[DraftedChain] = []
    drafting = EvidenceDrafter.draft

    def note(self: EvidenceDrafter, requests: Sequence[DraftRequest]) -> list[Drafted]:
        drafted = [
            replace(each, raw_text=f"text {number}", tokens=7 + number, seconds=0.5)
            for number, each in enumerate(drafting(self, requests))
            if isinstance(each, DraftedChain)
        ]
        written.extend(drafted)
        return list(drafted)

    monkeypatch.setattr(EvidenceDrafter, "draft", note)
    draft_pairs(studio)
    with studio.store.read() as connection:
        known = pairs.iterate_pairs(connection, PairStatus.CANDIDATE)
        found = [each.draft for each in known if each.draft]
    told = sorted((d.raw_text, d.tokens, d.seconds, d.prob_a, d.answer) for d in found)
    answers = [(each, each.chain.answer(studio.workspace.protocol)) for each in written]
    assert told == sorted(
        (each.raw_text, each.tokens, each.seconds, each.prob_a, answer) for each, answer in answers
    )
    assert {answer for _, answer in answers} == {"A", "B"}


def test_a_picture_that_is_gone_costs_its_pairs_only(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvidenceDrafter, "model_version", "evidence-next")
    pair = candidates(studio)[0].pair
    gone = show_pair(studio, pair.pair_id)["creatives"]["a"]["derivative_sha256"]
    path = studio.workspace.derivatives.local_path(gone)
    assert path is not None
    path.unlink()
    report = draft_pairs(studio)
    assert pair.pair_id in report.failed
    assert report.drafted == 8 - len(report.failed) > 0


def test_an_unknown_drafter_is_named(studio: Studio) -> None:
    with pytest.raises(InputError, match="unknown model 'oracle'"):
        make_drafter(studio, "oracle")


# --- judgements and status ---------------------------------------------------------------------


def test_a_bad_row_among_known_judgements_is_listed_in_a_file(
    judged_root: Path, tmp_path: Path
) -> None:
    source = open_studio(judged_root)
    assert export_judgements(source, tmp_path / "judged.csv") == 6
    rows = (tmp_path / "judged.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "judged.csv").write_text(
        "\n".join([*rows, rows[1].replace(rows[1][1:17], "f" * 16)]), encoding="utf-8"
    )
    summary = import_judgements(source, tmp_path / "judged.csv")
    assert (summary.imported, summary.skipped) == (0, 6)
    [reject] = summary.rejects
    assert (reject.row, reject.reason) == (8, "is an unknown pair")
    assert summary.rejects_file is not None
    assert "unknown pair" in summary.rejects_file.read_text(encoding="utf-8")


def test_a_file_without_the_columns_is_refused_whole(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "judged.csv").write_text("pair_id,final\nx,A\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the column annotator_id"):
        import_judgements(studio, tmp_path / "judged.csv")


def test_status_counts_an_empty_workspace_as_nothing(empty: Studio) -> None:
    assert set(count_workspace(empty).values()) == {0}


def test_status_counts_what_is_there(judged_root: Path) -> None:
    counts = count_workspace(open_studio(judged_root))
    assert (counts["pairs"], counts["drafts"], counts["judgements"]) == (6, 6, 6)
    assert 0 < counts["consensus"] <= 6
    assert counts["releases"] == counts["models"] == 0


# --- tables ------------------------------------------------------------------------------------


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    write_table([], ("one", "two"), tmp_path / "empty.csv")
    write_table([], ("one", "two"), tmp_path / "empty.parquet")
    assert (tmp_path / "empty.csv").read_text(encoding="utf-8").strip() == '"one","two"'
    assert pq.read_table(tmp_path / "empty.parquet").column_names == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table.xlsx", r"cannot write table\.xlsx"),
        ("nowhere/table.csv", "no folder"),
        ("folder.csv", "cannot write"),
        ("folder.parquet", "cannot write"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_in_words(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(InputError, match=message):
        write_table([{"one": 1}], ("one",), tmp_path / name)


# --- bootstrap ---------------------------------------------------------------------------------


def test_the_pages_show_the_workspace_that_is_served(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bootstrap._served", [])
    with pytest.raises(StateError, match="no workspace is served"):
        served_studio()
    serve_studio(studio)
    assert served_studio() is studio
