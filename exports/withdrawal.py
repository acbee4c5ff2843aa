"""Withdrawing a release: its data is deleted, its name stays taken.

What is left is a tombstone: `manifest.json`, which says what the release was, and `withdrawn.json`,
which says when and why it went. The tombstone is durable before anything is deleted, so a
withdrawal that was interrupted is seen, and finished by asking for it again.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from creativepair.errors import StateError
from creativepair.publication import sync, write_durably
from exports.manifest import MANIFEST_FILE, Manifest
from exports.parquet import Record, parse_name, read_records
from exports.plan import ConfigName

WITHDRAWN_FILE = "withdrawn.json"
_CLOCK_SKEW = timedelta(days=1)
"""By which the times of imported judgements may be off."""

_TOMBSTONE = {MANIFEST_FILE, WITHDRAWN_FILE}


class Withdrawal(BaseModel):
    """What `withdrawn.json` says.

    Attributes:
        reason: plain text; anybody who has the folder reads it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    withdrawn_at: AwareDatetime
    reason: str

    def __str__(self) -> str:
        """Say when and why."""
        return f"withdrawn on {self.withdrawn_at:%Y-%m-%d}: {self.reason}"


def read_withdrawal(folder: Path) -> Withdrawal | None:
    """Return why a release was withdrawn; None where it was not.

    Raises:
        StateError: when `withdrawn.json` is there and cannot be read.
    """
    path = folder / WITHDRAWN_FILE
    try:
        return Withdrawal.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StateError(
            f"release {folder.name} was withdrawn, and its {WITHDRAWN_FILE} is damaged",
            hint="Repeat the takedown: creativepair release takedown",
        ) from error


def withdraw_release(folder: Path, withdrawal: Withdrawal) -> None:
    """Leave nothing of a release but its tombstone; one that was withdrawn keeps its reason."""
    try:
        known = read_withdrawal(folder)
    except StateError:
        known = None
    if known is None:
        write_durably(folder / WITHDRAWN_FILE, withdrawal.model_dump_json(indent=2) + "\n")
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        elif path.relative_to(folder).as_posix() not in _TOMBSTONE:
            path.unlink()
    sync(folder)


def list_remains(folder: Path) -> list[str]:
    """List the files of a withdrawn release that should be gone."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return sorted({path.relative_to(folder).as_posix() for path in found} - _TOMBSTONE)


def holds_pictures(folder: Path, manifest: Manifest, pictures: Collection[str]) -> bool:
    """Tell whether a release shows one of some pictures, given by the SHA-256 of their pixels.

    Raises:
        StateError: when the release cannot be read.
    """
    names = {f"{sha256}.jpg" for sha256 in pictures}
    columns = ["image_a.path", "image_b.path"]
    return any(
        record[column]["path"] in names
        for record in _records(folder, manifest, "default", columns)
        for column in ("image_a", "image_b")
    )


def holds_judgements(
    folder: Path,
    manifest: Manifest,
    pseudonym: str,
    *,
    judged: Mapping[str, datetime],
    settled: Mapping[str, datetime],
    inherits: bool,
) -> bool:
    """Tell whether a release holds what a person judged or settled.

    The configuration `annotations` says whose word a label or chain is, but for labels that were
    kept from an earlier release. Where it does not, a release counts when it has a pair that the
    person had judged by then.

    Args:
        judged, settled: when the person first judged, and adjudicated, a pair, by its id.
        inherits: whether it kept labels of a release that the person's word may be in.

    Raises:
        StateError: when the release cannot be read.
    """
    is_told = "annotations" in manifest.counts.configurations
    by_then = manifest.created + _CLOCK_SKEW
    said = _records(folder, manifest, "annotations", ["annotator_id"]) if is_told else ()
    if any(record["annotator_id"] == pseudonym for record in said):
        return True
    for record in _records(folder, manifest, "default", ["pair_id", "label_adjudicated"]):
        judged_at, settled_at = judged.get(record["pair_id"]), settled.get(record["pair_id"])
        if settled_at and settled_at <= by_then and record["label_adjudicated"]:
            return True
        if judged_at and judged_at <= by_then and (inherits or not is_told):
            return True
    return False


def _records(
    folder: Path, manifest: Manifest, config: ConfigName, columns: list[str]
) -> Iterator[Record]:
    try:
        for path in sorted(manifest.files):
            name = parse_name(path)
            if name and name.config == config:
                yield from read_records(folder / path, columns)
    except (pa.ArrowException, OSError) as error:
        raise StateError(
            f"release {folder.name} cannot be read, so nobody can tell what it holds: {error}",
            hint="Restore it from a copy or delete its folder, then repeat the takedown.",
        ) from error
