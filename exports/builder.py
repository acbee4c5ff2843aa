"""Building a release: an immutable, versioned, checksummed export of judged pairs.

The same state of the workspace, plan and time give the same bytes.
"""

import errno
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version as installed_version
from pathlib import Path

from sqlalchemy import Connection

from annotators.quality.agreement import measure_agreement
from creativepair.checksums import describe_file, digest_files
from creativepair.errors import StateError
from creativepair.publication import building_folder, publish
from creativepair.store import catalogue, pairs, releases
from creativepair.store.database import Store
from creativepair.store.keys import make_key
from creativepair.store.splits import record_splits
from creativepair.store.takedowns import newest_takedown
from creativepair.workspace import Workspace
from exports.card import CARD_FILE, draw_plots, render_card
from exports.configurations import CONFIGURATIONS, Renderer
from exports.counts import Tally
from exports.croissant import CROISSANT_FILE, render_croissant
from exports.earlier import find_base
from exports.gates import ReleaseRefusedError
from exports.leakage import refuse_leaks
from exports.manifest import (
    MANIFEST_FILE,
    BlindAgreement,
    Description,
    Drafter,
    EvidenceBuild,
    Follows,
    IngestedFile,
    Lineage,
    Manifest,
    Measured,
    ReleaseSettings,
    render_manifest,
)
from exports.outlook import Build, Outlook, list_written, look_out, prepare, refuse_number
from exports.parquet import SplitWriter
from exports.plan import Plan
from exports.pseudonyms import KEY_NAME, pseudonymiser
from exports.selection import Reader, Selection
from exports.splits import RADIUS_BITS, SPLITS
from exports.withdrawal import Withdrawal, withdraw_release

_KEPT_IMAGES = 16
_OVERTAKEN = "something was taken down while the release was built"


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
    workspace: Workspace,
    store: Store,
    version: str,
    plan: Plan | None = None,
    *,
    now: datetime | None = None,
) -> BuiltRelease:
    """Build a release; it appears whole or not at all.

    Args:
        version: MAJOR.MINOR.PATCH.
        plan: what it is to be; the plan of defaults when not given.
        now: the time to write into the release, with its zone; the clock's when not given.

    Raises:
        InputError: when the version is not one.
        ReleaseRefusedError: when gates refuse it; says every reason, with the first twenty pairs.
        StateError: when the version exists, an image is damaged or the disk is full.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    target = workspace.releases / version
    build = prepare(workspace, plan or Plan(), find_base(workspace, version))
    with store.write() as connection:
        key = make_key(connection, KEY_NAME, now=now)
    with store.read() as connection:
        taken = newest_takedown(connection)
        outlook, reader = look_out(connection, build)
        if refusals := (*outlook.refusals, *refuse_number(version, outlook)):
            raise ReleaseRefusedError(refusals)
        with building_folder(workspace.releases) as folder, _full_disk_named(workspace.releases):
            tally = _write_data(folder, build, outlook.selection, reader, key)
            counts = tally.counts(_measure_agreement(outlook.selection))
            refuse_leaks(folder, _files(folder))
            description = Description(
                version=version,
                created=now,
                synthetic=counts.synthetic_rows > 0,
                counts=counts,
                left_out=dict(outlook.selection.left_out),
                settings=_settings(connection, build),
                lineage=_lineage(connection, build, outlook),
            )
            manifest = _write_descriptions(folder, workspace.settings.name, description)
            with store.write() as writing:
                _refuse_takedown(writing, taken)
                record_splits(writing, outlook.selection.records, version=version, now=now)
            publish(folder, target)
    _withdraw_overtaken(store, target, taken)
    return BuiltRelease(
        version=version,
        rows=counts.rows,
        splits={str(split): count for split, count in counts.splits.items()},
        files=[target / path for path in (*manifest.files, MANIFEST_FILE)],
        path=target,
    )


def _refuse_takedown(connection: Connection, taken: int) -> None:
    if newest_takedown(connection) != taken:
        raise StateError(_OVERTAKEN, hint="Build again: it is left out then.")


def _withdraw_overtaken(store: Store, folder: Path, taken: int) -> None:
    """Withdraw a release that appeared while a takedown looked through the others.

    A takedown is recorded before it looks through the releases, and a release appears before it
    looks for takedowns: one of the two sees the other.
    """
    with store.read() as connection:
        overtaken = newest_takedown(connection) != taken
    if overtaken:
        withdraw_release(folder, Withdrawal(withdrawn_at=datetime.now(UTC), reason=_OVERTAKEN))
        raise StateError(
            f"{_OVERTAKEN}: {folder.name} is withdrawn",
            hint="Build again under another number: it is left out then.",
        )


def _write_data(
    folder: Path, build: Build, selection: Selection, reader: Reader, key: bytes
) -> Tally:
    # Pairs of an item, which lie beside each other, share pictures.
    read_image = lru_cache(_KEPT_IMAGES)(build.workspace.derivatives.get)
    renderer = Renderer(build.protocol, read_image, pseudonymiser(key))
    names = list_written(selection, build.plan)
    tally = Tally(build.protocol)
    with ThreadPoolExecutor(max_workers=1) as background:
        for split in SPLITS:
            writers = {
                name: SplitWriter(folder, CONFIGURATIONS[name], split, background) for name in names
            }
            try:
                for row in reader.rows(selection.pair_ids(split)):
                    rendered = renderer.render(row)
                    written = {name: rendered[name] for name in names}
                    for name, records in written.items():
                        for record in records:
                            writers[name].add(record)
                    tally.add(row, split, written)
                for writer in writers.values():
                    writer.close()
            finally:
                for writer in writers.values():
                    writer.abandon()
    return tally


def _measure_agreement(selection: Selection) -> BlindAgreement:
    measured = measure_agreement(selection.blind, selection.item)
    return BlindAgreement(
        pairs=measured.raw.n,
        **{
            name: Measured(value=one.value, low=one.low, high=one.high)
            for name in ("raw", "alpha", "ac1")
            for one in [getattr(measured, name)]
        },
    )


def _settings(connection: Connection, build: Build) -> ReleaseSettings:
    builds = pairs.list_evidence_builds(connection)
    return ReleaseSettings(
        plan=build.plan,
        protocol=build.protocol.version,
        split_radius_bits=RADIUS_BITS,
        evidence=builds[-1]["settings"] if builds else {},
    )


def _lineage(connection: Connection, build: Build, outlook: Outlook) -> Lineage:
    base = outlook.base.manifest if outlook.base else None
    return Lineage(
        creativepair=installed_version("creativepair"),
        protocol=build.protocol,
        guidelines=releases.list_guidelines(connection, build.protocol.version),
        follows=base
        and Follows(
            version=base.version,
            digest=base.digest,
            kept=build.keeps,
            changes={kind: len(pair_ids) for kind, pair_ids in outlook.changes.items()},
        ),
        drafters=tuple(Drafter(**row) for row in releases.list_drafters(connection)),
        ingested_files=tuple(
            # Not the file's name: it may say more about its owner than a release should.
            IngestedFile(sha256=row["sha256"], kind=row["kind"], num_rows=row["num_rows"])
            for row in catalogue.list_ingested_files(connection)
        ),
        evidence_builds=tuple(
            EvidenceBuild(**row) for row in pairs.list_evidence_builds(connection)
        ),
    )


def _write_descriptions(folder: Path, name: str, description: Description) -> Manifest:
    """Write what describes the data: Croissant, the card, the manifest."""
    paths = _files(folder)
    with ThreadPoolExecutor() as pool:  # hashing leaves Python's lock
        files = dict(zip(paths, pool.map(describe_file, map(folder.joinpath, paths)), strict=True))
    _write_text(folder / CROISSANT_FILE, render_croissant(name, description, files))
    for path, plot in draw_plots(description).items():
        (folder / path).parent.mkdir(exist_ok=True)
        _write_text(folder / path, plot)
    _write_text(folder / CARD_FILE, render_card(name, description))
    # Data is hashed once: it is most of the bytes.
    new = [path for path in _files(folder) if path not in files]
    files |= {path: describe_file(folder / path) for path in new}
    files = dict(sorted(files.items()))
    manifest = Manifest(**dict(description), files=files, digest=digest_files(files))
    _write_text(folder / MANIFEST_FILE, render_manifest(manifest))
    return manifest


def _files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _full_disk_named(releases_folder: Path) -> Iterator[None]:
    """Say that the disk is full; what was written so far goes with the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(releases_folder).free
        raise StateError(
            f"the disk is full: {releases_folder} has {free // 2**20:,} MiB left",
            hint="Make room and build again. Nothing was released.",
        ) from error
