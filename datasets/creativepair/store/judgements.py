"""Leases, judgement events and autosaved edits in the store.

Events are append-only: this module has no function that changes or deletes one. Every function
takes the connection of a transaction of `Store`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, select, update

from creativepair.records import OUTSIDE, Arm, JudgementEvent, Lease, PairStatus, Step
from creativepair.store.finals import is_live_final
from creativepair.store.gold import is_asked
from creativepair.store.tables import UtcDateTime, autosaves, judgement_events, leases, pairs
from creativepair.store.tasks import settle

_undo = judgement_events.alias("undo")


@dataclass(frozen=True, slots=True)
class Autosave:
    """An edit that is not part of a judgement yet, exactly as it was typed."""

    question: str
    verdict: str | None
    typed: str
    action: str


def add_lease(connection: Connection, lease: Lease) -> None:
    """Add a lease."""
    connection.execute(insert(leases).values(**lease.model_dump(mode="python")))


def update_lease(connection: Connection, lease: Lease) -> None:
    """Write a lease's present state over its row."""
    connection.execute(
        update(leases).where(leases.c.lease_id == lease.lease_id).values(**lease.model_dump())
    )


def get_lease(connection: Connection, lease_id: str) -> Lease | None:
    """Return a lease, or None when there is none of that id."""
    row = connection.execute(select(leases).where(leases.c.lease_id == lease_id)).one_or_none()
    return Lease.model_validate(row._asdict()) if row else None


def open_leases(connection: Connection, annotator_id: str, protocol: str) -> list[Lease]:
    """List an annotator's leases without a final: last undone first, then oldest; skipped last.

    A lease under another protocol is not open: its chain could not be finished.
    """
    undone = (
        select(func.max(_undo.c.event_id))
        .where(_undo.c.lease_id == leases.c.lease_id, _undo.c.step == Step.UNDO.value)
        .scalar_subquery()
    )
    query = (
        select(leases)
        .join(pairs, pairs.c.pair_id == leases.c.pair_id)
        .where(
            leases.c.annotator_id == annotator_id,
            leases.c.finished_at.is_(None),
            is_asked(),
            leases.c.protocol == protocol,
        )
        .order_by(
            leases.c.skipped_at.is_not(None),
            leases.c.skipped_at,
            func.coalesce(undone, 0).desc(),
            leases.c.created_at,
            leases.c.lease_id,
        )
    )
    return [Lease.model_validate(row._asdict()) for row in connection.execute(query)]


def last_lease(connection: Connection, annotator_id: str) -> Lease | None:
    """Return the lease that an annotator was given last."""
    query = (
        select(leases)
        .where(leases.c.annotator_id == annotator_id)
        .order_by(leases.c.created_at.desc(), leases.c.lease_id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return Lease.model_validate(row._asdict()) if row else None


def lease_to_repeat(connection: Connection, annotator_id: str, *, after: int) -> Lease | None:
    """Return a lease that can be judged again: finished without a reveal, so many leases ago.

    None when there is none, or each was repeated.
    """
    mine = (leases.c.annotator_id == annotator_id) & leases.c.finished_at.is_not(None)
    long_ago = (
        select(leases.c.finished_at)
        .where(mine)
        .order_by(leases.c.finished_at.desc())
        .limit(1)
        .offset(after - 1)
        .scalar_subquery()
    )
    again = leases.alias("again")
    repeated = (
        select(again.c.lease_id)
        .where(
            again.c.annotator_id == annotator_id,
            again.c.pair_id == leases.c.pair_id,
            again.c.pass_ == OUTSIDE,
        )
        .exists()
    )
    query = (
        select(leases)
        .join(pairs, pairs.c.pair_id == leases.c.pair_id)
        .where(
            mine,
            leases.c.finished_at < long_ago,
            leases.c.arm == Arm.BLIND_ONLY.value,
            leases.c.pass_ != OUTSIDE,
            pairs.c.status == PairStatus.CANDIDATE.value,
            ~repeated,
        )
        .order_by(leases.c.finished_at.desc(), leases.c.lease_id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return Lease.model_validate(row._asdict()) if row else None


def add_events(connection: Connection, events: Sequence[JudgementEvent]) -> None:
    """Append events, in order; leases and tasks follow what they finish or reopen."""
    if not events:
        return
    rows = [
        event.model_dump()
        | {
            "reviewed": [r.model_dump() for r in event.reviewed],
            "chain": event.chain.model_dump() if event.chain else None,
        }
        for event in events
    ]
    connection.execute(insert(judgement_events), rows)
    turns = [event for event in events if event.step in (Step.FINAL, Step.UNDO)]
    if not turns:
        return
    # By whom and what, not by lease: a judgement that was imported has none, and finishes one too.
    of_event = and_(
        leases.c.annotator_id == bindparam("whose"),
        leases.c.pair_id == bindparam("pair"),
        leases.c.pass_ == bindparam("of_pass"),
    )
    ends = [
        {
            "whose": event.annotator_id,
            "pair": event.pair_id,
            "of_pass": event.pass_,
            "at": event.decided_at if event.step is Step.FINAL else None,
        }
        for event in turns
    ]
    connection.execute(
        update(leases).where(of_event).values(finished_at=bindparam("at", type_=UtcDateTime)), ends
    )
    settle(connection, [(event.pair_id, event.pass_) for event in turns])


def find_event(connection: Connection, decision_id: str) -> JudgementEvent | None:
    """Return the event of a decision, or None when it was never stored."""
    query = select(judgement_events).where(judgement_events.c.decision_id == decision_id)
    row = connection.execute(query).one_or_none()
    return _event(row) if row else None


def list_events(
    connection: Connection,
    *,
    annotator_id: str | None = None,
    pair_id: str | None = None,
    pass_: int | None = None,
) -> list[JudgementEvent]:
    """List events in the order they were stored, of one annotator, pair or pass where given."""
    wanted = {"annotator_id": annotator_id, "pair_id": pair_id, "pass_": pass_}
    query = select(judgement_events).order_by(judgement_events.c.event_id)
    for name, value in wanted.items():
        if value is not None:
            query = query.where(judgement_events.c[name] == value)
    return [_event(row) for row in connection.execute(query)]


def last_final(connection: Connection, annotator_id: str) -> JudgementEvent | None:
    """Return the final that an undo would reopen: the newest live one made at the desk.

    Finals on pairs that are no candidates any more stay: reopened, nobody could finish them.
    """
    query = (
        select(judgement_events)
        .join(pairs, pairs.c.pair_id == judgement_events.c.pair_id)
        .where(
            is_asked(),
            judgement_events.c.annotator_id == annotator_id,
            judgement_events.c.lease_id.is_not(None),
            is_live_final(),
        )
        .order_by(judgement_events.c.event_id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return _event(row) if row else None


def count_finals(connection: Connection) -> int:
    """Count live finals; answers to gold and repeats are none."""
    query = select(func.count()).select_from(judgement_events)
    query = query.where(is_live_final(), judgement_events.c.pass_ != OUTSIDE)
    return connection.execute(query).scalar_one()


def count_finished(connection: Connection, annotator_id: str) -> int:
    """Count what an annotator has finished at the desk, gold and repeats too."""
    query = select(func.count()).select_from(leases)
    query = query.where(leases.c.annotator_id == annotator_id, leases.c.finished_at.is_not(None))
    return connection.execute(query).scalar_one()


def last_finished(connection: Connection, annotator_id: str, *, limit: int) -> list[datetime]:
    """List when an annotator finished something at the desk, newest first."""
    query = (
        select(leases.c.finished_at)
        .where(leases.c.annotator_id == annotator_id, leases.c.finished_at.is_not(None))
        .order_by(leases.c.finished_at.desc())
        .limit(limit)
    )
    return [at for at in connection.execute(query).scalars() if at is not None]


def save_edits(
    connection: Connection, lease_id: str, edits: Iterable[Autosave], *, now: datetime
) -> None:
    """Write edits over those of the same questions."""
    for edit in edits:
        key = (autosaves.c.lease_id == lease_id) & (autosaves.c.question == edit.question)
        connection.execute(delete(autosaves).where(key))
        connection.execute(
            insert(autosaves).values(
                lease_id=lease_id,
                question=edit.question,
                verdict=edit.verdict,
                typed=edit.typed,
                action=edit.action,
                saved_at=now,
            )
        )


def list_edits(connection: Connection, lease_id: str) -> dict[str, Autosave]:
    """Return the autosaved edits of a lease by question."""
    query = select(autosaves).where(autosaves.c.lease_id == lease_id)
    return {
        row.question: Autosave(row.question, row.verdict, row.typed, row.action)
        for row in connection.execute(query)
    }


def _event(row: Row[Any]) -> JudgementEvent:
    values = row._asdict()
    values.pop("event_id")
    return JudgementEvent.model_validate(values)
