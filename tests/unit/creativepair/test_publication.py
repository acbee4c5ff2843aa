import os
from pathlib import Path

import pytest

from creativepair import publication
from creativepair.errors import StateError
from creativepair.publication import STALE_AFTER_S, building_folder, publish

STALE = ".building-" + "a" * 32


def make_old(path: Path, seconds: float) -> None:
    time = path.stat().st_mtime - seconds
    os.utime(path, (time, time))


def test_a_folder_is_gone_unless_it_was_published(tmp_path: Path) -> None:
    with building_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []
    with building_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
        publish(folder, tmp_path / "1.0.0")
    assert [path.name for path in tmp_path.rglob("*")] == ["1.0.0", "file"]


def test_of_two_builds_of_one_version_the_first_stands(tmp_path: Path) -> None:
    with building_folder(tmp_path) as first, building_folder(tmp_path) as second:
        for folder, text in ((first, "first"), (second, "second")):
            (folder / "file").write_text(text)
        publish(first, tmp_path / "1.0.0")
        with pytest.raises(StateError, match=r"1\.0\.0 was made by somebody else"):
            publish(second, tmp_path / "1.0.0")
    assert (tmp_path / "1.0.0" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["1.0.0"]


def test_another_failure_to_rename_is_not_called_a_race(tmp_path: Path) -> None:
    with building_folder(tmp_path) as folder, pytest.raises(FileNotFoundError):
        publish(folder, tmp_path / "missing" / "1.0.0")


def test_only_our_own_folders_that_nobody_writes_to_are_removed(tmp_path: Path) -> None:
    other, stale, fresh, busy = (
        tmp_path / name for name in (".building-mine", STALE, STALE[:-1] + "b", STALE[:-1] + "c")
    )
    for folder in (other, stale, fresh, busy):
        folder.mkdir()
    (busy / "file").write_text("a moment ago")
    for folder in (other, stale, busy):
        make_old(folder, STALE_AFTER_S + 60)
    with building_folder(tmp_path):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([other, fresh, busy])


def test_a_folder_that_vanishes_while_looked_at_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(path: Path) -> None:
        raise FileNotFoundError(path)

    (tmp_path / STALE).mkdir()
    monkeypatch.setattr(Path, "lstat", vanish)
    publication._remove_stale(tmp_path)
    assert (tmp_path / STALE).exists()
