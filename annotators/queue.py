"""What an annotator judges next, and how the pair is presented.

A lease fixes the presentation: side order, arm, and the evidence, draft and item revision that the
reveal will show. Nobody gets a pair that someone else has finished.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import Connection

from creativepair.errors import NotFoundError
from creativepair.records import Lease
from creativepair.store import catalogue, judgements, pairs
from creativepair.wording import Identity
from creativepair.workspace import Workspace

LEASE_TIME = timedelta(hours=2)


def draw_left(seed: int, annotator_id: str, pair_id: str, pass_: int) -> Identity:
    """Draw which creative stands on the left: fair, and the same every time it is asked."""
    text = f"{seed}\x1f{annotator_id}\x1f{pair_id}\x1f{pass_}"
    return "A" if hashlib.sha256(text.encode()).digest()[0] % 2 == 0 else "B"


def current_lease(
    connection: Connection, workspace: Workspace, annotator_id: str, *, now: datetime
) -> Lease | None:
    """Return the pair in hand, leasing the next one when there is none; None when all is done.

    First what was begun or reopened, then new pairs, then what was skipped.
    """
    open_ = judgements.open_leases(connection, annotator_id, workspace.protocol.version)
    begun = [lease for lease in open_ if lease.skipped_at is None]
    if begun:
        return _with_newest_reveal(connection, workspace, begun[0])
    fresh = judgements.unleased_pair_ids(connection, annotator_id, limit=1)
    if fresh:
        lease = _new_lease(connection, workspace, annotator_id, fresh[0], now=now)
        judgements.add_lease(connection, lease)
        return lease
    if open_:
        lease = open_[0].model_copy(update={"skipped_at": None, "expires_at": now + LEASE_TIME})
        judgements.update_lease(connection, lease)
        return lease
    return None


def coming_pairs(
    connection: Connection, workspace: Workspace, annotator_id: str, *, limit: int
) -> list[tuple[str, Identity]]:
    """Return the pairs that will come next with their left side, for preloading pictures."""
    ids = judgements.unleased_pair_ids(connection, annotator_id, limit=limit)
    seed = workspace.settings.seed
    return [(pair_id, draw_left(seed, annotator_id, pair_id, 1)) for pair_id in ids]


def require_lease(connection: Connection, annotator_id: str, lease_id: str) -> Lease:
    """Return a lease of this annotator.

    Raises:
        NotFoundError: when there is none of that id, or it is somebody else's.
    """
    lease = judgements.get_lease(connection, lease_id)
    if lease is None or lease.annotator_id != annotator_id:
        raise NotFoundError("this pair is not leased to you", hint="Reload the page.")
    return lease


def _new_lease(
    connection: Connection, workspace: Workspace, annotator_id: str, pair_id: str, *, now: datetime
) -> Lease:
    lease = Lease(
        lease_id=secrets.token_hex(16),
        annotator_id=annotator_id,
        pair_id=pair_id,
        left_is=draw_left(workspace.settings.seed, annotator_id, pair_id, 1),
        protocol=workspace.protocol.version,
        created_at=now,
        expires_at=now + LEASE_TIME,
    )
    return lease.model_copy(update=_newest_reveal(connection, workspace, pair_id))


def _with_newest_reveal(connection: Connection, workspace: Workspace, lease: Lease) -> Lease:
    """Bring a lease up to date with evidence, drafts and protocol while nothing was decided."""
    if judgements.list_events(
        connection, annotator_id=lease.annotator_id, pair_id=lease.pair_id, pass_=lease.pass_
    ):
        return lease
    newest = lease.model_copy(update=_newest_reveal(connection, workspace, lease.pair_id))
    if newest != lease:
        judgements.update_lease(connection, newest)
    return newest


def _newest_reveal(connection: Connection, workspace: Workspace, pair_id: str) -> dict[str, object]:
    pair = pairs.get_pair(connection, pair_id)
    [item] = catalogue.list_items(connection, [pair.item_id])
    protocol = workspace.protocol.version
    draft = pairs.newest_draft(connection, pair_id, item.revision, protocol)
    return {
        "protocol": protocol,
        "evidence_version": pairs.newest_evidence_version(connection, pair_id),
        "draft_id": draft.draft_id if draft else None,
        "item_revision": item.revision,
    }
