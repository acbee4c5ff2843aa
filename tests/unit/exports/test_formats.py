"""Other forms of a release, read back by programs of others."""

import csv
import json
import os
import re
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from benchmarks.peers import start_label_studio
from creativepair.errors import InputError, StateError
from creativepair.records import Item
from creativepair.store import catalogue
from exports.builder import build_release
from exports.formats import conversion, webdataset
from exports.formats.conversion import FORMS, Form, convert_release
from exports.listing import find_release, read_manifest
from exports.parquet import Record, read_records
from exports.withdrawal import Withdrawal, withdraw_release

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

NOW = datetime(2025, 3, 2, tzinfo=UTC)


def convert(studio: "Studio", form: Form, out: Path) -> Path:
    return convert_release(studio.workspace, "1.0.0", form, out).path


def list_tasks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.name != "source.json")


def records_of(studio: "Studio", config: str) -> list[Record]:
    folder = find_release(studio.workspace, "1.0.0") / "data" / config
    return [record for path in sorted(folder.iterdir()) for record in read_records(path)]


def test_webdataset_is_read_by_hugging_face_with_the_images_and_labels_of_the_release(
    released: "Studio", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    import datasets

    out = convert(released, "webdataset", tmp_path / "web")
    files = {"every": [str(path) for path in sorted(out.glob("*.tar"))]}
    loaded = datasets.load_dataset(
        "webdataset", data_files=files, split="every", cache_dir=str(tmp_path / "cache")
    ).cast_column("a.jpg", datasets.Image(decode=False))
    wanted = {record["pair_id"]: record for record in records_of(released, "default")}
    assert {row["__key__"] for row in loaded} == set(wanted)
    for row in loaded:
        record = wanted[row["__key__"]]
        assert row["json"]["label"] == record["label"]
        assert row["json"]["title"] == record["title"]
        assert row["a.jpg"]["bytes"] == record["image_a"]["bytes"]


def test_webdataset_goes_on_in_another_file_and_is_the_same_twice(
    released: "Studio", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset, "SHARD_BYTES", 10_000)
    first = convert(released, "webdataset", tmp_path / "one")
    second = convert(released, "webdataset", tmp_path / "two")
    names = sorted(path.name for path in first.glob("*.tar"))
    assert "train-00001.tar" in names
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)
    members = []
    for name in names:
        with tarfile.open(first / name) as shard:
            members += shard.getnames()
    assert len(members) == len(set(members)) == 3 * len(records_of(released, "default"))


def test_label_studio_gets_a_task_for_each_pair_with_its_drafts_and_judgements(
    released: "Studio", tmp_path: Path
) -> None:
    out = convert(released, "label-studio", tmp_path / "ls")
    tasks: list[dict[str, Any]] = []
    for path in list_tasks(out):
        tasks += json.loads(path.read_text(encoding="utf-8"))
    by_pair = {task["data"]["pair_id"]: task for task in tasks}
    pairs = {record["pair_id"]: record for record in records_of(released, "default")}
    assert set(by_pair) == set(pairs)
    num_annotations = sum(len(task["annotations"]) for task in tasks)
    assert num_annotations == len(records_of(released, "annotations"))
    num_predictions = sum(len(task["predictions"]) for task in tasks)
    assert num_predictions == len(records_of(released, "drafts"))
    for annotation in records_of(released, "annotations"):
        results = [one["result"][0] for one in by_pair[annotation["pair_id"]]["annotations"]]
        assert {"choices": [annotation["final"]]} in [result["value"] for result in results]
    for pair_id, task in by_pair.items():
        for side in ("image_a", "image_b"):
            name = task["data"][side].removeprefix("/data/local-files/?d=")
            assert (out / name).read_bytes() == pairs[pair_id][side]["bytes"]
    config = (out / "labeling_config.xml").read_text(encoding="utf-8")
    assert {"answer", "image_a"} == {
        results[0]["from_name"] for results in [t["annotations"][0]["result"] for t in tasks]
    } | {results[0]["to_name"] for results in [t["annotations"][0]["result"] for t in tasks]}
    assert all(f'name="{name}"' in config for name in ("answer", "image_a", "image_b", "reason"))


@pytest.mark.slow
def test_a_real_label_studio_takes_the_tasks_as_they_are(
    released: "Studio", tmp_path: Path
) -> None:
    program = os.environ.get("LABEL_STUDIO")
    if not program:
        # It needs an environment of its own, of a gigabyte, which no lock of ours holds.
        pytest.skip("LABEL_STUDIO does not name a program: see benchmarks/releases.py")
    out = convert(released, "label-studio", tmp_path / "ls")
    tasks = [
        task for path in list_tasks(out) for task in json.loads(path.read_text(encoding="utf-8"))
    ]
    with start_label_studio(Path(program)) as server:
        config = (out / "labeling_config.xml").read_text(encoding="utf-8")
        project = server.make_project("Pairs", config)
        server.import_tasks(project, tasks)
        stored = json.loads(server.ask("GET", f"/api/projects/{project}/export?exportType=JSON"))
        about = json.loads(server.ask("GET", f"/api/projects/{project}"))

    def answers(of: list[dict[str, Any]]) -> dict[str, list[Any]]:
        return {
            task["data"]["pair_id"]: [one["result"] for one in task["annotations"]] for task in of
        }

    assert answers(stored) == answers(tasks)
    assert not any(one["ground_truth"] for task in stored for one in task["annotations"])
    assert about["total_predictions_number"] == sum(len(task["predictions"]) for task in tasks)


def test_the_form_of_the_paper_says_a_and_b_by_the_order_in_which_images_are_shown(
    released: "Studio", tmp_path: Path
) -> None:
    out = convert(released, "paper", tmp_path / "paper")
    rows = [
        json.loads(line)
        for path in out.glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    usual = {(r["pair_id"], r["order"]): r for r in records_of(released, "cot")}
    labels = {r["pair_id"]: r["label"] for r in records_of(released, "default")}
    assert {(row["pair_id"], row["order"]) for row in rows} == set(usual)
    assert rows
    for row in rows:
        said = row["completion"][0]["content"][0]["text"]
        answer = "A" if row["order"][0] == labels[row["pair_id"]] else "B"
        assert said.endswith(f"<answer>{answer}</answer>")
        assert "image 1" not in said
        parts = row["prompt"][0]["content"]
        assert [part for part in parts if part["type"] == "image"] == [{"type": "image"}] * 2
        asked = "".join(part.get("text", "") for part in parts)
        assert "Image A:Image B:" in asked
        assert "<answer>A</answer> or <answer>B</answer>" in asked
        images = usual[row["pair_id"], row["order"]]["images"]
        assert [(out / name).read_bytes() for name in row["images"]] == [i["bytes"] for i in images]


def test_csv_is_counted_by_duckdb_as_the_release_and_its_cells_run_nothing(
    judged: "Studio", tmp_path: Path
) -> None:
    item = Item(item_id=judged.pairs[0].item_id, title="=HYPERLINK(1)", queries=("-x", "mug"))
    with judged.store.write() as connection:
        catalogue.put_items(connection, [item], now=NOW)
    build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    out = convert(judged, "csv", tmp_path / "csv")
    for config in ("default", "annotations"):
        records = records_of(judged, config)
        path = out / f"{config}.csv"
        counted = duckdb.sql(f"select count(*), count(distinct pair_id) from '{path}'").fetchone()
        assert counted == (len(records), len({record["pair_id"] for record in records}))
    with (out / "default.csv").open(encoding="utf-8", newline="") as file:
        cells = {row["title"]: row["queries"] for row in csv.DictReader(file)}
    assert cells["'=HYPERLINK(1)"] == "'-x|mug"
    labels = {r["pair_id"]: r["label"] for r in records_of(judged, "default")}
    found = duckdb.sql(f"select pair_id, label from '{out / 'default.csv'}'").fetchall()
    assert dict(found) == labels


@pytest.mark.parametrize("form", list(FORMS))
def test_a_form_is_there_whole_or_not_at_all(
    released: "Studio", tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setitem(conversion.FORMS, form, fail)
        with pytest.raises(InputError, match="No space left"):
            convert(released, form, tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []
    (tmp_path / "out").mkdir()
    assert convert(released, form, tmp_path / "out").is_dir()
    with pytest.raises(InputError, match="there already"):
        convert(released, form, tmp_path / "out")


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_says_which_release_it_is_and_carries_its_card(
    released: "Studio", tmp_path: Path, form: Form
) -> None:
    out = convert(released, form, tmp_path / "out")
    source = json.loads((out / "source.json").read_text(encoding="utf-8"))
    digest = read_manifest(released.workspace, "1.0.0").digest
    assert source == {"release": "1.0.0", "digest": digest, "form": form}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Mugs, release 1.0.0")
    assert all((out / path).is_file() for path in re.findall(r"\]\((plots/[a-z.]+)\)", card))


def test_a_damaged_or_withdrawn_release_has_no_other_form(
    released: "Studio", tmp_path: Path
) -> None:
    folder = find_release(released.workspace, "1.0.0")
    with (folder / "README.md").open("a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(StateError, match=r"README\.md has"):
        convert(released, "csv", tmp_path / "out")
    withdraw_release(folder, Withdrawal(withdrawn_at=NOW, reason="the owner asked"))
    with pytest.raises(StateError, match="withdrawn on"):
        convert(released, "csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
