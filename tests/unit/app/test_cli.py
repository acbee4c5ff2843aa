import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from app.bootstrap import open_studio
from app.cli import cli
from creativepair.store import pairs
from model_assist.registry import Training, new_model
from tests.desk_server import free_port

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

Run = Callable[..., "Answer"]

COMMANDS = [
    "init",
    "demo",
    "gold add",
    "gold practice",
    "ingest",
    "pairs build",
    "pairs list",
    "pairs show",
    "pairs report",
    "draft",
    "select",
    "review",
    "judgements export",
    "judgements import",
    "status",
    "quality",
    "models list",
    "models show",
    "train creative4u",
    "evaluate creative4u",
    "release build",
    "release preview",
    "release diff",
    "release list",
    "release show",
    "release verify",
    "release export",
    "release takedown",
    "release upload",
    "users add",
    "users list",
    "users role",
    "users disable",
    "users invite",
    "users reset",
    "doctor",
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Input files of two items with two pictures each; one exposure row is impossible."""
    folder = tmp_path / "input"
    (folder / "images").mkdir(parents=True)
    creatives = ["item_id,creative_id,image"]
    exposures = ["item_id,creative_id,day,impressions,clicks"]
    for item in (1, 2):
        for name, colour, clicks in (("x", (200, 40, 40), 400), ("y", (40, 80, 200), 150)):
            image = Image.new("RGB", (64, 64), colour)
            image.paste((255, 255, 255), (8 * item, 8, 40, 20 if name == "x" else 56))
            image.save(folder / "images" / f"{item}{name}.png")
            creatives.append(f"i{item},{item}{name},{item}{name}.png")
            exposures.append(f"i{item},{item}{name},2025-03-01,10000,{clicks}")
    exposures.append("i1,1x,2025-03-02,10,11")  # more clicks than impressions
    (folder / "items.csv").write_text("item_id,title\ni1,Mug\ni2,Jug\n", encoding="utf-8")
    (folder / "creatives.csv").write_text("\n".join(creatives), encoding="utf-8")
    (folder / "exposures.csv").write_text("\n".join(exposures), encoding="utf-8")
    return folder


def ingest_words(files: Path) -> list[object]:
    return [
        "ingest",
        *("--items", files / "items.csv", "--creatives", files / "creatives.csv"),
        *("--exposures", files / "exposures.csv", "--images", files / "images"),
    ]


def tree(root: Path) -> dict[str, bytes]:
    """The files of a workspace but the database, whose bytes move with every opening."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in found
        if not path.name.startswith("studio.db")
    }


# --- help and usage ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_names_its_options(command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert "Usage:" in result.stdout


def test_models_are_listed_and_shown(tmp_path: Path, run: Run) -> None:
    root = tmp_path / "w"
    run("init", root)
    assert "No models yet." in run("models", "list", "--workspace", root).out
    with new_model(root / "models") as made:
        (made.folder / "model.safetensors").write_bytes(b"weights")
        how = Training(
            base=None, trained_on=(), recipe="sft", settings={}, packages={}, metrics={"nll": 0.25}
        )
        made.register("creative4u", how, now=datetime(2026, 3, 1, tzinfo=UTC))
    shown = run("models", "show", "creative4u-1", "--workspace", root)
    assert "creative4u-1: 2026-03-01  drawn ads\nfrom nothing by sft, on drawn ads" in shown.out
    assert "nll: 0.25" in shown.out
    [entry] = run("models", "show", "creative4u-1", "--workspace", root, "--json").json["models"]
    assert entry["files"] == ["model.safetensors"]
    assert run("status", "--workspace", root, "--json").json["models"] == 1
    (root / "models" / "creative4u-1" / "model.safetensors").write_bytes(b"others")
    refused = run("models", "show", "creative4u-1", "--workspace", root)
    assert refused.exit_code == 1
    assert "model.safetensors is not as it was registered" in refused.err
    (root / "models" / "creative4u-1" / "model.json").unlink()
    assert "its model.json cannot be read" in run("models", "list", "--workspace", root).out


def test_the_list_of_commands_is_whole() -> None:
    group = typer.main.get_command(cli)
    found = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        found += [f"{name} {sub}" for sub in below] if below else [name]
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["pairs", "frobnicate"],
        ["status", "--frobnicate"],
        ["pairs", "show"],
        ["pairs", "list"],
        ["draft", "--limit", "0"],
        ["draft", "--limit", "many"],
        ["demo", "--pairs", "0"],
        ["review", "--port", "99999"],
        ["pairs", "build", "--min-confidence", "2"],
        ["pairs", "build", "--per-item", "0"],
        ["pairs", "build", "--min-shared-share", "1.5"],
        ["pairs", "build", "--max-rgb-difference", "256"],
        ["pairs", "build", "--min-group-p", "1"],
        ["pairs", "build", "--tau", "0"],
        ["pairs", "build", "--phi", "1.2"],
        ["pairs", "build", "--omega", "0.1"],
        ["pairs", "build", "--kappa", "0.5"],
        ["pairs", "build", "--phi", "0", "--omega", "0.1"],
        ["ingest", "--items", "x.csv", "--map", "item_id"],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_no_result(run: Run, words: list[str]) -> None:
    answer = run(*words)
    assert answer.exit_code == 2
    assert answer.out == ""
    assert answer.err


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["draft"],
        ["pairs", "build"],
        ["pairs", "list", "--out", "pairs.csv"],
        ["pairs", "show", "x"],
        ["judgements", "export", "--out", "judged.csv"],
        ["judgements", "import", "judged.csv"],
        ["release", "build", "0.1.0"],
        ["release", "preview"],
        ["release", "diff", "0.1.0", "0.2.0"],
        ["release", "list"],
        ["release", "show", "0.1.0"],
        ["release", "verify", "0.1.0"],
        ["release", "upload", "0.1.0", "elsewhere"],
        ["review"],
        ["ingest", "--items", "items.csv"],
    ],
)
def test_outside_a_workspace_a_command_says_what_to_do_and_exits_with_1(
    run: Run, words: list[str]
) -> None:
    for more in ([], ["--json"]):
        answer = run(*words, *more)
        assert (answer.exit_code, answer.out) == (1, "")
        error, hint = answer.err.splitlines()
        assert error.startswith("Error: no workspace in ")
        assert hint.startswith("Try: Make one with `creativepair init`")


def test_an_error_shows_its_traceback_only_when_asked(run: Run) -> None:
    with pytest.raises(Exception, match="no workspace"):
        run("status", "--debug")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pairs", "show", "0123456789abcdef"], "no pair '0123456789abcdef'"),
        (["pairs", "list", "--out", "pairs.xlsx"], "cannot write pairs.xlsx"),
        (["pairs", "list", "--out", "nowhere/pairs.csv"], "no folder nowhere"),
        (["judgements", "export", "--out", "judged.txt"], "cannot write judged.txt"),
        (["judgements", "import", "gone.csv"], "gone.csv cannot be read"),
        (["draft", "--drafter", "oracle"], "unknown model 'oracle'"),
        (["review", "--host", "0.0.0.0"], "serves on loopback only, not on 0.0.0.0"),
        (["ingest"], "nothing to read"),
        (["ingest", "--items", "gone.csv"], "no file gone.csv"),
        (["ingest", "--items", "s3://bucket/items.csv"], "is a remote address"),
        (["release", "build", "first"], "'first' is not a version"),
        (["release", "show", "9.9.9"], "there is no release '9.9.9'"),
        (["release", "verify", "../.."], "there is no release '../..'"),
        (["release", "upload", "9.9.9", "elsewhere"], "there is no release '9.9.9'"),
        (["release", "build", "0.1.0"], ""),  # nothing is judged yet
        (["release", "build", "0.1.0", "--plan", "gone.yaml"], "the plan gone.yaml cannot be read"),
        (["release", "preview", "--plan", "truth.csv"], "truth.csv cannot be used"),
        (["release", "diff", "0.1.0", "0.2.0"], "there is no release '0.1.0'"),
        (["init", "."], "already is a workspace"),
        (["init", "truth.csv/inside"], "cannot be made"),
        (["init", "other", "--timezone", "Mars/Olympus"], "unknown time zone 'Mars/Olympus'"),
    ],
)
def test_an_error_of_data_or_state_names_it_and_exits_with_1(
    run: Run, demo_root: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(demo_root)
    answer = run(*words, "--json")
    assert (answer.exit_code, answer.out) == (1, "")
    *_, error, hint = answer.err.splitlines()
    assert error.startswith("Error: ")
    assert message in error
    assert hint.startswith("Try: ")
    assert len(hint) > len("Try: ")


# --- the way from nothing to a release -----------------------------------------------------------


def test_init_makes_a_workspace_once(run: Run, tmp_path: Path) -> None:
    answer = run("init", "work", "--name", 'A "quoted" name', "--json")
    assert answer.json == {"workspace": str(tmp_path / "work")}
    before = tree(tmp_path / "work")
    again = run("init", "work")
    assert again.exit_code == 1
    assert "already is a workspace" in again.err
    assert tree(tmp_path / "work") == before
    status = run("status", "--workspace", "work")
    assert status.out.startswith('A "quoted" name\n')
    run("init", "other", "--timezone", "Mars/Olympus")
    assert not (tmp_path / "other").exists()


def test_a_name_that_is_too_long_is_refused_in_words(run: Run, tmp_path: Path) -> None:
    answer = run("init", "work", "--name", "x" * 201)
    assert answer.exit_code == 2
    assert "over 200 characters" in answer.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "url", ["garbage", "nosuchbase://h/d", "postgresql+nodriver://u:secret@h/d"]
)
def test_an_address_of_a_store_that_cannot_be_used_is_refused_without_its_password(
    run: Run, demo_root: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CREATIVEPAIR_DATABASE_URL", url)
    answer = run("status", "--workspace", str(demo_root))
    assert answer.exit_code == 1
    assert "Error: the store's address cannot be used" in answer.err
    assert "secret" not in answer.err


def test_a_workspace_is_found_upward_by_name_and_by_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init", "work")
    root = tmp_path / "work"
    named = run("status", "--workspace", "work", "--json").json
    monkeypatch.chdir(root / "blobs")
    upward = run("status", "--json").json
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREATIVEPAIR_WORKSPACE", str(root))
    environment = run("status", "--json").json
    assert named == upward == environment
    assert named["workspace"] == str(root)


def test_ingesting_reports_counts_and_rejected_rows(run: Run, files: Path, tmp_path: Path) -> None:
    run("init", "work")
    words = [*ingest_words(files), "--workspace", "work", "--json"]
    dry = run(*words, "--dry-run").json
    assert (dry["items"], dry["dry_run"]) == (2, True)
    assert run("status", "--workspace", "work", "--json").json["items"] == 0
    answer = run(*words)
    found = answer.json
    counts = {k: found[k] for k in ("items", "creatives", "exposures", "rejected")}
    assert counts == {"items": 2, "creatives": 4, "exposures": 4, "rejected": 1}
    rejects = Path(found["rejects_file"])
    assert rejects.is_absolute()
    assert rejects.is_relative_to(tmp_path / "work")
    with rejects.open(encoding="utf-8", newline="") as file:
        [reject] = csv.DictReader(file)
    assert reject["row"] == "6"
    assert "exposures.csv, row 6:" in answer.err


def test_ingesting_again_counts_nothing_twice(run: Run, files: Path) -> None:
    run("init", "work")
    words = [*ingest_words(files), "--workspace", "work", "--json"]
    run(*words)
    before = run("status", "--workspace", "work", "--json").json
    again = run(*words)
    assert again.exit_code == 0
    assert run("status", "--workspace", "work", "--json").json == before
    assert before["exposures"] == 4


def test_strict_ingestion_exits_with_1_and_still_prints_its_result(run: Run, files: Path) -> None:
    run("init", "work")
    answer = run(*ingest_words(files), "--workspace", "work", "--strict", "--json")
    assert (answer.exit_code, answer.json["rejected"]) == (1, 1)


def test_pairs_are_built_and_listed_from_what_was_read(run: Run, files: Path) -> None:
    run("init", "work")
    run(*ingest_words(files), "--workspace", "work")
    empty = run("pairs", "build", "--workspace", "work", "--min-impressions", "50000", "--json")
    assert (empty.json["pairs"], empty.json["candidates"]) == (2, 0)
    built = run("pairs", "build", "--workspace", "work", "--json").json
    keys = {"pairs", "candidates", "near_duplicates", "flagged_groups", "noise_scale"}
    assert keys | {"expected_wrong"} <= set(built)
    # 400 against 150 clicks of 10,000 each: a gap of 400/150 - 1 = 1.67, over the 0.60 wanted.
    assert (built["pairs"], built["candidates"], built["flagged_groups"]) == (2, 2, [])
    assert 0 <= built["expected_wrong"] <= 0.05
    drafted = run("draft", "--workspace", "work", "--limit", 1, "--json").json
    assert (drafted["drafted"], drafted["failed"]) == (1, 0)
    assert drafted["parse_failures"] == drafted["incoherent"] == 0
    assert drafted["model_version"].startswith("evidence")
    assert run("draft", "--workspace", "work", "--resume", "--json").json["drafted"] == 1
    assert run("draft", "--workspace", "work", "--json").json["drafted"] == 0


def test_every_setting_of_a_build_can_be_given_and_is_stored_with_it(
    run: Run, demo_root: Path
) -> None:
    given: dict[str, Any] = {
        "min_impressions": 500,
        "min_gap": 0.4,
        "min_confidence": 0.9,
        "min_shared_share": 0.4,
        "per_item": 2,
        "phash_radius": 5,
        "max_rgb_difference": 2.5,
        "include_flagged_groups": True,
        "min_group_p": 0.01,
        "phi": 1.2,
        "omega": 0.1,
        "kappa": 0.5,
        "tau": 0.25,
        "seed": 4,
        "without_logs": True,
    }
    words = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is True]
    for name, value in given.items():
        if value is not True:
            words += [f"--{name.replace('_', '-')}", str(value)]
    built = run("pairs", "build", *words, "--workspace", demo_root, "--json").json
    assert (built["noise"]["phi"], built["noise"]["omega"]) == (1.2, 0.1)
    assert built["tau"]["tau"] == 0.25
    studio = open_studio(demo_root)
    with studio.store.read() as connection:
        stored = pairs.list_evidence_builds(connection)[-1]["settings"]
    studio.store.close()
    noise = {name: given.pop(name) for name in ("phi", "omega", "kappa")}
    assert stored == given | {"noise": noise, "expected_shares": []}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["i1,1x,9000,90,1", "i1,1y,9000,40,2"], "no_overlap"),
        (["i1,1x,9000,0,1", "i1,1y,9000,0,1"], "no_clicks"),
        (["i1,1x,9000,9000,1", "i1,1y,9000,9000,1"], "no_clicks"),
        (["i1,1x,1,0,1", "i1,1y,1,1,1"], "few_impressions"),
        (["i1,1x,0,0,1", "i1,1y,9000,9,1"], "no_exposures"),
        (["i1,1x,1000000000000,10000000000,1", "i1,1y,1000000000000,1,1"], "candidate"),
    ],
)
def test_strange_logs_end_in_a_reason_and_a_funnel_that_adds_up(
    run: Run, files: Path, rows: list[str], reason: str
) -> None:
    header = "item_id,creative_id,impressions,clicks,position"
    (files / "exposures.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    run("init", "work")
    run(*ingest_words(files), "--workspace", "work")
    answer = run("pairs", "build", "--workspace", "work", "--json")
    built = answer.json  # refuses NaN and Infinity
    assert answer.exit_code == 0
    never_logged = 1  # the pair of i2
    assert built["funnel"][reason] == 1 + never_logged * (reason == "no_exposures")
    assert sum(built["funnel"].values()) == built["pairs"] == 2
    assert run("pairs", "build", "--workspace", "work").exit_code == 0


SHARES = "item_id,experiment_id,creative_id,share\n"


def ingest_experiment(run: Run, files: Path) -> None:
    """Read a log whose experiment showed one creative of item i1 three times as often."""
    log = "item_id,creative_id,experiment_id,impressions,clicks\n"
    (files / "exposures.csv").write_text(
        f"{log}i1,1x,e,30000,1200\ni1,1y,e,10000,150\n", encoding="utf-8"
    )
    run("init", "work")
    run(*ingest_words(files), "--workspace", "work")


def test_expected_shares_are_read_from_a_file_and_stored_with_the_build(
    run: Run, files: Path, tmp_path: Path
) -> None:
    ingest_experiment(run, files)
    (tmp_path / "shares.csv").write_text(f"{SHARES}i1,e,1x,0.75\ni1,e,1y,0.25\n", encoding="utf-8")
    words = ("pairs", "build", "--workspace", "work", "--json")
    assert len(run(*words).json["flagged_groups"]) == 1
    built = run(*words, "--expected-shares", "shares.csv").json
    assert (built["flagged_groups"], built["candidates"]) == ([], 1)
    studio = open_studio(tmp_path / "work")
    with studio.store.read() as connection:
        stored = pairs.list_evidence_builds(connection)[-1]["settings"]["expected_shares"]
    studio.store.close()
    group = {"item_id": "i1", "experiment_id": "e"}
    assert stored == [
        group | {"creative_id": "1x", "share": 0.75},
        group | {"creative_id": "1y", "share": 0.25},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,creative_id,share\ni1,1x,1\n", "lacks the column experiment_id"),
        (f"{SHARES}i1,e,1x,-0.5\n", "row 2, share: Input should be greater than or equal to 0"),
        (f"{SHARES}i1,e,1x,half\n", "row 2, share: Input should be a valid number"),
        (f"{SHARES}i1,e,1x\n", "row 2 "),
        (f"{SHARES}i1,e,1x,nan\n", "row 2, share: "),
        (f"{SHARES}i1,e,1z,1\n", "the item has no creative '1z'"),
    ],
)
def test_expected_shares_that_cannot_be_used_are_named(
    run: Run, files: Path, tmp_path: Path, text: str, message: str
) -> None:
    ingest_experiment(run, files)
    (tmp_path / "shares.csv").write_text(text, encoding="utf-8")
    answer = run("pairs", "build", "--expected-shares", "shares.csv", "--workspace", "work")
    assert (answer.exit_code, answer.out) == (1, "")
    error, hint = answer.err.splitlines()
    assert message in error
    assert hint.startswith("Try: ")


def test_judged_pairs_are_stale_while_their_item_reads_otherwise(
    run: Run, judged_root: Path
) -> None:
    constants = ("--phi", 1.12, "--omega", 0.12, "--tau", 0.3)  # as the demo was built
    words = ("pairs", "build", *constants, "--workspace", judged_root)
    assert run(*words, "--json").json["stale"] == 0
    with (judged_root / "input" / "items.csv").open(encoding="utf-8", newline="") as file:
        items = list(csv.DictReader(file))
    edited = judged_root / "edited.csv"
    with edited.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(items[0]))
        writer.writeheader()
        writer.writerows(item | {"title": f"Used {item['title']}"} for item in items)
    run("ingest", "--items", edited, "--workspace", judged_root)
    stale = run(*words, "--json").json
    assert stale["stale"] == stale["funnel"]["item_changed"] > 0
    assert f"{stale['stale']} judged pairs are stale" in run(*words).out
    assert run("status", "--workspace", judged_root, "--json").json["stale"] == stale["stale"]
    run("ingest", "--items", judged_root / "input" / "items.csv", "--workspace", judged_root)
    assert run(*words, "--json").json["stale"] == 0


def test_a_demo_says_what_it_holds_and_is_not_drawn_twice(
    run: Run, judged_root: Path, tmp_path: Path
) -> None:
    before = tree(judged_root)
    answer = run("demo", "--dir", judged_root, "--pairs", 2, "--no-serve", "--json")
    found = answer.json
    assert set(found) >= {"workspace", "items", "creatives", "pairs", "drafts", "judgements", "url"}
    assert (found["pairs"], found["drafts"], found["judgements"]) == (6, 6, 6)
    assert (found["workspace"], found["url"]) == (str(judged_root), None)
    assert found["synthetic"] is True
    assert tree(judged_root) == before


def test_a_new_demo_is_drawn_into_a_new_folder(run: Run, tmp_path: Path) -> None:
    found = run("demo", "--dir", "new", "--pairs", 1, "--no-serve", "--json")
    assert (found.json["pairs"], found.json["judgements"]) == (1, 0)
    assert "Drawing a synthetic demo" in found.err
    assert (tmp_path / "new" / "truth.csv").is_file()


def test_status_says_what_is_synthetic(run: Run, judged_root: Path) -> None:
    found = run("status", "--workspace", judged_root, "--json").json
    keys = ("items", "creatives", "pairs", "drafts", "judgements", "consensus", "releases")
    assert set(keys) | {"models"} <= set(found)
    assert run("status", "--workspace", judged_root).out.startswith("Synthetic demo (synthetic)\n")


def test_pairs_list_and_show(run: Run, judged_root: Path, tmp_path: Path) -> None:
    listed = run("pairs", "list", "--out", "pairs.csv", "--workspace", judged_root, "--json").json
    assert listed["path"] == str(tmp_path / "pairs.csv")
    with (tmp_path / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == listed["rows"]
    pair_id = next(row["pair_id"] for row in rows if row["candidate"] == "true")
    shown = run("pairs", "show", pair_id, "--workspace", judged_root, "--json").json
    assert shown["pair_id"] == pair_id
    assert {"item", "creatives", "evidence", "draft", "judgements", "consensus"} <= set(shown)
    people = run("pairs", "show", pair_id, "--workspace", judged_root)
    assert json.loads(people.out) == shown


@pytest.mark.parametrize("name", ["judged.csv", "judged.parquet"])
def test_judgements_leave_and_come_back(
    run: Run, judged_root: Path, tmp_path: Path, name: str
) -> None:
    where = ("--workspace", judged_root, "--json")
    exported = run("judgements", "export", "--out", name, *where).json
    assert exported == {"rows": 6, "path": str(tmp_path / name)}
    imported = run("judgements", "import", name, *where).json
    assert imported == {"imported": 0, "skipped": 6, "rejected": 0, "rejects_file": None}


def test_a_rejected_judgement_is_named_and_fails_only_when_strict(
    run: Run, judged_root: Path, tmp_path: Path
) -> None:
    where = ("--workspace", judged_root, "--json")
    run("judgements", "export", "--out", "judged.csv", *where)
    with (tmp_path / "judged.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[2]["final"] = "maybe"
    with (tmp_path / "judged.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    lenient = run("judgements", "import", "judged.csv", *where)
    assert (lenient.exit_code, lenient.json["skipped"], lenient.json["rejected"]) == (0, 5, 1)
    assert Path(lenient.json["rejects_file"]).is_file()
    assert "judged.csv, row 4: final 'maybe'" in lenient.err
    strict = run("judgements", "import", "judged.csv", "--strict", *where)
    assert (strict.exit_code, strict.json["rejected"]) == (1, 1)


def test_the_doctor_says_what_to_mend_and_exits_with_1(run: Run, judged_root: Path) -> None:
    whole = run("doctor", "--workspace", judged_root, "--json")
    assert whole.exit_code == 0
    assert all(check["ok"] for check in whole.json["checks"])
    assert set(whole.json["checks"][0]) == {"name", "ok", "message"}
    shutil.rmtree(judged_root / "blobs" / "derivatives")
    broken = run("doctor", "--workspace", judged_root, "--json")
    assert broken.exit_code == 1
    assert [c["name"] for c in broken.json["checks"] if not c["ok"]] == ["images"]
    assert "BAD  images:" in run("doctor", "--workspace", judged_root).out


def test_a_release_is_built_once_listed_shown_and_verified(run: Run, judged_root: Path) -> None:
    where = ("--workspace", judged_root, "--json")
    assert run("release", "list", *where).json == {"releases": []}
    built = run("release", "build", "0.1.0", *where).json
    assert set(built) >= {"version", "rows", "splits", "files", "path"}
    path = judged_root / "releases" / "0.1.0"
    assert (built["version"], built["path"]) == ("0.1.0", str(path))
    assert built["rows"] == sum(built["splits"].values()) > 0
    assert all(Path(file).is_absolute() and Path(file).is_file() for file in built["files"])
    [listed] = run("release", "list", *where).json["releases"]
    assert (listed["version"], listed["rows"]) == ("0.1.0", built["rows"])
    assert (listed["path"], listed["problem"]) == (str(path), None)
    shown = run("release", "show", "0.1.0", *where).json
    assert {"version", "created", "files", "settings", "lineage"} <= set(shown)
    before = tree(path)
    again = run("release", "build", "0.1.0", *where)
    assert again.exit_code == 1
    assert "exists already" in again.err
    assert tree(path) == before
    assert run("release", "verify", "0.1.0", *where).json == {
        "ok": True,
        "problems": [],
        "withdrawn": False,
    }
    (path / "README.md").write_text("changed", encoding="utf-8")
    damaged = run("release", "verify", "0.1.0", *where)
    assert (damaged.exit_code, damaged.json["ok"]) == (1, False)
    assert "README.md" in damaged.json["problems"][0]


def test_a_release_is_previewed_follows_another_and_is_compared_with_it(
    run: Run, judged_root: Path, tmp_path: Path
) -> None:
    where = ("--workspace", judged_root)
    plan = tmp_path / "plan.yaml"
    plan.write_text("{unmet: refuse, consensus: {min_votes: 50}}", encoding="utf-8")
    refused = run("release", "preview", "--plan", plan, *where, "--json").json
    [refusal] = refused["refusals"][1:]  # the first says that no pair is left
    assert refusal["gate"] == "no consensus"
    assert len(refusal["pairs"]) == refused["left_out"]["no_consensus"]
    assert (
        "too few votes or too little consensus"
        in run("release", "preview", "--plan", plan, *where).out
    )
    assert run("release", "build", "1.0.0", "--plan", plan, *where).exit_code == 1
    built = run("release", "build", "1.0.0", *where, "--json").json
    seen = run("release", "preview", *where, "--json").json
    assert (seen["rows"], seen["follows"], seen["version"]) == (built["rows"], "1.0.0", "1.0.1")
    assert "It comes after 1.0.0: 1.0.1 (nothing changed)" in run("release", "preview", *where).out
    assert run("release", "build", "1.0.1", *where).exit_code == 0
    page = tmp_path / "diff.html"
    diff = run("release", "diff", "1.0.0", "1.0.1", "--html", page, *where, "--json").json
    assert diff == {"added": [], "removed": [], "changed": [], "plan": [], "path": str(page)}
    assert "Release 1.0.1 beside 1.0.0" in page.read_text(encoding="utf-8")
    plan.write_text("{released_labels: renew, label_source: human}", encoding="utf-8")
    assert run("release", "build", "2.0.0", "--plan", plan, *where).exit_code == 0
    changed = run("release", "diff", "1.0.1", "2.0.0", *where, "--json").json["changed"]
    lines = run("release", "diff", "1.0.1", "2.0.0", "--html", page, *where).out
    relabelled = [each["pair_id"] for each in changed if "relabelled" in each["what"]]
    assert f"{len(relabelled)}  relabelled" in lines
    text = page.read_text(encoding="utf-8")
    assert all(pair_id in text for pair_id in relabelled)
    lost = run("release", "diff", "1.0.1", "2.0.0", "--html", tmp_path / "no" / "x.html", *where)
    assert (lost.exit_code, "cannot be written" in lost.err) == (1, True)


def test_a_release_is_sent_to_a_folder_once(run: Run, judged_root: Path, tmp_path: Path) -> None:
    where = ("--workspace", judged_root)
    built = run("release", "build", "0.1.0", *where, "--json").json
    words = ("release", "upload", "0.1.0", "elsewhere", *where)
    sent = run(*words, "--json").json
    num_files = len(built["files"])
    assert set(sent) == {"version", "target", "uploaded", "kept", "bytes"}
    assert (sent["target"], sent["uploaded"], sent["kept"]) == ("elsewhere/0.1.0", num_files, 0)
    assert tree(tmp_path / "elsewhere" / "0.1.0") == tree(Path(built["path"]))
    assert run(*words).out == f"elsewhere/0.1.0: sent 0 files (0 bytes), kept {num_files}\n"
    (tmp_path / "elsewhere" / "0.1.0" / "manifest.json").unlink()
    refused = run(*words)
    assert (refused.exit_code, "are not of this release" in refused.err) == (1, True)


# --- real processes ------------------------------------------------------------------------------


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CREATIVEPAIR_WORKSPACE"}
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_the_installed_program_prints_one_object_and_exits_with_0(judged_root: Path) -> None:
    process = start("status", "--json", cwd=judged_root)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["pairs"] == 6


def test_the_installed_program_prints_errors_without_a_traceback(tmp_path: Path) -> None:
    process = start("status", "--json", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert [line.split(":")[0] for line in err.splitlines()] == ["Error", "Try"]


def test_the_desk_announces_itself_once_it_answers_and_stops_when_asked(
    demo_root: Path,
) -> None:
    port = free_port()
    process = start("review", "--port", port, "--json", cwd=demo_root)
    try:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        assert announced == {"url": f"http://127.0.0.1:{port}"}
        health = httpx.get(f"{announced['url']}/healthz", trust_env=False)
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        step = httpx.get(f"{announced['url']}/desk/step", trust_env=False).json()
        assert (step["step"], step["num_open"]) == ("blind", 8)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert rest == ""
