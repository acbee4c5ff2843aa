"""Leases, judgement events and autosaved edits in the store.

Events are append-only: this module has no function that changes or deletes one. Every function
takes the connection of a transaction of `Store`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    distinct,
    func,
    insert,
    select,
    update,
)

from creativepair.records import JudgementEvent, Lease, PairStatus, Step
from creativepair.store.tables import autosaves, judgement_events, leases, pairs

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

    A lease that was begun under another protocol is not open: its chain could not be finished.
    """
    undone = (
        select(func.max(_undo.c.event_id))
        .where(_undo.c.lease_id == leases.c.lease_id, _undo.c.step == Step.UNDO.value)
        .scalar_subquery()
    )
    begun = (
        select(judgement_events.c.event_id)
        .where(judgement_events.c.lease_id == leases.c.lease_id)
        .exists()
    )
    finished = (
        select(judgement_events.c.event_id)
        .where(
            # Not by lease: a judgement that was imported has none, and finishes this one too.
            judgement_events.c.annotator_id == leases.c.annotator_id,
            judgement_events.c.pair_id == leases.c.pair_id,
            judgement_events.c.pass_ == leases.c.pass_,
            is_live_final(),
        )
        .exists()
    )
    query = (
        select(leases)
        .join(pairs, pairs.c.pair_id == leases.c.pair_id)
        .where(
            leases.c.annotator_id == annotator_id,
            pairs.c.status == PairStatus.CANDIDATE.value,
            (leases.c.protocol == protocol) | ~begun,
            ~finished,
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


def unleased_pair_ids(connection: Connection, annotator_id: str, *, limit: int) -> list[str]:
    """List candidates that nobody has finished and this annotator has not leased, by id."""
    leased = (
        select(leases.c.lease_id)
        .where(leases.c.pair_id == pairs.c.pair_id, leases.c.annotator_id == annotator_id)
        .exists()
    )
    query = (
        select(pairs.c.pair_id)
        .where(pairs.c.status == PairStatus.CANDIDATE.value, ~leased, ~_is_finished())
        .order_by(pairs.c.pair_id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def add_events(connection: Connection, events: Sequence[JudgementEvent]) -> None:
    """Append events, in order."""
    for event in events:
        row = event.model_dump() | {
            "reviewed": [r.model_dump() for r in event.reviewed],
            "chain": event.chain.model_dump() if event.chain else None,
        }
        connection.execute(insert(judgement_events).values(**row))


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
            pairs.c.status == PairStatus.CANDIDATE.value,
            judgement_events.c.annotator_id == annotator_id,
            judgement_events.c.lease_id.is_not(None),
            is_live_final(),
        )
        .order_by(judgement_events.c.event_id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return _event(row) if row else None


def count_finals(connection: Connection, annotator_id: str | None = None) -> int:
    """Count live finals, of one annotator where given."""
    query = select(func.count()).select_from(judgement_events).where(is_live_final())
    if annotator_id is not None:
        query = query.where(judgement_events.c.annotator_id == annotator_id)
    return connection.execute(query).scalar_one()


def count_open_pairs(connection: Connection) -> int:
    """Count candidates that nobody has finished."""
    candidate = pairs.c.status == PairStatus.CANDIDATE.value
    total = select(func.count()).select_from(pairs).where(candidate)
    # Counting what is finished and not what is open: its cost does not grow with the pool.
    finished = (
        select(func.count(distinct(judgement_events.c.pair_id)))
        .join(pairs, pairs.c.pair_id == judgement_events.c.pair_id)
        .where(candidate, is_live_final())
    )
    return connection.execute(total).scalar_one() - connection.execute(finished).scalar_one()


def is_live_final() -> ColumnElement[bool]:
    """SQL condition on `judgement_events`: a final that no later undo has reopened."""
    undone = (
        select(_undo.c.event_id)
        .where(
            _undo.c.annotator_id == judgement_events.c.annotator_id,
            _undo.c.pair_id == judgement_events.c.pair_id,
            _undo.c.pass_ == judgement_events.c.pass_,
            _undo.c.step == Step.UNDO.value,
            _undo.c.revision > judgement_events.c.revision,
        )
        .exists()
    )
    return (judgement_events.c.step == Step.FINAL.value) & ~undone


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


def _is_finished() -> ColumnElement[bool]:
    return (
        select(judgement_events.c.event_id)
        .where(judgement_events.c.pair_id == pairs.c.pair_id, is_live_final())
        .exists()
    )


def _event(row: Row[Any]) -> JudgementEvent:
    values = row._asdict()
    values.pop("event_id")
    return JudgementEvent.model_validate(values)
