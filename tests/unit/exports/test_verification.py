import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from creativepair.chain import Chain
from creativepair.checksums import describe_file, digest_files
from creativepair.errors import NotFoundError
from creativepair.wording import Identity
from exports import verification
from exports.configurations import CONFIGURATIONS
from exports.manifest import parse_manifest, render_manifest
from exports.parquet import parse_name, read_records
from exports.verification import verify_folder, verify_release

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

TRAIN = "data/default/train-00000-of-00001.parquet"
TEST = "data/default/test-00000-of-00001.parquet"
Record = dict[str, Any]


@pytest.fixture
def folder(released: "Studio") -> Path:
    return released.workspace.releases / "1.0.0"


def problems(studio: "Studio") -> list[str]:
    found = verify_release(studio.workspace, "1.0.0")
    assert found.ok == (not found.problems)
    return found.problems


def reseal(folder: Path, **changes: object) -> None:
    """Make the manifest fit the files again, as somebody who doctors a release would."""
    path = folder / "manifest.json"
    manifest = parse_manifest(path.read_bytes())
    files = {name: describe_file(folder / name) for name in manifest.files}
    update = {"files": files, "digest": digest_files(files)} | changes
    path.write_text(render_manifest(manifest.model_copy(update=update)))


def doctor(folder: Path, name: str, change: Callable[[list[Record]], object]) -> None:
    """Change the rows of a file and make the manifest fit."""
    records = list(read_records(folder / name))
    change(records)
    parsed = parse_name(name)
    assert parsed
    schema = CONFIGURATIONS[parsed.config].schema
    pq.write_table(pa.Table.from_pylist(records, schema=schema), folder / name)
    reseal(folder)


def test_a_release_as_it_was_built_is_fine(released: "Studio") -> None:
    assert problems(released) == []


def places(folder: Path, number: int) -> Iterator[tuple[str, int]]:
    """Draw places in the files, the first and the last byte of each among them."""
    rng = random.Random(7)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    ends = [(name, place) for name, size in sizes.items() for place in (0, size - 1)]
    yield from ends
    for _ in range(number - len(ends)):
        name = rng.choice(list(sizes))
        yield name, rng.randrange(sizes[name])


def test_any_of_200_single_bytes_that_changed_is_caught_and_its_file_named(
    released: "Studio", folder: Path
) -> None:
    rng = random.Random(11)
    tried = list(places(folder, 200))
    assert len(tried) == 200
    for name, place in tried:
        path = folder / name
        data = bytearray(path.read_bytes())
        before = data[place]
        data[place] ^= rng.randrange(1, 256)
        path.write_bytes(data)
        found = problems(released)
        assert found, f"{name} at {place}"
        assert found[0].startswith(name)
        data[place] = before
        path.write_bytes(data)
    assert problems(released) == []


def test_a_copy_is_verified_where_it_lies(released: "Studio", folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert verify_folder(copy).ok
    with (copy / "README.md").open("a", encoding="utf-8") as file:
        file.write("x")
    assert [problem.split(" ")[0] for problem in verify_folder(copy).problems] == ["README.md"]


def test_missing_shortened_and_extra_files_are_named(released: "Studio", folder: Path) -> None:
    (folder / "README.md").unlink()
    (folder / TRAIN).write_bytes((folder / TRAIN).read_bytes()[:-1])
    (folder / "data" / "notes.txt").write_text("mine")
    assert [problem.split(" ")[0] for problem in problems(released)] == [
        "README.md",
        TRAIN,
        "data/notes.txt",
    ]


def test_a_file_that_cannot_be_read_is_named(
    released: "Studio", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(verification, "describe_file", fail)
    assert problems(released)[0] == "README.md cannot be read: Input/output error"


def test_a_link_is_no_file_of_a_release(released: "Studio", folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "README.md", tmp_path / "elsewhere.md")
    (folder / "README.md").symlink_to(tmp_path / "elsewhere.md")
    assert problems(released) == ["README.md is missing"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"version": "1.0.0"}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_damaged_manifest_is_a_problem_not_a_crash(
    released: "Studio", folder: Path, content: bytes
) -> None:
    (folder / "manifest.json").write_bytes(content)
    (problem,) = problems(released)
    assert problem.startswith("manifest.json is damaged")


def test_a_missing_manifest_is_a_problem(released: "Studio", folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert problems(released) == ["manifest.json cannot be read: No such file or directory"]


def test_a_manifest_cannot_name_files_outside_the_release(released: "Studio", folder: Path) -> None:
    text = (folder / "manifest.json").read_text().replace('"README.md"', '"../../secret"')
    (folder / "manifest.json").write_text(text)
    (problem,) = problems(released)
    assert "manifest.json is damaged: files" in problem


def test_a_release_moved_to_another_version_is_noticed(released: "Studio", folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("2.0.0"))
    found = verify_release(released.workspace, "2.0.0").problems
    assert found == ["manifest.json is that of release 1.0.0"]


def test_a_digest_that_does_not_fit_is_noticed(released: "Studio", folder: Path) -> None:
    reseal(folder, digest="0" * 64)
    assert problems(released) == ["manifest.json: digest is not that of the files listed"]


def test_a_protocol_that_changed_is_noticed(released: "Studio", folder: Path) -> None:
    settings = parse_manifest((folder / "manifest.json").read_bytes()).settings
    reseal(folder, settings=settings.model_copy(update={"protocol": "2"}))
    assert problems(released) == ["manifest.json: settings and lineage name different protocols"]


def test_a_version_that_is_not_there_is_not_found(released: "Studio") -> None:
    for version in ("9.9.9", "../releases/1.0.0", ""):
        with pytest.raises(NotFoundError, match="no release"):
            verify_release(released.workspace, version)


def test_a_file_that_is_no_parquet_is_named(released: "Studio", folder: Path) -> None:
    (folder / TRAIN).write_bytes(b"PAR1 but not really PAR1")
    reseal(folder)
    assert problems(released)[0].startswith(f"{TRAIN}: cannot be read as Parquet")


def test_other_columns_are_noticed(released: "Studio", folder: Path) -> None:
    table = pq.read_table(folder / TRAIN)
    pq.write_table(table.drop_columns(["synthetic"]), folder / TRAIN)
    reseal(folder)
    assert problems(released)[0] == f"{TRAIN}: has other columns than the configuration promises"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": "tie", "label_ctr": None}, "label is 'tie', not A or B"),
        ({"label": None, "label_ctr": None}, "label is None, not A or B"),
        ({"label_blind": "left"}, "label_blind is 'left', not A, B or null"),
        ({"label": "B"}, "label is 'B', its source label_ctr is 'A'"),
        ({"label_ctr": "B", "label": "B"}, "label_ctr is 'B' beside ctr_prob_a 0.9"),
        ({"label_ctr": None, "label": "B", "label_final": "A"}, "label is 'B', its source"),
        ({"label_ctr": None, "label_final": None}, "label has no source"),
        ({"ctr_prob_a": None}, "label_ctr is 'A' beside ctr_prob_a None"),
        ({"clicks_a": 10**9}, "clicks_a is 1000000000, over"),
        ({"label": "B", "label_ctr": "B"}, "the chain answers A, the label is B"),
        ({"protocol": "2"}, "protocol is '2', not '1'"),
        ({"image_a": None}, "image_a holds no image"),
        ({"image_b": {"bytes": b"", "path": "x.jpg"}}, "image_b holds no image"),
        ({"chain": None}, "chain_status is 'approved', which the chain does not fit"),
        ({"chain": "{"}, "chain: Invalid JSON"),
        ({"chain": '{"protocol": "1", "findings": []}'}, "the chain answers None"),
        ({"chain": '{"protocol": "2", "findings": []}'}, "chain: the chain follows protocol 2"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named(
    released: "Studio", folder: Path, change: Record, problem: str
) -> None:
    named = []

    def spoil(records: list[Record]) -> None:
        row = next(record for record in records if record["chain"])
        row.update(change)
        named.append(row["pair_id"])

    doctor(folder, TRAIN, spoil)
    found = problems(released)
    assert any(each.startswith(f"{TRAIN}: pair {named[0]}: {problem}") for each in found), found


AT_ONCE = [{"role": "assistant", "content": [{"type": "text", "text": "<answer>2</answer>"}]}]


@pytest.mark.parametrize(
    ("config", "change", "problem"),
    [
        ("cot", {"completion": None}, "completion is empty"),
        ("prompts", {"label": "2"}, "label is '2' in order AB, and the pair's label is A"),
        ("prompts", {"order": "left"}, "order is 'left', not AB or BA"),
        ("prompts", {"images": []}, "images does not hold two images"),
        ("preference", {"chosen": None}, "chosen is empty"),
        ("preference", {"rejected": []}, "rejected is empty"),
        ("preference", {"chosen": AT_ONCE}, "chosen is <answer>2</answer> in order AB, for A"),
        ("cot", {"completion": AT_ONCE}, "completion: expected one <think> block"),
    ],
)
def test_a_row_in_an_order_that_breaks_a_rule_is_named(
    released: "Studio", folder: Path, config: str, change: Record, problem: str
) -> None:
    [path, *_] = sorted((folder / "data" / config).iterdir())
    name = path.relative_to(folder).as_posix()
    rows = list(read_records(path))
    doctor(folder, name, lambda records: records[0].update(change))
    found = problems(released)
    assert any(f"{name}: pair {rows[0]['pair_id']}: {problem}" in each for each in found), found


def test_a_picture_paired_with_itself_is_named(released: "Studio", folder: Path) -> None:
    def spoil(records: list[Record]) -> None:
        records[0]["image_b"] = records[0]["image_a"]

    doctor(folder, TRAIN, spoil)
    assert any("image_a and image_b are the same picture" in p for p in problems(released))


def test_a_release_stays_ok_when_the_rule_of_wording_grows(
    released: "Studio", folder: Path, chain_for: Callable[[Identity], Chain]
) -> None:
    spoilt = chain_for("A").model_dump_json().replace("{A} shows", "the left image shows")

    def spoil(records: list[Record]) -> None:
        next(record for record in records if record["chain"])["chain"] = spoilt

    doctor(folder, TRAIN, spoil)
    # The rule is held when a release is built; one that is out cannot be mended any more.
    assert problems(released) == []


def test_an_item_and_a_picture_in_two_splits_are_named(released: "Studio", folder: Path) -> None:
    taken: Record = {}
    doctor(folder, TRAIN, lambda records: taken.update(records[0]))
    doctor(folder, TEST, lambda records: records[0].update(taken))
    leaks = [each for each in problems(released) if "data/" not in each]
    assert leaks == [
        *sorted(
            f"image {taken[side]['path']} is in test and train" for side in ("image_a", "image_b")
        ),
        f"item {taken['item_id']} is in test and train",
        f"pair {taken['pair_id']} is in test and train",
        f"default: pair {taken['pair_id']} is in 2 rows",
    ]


def test_rows_are_counted_against_the_manifest(released: "Studio", folder: Path) -> None:
    doctor(folder, TRAIN, lambda records: records.pop())
    *others, problem = problems(released)
    assert "manifest.json has other counts" in problem
    assert all("is not in the configuration default" in other for other in others)


def test_a_shard_that_nobody_lists_is_missed(released: "Studio", folder: Path) -> None:
    renamed = TRAIN.replace("of-00001", "of-00002")
    (folder / TRAIN).rename(folder / renamed)
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    files = {name.replace(TRAIN, renamed): entry for name, entry in manifest.files.items()}
    reseal_with = manifest.model_copy(update={"files": files, "digest": digest_files(files)})
    (folder / "manifest.json").write_text(render_manifest(reseal_with))
    assert problems(released) == ["data/default/train-00001-of-00002.parquet is missing"]


def test_a_file_full_of_faults_is_reported_in_short(released: "Studio", folder: Path) -> None:
    def spoil(records: list[Record]) -> None:
        for record in records:
            record["label_final"] = "?"

    num_rows = pq.read_metadata(folder / TRAIN).num_rows
    doctor(folder, TRAIN, spoil)
    found = problems(released)
    assert len(found) == 21
    assert found[-1] == f"{TRAIN}: {num_rows - 20} more problems"
