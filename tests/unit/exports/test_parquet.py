from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from exports import configurations, parquet
from exports.builder import build_release
from exports.configurations import CONFIGURATIONS
from exports.parquet import missing_shards, parse_name, read_records
from exports.rows import Row
from exports.verification import verify_release

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

CONTRACT = {
    "default": """
pair_id item_id image_a image_b title queries category label label_ctr label_blind label_final
label_adjudicated ctr_prob_a rel_gap impressions_a clicks_a impressions_b clicks_b randomised chain
chain_status protocol synthetic""",
    "cot": "pair_id order prompt completion images",
    "prompts": "pair_id order prompt images label",
    "preference": "pair_id order prompt images chosen rejected label",
    "annotations": """
pair_id annotator_id arm pass left_is blind final reason shown_at decided_at source""",
    "drafts": """
pair_id draft_id drafter model_version item_revision protocol answer prob_a chain tokens seconds""",
}


def data_files(path: Path) -> list[Path]:
    return sorted((path / "data" / "default").iterdir())


def test_the_columns_are_those_of_the_contract_in_its_order() -> None:
    named = {name: each.schema.names for name, each in CONFIGURATIONS.items()}
    assert named == {name: columns.split() for name, columns in CONTRACT.items()}


def test_files_carry_page_indexes_and_no_statistics_of_images(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0")
    for path in data_files(built.path):
        group = pq.read_metadata(path).row_group(0)
        columns = {
            group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)
        }
        assert all(column.has_offset_index for column in columns.values())
        assert columns["pair_id"].has_column_index
        assert not columns["image_a.bytes"].is_stats_set


def test_a_split_goes_on_in_another_file_when_one_is_full(
    judged: "Studio", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 2)
    monkeypatch.setattr(parquet, "SHARD_BYTES", 1)  # every row group overflows its file
    built = build_release(judged.workspace, judged.store, "1.0.0")
    train = [path for path in data_files(built.path) if path.name.startswith("train")]
    assert len(train) == -(-built.splits["train"] // 2)
    assert [path.name for path in train] == [
        f"train-{n:05d}-of-{len(train):05d}.parquet" for n in range(len(train))
    ]
    ids = [record["pair_id"] for path in train for record in read_records(path)]
    assert len(ids) == len(set(ids)) == built.splits["train"]
    assert verify_release(judged.workspace, "1.0.0").problems == []


def test_row_groups_end_after_so_many_image_bytes(
    judged: "Studio", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 1)
    built = build_release(judged.workspace, judged.store, "1.0.0")
    for path in data_files(built.path):
        metadata = pq.read_metadata(path)
        assert metadata.num_row_groups == metadata.num_rows


def test_an_image_that_several_rows_show_is_stored_once(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0")
    in_both_orders = built.path / "data/preference/train-00000-of-00001.parquet"
    rows = list(read_records(in_both_orders))
    unique = {image["bytes"] for row in rows for image in row["images"]}
    shown = sum(len(image["bytes"]) for row in rows for image in row["images"])
    assert shown == 2 * sum(map(len, unique))
    assert in_both_orders.stat().st_size < shown * 0.75


def test_a_column_stores_its_own_images_and_none_of_another(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0")
    path = built.path / "data/default/train-00000-of-00001.parquet"
    rows = list(read_records(path))
    group = pq.read_metadata(path).row_group(0)
    sizes = {
        column.path_in_schema: column.total_compressed_size
        for column in map(group.column, range(group.num_columns))
    }
    for name in ("image_a", "image_b"):
        own = sum(map(len, {row[name]["bytes"] for row in rows}))
        assert own < sizes[f"{name}.bytes"] < 1.1 * own


def test_images_are_read_one_after_another_while_files_are_written(
    judged: "Studio", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 1)
    most = 0
    held = 0
    write: Callable[..., None] = pq.ParquetWriter.write_table
    render = configurations.Renderer.render

    def count(renderer: configurations.Renderer, row: Row) -> object:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return render(renderer, row)

    def flush(*given: object) -> None:
        nonlocal held
        held = 0
        write(*given)

    monkeypatch.setattr(configurations.Renderer, "render", count)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", flush)
    build_release(judged.workspace, judged.store, "1.0.0")
    assert most <= 2  # a row group, here one row, and the one that is being written


def test_only_data_files_say_their_configuration_and_split() -> None:
    name = parse_name("data/default/validation-00003-of-00010.parquet")
    assert name == parquet.FileName("default", "validation", 3, 10)
    assert parse_name("data/other/train-00000-of-00001.parquet") is None
    assert parse_name("README.md") is None


def test_absent_shards_follow_from_the_names_of_the_others() -> None:
    name = "data/default/train-{:05d}-of-00003.parquet"
    assert missing_shards([name.format(1), "README.md"]) == [name.format(0), name.format(2)]
    assert missing_shards([name.format(n) for n in range(3)]) == []
