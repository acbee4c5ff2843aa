"""Uploads to the Hub, against a stand-in that keeps commits as the Hub does."""

import fnmatch
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import hf_api

from creativepair.errors import StateError
from exports.builder import build_release
from exports.listing import read_manifest
from exports.manifest import MANIFEST_FILE
from exports.upload import upload_release

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

V = "1.0.0"
TARGET = "hf://datasets/me/mugs"
GIT = {".gitattributes": b"*.parquet filter=lfs"}
Files = dict[str, bytes]


@dataclass
class FakeHub:
    """One dataset repository; its methods take what `HfApi` takes and refuse all else."""

    commits: list[Files] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    private: bool | None = None
    calls: list[str] = field(default_factory=list)
    fails_at: str = ""

    def called(self, name: str, repo_id: str, repo_type: str) -> None:
        assert (repo_id, repo_type) == ("me/mugs", "dataset")
        if name == self.fails_at:
            raise ConnectionError("https://hub/?token=secret went away")
        self.calls.append(name)

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        self.called("create_repo", repo_id, repo_type)
        assert exist_ok
        if not self.commits:
            self.commits, self.private = [dict(GIT)], private

    def list_repo_refs(self, repo_id: str, *, repo_type: str) -> object:
        self.called("list_repo_refs", repo_id, repo_type)
        tags = [SimpleNamespace(name=n, target_commit=str(c)) for n, c in self.tags.items()]
        main = SimpleNamespace(name="main", target_commit=str(len(self.commits) - 1))
        return SimpleNamespace(branches=[main], tags=tags)

    def list_repo_tree(
        self, repo_id: str, *, repo_type: str, revision: str, recursive: bool
    ) -> Iterator[Any]:
        make_file: Any = hf_api.RepoFile
        make_folder: Any = hf_api.RepoFolder
        self.called("list_repo_tree", repo_id, repo_type)
        assert recursive
        yield make_folder(path="data", oid="0" * 40)
        for path, data in self.commits[int(revision)].items():
            large = {}
            if path.endswith(".parquet"):
                sha256 = hashlib.sha256(data).hexdigest()
                large = {"lfs": {"size": len(data), "oid": sha256, "pointerSize": 130}}
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            yield make_file(path=path, size=len(data), oid=blob, **large)

    def upload_folder(
        self,
        *,
        repo_id: str,
        repo_type: str,
        folder_path: Path,
        ignore_patterns: list[str],
        delete_patterns: list[str],
        commit_message: str,
    ) -> None:
        self.called("upload_folder", repo_id, repo_type)
        held = {
            path: data
            for path, data in self.commits[-1].items()
            if path in GIT or not any(fnmatch.fnmatch(path, p) for p in delete_patterns)
        }
        for path in sorted(p for p in folder_path.rglob("*") if p.is_file()):
            name = path.relative_to(folder_path).as_posix()
            if name not in ignore_patterns:
                held[name] = path.read_bytes()
        self.commits.append(held)

    def upload_file(
        self,
        *,
        repo_id: str,
        repo_type: str,
        path_or_fileobj: Path,
        path_in_repo: str,
        commit_message: str,
    ) -> object:
        self.called("upload_file", repo_id, repo_type)
        self.commits.append(self.commits[-1] | {path_in_repo: path_or_fileobj.read_bytes()})
        return SimpleNamespace(oid=str(len(self.commits) - 1))

    def create_tag(self, repo_id: str, *, repo_type: str, tag: str, revision: str) -> None:
        self.called("create_tag", repo_id, repo_type)
        assert tag not in self.tags
        self.tags[tag] = int(revision)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: fake)
    return fake


def read_release(studio: "Studio", version: str = V) -> Files:
    folder = studio.workspace.releases / version
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_new_repository_is_private_and_its_root_is_the_release_under_a_tag(
    released: "Studio", hub: FakeHub
) -> None:
    done = upload_release(released.workspace, V, f"{TARGET}/")
    files = read_release(released)
    assert hub.private is True
    assert hub.commits[hub.tags[V]] == hub.commits[-1] == GIT | files
    assert (done.target, done.uploaded, done.kept) == (TARGET, len(files), 0)
    assert done.bytes == sum(map(len, files.values()))
    assert hub.calls[-1] == "create_tag"


def test_a_tag_with_the_same_files_leaves_nothing_to_do(released: "Studio", hub: FakeHub) -> None:
    upload_release(released.workspace, V, TARGET)
    hub.calls.clear()
    again = upload_release(released.workspace, V, TARGET)
    assert (again.uploaded, again.kept, again.bytes) == (0, len(read_release(released)), 0)
    assert set(hub.calls) == {"create_repo", "list_repo_refs", "list_repo_tree"}


@pytest.mark.parametrize("change", [{"README.md": b"mine"}, {"data/extra.parquet": b"mine"}])
def test_a_tag_with_other_files_is_refused(released: "Studio", hub: FakeHub, change: Files) -> None:
    upload_release(released.workspace, V, TARGET)
    hub.commits[hub.tags[V]] = hub.commits[hub.tags[V]] | change
    num_commits = len(hub.commits)
    with pytest.raises(StateError, match=r"has 1\.0\.0 already, with other files"):
        upload_release(released.workspace, V, TARGET)
    assert len(hub.commits) == num_commits


def test_the_next_release_takes_the_place_of_the_last_whose_tag_stays(
    released: "Studio", hub: FakeHub
) -> None:
    upload_release(released.workspace, V, TARGET)
    hub.commits.append(hub.commits[-1] | {"data/cot/test-00001-of-00002.parquet": b"left over"})
    build_release(released.workspace, released.store, "1.0.1")
    upload_release(released.workspace, "1.0.1", TARGET)
    assert hub.commits[-1] == GIT | read_release(released, "1.0.1")
    assert hub.commits[hub.tags[V]] == GIT | read_release(released)


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        ("create_repo", "none"),
        ("upload_folder", "none"),
        ("upload_file", "rest"),
        ("create_tag", "all"),
    ],
)
def test_an_upload_that_fails_has_no_tag_and_goes_on(
    released: "Studio", hub: FakeHub, step: str, kept: str
) -> None:
    hub.fails_at = step
    with pytest.raises(StateError, match="hf://datasets/me/mugs cannot be used") as refused:
        upload_release(released.workspace, V, TARGET)
    assert "secret" not in refused.value.message
    assert hub.tags == {}
    assert (MANIFEST_FILE in (hub.commits or [{}])[-1]) == (step == "create_tag")
    hub.fails_at = ""
    hub.calls.clear()
    done = upload_release(released.workspace, V, TARGET)
    files = read_release(released)
    assert hub.commits[hub.tags[V]] == GIT | files
    assert done.kept == {"none": 0, "rest": len(files) - 1, "all": len(files)}[kept]
    assert ("upload_folder" in hub.calls) == (kept != "all")


def test_a_repository_that_holds_anything_but_releases_is_left_alone(
    released: "Studio", hub: FakeHub
) -> None:
    hub.commits = [GIT | {"notes.txt": b"mine", "README.md": b"mine"}]
    with pytest.raises(StateError, match=r"me/mugs holds 1 files that are of no release: notes"):
        upload_release(released.workspace, V, TARGET)
    assert len(hub.commits) == 1


def test_a_commit_that_holds_other_bytes_gets_no_tag(
    released: "Studio", hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = min(read_manifest(released.workspace, V).files)
    upload = hub.upload_file

    def damage(**asked: Any) -> object:
        hub.commits[-1][name] = b"other"
        return upload(**asked)

    monkeypatch.setattr(hub, "upload_file", damage)
    with pytest.raises(StateError, match=f"holds other files than were sent: {name}"):
        upload_release(released.workspace, V, TARGET)
    assert hub.tags == {}
