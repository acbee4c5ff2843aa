"""Making a release or a model appear whole or not at all, also when the machine fails.

Files are written into a folder whose name no listing takes for a release; when they are durable,
one rename gives it its name.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from creativepair.errors import StateError

STALE_AFTER_S = 3_600
"""A folder that nobody wrote to for so long belongs to a build that was killed."""

_BUILDING = re.compile(r"\.building-[0-9a-f]{32}")


@contextmanager
def building_folder(root: Path) -> Iterator[Path]:
    """Give an empty folder below `root` to build in; it is gone afterwards unless published.

    Raises:
        StateError: when somebody removed it meanwhile, as a takedown does.
    """
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale(root)
    folder = root / f".building-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    except FileNotFoundError as error:
        if folder.exists():
            raise
        raise StateError(
            "the folder of this build was removed: something was taken down meanwhile",
            hint="Build again: it is left out then.",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(root: Path) -> None:
    """Remove the folders of all builds that are not finished; one that goes on ends with an error.

    For a takedown: they hold what it takes down, and no build that goes on meanwhile may stand.
    """
    for folder in root.iterdir() if root.is_dir() else ():
        if _BUILDING.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Make a finished folder durable and give it its name.

    Raises:
        StateError: when the name was taken meanwhile.
    """
    for path in (*sorted(folder.rglob("*")), folder):
        sync(path)
    try:
        folder.rename(target)
    except OSError as error:
        if target.exists():
            raise StateError(
                f"{target.name} was made by somebody else meanwhile",
                hint=f"See what is there: {target}",
            ) from error
        raise
    sync(target.parent)


def write_durably(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def _remove_stale(root: Path) -> None:
    for folder in root.iterdir():
        if _BUILDING.fullmatch(folder.name) and time.time() - _last_written(folder) > STALE_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _last_written(folder: Path) -> float:
    """Return when anything in a folder last changed; now when it is vanishing, so not stale."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
