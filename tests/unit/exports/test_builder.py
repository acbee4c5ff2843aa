import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from creativepair import publication
from creativepair.chain import Chain
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.images import decode
from creativepair.records import ChainStatus, PairStatus, Source
from creativepair.store import catalogue
from creativepair.store.splits import read_splits
from creativepair.wording import Identity
from exports import builder
from exports.builder import build_release
from exports.listing import list_releases, read_manifest
from exports.parquet import read_records
from exports.plan import Plan
from exports.splits import Links
from exports.verification import verify_release

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

NOW = datetime(2025, 3, 2, tzinfo=UTC)
MakeChain = Callable[[Identity], Chain]


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    files = sorted((path / "data" / "default").iterdir())
    return {record["pair_id"]: record for file in files for record in read_records(file)}


def load(path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, *config: str) -> Any:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(cache))
    import datasets

    return datasets.load_dataset(str(path), *config, cache_dir=str(cache))


def test_a_release_loads_with_hugging_face_and_its_images_decode(
    judged: "Studio", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    loaded = load(built.path, tmp_path / "cache", monkeypatch)
    assert {name: len(split) for name, split in loaded.items()} == built.splits
    with judged.store.read() as connection:
        known = {(c.item_id, c.creative_id): c for c in catalogue.list_creatives(connection)}
    pairs = {pair.pair_id: pair for pair in judged.pairs}
    rows = [row for split in loaded.values() for row in split]
    assert {row["pair_id"] for row in rows} == set(pairs)
    for row in rows:
        pair = pairs[row["pair_id"]]
        for column, creative_id in (("image_a", pair.creative_a), ("image_b", pair.creative_b)):
            creative = known[pair.item_id, creative_id]
            derivative = judged.workspace.derivatives.get(creative.derivative_sha256)
            shown = decode(derivative, name=creative_id).image
            assert row[column].tobytes() == shown.tobytes()


def test_the_configuration_also_loads_by_its_name(
    judged: "Studio", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    loaded = load(built.path, tmp_path / "cache", monkeypatch, "default")
    assert sum(map(len, loaded.values())) == built.rows == 30


def test_what_was_built_is_what_lies_there(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.2.3", now=NOW)
    assert built.path == judged.workspace.releases / "1.2.3"
    assert sorted(built.files) == sorted(path for path in built.path.rglob("*") if path.is_file())
    assert sum(built.splits.values()) == built.rows == 30
    assert list(judged.workspace.releases.iterdir()) == [built.path]
    assert verify_release(judged.workspace, "1.2.3").problems == []


def test_a_row_says_what_is_known_of_its_pair(studio: "Studio", chain_for: MakeChain) -> None:
    pair = studio.add_pair(1)
    studio.save_build()
    studio.judge(pair, "A", blind="B", chain=chain_for("A"), status=ChainStatus.EDITED)
    built = build_release(studio.workspace, studio.store, "1.0.0", now=NOW)
    row = read_rows(built.path)[pair.pair_id]
    row.pop("image_a"), row.pop("image_b")
    assert row == {
        "pair_id": pair.pair_id,
        "item_id": "item-001",
        "title": "Mug 1",
        "queries": ["coffee mug", "mug"],
        "category": "kitchen",
        "label": "A",
        "label_ctr": "A",
        "label_blind": "B",
        "label_final": "A",
        "label_adjudicated": None,
        "ctr_prob_a": 0.97,
        "rel_gap": 1.0,
        "impressions_a": 5000,
        "clicks_a": 150,
        "impressions_b": 4000,
        "clicks_b": 60,
        "randomised": True,
        "chain": chain_for("A").model_dump_json(),
        "chain_status": "edited",
        "protocol": "1",
        "synthetic": False,
    }


def test_pairs_built_without_logs_take_the_consensus_and_have_no_counts(studio: "Studio") -> None:
    judged, adjudicated = studio.add_pair(1, prob_a=None), studio.add_pair(2, prob_a=None)
    studio.save_build()
    studio.judge(judged, "B")
    studio.judge(adjudicated, "B")
    studio.adjudicate(adjudicated, "A")
    rows = read_rows(build_release(studio.workspace, studio.store, "1.0.0", now=NOW).path)
    assert rows[judged.pair_id]["label"] == "B"
    assert (rows[adjudicated.pair_id]["label"], rows[adjudicated.pair_id]["label_final"]) == (
        "A",
        "B",
    )
    empty = ("label_ctr", "ctr_prob_a", "impressions_a", "clicks_b", "randomised", "chain")
    assert {rows[judged.pair_id][column] for column in empty} == {None}


def test_evidence_of_an_older_build_gives_no_label(studio: "Studio") -> None:
    pair = studio.add_pair(1, prob_a=0.97)
    studio.save_build()
    studio.evidence.clear()
    studio.save_build()
    studio.judge(pair, "B")
    rows = read_rows(build_release(studio.workspace, studio.store, "1.0.0", now=NOW).path)
    assert (rows[pair.pair_id]["label"], rows[pair.pair_id]["label_ctr"]) == ("B", None)


def test_a_chain_that_argues_against_the_label_is_not_released(
    studio: "Studio", chain_for: MakeChain
) -> None:
    pair = studio.add_pair(1, prob_a=0.97)
    studio.save_build()
    studio.judge(pair, "B", chain=chain_for("B"), status=ChainStatus.APPROVED)
    built = build_release(studio.workspace, studio.store, "1.0.0", now=NOW)
    row = read_rows(built.path)[pair.pair_id]
    assert (row["label"], row["chain"], row["chain_status"]) == ("A", None, "none")
    assert read_manifest(studio.workspace, "1.0.0").counts.chains_against_label == 1


def test_pairs_left_out_are_counted_by_reason(studio: "Studio") -> None:
    kept, tied, hidden, old = (
        studio.add_pair(n, prob_a=p) for n, p in ((1, 0.97), (2, None), (3, 0.97), (4, 0.97))
    )
    studio.add_pair(5)
    studio.add_pair(6, status=PairStatus.EXCLUDED)
    studio.save_build()
    studio.judge(kept, "A")
    studio.judge(tied, "A")
    studio.judge(tied, "B", by="bob")
    studio.judge(hidden, "cannot_tell")
    studio.judge(old, "A", protocol="0")
    built = build_release(studio.workspace, studio.store, "1.0.0", now=NOW)
    assert list(read_rows(built.path)) == [kept.pair_id]
    assert read_manifest(studio.workspace, "1.0.0").left_out == {
        "excluded_by_people": 1,
        "no_label": 1,
        "not_judged": 2,
        "status_excluded": 1,
    }


def test_rows_are_in_the_order_of_items_and_pairs(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    for file in (built.path / "data" / "default").iterdir():
        ids = [(record["item_id"], record["pair_id"]) for record in read_records(file)]
        assert ids == sorted(ids)


def test_a_tiny_release_has_only_train(studio: "Studio") -> None:
    studio.add_pair(1)
    studio.save_build()
    studio.judge(studio.pairs[0], "A")
    built = build_release(studio.workspace, studio.store, "1.0.0", now=NOW)
    assert built.splits == {"train": 1}
    assert [path.name for path in built.files] == [
        "README.md",
        "croissant.json",
        "train-00000-of-00001.parquet",  # annotations
        "train-00000-of-00001.parquet",  # default
        "train-00000-of-00001.parquet",  # preference
        "train-00000-of-00001.parquet",  # prompts
        "gaps.svg",
        "impressions.svg",
        "manifest.json",
    ]


def test_items_that_share_a_picture_stay_in_one_split(studio: "Studio") -> None:
    for number in range(12):
        studio.add_pair(number, seeds=(500, number))  # every item shows picture 500
        studio.add_pair(100 + number)
    studio.save_build()
    for pair in studio.pairs:
        studio.judge(pair, "A")
    built = build_release(studio.workspace, studio.store, "1.0.0", now=NOW)
    holding = {
        file.name.split("-")[0]
        for file in (built.path / "data" / "default").iterdir()
        for record in read_records(file)
        if record["item_id"] < "item-100"
    }
    assert len(holding) == 1


def test_the_same_inputs_give_the_same_bytes(
    make_studio: Callable[..., "Studio"], fill_studio: Callable[["Studio"], "Studio"]
) -> None:
    digests = []
    for name in ("one", "two"):
        studio = fill_studio(make_studio(name))
        built = build_release(studio.workspace, studio.store, "1.0.0", now=NOW)
        digests.append(
            {
                path.relative_to(built.path): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in built.files
            }
        )
    assert digests[0] == digests[1]


def test_images_reach_the_release_without_what_the_originals_carry(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    for row in read_rows(built.path).values():
        sha256 = hashlib.sha256(row["image_a"]["bytes"]).hexdigest()
        assert judged.workspace.derivatives.exists(sha256)


@pytest.mark.parametrize(
    "version", ["", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-rc1", "1.0.0\n", "../1.0.0", "1.0.٣"]
)
def test_a_version_is_three_plain_numbers(judged: "Studio", version: str) -> None:
    with pytest.raises(InputError, match=r"MAJOR\.MINOR\.PATCH"):
        build_release(judged.workspace, judged.store, version, now=NOW)


def test_an_existing_release_is_never_touched(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    before = {path: path.stat().st_mtime_ns for path in built.files}
    with pytest.raises(StateError, match=r"1\.0\.0 exists already"):
        build_release(judged.workspace, judged.store, "1.0.0")
    assert before == {path: path.stat().st_mtime_ns for path in built.files}


def test_without_candidates_the_next_step_is_to_build_pairs(studio: "Studio") -> None:
    with pytest.raises(StateError, match="no candidates") as raised:
        build_release(studio.workspace, studio.store, "1.0.0")
    assert "pairs build" in raised.value.hint


def test_without_judgements_the_next_step_is_to_review(studio: "Studio") -> None:
    studio.add_pair(1)
    studio.save_build()
    with pytest.raises(StateError, match="of 1 candidates 1 not judged") as raised:
        build_release(studio.workspace, studio.store, "1.0.0")
    assert "creativepair review" in raised.value.hint
    assert list_releases(studio.workspace) == []


@pytest.mark.parametrize(
    ("words", "said", "named"),
    [
        ("the left image shows", "25 pairs have rationales that name a creative", "left image"),
        ("{A} shows a <|image_pad|>", "25 pairs have rationales that hold what", "<|image_pad|>"),
    ],
)
def test_words_that_no_rationale_may_hold_refuse_the_release_and_name_the_pairs(
    studio: "Studio", chain_for: MakeChain, words: str, said: str, named: str
) -> None:
    for number in range(25):
        pair = studio.add_pair(number)
    studio.save_build()
    for pair in studio.pairs:
        studio.judge(pair, "A", chain=chain_for("A"), status=ChainStatus.APPROVED)
    # No checked path stores such words: they come from another program or an older one.
    with studio.store.write() as connection:
        connection.execute(
            text("UPDATE judgement_events SET chain = replace(chain, '{A} shows', :words)"),
            {"words": words},
        )
    with pytest.raises(StateError, match=said) as raised:
        build_release(studio.workspace, studio.store, "1.0.0")
    ids = sorted(pair.pair_id for pair in studio.pairs)
    assert all(pair_id in raised.value.message for pair_id in ids[:20])
    assert ids[20] not in raised.value.message
    assert named in raised.value.message
    assert list(studio.workspace.releases.iterdir()) == []


@pytest.mark.parametrize(
    ("stored", "instead", "problem"),
    [
        ('"question": "subject"', '"question": "weather"', "unknown question 'weather'"),
        ("product larger", "product larger ", "begins nor ends with a space"),
    ],
)
def test_a_chain_that_breaks_its_protocol_refuses_the_release(
    studio: "Studio", chain_for: MakeChain, stored: str, instead: str, problem: str
) -> None:
    pair = studio.add_pair(1)
    studio.save_build()
    studio.judge(pair, "A", chain=chain_for("A"), status=ChainStatus.APPROVED)
    with studio.store.write() as connection:
        connection.execute(
            text("UPDATE judgement_events SET chain = replace(chain, :stored, :instead)"),
            {"stored": stored, "instead": instead},
        )
    with pytest.raises(StateError, match=problem) as raised:
        build_release(studio.workspace, studio.store, "1.0.0")
    assert pair.pair_id in raised.value.message


def test_missing_images_refuse_the_release_with_number_and_names(judged: "Studio") -> None:
    with judged.store.read() as connection:
        creatives = catalogue.list_creatives(connection)
    for creative in creatives[:3]:  # two of the first item, one of the second
        path = judged.workspace.derivatives.local_path(creative.derivative_sha256)
        assert path is not None
        path.unlink()
    with pytest.raises(StateError, match="2 pairs have images that are missing") as raised:
        build_release(judged.workspace, judged.store, "1.0.0")
    assert all(pair.pair_id in raised.value.message for pair in judged.pairs[:2])
    assert list(judged.workspace.releases.iterdir()) == []


def test_a_damaged_image_refuses_the_release(judged: "Studio") -> None:
    with judged.store.read() as connection:
        creative = catalogue.list_creatives(connection)[7]
    path = judged.workspace.derivatives.local_path(creative.derivative_sha256)
    assert path is not None
    path.write_bytes(b"rotten")
    with pytest.raises(StateError, match="damaged"):
        build_release(judged.workspace, judged.store, "1.0.0")
    assert list(judged.workspace.releases.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "step"),
    [
        (builder, "_write_data"),
        (builder, "render_card"),
        (builder, "describe_file"),
        (publication, "sync"),
    ],
)
def test_a_build_that_fails_leaves_nothing_and_the_next_succeeds(
    judged: "Studio", monkeypatch: pytest.MonkeyPatch, module: object, step: str
) -> None:
    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, step, fail)
        with pytest.raises(KeyboardInterrupt):
            build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    assert list(judged.workspace.releases.iterdir()) == []
    build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    assert [release.version for release in list_releases(judged.workspace)] == ["1.0.0"]


def test_a_build_that_is_killed_leaves_nothing_that_lists_as_a_release(judged: "Studio") -> None:
    # As kill -9 would: no clean-up of Python's runs.
    program = """if True:
        import os, sys
        from pathlib import Path
        from creativepair.store.database import open_store
        from creativepair.workspace import open_workspace
        from exports import builder
        workspace = open_workspace(Path(sys.argv[1]))
        builder.publish = lambda folder, target: os._exit(9)
        builder.build_release(workspace, open_store(workspace.database_url), "1.0.0")
    """
    command = [sys.executable, "-c", program, str(judged.workspace.root)]
    assert subprocess.run(command, check=False).returncode == 9
    (left,) = judged.workspace.releases.iterdir()
    assert left.name.startswith(".building-")
    assert (left / "manifest.json").exists()
    assert list_releases(judged.workspace) == []
    with pytest.raises(NotFoundError):
        read_manifest(judged.workspace, left.name)
    build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    assert left.exists()  # too fresh to know that nobody works in it
    for path in (left, *left.rglob("*")):
        os.utime(path, (0, 0))
    build_release(judged.workspace, judged.store, "1.0.1", now=NOW)
    assert not left.exists()


def test_a_disk_that_fills_refuses_the_release_and_leaves_nothing(judged: "Studio") -> None:
    # No file may grow beyond a few kilobytes: what a full disk does, without filling one.
    program = """if True:
        import resource, signal, sys
        from pathlib import Path
        from creativepair.errors import StateError
        from creativepair.store.database import open_store
        from creativepair.workspace import open_workspace
        from exports.builder import build_release
        workspace = open_workspace(Path(sys.argv[1]))
        store = open_store(workspace.database_url)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            build_release(workspace, store, "1.0.0")
        except StateError as error:
            print(error.message, error.hint)
    """
    with judged.store.read() as connection:  # the store itself needs no room
        before = read_splits(connection)
    command = [sys.executable, "-c", program, str(judged.workspace.root)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "the disk is full" in told
    assert "Nothing was released." in told
    assert list(judged.workspace.releases.iterdir()) == []
    with judged.store.read() as connection:
        assert read_splits(connection) == before
    build_release(judged.workspace, judged.store, "1.0.0", now=NOW)


def test_splits_that_leak_are_found_in_the_finished_files(
    studio: "Studio", monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        studio.add_pair(number, seeds=(500, number))
    studio.save_build()
    for pair in studio.pairs:
        studio.judge(pair, "A")
    # Grouping that does not see the shared picture: only the files show it.
    alone = {f"item-{number:03d}": f"item-{number:03d}" for number in range(30)}
    monkeypatch.setattr("exports.selection.link_items", lambda known: Links(alone, {}))
    monkeypatch.setattr("exports.splits._splits_touched", lambda *given: set())
    with pytest.raises(StateError, match="1 pairs, items or images are in two splits: image "):
        build_release(studio.workspace, studio.store, "1.0.0")
    assert list(studio.workspace.releases.iterdir()) == []


def test_the_manifest_tells_settings_lineage_and_counts(judged: "Studio") -> None:
    judged.judge(judged.pairs[0], "B", by="sim", source=Source.SIMULATED)
    with judged.store.write() as connection:
        catalogue.put_ingested_file(
            connection,
            sha256="ab" * 32,
            kind="exposures",
            name="/home/x.csv",
            num_rows=9,
            reading=None,
            now=NOW,
        )
    build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    manifest = read_manifest(judged.workspace, "1.0.0")
    assert manifest.created == NOW
    assert manifest.settings.evidence == {"min_impressions": 1000, "min_gap": 0.6}
    assert manifest.settings.plan == Plan()
    assert manifest.lineage.drafters[0].model_dump() == {
        "drafter": "evidence",
        "model_version": "evidence-1",
        "num_drafts": 30,
    }
    assert manifest.lineage.ingested_files[0].sha256 == "ab" * 32
    assert manifest.lineage.evidence_builds[0].summary == {"candidates": 30}
    assert manifest.lineage.protocol == judged.workspace.protocol
    counts = manifest.counts
    assert counts.judgement_sources == {"desk": 30, "simulated": 1}
    assert (counts.finals, counts.annotators, counts.images) == (31, 2, 60)
    # Pair 0: blind votes B (desk) and B (simulated), finals A and B, which is no majority.
    assert counts.agreement["blind_ctr"].model_dump() == {"agree": 15, "of": 30}
    assert counts.agreement["final_ctr"].model_dump() == {"agree": 29, "of": 29}
    assert counts.expected_wrong == pytest.approx(0.03)  # min(.97, .03) for every pair
    assert "/home" not in (judged.workspace.releases / "1.0.0/manifest.json").read_text()


def test_the_contract_of_the_manifest_holds(judged: "Studio") -> None:
    built = build_release(judged.workspace, judged.store, "1.0.0", now=NOW)
    manifest = json.loads((built.path / "manifest.json").read_text())
    assert {"version", "created", "files", "settings", "lineage"} <= set(manifest)
    for name, entry in manifest["files"].items():
        data = (built.path / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    table = "".join(
        f"{entry['sha256']}  {entry['bytes']}  {name}\n"
        for name, entry in sorted(manifest["files"].items())
    )
    assert manifest["digest"] == hashlib.sha256(table.encode()).hexdigest()
