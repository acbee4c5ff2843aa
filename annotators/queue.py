"""What an annotator judges next, and how the pair is presented.

A lease fixes the presentation: side order, arm, and the evidence, draft and item revision that the
reveal will show. It also holds a place: finals and leases of a task together never exceed its
target. A lease that runs out gives its place back; its holder goes on with the pair as long as
nobody has taken the place.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from annotators.draws import draw_arm, draw_left, draw_number
from annotators.state import InHand, fold
from creativepair.errors import NotFoundError, StateError
from creativepair.records import OUTSIDE, Arm, Batch, Lease
from creativepair.store import gold, judgements, pairs, tasks
from creativepair.store.shown import MOST_COMING, Coming, list_coming
from creativepair.wording import Identity, other
from creativepair.workspace import Workspace

_NO_PLACE_HINT = "The desk goes on with the next pair; your blind verdict is kept."


@dataclass(frozen=True, slots=True)
class _Next:
    """A pair to lease and how it is to be shown."""

    pair_id: str
    pass_: int
    left_is: Identity
    arm: Arm


def current_lease(
    connection: Connection, workspace: Workspace, annotator_id: str, role: str, *, now: datetime
) -> Lease | None:
    """Return the lease of what `take_in_hand` takes."""
    running = list_running(connection, workspace, annotator_id, role)
    in_hand = take_in_hand(connection, workspace, annotator_id, running, now=now)
    return in_hand.lease if in_hand else None


def take_in_hand(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    running: Sequence[Batch],
    *,
    now: datetime,
) -> InHand | None:
    """Return the pair in hand, leasing the next one when there is none; None when all is done.

    First what was begun or reopened, then practice for who has done no work yet, then new pairs,
    then what was skipped.

    Args:
        running: batches that the annotator gets work from.
    """
    tasks.lock_annotator(connection, annotator_id)
    mine = judgements.open_leases(connection, annotator_id, workspace.protocol.version)
    for lease in mine:
        if lease.skipped_at is None and (held := hold(connection, workspace, lease, now=now)):
            return _with_newest_reveal(connection, workspace, held)
    found = _find_next(connection, workspace, annotator_id, running, now=now)
    if found:
        lease = _new_lease(connection, workspace, annotator_id, found, now=now)
        return InHand(lease, fold(()))
    for lease in mine:
        if lease.skipped_at is not None and (held := hold(connection, workspace, lease, now=now)):
            return _with_newest_reveal(connection, workspace, held)
    return None


def hold(
    connection: Connection, workspace: Workspace, lease: Lease, *, now: datetime
) -> Lease | None:
    """Keep a lease's place, taking it again where it ran out; None where others have taken it."""
    if lease.skipped_at is None and lease.expires_at > now:
        # Half of the time is enough: writing at every look would cost each of them.
        if lease.expires_at - now > workspace.settings.review.lease_time / 2:
            return lease
    elif lease.pass_ != OUTSIDE:
        task = tasks.get_task(connection, lease.pair_id, lease.pass_, lock=True)
        if task and not tasks.has_room(connection, task, lease.annotator_id, now=now):
            return None
    changes = {"skipped_at": None, "expires_at": now + workspace.settings.review.lease_time}
    held = lease.model_copy(update=changes)
    judgements.update_lease(connection, held)
    return held


def require_lease(connection: Connection, annotator_id: str, lease_id: str) -> Lease:
    """Return a lease of this annotator, whose work no other transaction changes meanwhile.

    Raises:
        NotFoundError: when there is none of that id, or it is somebody else's.
    """
    tasks.lock_annotator(connection, annotator_id)
    lease = judgements.get_lease(connection, lease_id)
    if lease is None or lease.annotator_id != annotator_id:
        raise NotFoundError("this pair is not leased to you", hint="Reload the page.")
    return lease


def require_place(
    connection: Connection, workspace: Workspace, lease: Lease, *, now: datetime
) -> None:
    """Keep a lease's place for a decision.

    Raises:
        StateError: when it ran out and others have taken it.
    """
    if hold(connection, workspace, lease, now=now) is None:
        raise StateError(
            "this pair was finished by others while you were away", hint=_NO_PLACE_HINT
        )


def coming_pairs(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    running: Sequence[Batch],
    *,
    now: datetime,
) -> list[tuple[Coming, Identity]]:
    """Return the pairs that will come next and how they would be shown, to preload pictures.

    A guess: another annotator may take them first, and gold or a repeat may come between.
    """
    found: list[Coming] = []
    for batch in running:
        if len(found) < MOST_COMING:
            found += list_coming(connection, annotator_id, batch.batch_id, now=now)
    seed = workspace.settings.seed
    return [
        (coming, draw_left(seed, annotator_id, coming.task.pair_id, coming.task.pass_))
        for coming in found[:MOST_COMING]
    ]


def list_running(
    connection: Connection, workspace: Workspace, annotator_id: str, role: str
) -> list[Batch]:
    """List the batches that an annotator gets work from, in the order of their turn."""
    protocol = workspace.protocol.version
    return [
        batch
        for batch in tasks.list_batches(connection)
        if batch.paused_at is None
        and batch.protocol == protocol
        and batch.is_for(annotator_id, role)
    ]


def _find_next(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    running: Sequence[Batch],
    *,
    now: datetime,
) -> _Next | None:
    seed, review = workspace.settings.seed, workspace.settings.review
    practice = gold.next_practice(connection, annotator_id)
    if practice:
        left_is = draw_left(seed, annotator_id, practice.pair_id, OUTSIDE)
        return _Next(practice.pair_id, OUTSIDE, left_is, Arm.BLIND)
    for batch in running:
        task = tasks.take_next(connection, annotator_id, batch.batch_id, now=now)
        if task is None:
            continue
        check = _find_check(connection, workspace, annotator_id)
        if check:
            return check
        about = annotator_id, task.pair_id, task.pass_
        left_is = draw_left(seed, *about)
        return _Next(task.pair_id, task.pass_, left_is, draw_arm(review.arm_shares, seed, *about))
    return None


def _find_check(connection: Connection, workspace: Workspace, annotator_id: str) -> _Next | None:
    """Draw whether gold or a flipped repeat comes instead of a task, and return it."""
    seed, review = workspace.settings.seed, workspace.settings.review
    if not review.gold_share and not review.repeat_share:
        return None
    last = judgements.last_lease(connection, annotator_id)
    drawn = draw_number(seed, "check", annotator_id, last.lease_id if last else "")
    if drawn < review.gold_share:
        found = gold.next_gold(connection, annotator_id)
        if found:
            left_is = draw_left(seed, annotator_id, found.pair_id, OUTSIDE)
            return _Next(found.pair_id, OUTSIDE, left_is, Arm.BLIND_ONLY)
    elif drawn < review.gold_share + review.repeat_share:
        first = judgements.lease_to_repeat(connection, annotator_id, after=review.repeat_after)
        if first:
            return _Next(first.pair_id, OUTSIDE, other(first.left_is), Arm.BLIND_ONLY)
    return None


def _new_lease(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    found: _Next,
    *,
    now: datetime,
) -> Lease:
    lease = Lease(
        lease_id=secrets.token_hex(16),
        annotator_id=annotator_id,
        pair_id=found.pair_id,
        pass_=found.pass_,
        arm=found.arm,
        left_is=found.left_is,
        protocol=workspace.protocol.version,
        created_at=now,
        expires_at=now + workspace.settings.review.lease_time,
    )
    lease = lease.model_copy(update=_newest_reveal(connection, workspace, found.pair_id))
    judgements.add_lease(connection, lease)
    return lease


def _with_newest_reveal(connection: Connection, workspace: Workspace, lease: Lease) -> InHand:
    """Bring a lease up to date with evidence, drafts and guidelines while nothing was decided."""
    events = judgements.events_of(connection, lease)
    if events:
        return InHand(lease, fold(events))
    newest = lease.model_copy(update=_newest_reveal(connection, workspace, lease.pair_id))
    if newest != lease:
        judgements.update_lease(connection, newest)
    return InHand(newest, fold(()))


def _newest_reveal(connection: Connection, workspace: Workspace, pair_id: str) -> dict[str, object]:
    newest = pairs.find_newest(connection, pair_id, workspace.protocol.version)
    return {
        "evidence_version": newest.evidence_version,
        "draft_id": newest.draft_id,
        "item_revision": newest.item_revision,
        "guideline": str(newest.guideline),
    }
