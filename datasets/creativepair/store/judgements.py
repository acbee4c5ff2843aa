"""Leases, judgement events and autosaved edits in the store.

Events are append-only: this module has no function that changes or deletes one. Every function
takes the connection of a transaction of `Store`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from creativepair.records import OUTSIDE, Arm, JudgementEvent, Lease, PairStatus, Step
from creativepair.store.finals import is_live_final
from creativepair.store.gold import is_asked
from creativepair.store.prepared import Prepared
from creativepair.store.tables import UtcDateTime, autosaves, judgement_events, leases, pairs
from creativepair.store.tasks import lock_tasks, settle

_undo = judgement_events.alias("undo")


@dataclass(frozen=True, slots=True)
class Autosave:
    """An edit that is not part of a judgement yet, exactly as it was typed."""

    question: str
    verdict: str | None
    typed: str
    action: str


@dataclass(frozen=True, slots=True)
class Done:
    """What an annotator has done at the desk.

    Attributes:
        last_final: as `last_final_id`.
        num_finished: gold and repeats too.
    """

    last_final: str | None
    num_finished: int


# Statements that every decision runs stand ready: building one takes longer than running it.
_WHOSE: BindParameter[str] = bindparam("annotator_id")
_MINE = leases.c.annotator_id == _WHOSE
_MINE_FINISHED = _MINE & leases.c.finished_at.is_not(None)


def add_lease(connection: Connection, lease: Lease) -> None:
    """Add a lease."""
    _ADD_LEASE.run(connection, lease.model_dump())


_ADD_LEASE = Prepared(insert(leases), columns=list(Lease.model_fields))


def update_lease(connection: Connection, lease: Lease) -> None:
    """Write a lease's present state over its row."""
    _UPDATE_LEASE.run(connection, {"of_lease": lease.lease_id, **lease.model_dump()})


_UPDATE_LEASE = Prepared(
    update(leases).where(leases.c.lease_id == bindparam("of_lease")),
    columns=list(Lease.model_fields),
)


def get_lease(connection: Connection, lease_id: str) -> Lease | None:
    """Return a lease, or None when there is none of that id."""
    return _lease(_GET_LEASE.find(connection, {"lease_id": lease_id}))


_GET_LEASE = Prepared(select(leases).where(leases.c.lease_id == bindparam("lease_id")))


def open_leases(connection: Connection, annotator_id: str, protocol: str) -> list[Lease]:
    """List an annotator's leases without a final: last undone first, then oldest; skipped last.

    A lease under another protocol is not open: its chain could not be finished.
    """
    whose = {"annotator_id": annotator_id, "protocol": protocol}
    return [Lease.model_validate(row) for row in _OPEN_LEASES.run(connection, whose)]


_LAST_UNDO = (
    select(func.max(_undo.c.event_id))
    .where(_undo.c.lease_id == leases.c.lease_id, _undo.c.step == Step.UNDO.value)
    .scalar_subquery()
)
_OPEN_LEASES = Prepared(
    select(leases)
    .join(pairs, pairs.c.pair_id == leases.c.pair_id)
    .where(
        _MINE,
        leases.c.finished_at.is_(None),
        is_asked(),
        leases.c.protocol == bindparam("protocol"),
    )
    .order_by(
        leases.c.skipped_at.is_not(None),
        leases.c.skipped_at,
        func.coalesce(_LAST_UNDO, 0).desc(),
        leases.c.created_at,
        leases.c.lease_id,
    )
)


def last_lease(connection: Connection, annotator_id: str) -> Lease | None:
    """Return the lease that an annotator was given last."""
    return _lease(_LAST_LEASE.find(connection, {"annotator_id": annotator_id}))


_LAST_LEASE = Prepared(
    select(leases).where(_MINE).order_by(leases.c.created_at.desc(), leases.c.lease_id).limit(1)
)


def lease_to_repeat(connection: Connection, annotator_id: str, *, after: int) -> Lease | None:
    """Return a lease that can be judged again: finished without a reveal, so many leases ago.

    None when there is none, or each was repeated.
    """
    wanted = {"annotator_id": annotator_id, "offset": after - 1}
    return _lease(_LEASE_TO_REPEAT.find(connection, wanted))


_again = leases.alias("again")
_LONG_AGO = (
    select(leases.c.finished_at)
    .where(_MINE_FINISHED)
    .order_by(leases.c.finished_at.desc())
    .limit(1)
    .offset(bindparam("offset"))
    .scalar_subquery()
)
_REPEATED = (
    select(_again.c.lease_id)
    .where(
        _again.c.annotator_id == _WHOSE,
        _again.c.pair_id == leases.c.pair_id,
        _again.c.pass_ == OUTSIDE,
    )
    .exists()
)
_LEASE_TO_REPEAT = Prepared(
    select(leases)
    .join(pairs, pairs.c.pair_id == leases.c.pair_id)
    .where(
        _MINE_FINISHED,
        leases.c.finished_at < _LONG_AGO,
        leases.c.arm == Arm.BLIND_ONLY.value,
        leases.c.pass_ != OUTSIDE,
        pairs.c.status == PairStatus.CANDIDATE.value,
        ~_REPEATED,
    )
    .order_by(leases.c.finished_at.desc(), leases.c.lease_id)
    .limit(1)
)


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
    turns = [event for event in events if event.step in (Step.FINAL, Step.UNDO)]
    keys = [(event.pair_id, event.pass_) for event in turns]
    lock_tasks(connection, keys)
    for row in rows:
        _ADD_EVENTS.run(connection, row)
    for event in turns:
        end = {
            "whose": event.annotator_id,
            "pair": event.pair_id,
            "of_pass": event.pass_,
            "at": event.decided_at if event.step is Step.FINAL else None,
        }
        _END_LEASES.run(connection, end)
    settle(connection, keys)


_ADD_EVENTS = Prepared(insert(judgement_events), columns=list(JudgementEvent.model_fields))
# By whom and what, not by lease: a judgement that was imported has none, and finishes one too.
_END_LEASES = Prepared(
    update(leases)
    .where(
        leases.c.annotator_id == bindparam("whose"),
        leases.c.pair_id == bindparam("pair"),
        leases.c.pass_ == bindparam("of_pass"),
    )
    .values(finished_at=bindparam("at", type_=UtcDateTime))
)


def find_event(connection: Connection, decision_id: str) -> JudgementEvent | None:
    """Return the event of a decision, or None when it was never stored."""
    row = _FIND_EVENT.find(connection, {"decision": decision_id})
    return _event(row) if row else None


_FIND_EVENT = Prepared(
    select(judgement_events).where(judgement_events.c.decision_id == bindparam("decision"))
)


def events_of(connection: Connection, lease: Lease) -> list[JudgementEvent]:
    """List the events of a lease's judgement in the order they were stored, imported ones too."""
    key = {name: getattr(lease, name) for name in ("annotator_id", "pair_id", "pass_")}
    return [_event(row) for row in _EVENTS_OF.run(connection, key)]


_OF_LEASE = and_(
    judgement_events.c.annotator_id == _WHOSE,
    judgement_events.c.pair_id == bindparam("pair_id"),
    judgement_events.c.pass_ == bindparam("pass_"),
)
_EVENTS_OF = Prepared(
    select(judgement_events).where(_OF_LEASE).order_by(judgement_events.c.event_id)
)


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
    return [_event(row._asdict()) for row in connection.execute(query)]


def list_events_of_pairs(connection: Connection, pair_ids: Sequence[str]) -> list[JudgementEvent]:
    """List the events of some pairs in the order they were stored."""
    query = select(judgement_events).where(judgement_events.c.pair_id.in_(pair_ids))
    rows = connection.execute(query.order_by(judgement_events.c.event_id))
    return [_event(row._asdict()) for row in rows]


def newest_event_id(connection: Connection) -> int:
    """Return the number of the event stored last; 0 where there is none."""
    return connection.execute(select(func.max(judgement_events.c.event_id))).scalar() or 0


def last_final_id(connection: Connection, annotator_id: str) -> str | None:
    """Return the decision that an undo would reopen: the newest live final made at the desk.

    Finals on pairs that are no candidates any more stay: reopened, nobody could finish them.
    """
    return read_done(connection, annotator_id).last_final


def read_done(connection: Connection, annotator_id: str) -> Done:
    """Return what an annotator has done at the desk."""
    [row] = _DONE.run(connection, {"annotator_id": annotator_id})
    return Done(**row)


_LAST_FINAL = (
    select(judgement_events.c.decision_id)
    .join(pairs, pairs.c.pair_id == judgement_events.c.pair_id)
    .where(
        is_asked(),
        judgement_events.c.annotator_id == _WHOSE,
        judgement_events.c.lease_id.is_not(None),
        is_live_final(),
    )
    .order_by(judgement_events.c.event_id.desc())
    .limit(1)
)
_NUM_FINISHED = select(func.count()).select_from(leases).where(_MINE_FINISHED)
_DONE = Prepared(
    select(
        _LAST_FINAL.scalar_subquery().label("last_final"),
        _NUM_FINISHED.scalar_subquery().label("num_finished"),
    )
)


def count_finals(connection: Connection) -> int:
    """Count live finals; answers to gold and repeats are none."""
    query = select(func.count()).select_from(judgement_events)
    query = query.where(is_live_final(), judgement_events.c.pass_ != OUTSIDE)
    return connection.execute(query).scalar_one()


def last_finished(connection: Connection, annotator_id: str, *, limit: int) -> list[datetime]:
    """List when an annotator finished something at the desk, newest first."""
    wanted = {"annotator_id": annotator_id, "limit": limit}
    return [at for at in connection.execute(_LAST_FINISHED, wanted).scalars() if at is not None]


_LAST_FINISHED = (
    select(leases.c.finished_at)
    .where(_MINE_FINISHED)
    .order_by(leases.c.finished_at.desc())
    .limit(bindparam("limit"))
)


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
    rows = _LIST_EDITS.run(connection, {"lease_id": lease_id})
    return {row["question"]: Autosave(**row) for row in rows}


_LIST_EDITS = Prepared(
    select(*(autosaves.c[edit.name] for edit in fields(Autosave))).where(
        autosaves.c.lease_id == bindparam("lease_id")
    )
)


def _lease(row: dict[str, Any] | None) -> Lease | None:
    return Lease.model_validate(row) if row else None


def _event(row: dict[str, Any]) -> JudgementEvent:
    row.pop("event_id")
    return JudgementEvent.model_validate(row)
