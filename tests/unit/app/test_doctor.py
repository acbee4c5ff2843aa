import shutil
import sys
from pathlib import Path

import pytest

from app.bootstrap import open_studio
from app.commands.doctor import Check, check_all
from creativepair.store import catalogue, create_store
from creativepair.workspace import Settings, create_workspace

NAMES = [
    "python",
    "sqlite",
    "workspace",
    "disk",
    "protocol",
    "sign-in",
    "images",
    "pairs",
    "releases",
]


def checked(root: Path) -> dict[str, Check]:
    return {check.name: check for check in check_all(root)}


def test_a_whole_workspace_passes_every_check(demo_root: Path) -> None:
    checks = check_all(demo_root)
    assert [check.name for check in checks] == NAMES
    assert all(check.ok for check in checks)
    found = {check.name: check.message for check in checks}
    assert found["pairs"] == "8 candidates"
    assert found["protocol"] == "version 1, 10 questions"
    assert found["workspace"] == str(demo_root)


def test_without_a_workspace_the_environment_is_checked_all_the_same(tmp_path: Path) -> None:
    *environment, workspace = check_all(tmp_path)
    assert [check.name for check in environment] == ["python", "sqlite"]
    assert not workspace.ok
    assert f"creativepair init {tmp_path}" in workspace.message


def test_pictures_that_are_gone_are_named(demo_root: Path) -> None:
    studio = open_studio(demo_root)
    with studio.store.read() as connection:
        creative = catalogue.list_creatives(connection)[0]
    studio.store.close()
    path = studio.workspace.derivatives.local_path(creative.derivative_sha256)
    assert path is not None
    path.unlink()
    images = checked(demo_root)["images"]
    assert not images.ok
    assert f"{creative.item_id}/{creative.creative_id}" in images.message
    assert images.message.endswith("Ingest again.")


def test_a_workspace_without_pairs_is_told_what_to_run(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "new", Settings(name="new"))
    create_store(workspace.database_url).close()
    pairs = checked(workspace.root)["pairs"]
    assert (pairs.ok, pairs.message) == (
        True,
        "no candidates yet; creativepair pairs build makes them",
    )


def test_settings_that_cannot_be_read_are_a_finding_not_a_crash(demo_root: Path) -> None:
    (demo_root / "creativepair.toml").write_text("name = \n", encoding="utf-8")
    assert not checked(demo_root)["workspace"].ok


def test_a_protocol_that_is_missing_is_a_finding(demo_root: Path) -> None:
    settings = demo_root / "creativepair.toml"
    settings.write_text('name = "x"\nprotocol = "mine.toml"\n', encoding="utf-8")
    protocol = checked(demo_root)["protocol"]
    assert not protocol.ok
    assert "mine.toml" in protocol.message


def test_a_damaged_store_is_a_finding_with_a_way_on(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "new", Settings(name="new"))
    (workspace.root / "studio.db").write_bytes(b"not a database at all " * 100)
    found = checked(workspace.root)["workspace"]
    assert not found.ok
    assert "the store is damaged" in found.message
    assert "backup" in found.message


def test_a_full_disk_is_a_finding(demo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(demo_root)._replace(free=400_000_000)
    monkeypatch.setattr("app.commands.doctor.shutil.disk_usage", lambda _path: usage)
    disk = checked(demo_root)["disk"]
    assert (disk.ok, disk.message) == (False, "0.4 GB free; 0.5 are needed")


def test_a_python_too_old_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    python = checked(tmp_path)["python"]
    assert (python.ok, python.message) == (False, "Python 3.10.4; 3.11 or newer is needed")
