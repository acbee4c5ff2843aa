"""Building a release: an immutable, versioned, checksummed export of judged pairs.

The same state of the workspace, plan and time give the same bytes.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version as installed_version
from pathlib import Path

from sqlalchemy import Connection

from creativepair.errors import StateError
from creativepair.protocol import Protocol, load_protocol
from creativepair.store import catalogue, pairs, releases
from creativepair.store.database import Store
from creativepair.store.keys import make_key
from creativepair.store.splits import record_splits
from creativepair.workspace import Workspace
from exports.card import CARD_FILE, render_card
from exports.changes import Changes, compare
from exports.configurations import CONFIGURATIONS, Renderer
from exports.counts import Tally
from exports.croissant import CROISSANT_FILE, render_croissant
from exports.earlier import Earlier, find_base, read_earlier
from exports.gates import (
    Refusal,
    ReleaseRefusedError,
    RowGates,
    count_pairs,
    find_disagreement,
    name_offenders,
)
from exports.labels import LeftOut
from exports.leakage import refuse_leaks
from exports.manifest import (
    MANIFEST_FILE,
    Counts,
    Description,
    Drafter,
    EvidenceBuild,
    Follows,
    IngestedFile,
    Lineage,
    Manifest,
    ReleaseSettings,
    describe_file,
    digest_files,
    render_manifest,
)
from exports.parquet import SplitWriter
from exports.plan import CONFIG_NAMES, ConfigName, Plan
from exports.pseudonyms import KEY_NAME, pseudonymiser
from exports.publication import building_folder, publish
from exports.selection import Reader, Selection, select_pairs
from exports.splits import RADIUS_BITS, SPLITS
from exports.versions import NextVersion, Step, check_version, is_free, next_version

_LACKING = {
    LeftOut.NO_CONSENSUS: "too few votes or too little consensus",
    LeftOut.NO_LABEL: "no label: neither evidence nor people name a creative",
    LeftOut.NO_CHAIN: "no reasoning chain that answers with the label",
}
_KEPT_IMAGES = 16
_HINT_LACKING = "Judge these pairs further, or let the plan leave them out (`unmet: leave_out`)."


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


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a release would be if it were built now.

    Attributes:
        refusals: of every gate that can be looked at before files are written.
        base: the release it would follow; None where there is none.
        changes: since that one.
        next_version: the number that they ask for; None where any number will do.
    """

    selection: Selection
    refusals: tuple[Refusal, ...]
    base: Earlier | None
    changes: Changes
    next_version: NextVersion | None


@dataclass(frozen=True, slots=True)
class _Build:
    """What the steps of one build share."""

    workspace: Workspace
    store: Store
    plan: Plan
    protocol: Protocol
    base: Earlier | None = None


def preview_release(workspace: Workspace, store: Store, plan: Plan | None = None) -> Outlook:
    """Say what a release from 1.0.0 on would hold and what keeps it from being built.

    Raises:
        InputError, StateError: when the plan or the release it follows cannot be used at all.
    """
    build = _prepare(workspace, store, plan or Plan(), find_base(workspace))
    with store.read() as connection:
        return _look_out(connection, build)[0]


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
    check_version(version)
    now = (now or datetime.now(UTC)).astimezone(UTC)
    target = workspace.releases / version
    if target.exists():
        raise StateError(
            f"release {version} exists already, and releases never change",
            hint="Choose a higher version; see creativepair release list",
        )
    follows = None if is_free(version) else find_base(workspace)
    build = _prepare(workspace, store, plan or Plan(), follows)
    with store.write() as connection:
        key = make_key(connection, KEY_NAME, now=now)
    with store.read() as connection:
        outlook, reader = _look_out(connection, build)
        if refusals := (*outlook.refusals, *_refuse_number(version, outlook)):
            raise ReleaseRefusedError(refusals)
        with building_folder(workspace.releases) as folder, _full_disk_named(workspace.releases):
            counts = _write_data(folder, build, outlook.selection, reader, key)
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
                record_splits(writing, outlook.selection.records, version=version, now=now)
            publish(folder, target)
    return BuiltRelease(
        version=version,
        rows=counts.rows,
        splits={str(split): count for split, count in counts.splits.items()},
        files=[target / path for path in (*manifest.files, MANIFEST_FILE)],
        path=target,
    )


def _prepare(workspace: Workspace, store: Store, plan: Plan, follows: str | None) -> _Build:
    own = workspace.protocol
    wanted = plan.protocol or own.version
    return _Build(
        workspace=workspace,
        store=store,
        plan=plan,
        protocol=own if wanted == own.version else load_protocol(wanted),
        base=read_earlier(workspace, follows) if follows else None,
    )


def _look_out(connection: Connection, build: _Build) -> tuple[Outlook, Reader]:
    plan, base = build.plan, build.base
    keeps = base is not None and plan.released_labels == "keep"
    kept = {p: one.answer for p, one in base.released.items()} if base and keeps else {}
    reader = Reader(connection, plan, build.protocol, kept)
    gates = RowGates(build.protocol, build.workspace.derivatives)
    selection = select_pairs(connection, reader, plan, gates)
    refusals = [
        *_refuse_emptiness(selection),
        *gates.refusals(),
        *_refuse_lacking(selection, plan),
        *_refuse_configurations(selection, plan),
        *_refuse_other_source(build),
        *find_disagreement(
            selection.blind, {p: r.item_id for p, r in selection.released.items()}, plan.agreement
        ),
    ]
    changes = compare(base.released, selection.released) if base else Changes()
    following = (
        next_version(base.manifest.version, changes, _structural(build, base, selection))
        if base
        else None
    )
    return Outlook(selection, tuple(refusals), base, changes, following), reader


def _refuse_emptiness(selection: Selection) -> Iterator[Refusal]:
    if selection.released:
        return
    left_out = selection.left_out
    candidates = sum(left_out.get(reason.value, 0) for reason in LeftOut)
    if not candidates:
        yield Refusal(
            "there are pairs",
            "no pair can be released: there are no candidates",
            "Build pairs first: creativepair pairs build",
        )
        return
    counts = ", ".join(
        f"{left_out[reason.value]:,} {reason.value.replace('_', ' ')}"
        for reason in LeftOut
        if left_out.get(reason.value)
    )
    yield Refusal(
        "there are pairs",
        f"no pair can be released: of {candidates:,} candidates {counts}",
        "Judge pairs first: creativepair review",
    )


def _refuse_lacking(selection: Selection, plan: Plan) -> Iterator[Refusal]:
    if plan.unmet == "refuse":
        for reason, pair_ids in selection.lacking.items():
            what = f"{count_pairs(len(pair_ids))} {_LACKING[reason]}"
            yield Refusal(
                reason.value.replace("_", " "),
                name_offenders(what, pair_ids),
                _HINT_LACKING,
                pair_ids,
            )


def _refuse_configurations(selection: Selection, plan: Plan) -> Iterator[Refusal]:
    empty = set(plan.configurations or ()) - set(_filled(selection))
    if selection.released:
        for name in sorted(empty):
            yield Refusal(
                "configurations have rows",
                f"the configuration {name} would be empty",
                "Have chains approved or drafted first, or take it out of the plan.",
            )


def _refuse_other_source(build: _Build) -> Iterator[Refusal]:
    base, plan = build.base, build.plan
    if base is None or plan.released_labels == "renew":
        return
    before = base.manifest.settings.plan.label_source
    if before != plan.label_source:
        yield Refusal(
            "labels mean one thing",
            f"release {base.manifest.version} has labels by {before}, which the plan keeps, and "
            f"the plan's label_source is {plan.label_source}",
            "Write `released_labels: renew` into the plan, or keep the label source.",
        )


def _refuse_number(version: str, outlook: Outlook) -> Iterator[Refusal]:
    wanted = outlook.next_version
    if outlook.base and wanted and version != wanted.version:
        yield Refusal(
            "the version says what changed",
            f"{version} is not the number for what changed since "
            f"{outlook.base.manifest.version}: {', '.join(wanted.reasons)} "
            f"({wanted.step}), so it is {wanted.version}",
            f"Build it as {wanted.version}: creativepair release build {wanted.version}",
        )


def _structural(build: _Build, base: Earlier, selection: Selection) -> tuple[tuple[Step, str], ...]:
    before = base.manifest.settings
    found: list[tuple[Step, str]] = []
    if before.plan.label_source != build.plan.label_source:
        found.append(("MAJOR", "another label source"))
    if before.protocol != build.protocol.version:
        found.append(("MAJOR", "another protocol"))
    had, has = set(base.manifest.counts.configurations), set(_written(selection, build.plan))
    found += [("MAJOR", f"no configuration {name}") for name in sorted(had - has)]
    found += [("MINOR", f"a new configuration {name}") for name in sorted(has - had)]
    return tuple(found)


def _filled(selection: Selection) -> list[ConfigName]:
    """Return the configurations that have rows."""
    empty = {"cot": not selection.num_chains, "drafts": not selection.num_drafts}
    return [name for name in CONFIG_NAMES if not empty.get(name)]


def _written(selection: Selection, plan: Plan) -> list[ConfigName]:
    asked = plan.configurations or CONFIG_NAMES
    return [name for name in _filled(selection) if name in asked]


def _write_data(
    folder: Path, build: _Build, selection: Selection, reader: Reader, key: bytes
) -> Counts:
    # Pairs of an item, which lie beside each other, share pictures.
    read_image = lru_cache(_KEPT_IMAGES)(build.workspace.derivatives.get)
    renderer = Renderer(build.protocol, read_image, pseudonymiser(key))
    names = _written(selection, build.plan)
    tally = Tally(build.protocol)
    for split in SPLITS:
        writers = {name: SplitWriter(folder, CONFIGURATIONS[name], split) for name in names}
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
    return tally.counts()


def _settings(connection: Connection, build: _Build) -> ReleaseSettings:
    builds = pairs.list_evidence_builds(connection)
    return ReleaseSettings(
        plan=build.plan,
        protocol=build.protocol.version,
        split_radius_bits=RADIUS_BITS,
        evidence=builds[-1]["settings"] if builds else {},
    )


def _lineage(connection: Connection, build: _Build, outlook: Outlook) -> Lineage:
    base = outlook.base.manifest if outlook.base else None
    return Lineage(
        creativepair=installed_version("creativepair"),
        protocol=build.protocol,
        guidelines=releases.list_guidelines(connection, build.protocol.version),
        follows=base
        and Follows(
            version=base.version,
            digest=base.digest,
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
    files = {path: describe_file(folder / path) for path in _files(folder)}
    _write_text(folder / CROISSANT_FILE, render_croissant(name, description, files))
    _write_text(folder / CARD_FILE, render_card(name, description))
    # Data is hashed once: it is most of the bytes.
    files |= {path: describe_file(folder / path) for path in (CROISSANT_FILE, CARD_FILE)}
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
