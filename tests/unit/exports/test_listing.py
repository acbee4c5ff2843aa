from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from creativepair.errors import NotFoundError, StateError
from exports.builder import build_release
from exports.listing import list_releases, read_manifest

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio


def test_releases_are_listed_by_version_not_by_text(judged: "Studio") -> None:
    for version in ("0.10.0", "0.9.0", "0.1.0"):
        build_release(judged.workspace, judged.store, version)
    listed = list_releases(judged.workspace)
    assert [release.version for release in listed] == ["0.1.0", "0.9.0", "0.10.0"]
    assert all(release.manifest and release.manifest.counts.rows == 30 for release in listed)


def test_other_folders_are_no_releases(judged: "Studio") -> None:
    for name in ("draft", "1.0", ".building-" + "0" * 32, "01.0.0"):
        (judged.workspace.releases / name).mkdir()
    assert list_releases(judged.workspace) == []


def test_a_workspace_without_the_folder_has_no_releases(judged: "Studio") -> None:
    judged.workspace.releases.rmdir()
    assert list_releases(judged.workspace) == []
    build_release(judged.workspace, judged.store, "1.0.0")
    assert len(list_releases(judged.workspace)) == 1


def test_a_damaged_release_is_listed_with_its_problem(judged: "Studio") -> None:
    build_release(judged.workspace, judged.store, "1.0.0")
    (judged.workspace.releases / "1.0.0" / "manifest.json").write_text("{")
    (judged.workspace.releases / "1.0.1").mkdir()
    damaged, empty = list_releases(judged.workspace)
    assert damaged.manifest is None
    assert "manifest.json is damaged" in (damaged.problem or "")
    assert "manifest.json cannot be read" in (empty.problem or "")


def test_reading_a_manifest_tells_what_is_wrong(judged: "Studio") -> None:
    build_release(judged.workspace, judged.store, "1.0.0")
    with pytest.raises(NotFoundError, match=r"no release '2\.0\.0'"):
        read_manifest(judged.workspace, "2.0.0")
    path: Path = judged.workspace.releases / "1.0.0" / "manifest.json"
    path.write_text(path.read_text().replace('"num_drafts": 30', '"num_drafts": 31'))
    with pytest.raises(StateError, match=r"release 1\.0\.0: manifest\.json is not as it was") as no:
        read_manifest(judged.workspace, "1.0.0")
    assert "release verify 1.0.0" in no.value.hint
