"""What was taken down: pictures and annotators that must not appear again.

Every function takes the connection of a transaction of `Store`. A picture is known by the SHA-256
of its pixels, whatever creatives show it; an annotator by the pseudonym, so that no name is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from creativepair.records import Creative, Gold, PairStatus
from creativepair.store.gold import GOLD_REASON, is_data
from creativepair.store.locks import take_turn
from creativepair.store.tables import (
    adjudications,
    assignments,
    autosaves,
    creatives,
    gold,
    guidelines,
    judgement_events,
    leases,
    pairs,
    password_links,
    problem_reports,
    sessions,
    takedowns,
    users,
)
from creativepair.store.tasks import lock_annotator, settle

TAKEN_DOWN = "taken_down"
"""Reason of a pair that shows a picture that was taken down."""

Kind = Literal["picture", "annotator"]
_SAME = ("image_sha256", "pixel_sha256", "derivative_sha256")
# Events refer to leases, so they go first.
_WRITTEN_BY = (
    judgement_events.c.annotator_id,
    leases.c.annotator_id,
    problem_reports.c.annotator_id,
    adjudications.c.reviewer_id,
    password_links.c.user_id,
    sessions.c.user_id,
    users.c.user_id,
)
_DECISIONS = (judgement_events, adjudications)


@dataclass(frozen=True, slots=True)
class Takedown:
    """One thing that was taken down.

    Attributes:
        key: SHA-256 of a picture's pixels, or a pseudonym.
        blobs: SHA-256 of what is deleted with it: images, derivatives, copies made of them.
    """

    kind: Kind
    key: str
    reason: str
    blobs: tuple[str, ...]
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """What a person decided.

    Attributes:
        judged, settled: when the person first judged, and adjudicated, each pair.
        num_decisions: events and adjudications.
    """

    judged: Mapping[str, datetime]
    settled: Mapping[str, datetime]
    num_decisions: int


def list_work(connection: Connection, annotator_id: str) -> Work:
    """Return what a person decided."""
    found: list[dict[str, datetime]] = []
    num = 0
    for column in (judgement_events.c.annotator_id, adjudications.c.reviewer_id):
        table = column.table
        query = select(table.c.pair_id, table.c.decided_at).where(column == annotator_id)
        first: dict[str, datetime] = {}
        for pair_id, decided_at in connection.execute(query):
            num += 1
            first[pair_id] = min(decided_at, first.get(pair_id, decided_at))
        found.append(first)
    return Work(found[0], found[1], num)


def list_takedowns(connection: Connection, kind: Kind) -> list[Takedown]:
    """List what was taken down, oldest first."""
    names = ("kind", "key", "reason", "blobs", "taken_at")
    query = select(*(takedowns.c[name] for name in names)).where(takedowns.c.kind == kind)
    rows = connection.execute(query.order_by(takedowns.c.takedown_id))
    return [Takedown(**(row._asdict() | {"blobs": tuple(row.blobs)})) for row in rows]


def newest_takedown(connection: Connection) -> int:
    """Return a number that is another one after each takedown."""
    return connection.execute(select(func.max(takedowns.c.takedown_id))).scalar() or 0


def list_same_pictures(connection: Connection, shown: Sequence[Creative]) -> list[Creative]:
    """List every creative that shows a picture of some creatives, those among them."""
    found: dict[tuple[str, str], Creative] = {}
    new = list(shown)
    while new:
        found |= {(c.item_id, c.creative_id): c for c in new}
        same = or_(*(creatives.c[n].in_({getattr(c, n) for c in new}) for n in _SAME))
        rows = connection.execute(select(creatives).where(same))
        listed = [Creative.model_validate(row._asdict()) for row in rows]
        new = [c for c in listed if (c.item_id, c.creative_id) not in found]
    return [found[key] for key in sorted(found)]


def withdraw_creatives(
    connection: Connection, taken: Sequence[Creative], *, reason: str, now: datetime
) -> list[str]:
    """Withdraw creatives for ever: no build pairs them, nobody is shown them, no ingest adds them.

    Every other creative that shows the same pictures goes with them.

    Returns:
        The pairs that were withdrawn now, by id.
    """
    take_turn(connection, "build")
    take_turn(connection, "ingest")
    # Again: an ingest may have added one more while this waited for its turn.
    taken = list_same_pictures(connection, taken)
    shown = list_shown(connection, taken)
    _withdraw(connection, shown, reject_reason=TAKEN_DOWN)
    spoiled = _list_spoiled_gold(connection, taken)
    blobs = _list_blobs(connection, taken, spoiled)
    _withdraw(connection, [one.pair_id for one in spoiled], reject_reason=GOLD_REASON)
    _forget_texts(connection, taken)
    settle(connection)
    for key in sorted({c.pixel_sha256 for c in taken}):
        _add(connection, Takedown("picture", key, reason, blobs, now))
    return shown


def erase_annotator(
    connection: Connection, annotator_id: str, pseudonym: str, *, reason: str, now: datetime
) -> int:
    """Delete a person's account and everything the person decided or wrote.

    Pairs that lack a judgement now are asked again. A batch that was given to the person alone
    stays closed to others: it is given to the pseudonym.

    Returns:
        How many decisions were deleted.
    """
    lock_annotator(connection, annotator_id)
    of_person = select(leases.c.lease_id).where(leases.c.annotator_id == annotator_id)
    connection.execute(delete(autosaves).where(autosaves.c.lease_id.in_(of_person)))
    num = 0
    for column in _WRITTEN_BY:
        found = connection.execute(delete(column.table).where(column == annotator_id))
        num += found.rowcount if column.table in _DECISIONS else 0
    for column in (assignments.c.annotator_id, guidelines.c.author):
        changed = update(column.table).where(column == annotator_id)
        connection.execute(changed.values({column: pseudonym}))
    _lower_last_events(connection)
    settle(connection)
    _add(connection, Takedown("annotator", pseudonym, reason, (), now))
    return num


def _forget_texts(connection: Connection, taken: Sequence[Creative]) -> None:
    pixels = {c.pixel_sha256 for c in taken}
    words = update(creatives).where(creatives.c.pixel_sha256.in_(pixels))
    connection.execute(words.values(text=None))


def _lower_last_events(connection: Connection) -> None:
    """Let no adjudication know of events that are gone: SQLite gives their ids to the next ones."""
    newest = connection.execute(select(func.max(judgement_events.c.event_id))).scalar() or 0
    later = update(adjudications).where(adjudications.c.last_event_id > newest)
    connection.execute(later.values(last_event_id=newest))


def _withdraw(connection: Connection, pair_ids: Sequence[str], *, reject_reason: str) -> None:
    values = {"status": PairStatus.WITHDRAWN.value, "reject_reason": reject_reason}
    connection.execute(update(pairs).where(pairs.c.pair_id.in_(pair_ids)).values(**values))


def list_pairs(connection: Connection, taken: Sequence[Creative]) -> list[str]:
    """List the pairs that show one of some creatives, by id; gold is none."""
    return _list_pairs(connection, taken)


def list_shown(connection: Connection, taken: Sequence[Creative]) -> list[str]:
    """List those of them that are not withdrawn."""
    return _list_pairs(connection, taken, pairs.c.status != PairStatus.WITHDRAWN.value)


def _list_pairs(
    connection: Connection, taken: Sequence[Creative], *conditions: ColumnElement[bool]
) -> list[str]:
    found: set[str] = set()
    for creative in taken:
        query = select(pairs.c.pair_id).where(
            pairs.c.item_id == creative.item_id,
            or_(*(c == creative.creative_id for c in (pairs.c.creative_a, pairs.c.creative_b))),
            is_data(),
            *conditions,
        )
        found.update(connection.execute(query).scalars())
    return sorted(found)


def _list_spoiled_gold(connection: Connection, taken: Sequence[Creative]) -> list[Gold]:
    """List gold and practice that shows one of the pictures."""
    derivatives = {c.derivative_sha256 for c in taken}
    return [
        one for one in _list_gold(connection) if derivatives & {one.derivative_a, one.derivative_b}
    ]


def _list_gold(connection: Connection) -> list[Gold]:
    columns = [gold.c[name] for name in Gold.model_fields]
    rows = connection.execute(select(*columns).order_by(gold.c.pair_id))
    return [Gold.model_validate(row._asdict()) for row in rows]


def _list_blobs(
    connection: Connection, taken: Sequence[Creative], spoiled: Sequence[Gold]
) -> tuple[str, ...]:
    """List what has to be deleted: what no creative and no gold that stays shows."""
    copies = {sha256 for one in spoiled for sha256 in (one.derivative_a, one.derivative_b)}
    gone = {one.pair_id for one in spoiled}
    for one in _list_gold(connection):
        if one.pair_id not in gone:
            copies -= {one.derivative_a, one.derivative_b}
    pixels = {c.pixel_sha256 for c in taken}
    others = select(creatives.c.derivative_sha256).where(
        creatives.c.derivative_sha256.in_(copies), creatives.c.pixel_sha256.not_in(pixels)
    )
    copies -= set(connection.execute(others).scalars())
    own = {sha256 for c in taken for sha256 in (c.image_sha256, c.derivative_sha256)}
    return tuple(sorted(own | copies))


def _add(connection: Connection, new: Takedown) -> None:
    connection.execute(insert(takedowns).values(**asdict(new) | {"blobs": list(new.blobs)}))
