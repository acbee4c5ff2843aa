"""Building a release: an immutable, versioned, checksummed export of judged pairs.

The same state of the workspace and the same time give the same bytes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from creativepair.errors import StateError
from creativepair.protocol import Protocol
from creativepair.store.database import Store
from creativepair.workspace import Workspace
from exports import gates
from exports.card import CARD_FILE, render_card
from exports.counts import count_release
from exports.labels import LABEL_SOURCE
from exports.listing import check_version
from exports.manifest import (
    MANIFEST_FILE,
    Description,
    Manifest,
    ReleaseSettings,
    describe_file,
    digest_files,
    render_manifest,
)
from exports.parquet import read_records, split_of, write_split
from exports.publication import building_folder, publish
from exports.selection import Selection, read_selection
from exports.splits import RADIUS_BITS, SEED, SHARES, SPLITS


@dataclass(frozen=True, slots=True)
class BuiltRelease:
    """A release that has just appeared.

    Attributes:
        splits: pairs per split; a split without pairs has no file and is absent.
        files: every file, the manifest last.
    """

    version: str
    rows: int
    splits: dict[str, int]
    files: list[Path]
    path: Path


def build_release(
    workspace: Workspace, store: Store, version: str, *, now: datetime | None = None
) -> BuiltRelease:
    """Build a release of all judged pairs that have a label; it appears whole or not at all.

    Args:
        version: MAJOR.MINOR.PATCH.
        now: the time to write into the release, with its zone; the clock's when not given.

    Raises:
        InputError: when the version is not one.
        StateError: when the version exists, no pair can be released, a gate refuses (see
            `exports.gates`), or an image is damaged.
    """
    check_version(version)
    target = workspace.releases / version
    if target.exists():
        raise StateError(
            f"release {version} exists already, and releases never change",
            hint="Choose a higher version; see creativepair release list",
        )
    protocol = workspace.protocol
    with store.read() as connection:
        selection = read_selection(connection, protocol)
    gates.refuse_positional_words(selection.rows)
    gates.refuse_broken_chains(selection.rows, protocol)
    gates.refuse_missing_images(selection.rows, workspace.derivatives)
    with building_folder(workspace.releases) as folder:
        _write_data(folder, workspace, selection)
        _check_leakage(folder)
        description = _describe(version, selection, now or datetime.now(UTC))
        _write_text(folder / CARD_FILE, render_card(workspace.settings.name, description))
        manifest = _write_manifest(folder, description)
        publish(folder, target)
    return BuiltRelease(
        version=version,
        rows=manifest.counts.rows,
        splits={str(split): count for split, count in manifest.counts.splits.items()},
        files=[target / path for path in (*manifest.files, MANIFEST_FILE)],
        path=target,
    )


def _write_data(folder: Path, workspace: Workspace, selection: Selection) -> None:
    images = workspace.derivatives
    for split in SPLITS:
        rows = (row for row in selection.rows if selection.split_of[row.item.item_id] == split)
        write_split(folder, split, rows, workspace.protocol.version, images.get)


def _check_leakage(folder: Path) -> None:
    """Look for leaks in the files themselves, not in what should have been written."""
    leakage = gates.Leakage()
    for path in _files(folder):
        if split := split_of(path):
            for record in read_records(folder / path, ["item_id", "image_a.path", "image_b.path"]):
                leakage.add(split, record)
    gates.refuse_leaks(leakage.problems())


def _describe(version: str, selection: Selection, now: datetime) -> Description:
    protocol = selection.lineage.protocol
    counts = count_release(selection, protocol)
    return Description(
        version=version,
        created=now.astimezone(UTC),
        synthetic=counts.synthetic_rows > 0,
        counts=counts,
        left_out=selection.left_out,
        settings=_settings(selection, protocol),
        lineage=selection.lineage,
    )


def _settings(selection: Selection, protocol: Protocol) -> ReleaseSettings:
    builds = selection.lineage.evidence_builds
    return ReleaseSettings(
        label_source=LABEL_SOURCE,
        protocol=protocol.version,
        split_seed=SEED,
        split_shares=dict(SHARES),
        split_radius_bits=RADIUS_BITS,
        evidence=builds[-1].settings if builds else {},
    )


def _write_manifest(folder: Path, description: Description) -> Manifest:
    files = {path: describe_file(folder / path) for path in _files(folder)}
    manifest = Manifest(**dict(description), files=files, digest=digest_files(files))
    _write_text(folder / MANIFEST_FILE, render_manifest(manifest))
    return manifest


def _files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
