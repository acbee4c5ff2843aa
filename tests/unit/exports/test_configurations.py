"""Each configuration as others read it: Hugging Face datasets, DuckDB, plain Parquet."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from PIL import Image

from creativepair.chain import Chain, parse_chain
from creativepair.protocol import load_protocol
from creativepair.records import ChainStatus
from exports.builder import build_release
from exports.configurations import CONFIGURATIONS
from exports.listing import read_manifest
from exports.parquet import read_records
from exports.plan import CONFIG_NAMES, ConfigName

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

Rows = list[dict[str, Any]]


def read_rows(folder: Path, config: str) -> Rows:
    files = sorted((folder / "data" / config).iterdir())
    return [record for file in files for record in read_records(file)]


@pytest.fixture
def folder(released: "Studio") -> Path:
    return released.workspace.releases / "1.0.0"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_every_configuration_loads_with_hugging_face(
    released: "Studio",
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: ConfigName,
    streaming: bool,
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    import datasets

    loaded = datasets.load_dataset(
        str(folder), config, streaming=streaming, cache_dir=str(tmp_path)
    )
    counts = read_manifest(released.workspace, "1.0.0").counts.configurations
    rows = {split: list(held) for split, held in loaded.items()}
    assert {split: len(held) for split, held in rows.items()} == counts[config]
    first = rows["train"][0]
    assert list(first) == CONFIGURATIONS[config].schema.names
    if "images" in first:
        assert all(isinstance(image, Image.Image) for image in first["images"])
        images = [part for part in first["prompt"][0]["content"] if part["type"] == "image"]
        assert len(images) == len(first["images"]) == 2


def test_duckdb_counts_what_the_card_says(released: "Studio", folder: Path) -> None:
    counts = read_manifest(released.workspace, "1.0.0").counts

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return duckdb.sql(sql.replace("FROM ", f"FROM '{folder}/data/")).fetchall()

    for config, splits in counts.configurations.items():
        for split, rows in splits.items():
            assert ask(f"SELECT count(*) FROM {config}/{split}-*.parquet'") == [(rows,)]
    labels = ask("SELECT label, count(*) FROM default/*.parquet' GROUP BY label ORDER BY label")
    assert dict(labels) == counts.labels
    assert ask("SELECT count(DISTINCT item_id) FROM default/*.parquet'") == [(counts.items,)]
    agreed = ask("SELECT count(*) FROM default/*.parquet' WHERE label_blind = label_ctr")
    assert agreed == [(counts.agreement["blind_ctr"].agree,)]
    finals = ask("SELECT count(*), count(DISTINCT annotator_id) FROM annotations/*.parquet'")
    assert finals == [(counts.finals, counts.annotators)]
    drafts = ask("SELECT count(*) FROM drafts/*.parquet'")
    assert drafts == [(30,)]


def test_both_orders_of_a_chain_show_and_name_the_images_in_that_order(folder: Path) -> None:
    pairs = {row["pair_id"]: row for row in read_rows(folder, "default")}
    rows = read_rows(folder, "cot")
    assert len(rows) == 30  # 15 chains
    for row in rows:
        pair, order = pairs[row["pair_id"]], row["order"]
        shown = [pair["image_a"], pair["image_b"]]
        assert row["images"] == (shown if order == "AB" else shown[::-1])
        text = row["completion"][0]["content"][0]["text"]
        assert parse_chain(text, load_protocol("1"), order) == Chain.model_validate_json(
            pair["chain"]
        )
        right = "1" if order == "AB" else "2"  # A wins every pair
        assert text.endswith(f"<answer>{right}</answer>")
        assert f"image {right} shows the product larger" in text


def test_a_preference_is_a_chain_over_the_draft_it_overturned(folder: Path) -> None:
    rows = [r for r in read_rows(folder, "preference") if said(r, "chosen").startswith("<think>")]
    assert len(rows) == 2 * 8  # of 30 drafts every fourth, from the second on
    for row in rows:
        assert said(row, "prompt").count("at once") == 0
        chosen, rejected = (row[c][0]["content"][0]["text"][-19:] for c in ("chosen", "rejected"))
        assert chosen.endswith(f"<answer>{row['label']}</answer>")
        assert rejected.endswith(f"<answer>{3 - int(row['label'])}</answer>")


def said(row: dict[str, Any], column: str) -> str:
    return "".join(part["text"] or "" for part in row[column][0]["content"])


def test_elsewhere_the_right_answer_is_preferred_by_who_is_asked_for_it_at_once(
    folder: Path,
) -> None:
    rows = read_rows(folder, "preference")
    assert len(rows) == 60
    at_once = [row for row in rows if not said(row, "chosen").startswith("<think>")]
    assert len(at_once) == 60 - 2 * 8
    for row in at_once:
        assert said(row, "chosen") == f"<answer>{row['label']}</answer>"
        assert said(row, "rejected") == f"<answer>{3 - int(row['label'])}</answer>"
        assert said(row, "prompt").endswith("write the answer at once.")


def test_every_pair_has_a_prompt_in_both_orders_with_the_right_digit(folder: Path) -> None:
    pairs = {row["pair_id"]: row for row in read_rows(folder, "default")}
    rows = read_rows(folder, "prompts")
    assert len(rows) == 2 * len(pairs) == 60
    for row in rows:
        pair, order = pairs[row["pair_id"]], row["order"]
        assert row["images"][int(row["label"]) - 1] == pair["image_" + pair["label"].lower()]
        assert order[int(row["label"]) - 1] == pair["label"]


def test_an_approved_draft_is_no_preference_and_an_edited_one_is(
    studio: "Studio", whole_chain_for: Callable[..., Chain]
) -> None:
    approved, edited = studio.add_pair(1), studio.add_pair(2)
    studio.save_build()
    drafts = {pair.pair_id: studio.add_draft(pair, "A") for pair in studio.pairs}
    same, other = drafts[approved.pair_id].chain, whole_chain_for("A", "{A} is brighter")
    for pair, chain, status in (
        (approved, same, ChainStatus.APPROVED),
        (edited, other, ChainStatus.EDITED),
    ):
        studio.judge(pair, "A", chain=chain, status=status, draft=drafts[pair.pair_id])
    built = build_release(studio.workspace, studio.store, "0.1.0")
    rows = read_rows(built.path, "preference")
    preferred = {r["pair_id"] for r in rows if said(r, "chosen").startswith("<think>")}
    assert preferred == {edited.pair_id}


def test_a_chain_with_gaps_is_released_and_is_no_target(
    studio: "Studio", chain_for: Callable[..., Chain], whole_chain_for: Callable[..., Chain]
) -> None:
    gaps, whole = studio.add_pair(1), studio.add_pair(2)
    studio.save_build()
    studio.judge(gaps, "A", chain=chain_for("A"), status=ChainStatus.EDITED)
    studio.judge(whole, "A", chain=whole_chain_for("A"), status=ChainStatus.EDITED)
    built = build_release(studio.workspace, studio.store, "0.1.0")
    assert {row["pair_id"] for row in read_rows(built.path, "cot")} == {whole.pair_id}
    assert all(row["chain"] for row in read_rows(built.path, "default"))


def test_annotators_are_the_same_pseudonym_everywhere_and_their_ids_nowhere(
    released: "Studio", folder: Path
) -> None:
    released.judge(released.pairs[0], "A", by="someone@example.org")
    built = build_release(released.workspace, released.store, "1.0.1")
    first, second = (read_rows(path, "annotations") for path in (folder, built.path))
    names = [{row["annotator_id"] for row in rows} for rows in (first, second)]
    assert len(names[0]) == 1
    assert len(names[1]) == 2
    assert names[0] < names[1]
    guessed = hashlib.sha256(b"someone@example.org").hexdigest()[:12]
    for path in built.files:
        data = path.read_bytes()
        assert b"someone@example.org" not in data
        assert guessed.encode() not in data


def test_a_prompt_says_what_is_known_and_nothing_of_the_answer(folder: Path) -> None:
    for row in read_rows(folder, "cot"):
        words = json.dumps(row["prompt"])
        assert 'Title: \\"Mug' in words
        assert all(hidden not in words for hidden in ("click-through", "impressions", "prob"))
    instructions = {row["prompt"][0]["content"][0]["text"] for row in read_rows(folder, "cot")}
    assert len(instructions) == 1  # a prefix that servers keep
