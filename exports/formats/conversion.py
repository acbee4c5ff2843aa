"""Making another form of a release: whole or not at all, in a folder of its own."""

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from creativepair.errors import InputError, StateError
from creativepair.workspace import Workspace
from exports.card import CARD_FILE, read_card
from exports.formats.label_studio import write_label_studio
from exports.formats.paper import write_paper
from exports.formats.source import ReleaseSource
from exports.formats.table import write_tables
from exports.formats.webdataset import write_webdataset
from exports.listing import find_release, read_manifest
from exports.manifest import Manifest
from exports.plots import FOLDER as PLOTS
from exports.verification import verify_release

Form = Literal["webdataset", "label-studio", "csv", "paper"]
FORMS: dict[Form, Callable[[ReleaseSource, Path], None]] = {
    "webdataset": write_webdataset,
    "label-studio": write_label_studio,
    "csv": write_tables,
    "paper": write_paper,
}


@dataclass(frozen=True, slots=True)
class Converted:
    """Another form of a release.

    Attributes:
        rows: pairs of the release.
        files: by path.
    """

    rows: int
    files: list[Path]
    path: Path


def convert_release(workspace: Workspace, version: str, form: Form, out: Path) -> Converted:
    """Write a release in another form.

    Args:
        out: a folder that is not there yet, or empty.

    Raises:
        NotFoundError: when there is no such release.
        StateError: when it is withdrawn or not whole.
        InputError: when the folder cannot be used.
    """
    folder = find_release(workspace, version)
    verification = verify_release(workspace, version)
    if not verification.ok:
        raise StateError(
            f"release {version} cannot be exported: {verification.problems[0]}",
            hint=f"See all that is wrong: creativepair release verify {version}",
        )
    manifest = read_manifest(workspace, version)
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already", hint="Name a folder that is new or empty.")
    making = out.with_name(f".{out.name}.{uuid.uuid4().hex}.making")
    try:
        making.mkdir()
        FORMS[form](ReleaseSource(folder, manifest), making)
        _write_source(folder, manifest, form, making)
        making.replace(out)
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror}", hint="Name a folder you can write to."
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return Converted(manifest.counts.rows, files, out)


def _write_source(release: Path, manifest: Manifest, form: Form, folder: Path) -> None:
    """Say what release this is, and put its card beside it."""
    source = {"release": manifest.version, "digest": manifest.digest, "form": form}
    (folder / "source.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(read_card(release), encoding="utf-8")
    if (release / PLOTS).is_dir():
        shutil.copytree(release / PLOTS, folder / PLOTS)
