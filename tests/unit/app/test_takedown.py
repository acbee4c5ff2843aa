"""Taking down a creative, and erasing a person: nothing of them is left anywhere."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sqlalchemy import select

from app.bootstrap import Studio, open_studio
from app.commands import add_gold, build_pairs, takedown
from app.commands.build_pairs import build_workspace_pairs, newest_settings
from app.commands.doctor import check_all
from app.commands.takedown import erase_annotator, take_down_creative
from app.commands.users import add_user
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.ingestion import ingest
from creativepair.records import Creative, Pair, PairStatus
from creativepair.store import catalogue, gold, pairs, tables, takedowns, users
from creativepair.store.keys import make_key
from exports import builder
from exports.builder import build_release
from exports.earlier import read_earlier
from exports.listing import find_release, list_releases, read_manifest
from exports.manifest import Manifest
from exports.outlook import preview_release
from exports.plan import parse_plan
from exports.pseudonyms import KEY_NAME, pseudonymiser
from exports.verification import verify_release
from exports.withdrawal import Withdrawal, withdraw_release
from model_assist.registry import TrainedOn, Training, list_models, new_model

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

Run = Callable[..., "Answer"]
NOW = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture
def judged(judged_root: Path) -> Iterator[Studio]:
    """A judged workspace with the releases 0.1.0 and 1.0.0."""
    studio = open_studio(judged_root)
    for version in ("0.1.0", "1.0.0"):
        build_release(studio.workspace, studio.store, version)
    yield studio
    studio.store.close()


def released_pairs(studio: Studio, version: str = "1.0.0") -> list[str]:
    return sorted(read_earlier(studio.workspace, version).released)


def find_pair(studio: Studio, pair_id: str) -> Pair:
    with studio.store.read() as connection:
        return pairs.get_pair(connection, pair_id)


def a_released_creative(studio: Studio) -> Creative:
    pair = find_pair(studio, released_pairs(studio)[0])
    with studio.store.read() as connection:
        return catalogue.get_creative(connection, pair.item_id, pair.creative_a)


def learn_from(studio: Studio, *versions: str, base: str | None = None) -> str:
    """Register a model that learned from some releases."""
    with new_model(studio.workspace.models) as made:
        (made.folder / "model.safetensors").write_bytes(b"weights")
        trained_on = tuple(
            TrainedOn(release=each, digest=read_manifest(studio.workspace, each).digest)
            for each in versions
        )
        how = Training(base=base, trained_on=trained_on, recipe="sft", settings={}, packages={})
        return made.register("creative4u", how, now=datetime.now(UTC)).version


def marked(studio: Studio) -> list[str]:
    return [each.version for each in list_models(studio.workspace.models) if each.mark]


def all_bytes_below(root: Path) -> Iterator[tuple[Path, bytes]]:
    for path in root.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def pseudonym_of(studio: Studio, name: str) -> str:
    with studio.store.write() as connection:
        return pseudonymiser(make_key(connection, KEY_NAME, now=NOW))(name)


def annotators_of(studio: Studio) -> list[str]:
    with studio.store.read() as connection:
        column = tables.judgement_events.c.annotator_id
        return sorted(connection.execute(select(column).distinct()).scalars())


def test_a_taken_down_creative_is_gone_from_blobs_thumbnails_reports_and_releases(
    judged: Studio,
) -> None:
    creative = a_released_creative(judged)
    with judged.store.read() as connection:
        [pair_id, *_] = takedowns.list_shown(connection, [creative])
    reports = judged.workspace.root / "reports"
    reports.mkdir()
    (reports / "pairs-1.html").write_text(f"<small>pair {pair_id}</small>", encoding="utf-8")
    (reports / "pairs-2.html").write_text("<p>without it</p>", encoding="utf-8")
    (reports / "odd.html").write_bytes(b"\xff\xfe")
    (reports / "folder.html").mkdir()
    unfinished = judged.workspace.releases / f".building-{'0' * 32}"
    unfinished.mkdir()
    (unfinished / "train.parquet").write_bytes(
        judged.workspace.derivatives.get(creative.derivative_sha256)
    )
    stored = [
        judged.workspace.originals.get(creative.image_sha256),
        judged.workspace.derivatives.get(creative.derivative_sha256),
    ]
    report = take_down_creative(judged, creative.creative_id, reason="the owner asked")
    assert {"item_id": creative.item_id, "creative_id": creative.creative_id} in report.creatives
    assert report.releases == ["0.1.0", "1.0.0"]
    assert report.files >= 2
    for path, data in all_bytes_below(judged.workspace.root):
        if "input" in path.parts:  # what it was ingested from is the user's
            continue
        assert not any(picture in data for picture in stored), path
        assert creative.derivative_sha256 not in path.name
    left = {path.name for path in reports.iterdir()}
    assert left == {"pairs-2.html", "odd.html", "folder.html"}
    assert not unfinished.exists()


def test_a_withdrawn_release_keeps_its_manifest_and_its_name_and_says_why(judged: Studio) -> None:
    before = read_manifest(judged.workspace, "1.0.0")
    take_down_creative(judged, a_released_creative(judged).creative_id, reason="the owner asked")
    left = {path.name for path in find_release(judged.workspace, "1.0.0").rglob("*")}
    assert left == {"manifest.json", "withdrawn.json"}
    assert read_manifest(judged.workspace, "1.0.0") == before
    verification = verify_release(judged.workspace, "1.0.0")
    assert verification.withdrawn
    assert not verification.ok
    assert [problem.split(": ")[1] for problem in verification.problems] == ["the owner asked"]
    with pytest.raises(StateError, match="exists already"):
        build_release(judged.workspace, judged.store, "1.0.0")
    with pytest.raises(StateError, match="nothing of its data is left"):
        read_earlier(judged.workspace, "1.0.0")


def test_the_next_release_is_a_major_without_the_pairs_of_the_creative(judged: Studio) -> None:
    before = released_pairs(judged)
    creative = a_released_creative(judged)
    report = take_down_creative(judged, creative.creative_id)
    assert report.pairs >= 1
    outlook = preview_release(judged.workspace, judged.store)
    assert outlook.next_version
    assert outlook.next_version.version == "2.0.0"
    assert outlook.next_version.reasons == ("release 1.0.0 was withdrawn",)
    build_release(judged.workspace, judged.store, "2.0.0")
    assert verify_release(judged.workspace, "2.0.0").problems == []
    after = released_pairs(judged, "2.0.0")
    assert 0 < len(after) < len(before)
    for pair_id in set(before) - set(after):
        pair = find_pair(judged, pair_id)
        assert (pair.status, pair.reject_reason) == (PairStatus.WITHDRAWN, "taken_down")
        assert creative.creative_id in (pair.creative_a, pair.creative_b)


def test_releases_without_the_creative_stand(judged: Studio) -> None:
    creative = a_released_creative(judged)
    take_down_creative(judged, creative.creative_id)
    build_release(judged.workspace, judged.store, "2.0.0")
    other = find_pair(judged, released_pairs(judged, "2.0.0")[0])
    with judged.store.read() as connection:
        unreleased = [
            c
            for c in catalogue.list_creatives(connection)
            if c.item_id != other.item_id
            and not any(
                c.creative_id in (p.creative_a, p.creative_b)
                for p in (find_pair(judged, i) for i in released_pairs(judged, "2.0.0"))
            )
        ]
    if not unreleased:
        pytest.fail("the workspace is too small for this test")
    report = take_down_creative(judged, unreleased[0].creative_id)
    assert report.releases == []
    assert verify_release(judged.workspace, "2.0.0").problems == []


def test_no_build_pairs_it_and_no_check_misses_it(judged: Studio) -> None:
    creative = a_released_creative(judged)
    take_down_creative(judged, creative.creative_id)
    build, _ = build_workspace_pairs(judged, newest_settings(judged))
    assert not [p for p in build.pairs if creative.creative_id in (p.creative_a, p.creative_b)]
    checks = {check.name: check for check in check_all(judged.workspace.root)}
    assert checks["images"].ok, checks["images"].message


def test_an_ingest_cannot_bring_the_picture_back_under_any_name(
    judged: Studio, tmp_path: Path, run: Run
) -> None:
    creative = a_released_creative(judged)
    picture = tmp_path / "again.jpg"
    picture.write_bytes(judged.workspace.originals.get(creative.image_sha256))
    Image.new("RGB", (64, 64), (10, 200, 30)).save(tmp_path / "other.png")
    take_down_creative(judged, creative.creative_id)
    (tmp_path / "creatives.csv").write_text(
        "item_id,creative_id,image\n"
        f"{creative.item_id},{creative.creative_id},again.jpg\n"
        f"{creative.item_id},renamed,again.jpg\n"
        f"{creative.item_id},another,other.png\n",
        encoding="utf-8",
    )
    root = judged.workspace.root
    answer = run("ingest", "--creatives", tmp_path / "creatives.csv", "--workspace", root, "--json")
    assert (answer.json["creatives"], answer.json["rejected"]) == (1, 2)
    rejects = Path(answer.json["rejects_file"]).read_text(encoding="utf-8")
    assert rejects.count("taken down") == 2
    assert not judged.workspace.originals.exists(creative.image_sha256)
    assert not judged.workspace.derivatives.exists(creative.derivative_sha256)


def test_creatives_that_show_the_same_picture_go_together(judged: Studio) -> None:
    creative = a_released_creative(judged)
    twin = creative.model_copy(update={"creative_id": "twin"})
    with judged.store.write() as connection:
        catalogue.put_creatives(connection, [twin])
    report = take_down_creative(judged, "twin")
    named = {(c["item_id"], c["creative_id"]) for c in report.creatives}
    assert named >= {(creative.item_id, creative.creative_id), (twin.item_id, "twin")}


def test_gold_made_of_it_is_asked_no_more_and_its_copies_are_deleted(
    judged: Studio, run: Run
) -> None:
    root = judged.workspace.root
    assert run("gold", "add", "--number", "30", "--workspace", root).exit_code == 0
    creative = a_released_creative(judged)
    with judged.store.read() as connection:
        made = [
            one
            for one in gold.list_gold(connection)
            if creative.derivative_sha256 in (one.derivative_a, one.derivative_b)
        ]
        creatives = catalogue.list_creatives(connection)
    assert {one.kind.value for one in made} >= {"degraded"}
    own = {c.derivative_sha256 for c in creatives}
    copies = {d for one in made for d in (one.derivative_a, one.derivative_b)} - own
    assert copies
    report = take_down_creative(judged, creative.creative_id)
    assert report.files >= 2 + len(copies)
    assert not any(judged.workspace.derivatives.exists(sha256) for sha256 in copies)
    with judged.store.read() as connection:
        statuses = {pairs.get_pair(connection, one.pair_id).status for one in made}
        shown = {c.derivative_sha256 for c in catalogue.list_creatives(connection)}
    assert statuses == {PairStatus.WITHDRAWN}
    assert all(judged.workspace.derivatives.exists(sha256) for sha256 in shown)


def test_a_dry_run_deletes_nothing(judged: Studio) -> None:
    creative = a_released_creative(judged)
    before = {path: len(data) for path, data in all_bytes_below(judged.workspace.releases)}
    report = take_down_creative(judged, creative.creative_id, dry_run=True)
    assert report.dry_run
    assert report.releases == ["0.1.0", "1.0.0"]
    assert {p: len(data) for p, data in all_bytes_below(judged.workspace.releases)} == before
    assert verify_release(judged.workspace, "1.0.0").ok
    assert judged.workspace.originals.exists(creative.image_sha256)
    assert find_pair(judged, released_pairs(judged)[0]).status is PairStatus.CANDIDATE


@pytest.mark.parametrize("step", ["withdraw_release", "_purge"])
def test_a_takedown_that_is_interrupted_is_finished_by_asking_again(
    judged: Studio, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    creative = a_released_creative(judged)

    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(takedown, step, fail)
        with pytest.raises(KeyboardInterrupt):
            take_down_creative(judged, creative.creative_id)
    take_down_creative(judged, creative.creative_id)
    assert {bool(one.withdrawal) for one in list_releases(judged.workspace)} == {True}
    assert not judged.workspace.originals.exists(creative.image_sha256)


def test_a_withdrawal_that_was_interrupted_is_seen_and_finished(judged: Studio) -> None:
    creative = a_released_creative(judged)
    folder = find_release(judged.workspace, "1.0.0")
    data = next(folder.glob("data/default/*.parquet")).read_bytes()
    take_down_creative(judged, creative.creative_id)
    (folder / "data" / "default").mkdir(parents=True)
    left = folder / "data" / "default" / "train-00000-of-00001.parquet"
    left.write_bytes(data)
    assert verify_release(judged.workspace, "1.0.0").problems[1:] == [
        "data/default/train-00000-of-00001.parquet should have been deleted"
    ]
    assert take_down_creative(judged, creative.creative_id).releases == ["1.0.0"]
    assert not left.exists()


def test_a_release_that_cannot_be_read_stops_a_takedown_before_anything_is_deleted(
    judged: Studio,
) -> None:
    creative = a_released_creative(judged)
    (find_release(judged.workspace, "1.0.0") / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(StateError, match=r"1\.0\.0"):
        take_down_creative(judged, creative.creative_id)
    assert judged.workspace.originals.exists(creative.image_sha256)
    assert verify_release(judged.workspace, "0.1.0").ok


@pytest.mark.parametrize(
    ("step", "after"), [("_write_data", True), ("publish", False), ("publish", True)]
)
def test_a_release_that_is_built_during_a_takedown_does_not_stand(
    judged: Studio, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    creative = a_released_creative(judged)
    usual = getattr(builder, step)
    # A takedown that looked through the releases before this one appeared.
    monkeypatch.setattr(takedown, "remove_unfinished", lambda _: None)

    def overtaken(*args: object, **named: object) -> object:
        made = usual(*args, **named) if after else None
        take_down_creative(judged, creative.creative_id)
        return made if after else usual(*args, **named)

    monkeypatch.setattr(builder, step, overtaken)
    with pytest.raises(StateError, match="taken down while the release was built"):
        build_release(judged.workspace, judged.store, "0.2.0")
    standing = [one.version for one in list_releases(judged.workspace) if not one.withdrawal]
    assert standing == []


def test_a_build_whose_folder_a_takedown_removed_says_so(
    judged: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    creative = a_released_creative(judged)
    usual = builder._write_descriptions

    def overtaken(folder: Path, *args: Any) -> Manifest:
        take_down_creative(judged, creative.creative_id)
        assert not folder.exists()
        return usual(folder, *args)

    monkeypatch.setattr(builder, "_write_descriptions", overtaken)
    with pytest.raises(StateError, match="the folder of this build was removed"):
        build_release(judged.workspace, judged.store, "0.2.0")
    assert not find_unfinished(judged)


def find_unfinished(studio: Studio) -> list[Path]:
    return list(studio.workspace.releases.glob(".building-*"))


@pytest.mark.parametrize("command", ["build", "gold", "ingest"])
def test_what_runs_beside_a_takedown_does_not_bring_the_picture_back(
    judged: Studio, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    creative = a_released_creative(judged)
    picture = tmp_path / "again.jpg"
    picture.write_bytes(judged.workspace.originals.get(creative.image_sha256) + b"more")
    (tmp_path / "creatives.csv").write_text(
        f"item_id,creative_id,image\n{creative.item_id},renamed,again.jpg\n", encoding="utf-8"
    )
    seen: list[object] = []

    def overtaken(usual: Callable[..., object]) -> Callable[..., object]:
        def run_first(*args: object, **named: object) -> object:
            made = usual(*args, **named)
            if not seen:
                seen.append(take_down_creative(judged, creative.creative_id))
            return made

        return run_first

    def act() -> object:
        if command == "build":
            return build_workspace_pairs(judged, newest_settings(judged))
        if command == "gold":
            return add_gold.add_gold(judged, number=40, seed=5)
        request = ingest.IngestRequest(creatives=[str(tmp_path / "creatives.csv")])
        return ingest.ingest_files(judged.workspace, judged.store, request)

    module, step = {
        "build": (build_pairs, "build_pairs"),
        "gold": (add_gold, "make_gold"),
        "ingest": (ingest, "_creatives"),
    }[command]
    monkeypatch.setattr(module, step, overtaken(getattr(module, step)))
    before = {path for path, _ in all_bytes_below(judged.workspace.root / "blobs")}
    with pytest.raises(StateError, match="taken down meanwhile"):
        act()
    after = {path for path, _ in all_bytes_below(judged.workspace.root / "blobs")}
    others = {path.name for path in after - before}
    shown = hashlib.sha256(picture.read_bytes()).hexdigest()
    assert not {shown, creative.image_sha256, creative.derivative_sha256} & others
    act()  # again it goes well, without the picture
    preview_release(judged.workspace, judged.store)


def test_labels_that_were_renewed_away_do_not_come_back(judged: Studio) -> None:
    human = "{label_source: human, released_labels: renew}"
    build_release(judged.workspace, judged.store, "2.0.0", parse_plan(human))
    withdraw_release(
        find_release(judged.workspace, "2.0.0"), Withdrawal(withdrawn_at=NOW, reason="x")
    )
    build_release(judged.workspace, judged.store, "3.0.0", parse_plan("label_source: human"))
    manifest = read_manifest(judged.workspace, "3.0.0")
    assert set(manifest.counts.label_sources) == {"human"}
    assert manifest.lineage.follows
    assert not manifest.lineage.follows.kept


def test_unknown_and_ambiguous_creatives_are_named(judged: Studio) -> None:
    with pytest.raises(NotFoundError, match="no creative 'nowhere'"):
        take_down_creative(judged, "nowhere")
    creative = a_released_creative(judged)
    with judged.store.write() as connection:
        items = catalogue.list_items(connection)
        elsewhere = next(i.item_id for i in items if i.item_id != creative.item_id)
        other = creative.model_copy(
            update={
                "item_id": elsewhere, "image_sha256": "1" * 64, "pixel_sha256": "2" * 64,
                "derivative_sha256": "3" * 64,
            }
        )  # fmt: skip
        catalogue.put_creatives(connection, [other])
    with pytest.raises(InputError, match="2 items have a creative"):
        take_down_creative(judged, creative.creative_id)
    with pytest.raises(NotFoundError, match="of item nowhere"):
        take_down_creative(judged, creative.creative_id, "nowhere")
    report = take_down_creative(judged, creative.creative_id, creative.item_id, dry_run=True)
    assert len(report.creatives) == 1
    with pytest.raises(InputError, match="600 characters"):
        take_down_creative(judged, creative.creative_id, reason="x" * 600)


def test_an_erased_person_is_gone_and_so_is_every_release_with_their_word(judged: Studio) -> None:
    name = annotators_of(judged)[0]
    add_user(judged, "lead", role="lead")
    add_user(judged, name, role="annotator")
    report = erase_annotator(judged, name, reason="asked to be forgotten")
    assert report.releases == ["0.1.0", "1.0.0"]
    assert report.decisions > 0
    assert name not in annotators_of(judged)
    with judged.store.read() as connection:
        assert [user.user_id for user in users.list_users(connection)] == ["lead"]
        for table in tables.metadata.sorted_tables:
            rows = [row._asdict() for row in connection.execute(select(table))]
            assert f'"{name}"' not in json.dumps(rows, default=str), table.name
    assert verify_release(judged.workspace, "1.0.0").withdrawn
    assert erase_annotator(judged, name).decisions == 0  # again is no error


def test_without_annotations_a_release_goes_when_it_has_a_pair_the_person_judged(
    judged: Studio, tmp_path: Path, run: Run
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("configurations: [default]\n", encoding="utf-8")
    root = judged.workspace.root
    built = run("release", "build", "0.2.0", "--plan", plan, "--workspace", root)
    assert built.exit_code == 0, built.err
    assert "0.2.0" in erase_annotator(judged, annotators_of(judged)[0]).releases


def test_labels_kept_from_a_withdrawn_release_go_with_it(judged: Studio) -> None:
    name = annotators_of(judged)[0]
    root = judged.workspace.releases
    build_release(judged.workspace, judged.store, "1.0.1")
    # What a plan that counts other arms would have built: kept labels, no row of the person.
    for path in (root / "1.0.1" / "data" / "annotations").iterdir():
        table = pq.read_table(path)
        keep = pc.not_equal(table["annotator_id"], pseudonym_of(judged, name))
        pq.write_table(table.filter(keep), path)
    assert erase_annotator(judged, name).releases == ["0.1.0", "1.0.0", "1.0.1"]


def test_a_release_built_before_the_person_judged_stands(
    judged: Studio, tmp_path: Path, run: Run
) -> None:
    plan = parse_plan("configurations: [default]")
    past = datetime(2020, 1, 1, tzinfo=UTC)
    build_release(judged.workspace, judged.store, "0.0.9", plan, now=past)
    erase_annotator(judged, annotators_of(judged)[0])
    assert verify_release(judged.workspace, "0.0.9").problems == []


def test_an_erased_person_is_not_imported_back(judged: Studio, tmp_path: Path, run: Run) -> None:
    root, name = judged.workspace.root, annotators_of(judged)[0]
    run("judgements", "export", "--out", tmp_path / "all.csv", "--workspace", root)
    gone = erase_annotator(judged, name).decisions
    assert gone
    answer = run("judgements", "import", tmp_path / "all.csv", "--workspace", root, "--json")
    assert answer.json["imported"] == 0
    assert answer.json["rejected"]
    assert name not in annotators_of(judged)


def test_nobody_unknown_and_no_only_account_is_erased(judged: Studio) -> None:
    with pytest.raises(NotFoundError, match="nobody called 'ghost'"):
        erase_annotator(judged, "ghost")
    name = annotators_of(judged)[0]
    add_user(judged, name, role="lead")
    with pytest.raises(StateError, match="only account"):
        erase_annotator(judged, name)
    assert name in annotators_of(judged)


def test_models_that_learned_from_what_went_are_marked_and_others_are_not(
    judged: Studio, run: Run
) -> None:
    creative, root = a_released_creative(judged), judged.workspace.root
    learned, other = learn_from(judged, "1.0.0"), learn_from(judged)
    after = learn_from(judged, base=learned)
    dry = take_down_creative(judged, creative.creative_id, creative.item_id, dry_run=True)
    assert dry.models == [learned, after]
    assert marked(judged) == []
    words = ("--creative", creative.creative_id, "--reason", "asked", "--workspace", root)
    answer = run("release", "takedown", *words)
    assert f"Models that learned from them and are marked: {learned}, {after}" in answer.out
    assert marked(judged) == [learned, after]
    listed = run("models", "list", "--workspace", root, "--json").json["models"]
    assert {each["version"]: each["mark"] for each in listed} == {
        learned: "trained on release 1.0.0, withdrawn: asked",
        other: None,
        after: "trained on release 1.0.0, withdrawn: asked",
    }
    assert take_down_creative(judged, creative.creative_id, creative.item_id).models == []


def test_a_model_whose_training_outlasted_the_takedown_is_marked_by_the_next_look(
    judged: Studio,
) -> None:
    creative = a_released_creative(judged)
    take_down_creative(judged, creative.creative_id)
    late = learn_from(judged, "1.0.0")
    assert take_down_creative(judged, creative.creative_id).models == [late]


def test_models_that_learned_from_an_erased_person_are_marked(judged: Studio) -> None:
    name, learned = annotators_of(judged)[0], learn_from(judged, "1.0.0")
    assert erase_annotator(judged, name, dry_run=True).models == [learned]
    assert erase_annotator(judged, name).models == [learned]
    assert marked(judged) == [learned]


def test_the_command_says_what_went(judged: Studio, run: Run) -> None:
    creative, root = a_released_creative(judged), judged.workspace.root
    for words in ((), ("--creative", "x", "--annotator", "y"), ("--annotator", "y", "--item", "z")):
        assert run("release", "takedown", *words, "--workspace", root).exit_code == 2
    answer = run(
        "release", "takedown", "--creative", creative.creative_id, "--workspace", root, "--json"
    )
    assert answer.json["releases"] == ["0.1.0", "1.0.0"]
    listed = run("release", "list", "--workspace", root)
    assert listed.out.count("withdrawn on") == 2
    verified = run("release", "verify", "1.0.0", "--workspace", root, "--json")
    assert verified.exit_code == 1
    assert verified.json["withdrawn"] is True
    shown = run("release", "show", "1.0.0", "--workspace", root, "--json")
    assert shown.json["withdrawn"]["reason"] == "a creative in it was taken down"
    again = run("release", "takedown", "--creative", creative.creative_id, "--workspace", root)
    assert "nothing was left to do" in again.out
