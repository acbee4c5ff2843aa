"""`release takedown`: deleting a creative or a person for good, with every release that holds them.

Each step can be repeated: a takedown that was interrupted is finished by asking for it again.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from app.bootstrap import Studio
from app.commands.report_pairs import reports_folder
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.publication import remove_unfinished
from creativepair.records import Creative
from creativepair.store import catalogue, takedowns, users
from creativepair.store.keys import make_key
from creativepair.thumbnails import ThumbnailCache
from exports.listing import list_releases, read_manifest
from exports.manifest import Manifest
from exports.pseudonyms import KEY_NAME, pseudonymiser
from exports.versions import precedence
from exports.withdrawal import (
    WITHDRAWN_FILE,
    Withdrawal,
    holds_judgements,
    holds_pictures,
    list_remains,
    withdraw_release,
)
from model_assist.registry import Mark, find_marked, mark_models

_REASON_CREATIVE = "a creative in it was taken down"
_REASON_ANNOTATOR = "the judgements of a person in it were erased"
_MAX_REASON_CHARACTERS = 500
_SHOWN_ITEMS = 20


Holds = Callable[[Path, Manifest, bool], bool]
"""Tells whether the release in a folder has to go; whether it kept labels of one that went."""


@dataclass(frozen=True, slots=True)
class TakedownReport:
    """What went, or would go.

    Attributes:
        creatives: `item_id` and `creative_id` of each: those with the same picture go together.
        pairs: withdrawn; 0 where they were before.
        decisions: of a person, deleted.
        releases: versions that are withdrawn.
        models: versions that learned from one of these releases, or from such a model; they stay,
            marked.
        files: images, derivatives, copies and reports deleted; 0 in a dry run.
    """

    dry_run: bool
    creatives: list[dict[str, str]] = field(default_factory=list)
    pairs: int = 0
    decisions: int = 0
    releases: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    files: int = 0


def take_down_creative(
    studio: Studio,
    creative_id: str,
    item_id: str | None = None,
    *,
    reason: str | None = None,
    dry_run: bool = False,
) -> TakedownReport:
    """Delete the picture of a creative everywhere, and every creative that shows the same.

    Args:
        item_id: needed where several items have a creative of this id.
        reason: stands in what is left of the releases.

    Raises:
        NotFoundError: when there is no such creative.
        InputError: when several items have one, or the reason cannot be used.
        StateError: when nobody can tell what a release holds; nothing is deleted then.
    """
    because = _check_reason(reason) or _REASON_CREATIVE
    now = datetime.now(UTC)
    withdrawal = Withdrawal(withdrawn_at=now, reason=because)
    with studio.store.read() as connection:
        taken = _find_creatives(connection, creative_id, item_id)
        shown = takedowns.list_shown(connection, taken)

    def holds(folder: Path, manifest: Manifest, _kept: bool) -> bool:
        return holds_pictures(folder, manifest, {c.pixel_sha256 for c in taken})

    holding = _find_holding(studio, holds)
    num_files = 0
    if not dry_run:
        # Recorded before the releases are looked through: a build that ends meanwhile sees it.
        with studio.store.write() as connection:
            taken = _find_creatives(connection, creative_id, item_id)
            shown = takedowns.withdraw_creatives(connection, taken, reason=because, now=now)
        holding = _withdraw(studio, holds, withdrawal)
        num_files = _purge(studio, taken)
        studio.store.truncate_log()
    models = _mark_models(studio, holding, withdrawal, dry_run)
    return TakedownReport(
        dry_run=dry_run,
        creatives=[{"item_id": c.item_id, "creative_id": c.creative_id} for c in taken],
        pairs=len(shown),
        releases=holding,
        models=models,
        files=num_files,
    )


def erase_annotator(
    studio: Studio, annotator_id: str, *, reason: str | None = None, dry_run: bool = False
) -> TakedownReport:
    """Delete a person's account and all that the person decided, and the releases that hold it.

    Raises:
        NotFoundError: when nobody of this id has an account or judged anything.
        InputError: when the reason cannot be used.
        StateError: when nobody can tell what a release holds, or the person has the only
            account; nothing is deleted then.
    """
    because = _check_reason(reason) or _REASON_ANNOTATOR
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        key = make_key(connection, KEY_NAME, now=now)
    pseudonym = pseudonymiser(key)(annotator_id)
    with studio.store.read() as connection:
        work = takedowns.list_work(connection, annotator_id)
        _refuse_unknown(connection, annotator_id, pseudonym, work)
        _refuse_only_account(connection, annotator_id)

    def holds(folder: Path, manifest: Manifest, kept: bool) -> bool:
        return holds_judgements(
            folder, manifest, pseudonym, judged=work.judged, settled=work.settled, inherits=kept
        )

    holding = _find_holding(studio, holds)
    withdrawal = Withdrawal(withdrawn_at=now, reason=because)
    if not dry_run:
        # Before the rows go: without them nobody could tell which releases rest on them. And once
        # more after, for a release that appeared between.
        _withdraw(studio, holds, withdrawal)
        with studio.store.write() as connection:
            takedowns.erase_annotator(connection, annotator_id, pseudonym, reason=because, now=now)
        studio.store.truncate_log()
        holding = sorted({*holding, *_withdraw(studio, holds, withdrawal)}, key=precedence)
    models = _mark_models(studio, holding, withdrawal, dry_run)
    return TakedownReport(
        dry_run=dry_run, decisions=work.num_decisions, releases=holding, models=models
    )


def _find_creatives(
    connection: Connection, creative_id: str, item_id: str | None
) -> list[Creative]:
    """Return a creative with all that show the same picture."""
    found = catalogue.find_creatives(connection, creative_id, item_id)
    if not found:
        of = f" of item {item_id}" if item_id else ""
        raise NotFoundError(
            f"no creative {creative_id!r}{of}",
            hint="Find it: creativepair pairs list --out pairs.csv",
        )
    if len(found) > 1:
        items = ", ".join(c.item_id for c in found[:_SHOWN_ITEMS])
        raise InputError(
            f"{len(found)} items have a creative {creative_id!r}: {items}",
            hint="Name the item too: --item.",
        )
    return takedowns.list_same_pictures(connection, found)


def _refuse_unknown(
    connection: Connection, annotator_id: str, pseudonym: str, work: takedowns.Work
) -> None:
    erased = {one.key for one in takedowns.list_takedowns(connection, "annotator")}
    known = work.num_decisions or pseudonym in erased
    if not known and users.find_user(connection, annotator_id) is None:
        raise NotFoundError(
            f"nobody called {annotator_id!r} has an account or judged anything",
            hint="See who judged, and who has an account: creativepair quality, creativepair users "
            "list.",
        )


def _refuse_only_account(connection: Connection, annotator_id: str) -> None:
    if [user.user_id for user in users.list_users(connection)] == [annotator_id]:
        raise StateError(
            f"{annotator_id} has the only account, and without any the desk asks nobody who they "
            "are",
            hint="Add another first: creativepair users add.",
        )


def _check_reason(reason: str | None) -> str | None:
    said = " ".join((reason or "").split())
    if len(said) > _MAX_REASON_CHARACTERS:
        raise InputError(
            f"the reason has {len(said)} characters",
            hint=f"Use at most {_MAX_REASON_CHARACTERS}; it stands in what is left of releases.",
        )
    return said or None


def _find_holding(studio: Studio, holds: Holds) -> list[str]:
    """List the releases that hold something; those whose withdrawal was interrupted too.

    Raises:
        StateError: when one cannot be read: nobody can tell what it holds.
    """
    found = []
    gone = set()
    for release in list_releases(studio.workspace):
        if (release.path / WITHDRAWN_FILE).exists():
            is_wanted = bool(release.withdrawal is None or list_remains(release.path))
            gone.add(release.version)
        else:
            manifest = read_manifest(studio.workspace, release.version)
            follows = manifest.lineage.follows
            kept = follows is not None and follows.kept and follows.version in gone
            is_wanted = holds(release.path, manifest, kept)
        if is_wanted:
            found.append(release.version)
            gone.add(release.version)
    return found


def _withdraw(studio: Studio, holds: Holds, withdrawal: Withdrawal) -> list[str]:
    holding = _find_holding(studio, holds)
    for version in holding:
        withdraw_release(studio.workspace.releases / version, withdrawal)
    remove_unfinished(studio.workspace.releases)
    # Trainings that are not finished hold images of releases, and nobody can tell of which.
    shutil.rmtree(studio.workspace.trainings, ignore_errors=True)
    remove_unfinished(studio.workspace.models)
    return holding


def _mark_models(
    studio: Studio, going: Sequence[str], withdrawal: Withdrawal, dry_run: bool
) -> list[str]:
    """Mark the models that learned from withdrawn releases.

    Those of earlier takedowns count too: one that was interrupted is finished, and a training that
    went on meanwhile is found.

    Raises:
        StateError: when a manifest cannot be read: nobody can tell which models learned from it.
    """
    withdrawn: dict[str, Mark] = {}
    for release in list_releases(studio.workspace):
        is_going = dry_run and release.version in going
        why = release.withdrawal or (withdrawal if is_going else None)
        if why is None:
            continue
        manifest = release.manifest or read_manifest(studio.workspace, release.version)
        withdrawn[manifest.digest] = Mark(
            marked_at=why.withdrawn_at, release=release.version, reason=why.reason
        )
    act = find_marked if dry_run else mark_models
    return list(act(studio.workspace.models, withdrawn))


def _purge(studio: Studio, taken: Sequence[Creative]) -> int:
    """Delete the blobs of pictures that were taken down, and what was made of them.

    Returns:
        How many files are gone; thumbnails, which are a cache, do not count.
    """
    with studio.store.read() as connection:
        recorded = takedowns.list_takedowns(connection, "picture")
        pair_ids = takedowns.list_pairs(connection, taken)
    pictures = {c.pixel_sha256 for c in taken}
    blobs = {sha256 for one in recorded if one.key in pictures for sha256 in one.blobs}
    thumbnails = ThumbnailCache(studio.workspace.thumbnails)
    deleted = 0
    for sha256 in sorted(blobs):
        thumbnails.delete(sha256)
        for store in (studio.workspace.originals, studio.workspace.derivatives):
            deleted += store.delete(sha256)
    return deleted + _delete_reports(studio, pair_ids)


def _delete_reports(studio: Studio, pair_ids: Sequence[str]) -> int:
    """Delete the reports that show one of some pairs; another is made by asking for it."""
    deleted = 0
    for path in sorted(reports_folder(studio).glob("*.html")):
        if path.is_file() and any(name.encode() in path.read_bytes() for name in pair_ids):
            path.unlink()
            deleted += 1
    return deleted
