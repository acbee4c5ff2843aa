"""Uploads by the Hub's own client, to a server that stands in for the Hub."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest

from creativepair.errors import StateError
from exports.builder import build_release
from exports.manifest import MANIFEST_FILE
from exports.upload import upload_release
from tests.hub_server import GIT_FILES, Files, HubServer

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

V = "1.0.0"
TARGET = "hf://datasets/me/mugs"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    # Tests that load data sets may have imported the client in this process as if without network.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    server = HubServer()
    client = huggingface_hub.HfApi(endpoint=server.url, token="hf_secret")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: client)
    with server.serving():
        yield server


def read_release(studio: "Studio", version: str = V) -> Files:
    folder = studio.workspace.releases / version
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_new_repository_is_private_and_its_root_is_the_release_under_a_tag(
    released: "Studio", hub: HubServer
) -> None:
    done = upload_release(released.workspace, V, f"{TARGET}/")
    files = read_release(released)
    assert hub.visibility == "private"
    assert hub.commits[hub.tags[V]] == hub.commits[-1] == GIT_FILES | files
    assert (done.target, done.uploaded, done.kept) == (TARGET, len(files), 0)
    assert done.bytes == sum(map(len, files.values()))


def test_a_tag_with_the_same_files_leaves_nothing_to_do(released: "Studio", hub: HubServer) -> None:
    upload_release(released.workspace, V, TARGET)
    num_commits = len(hub.commits)
    again = upload_release(released.workspace, V, TARGET)
    assert (again.uploaded, again.kept, again.bytes) == (0, len(read_release(released)), 0)
    assert len(hub.commits) == num_commits


@pytest.mark.parametrize("change", [{"README.md": b"mine"}, {"data/extra.parquet": b"mine"}])
def test_a_tag_with_other_files_is_refused(
    released: "Studio", hub: HubServer, change: Files
) -> None:
    upload_release(released.workspace, V, TARGET)
    hub.commits[hub.tags[V]].update(change)
    num_commits = len(hub.commits)
    with pytest.raises(StateError, match=r"has 1\.0\.0 already, with other files"):
        upload_release(released.workspace, V, TARGET)
    assert len(hub.commits) == num_commits


def test_the_next_release_takes_the_place_of_the_last_whose_tag_stays(
    released: "Studio", hub: HubServer
) -> None:
    upload_release(released.workspace, V, TARGET)
    # What only the last one had, and what a killed upload left.
    hub.commits[hub.tags[V]]["plots/old.svg"] = b"of the last release"
    hub.commits.append(hub.commits[-1] | {"data/cot/test-00001-of-00002.parquet": b"left over"})
    build_release(released.workspace, released.store, "1.0.1")
    upload_release(released.workspace, "1.0.1", TARGET)
    assert hub.commits[-1] == hub.commits[hub.tags["1.0.1"]]
    assert hub.commits[-1] == GIT_FILES | read_release(released, "1.0.1")
    assert hub.commits[hub.tags[V]].items() >= read_release(released).items()


@pytest.mark.parametrize(
    ("refused", "kept"),
    [("create", "none"), ("commit 1", "none"), ("commit 2", "rest"), ("tag", "all")],
)
def test_an_upload_that_fails_has_no_tag_and_goes_on(
    released: "Studio", hub: HubServer, refused: str, kept: str
) -> None:
    hub.refused = refused
    with pytest.raises(StateError, match="hf://datasets/me/mugs cannot be used") as failed:
        upload_release(released.workspace, V, TARGET)
    assert "hf_secret" not in failed.value.message
    assert "repeat the command" in failed.value.hint
    assert hub.tags == {}
    assert any(MANIFEST_FILE in files for files in hub.commits) == (refused == "tag")
    hub.refused = None
    num_commits = len(hub.commits)
    done = upload_release(released.workspace, V, TARGET)
    files = read_release(released)
    assert hub.commits[hub.tags[V]] == GIT_FILES | files
    assert done.kept == {"none": 0, "rest": len(files) - 1, "all": len(files)}[kept]
    assert (len(hub.commits) == num_commits) == (kept == "all")


def test_a_repository_that_holds_anything_but_releases_is_left_alone(
    released: "Studio", hub: HubServer
) -> None:
    hub.commits = [GIT_FILES | {"notes.txt": b"mine", "README.md": b"mine"}]
    hub.tags = {"0.9.0": 0}  # others count so too
    with pytest.raises(StateError, match=r"me/mugs holds 1 files that are of no release: notes"):
        upload_release(released.workspace, V, TARGET)
    assert len(hub.commits) == 1


def test_a_commit_that_holds_other_bytes_gets_no_tag(
    released: "Studio", hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = huggingface_hub.HfApi().upload_file

    def damage(**asked: Any) -> object:
        hub.commits[-1]["README.md"] = b"other"
        return upload(**asked)

    monkeypatch.setattr(huggingface_hub.HfApi(), "upload_file", damage)
    with pytest.raises(StateError, match=r"holds other files than were sent: README\.md"):
        upload_release(released.workspace, V, TARGET)
    assert hub.tags == {}
