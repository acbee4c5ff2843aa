"""The work queue in the store: batches, tasks and who may take which.

A task is a pair in one pass with a target of finals. `is_open` is what events, pairs and pauses add
up to; `settle` writes it, and everything that changes one of them calls it. Every function takes
the connection of a transaction of `Store`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from creativepair.errors import NotFoundError
from creativepair.records import Batch, PairStatus, Task
from creativepair.store.finals import is_live_final
from creativepair.store.locks import take_turn
from creativepair.store.prepared import Prepared
from creativepair.store.tables import (
    UtcDateTime,
    assignments,
    batches,
    judgement_events,
    leases,
    pairs,
    tasks,
)

_COLUMNS = [tasks.c[name] for name in Task.model_fields]


def lock_annotator(connection: Connection, annotator_id: str) -> None:
    """Let one transaction at a time give work to an annotator: two tabs get one pair."""
    take_turn(connection, f"annotator {annotator_id}")


# --- batches ----------------------------------------------------------------------------------


def add_batch(
    connection: Connection, name: str, protocol: str, *, priority: int, now: datetime
) -> int:
    """Add a batch, open to everyone; return its number."""
    values = {"name": name, "protocol": protocol, "priority": priority, "created_at": now}
    result = connection.execute(insert(batches).values(**values).returning(batches.c.batch_id))
    return int(result.scalar_one())


def list_batches(connection: Connection) -> list[Batch]:
    """List all batches, those of a higher priority first, then the older."""
    found: dict[int, Batch] = {}
    for row in _LIST_BATCHES.run(connection, {}):
        annotator_id, role = row.pop("annotator_id"), row.pop("role")
        batch = found.get(row["batch_id"]) or Batch.model_validate(row)
        found[batch.batch_id] = batch.model_copy(
            update={
                "annotators": batch.annotators + ((annotator_id,) if annotator_id else ()),
                "roles": batch.roles + ((role,) if role else ()),
            }
        )
    return list(found.values())


_LIST_BATCHES = Prepared(
    select(batches, assignments.c.annotator_id, assignments.c.role)
    .outerjoin(assignments, assignments.c.batch_id == batches.c.batch_id)
    .order_by(batches.c.priority.desc(), batches.c.batch_id, assignments.c.assignment_id)
)


def update_batch(connection: Connection, batch: Batch) -> None:
    """Write a batch's name, priority, pause and whom it is given to.

    Raises:
        NotFoundError: when there is no such batch.
    """
    found = connection.execute(
        update(batches)
        .where(batches.c.batch_id == batch.batch_id)
        .values(name=batch.name, priority=batch.priority, paused_at=batch.paused_at)
    )
    if not found.rowcount:
        raise NotFoundError(f"no batch {batch.batch_id}", hint="Reload the page.")
    connection.execute(delete(assignments).where(assignments.c.batch_id == batch.batch_id))
    rows = [{"annotator_id": name, "role": None} for name in batch.annotators]
    rows += [{"annotator_id": None, "role": role} for role in batch.roles]
    if rows:
        connection.execute(
            insert(assignments), [row | {"batch_id": batch.batch_id} for row in rows]
        )


# --- tasks ------------------------------------------------------------------------------------


def add_tasks(connection: Connection, new: Sequence[Task]) -> None:
    """Add tasks and settle them."""
    if new:
        connection.execute(insert(tasks), [task.model_dump() | {"is_open": False} for task in new])
        settle(connection, [(task.pair_id, task.pass_) for task in new])


def get_task(
    connection: Connection, pair_id: str, pass_: int, *, lock: bool = False
) -> Task | None:
    """Return a task, or None; locked for this transaction where asked (SQLite is locked whole)."""
    query = _LOCK_TASK if lock else _GET_TASK
    row = query.find(connection, {"pair": pair_id, "of_pass": pass_})
    return Task.model_validate(row) if row else None


_ONE = (tasks.c.pair_id == bindparam("pair")) & (tasks.c.pass_ == bindparam("of_pass"))
_GET_TASK = Prepared(select(*_COLUMNS).where(_ONE))
_LOCK_TASK = Prepared(select(*_COLUMNS).where(_ONE).with_for_update())


def newest_passes(connection: Connection, pair_ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Return the newest pass of each pair that has one, and whether a task has it too."""
    found: dict[str, tuple[int, bool]] = {}
    for table in (judgement_events, tasks):
        query = select(table.c.pair_id, func.max(table.c.pass_)).group_by(table.c.pair_id)
        for pair_id, newest in connection.execute(query.where(table.c.pair_id.in_(pair_ids))):
            if newest >= found.get(pair_id, (0, False))[0]:
                found[pair_id] = newest, table is tasks
    return found


def open_pair_ids(connection: Connection, pair_ids: Sequence[str]) -> list[str]:
    """List those of some pairs that have an open task, by id."""
    query = select(tasks.c.pair_id).where(tasks.c.pair_id.in_(pair_ids), tasks.c.is_open.is_(True))
    return sorted(set(connection.execute(query).scalars()))


def move_tasks(
    connection: Connection,
    pair_ids: Sequence[str],
    *,
    batch_id: int | None = None,
    rank: float | None = None,
) -> int:
    """Give open tasks of some pairs to another batch, another rank or both; return how many."""
    changes = {"batch_id": batch_id, "rank": rank}
    wanted = {name: value for name, value in changes.items() if value is not None}
    if not wanted:
        return 0
    condition = tasks.c.pair_id.in_(pair_ids) & tasks.c.is_open.is_(True)
    return connection.execute(update(tasks).where(condition).values(**wanted)).rowcount


def pause_tasks(
    connection: Connection, pair_ids: Sequence[str], *, paused_at: datetime | None
) -> int:
    """Pause the tasks of some pairs, or resume them with None; return how many pairs have any."""
    changed = update(tasks).where(tasks.c.pair_id.in_(pair_ids)).values(paused_at=paused_at)
    rows = connection.execute(changed.returning(tasks.c.pair_id, tasks.c.pass_)).all()
    settle(connection, [(row.pair_id, row.pass_) for row in rows])
    return len({row.pair_id for row in rows})


def candidates_without_task(connection: Connection, protocol: str, *, limit: int) -> list[str]:
    """List candidates that nobody has finished and no batch of this protocol holds, by id.

    Whoever asks is about to give them tasks, and has its turn alone.
    """
    take_turn(connection, "tasks")
    held = (
        select(tasks.c.pair_id)
        .join(batches, batches.c.batch_id == tasks.c.batch_id)
        .where(tasks.c.pair_id == pairs.c.pair_id, batches.c.protocol == protocol)
    )
    finished = select(judgement_events.c.event_id).where(
        judgement_events.c.pair_id == pairs.c.pair_id, is_live_final()
    )
    query = (
        select(pairs.c.pair_id)
        .where(pairs.c.status == PairStatus.CANDIDATE.value, ~held.exists(), ~finished.exists())
        .order_by(pairs.c.pair_id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def lock_tasks(connection: Connection, keys: Iterable[tuple[str, int]]) -> None:
    """Let one transaction at a time finish or reopen what belongs to some tasks (pair id, pass).

    Two finals at once would each count without the other, and both leave the task open. To be
    called before they are written: a statement sees what was committed before it began. SQLite has
    one writer anyway.
    """
    if connection.dialect.name != "sqlite":
        for pair_id, pass_ in sorted(set(keys)):
            _LOCK_TASK.run(connection, {"pair": pair_id, "of_pass": pass_})


def settle(connection: Connection, keys: Iterable[tuple[str, int]] | None = None) -> None:
    """Write `is_open` of some tasks (pair id, pass), or of all.

    Open is a task that is not paused, of a candidate, with fewer live finals than its target.
    """
    if keys is None:
        connection.execute(_SETTLE_ALL)
        return
    for pair_id, pass_ in dict.fromkeys(keys):
        _SETTLE.run(connection, {"pair": pair_id, "of_pass": pass_})


def take_next(
    connection: Connection, annotator_id: str, batch_id: int, *, now: datetime
) -> Task | None:
    """Return the open task of lowest rank in a batch that an annotator may take; None without one.

    That is: whose target is not reached by live finals and other people's leases together, and
    which this annotator neither holds nor has judged. It is locked for this transaction; others
    get the next one meanwhile.
    """
    wanted = {"annotator": annotator_id, "batch": batch_id, "now": now}
    while True:
        row = _TAKE_NEXT.find(connection, wanted)
        task = Task.model_validate(row) if row else None
        if task is None or connection.dialect.name == "sqlite":
            return task
        # A row that another transaction has just let go can be full, which this statement, begun
        # before, did not see; the next one does.
        if has_room(connection, task, annotator_id, now=now):
            return task


def has_room(connection: Connection, task: Task, annotator_id: str, *, now: datetime) -> bool:
    """Whether finals and other people's leases leave room for one more final of an annotator.

    True also where this annotator's own final is what fills the target: it can be changed.
    """
    wanted = {"pair": task.pair_id, "of_pass": task.pass_, "annotator": annotator_id, "now": now}
    [row] = _USED_BY_OTHERS.run(connection, wanted)
    return bool(row["used"] < task.target)


def _num_finals(*others: ColumnElement[bool]) -> ColumnElement[int]:
    """SQL: live finals of a task."""
    query = select(func.count()).where(
        judgement_events.c.pair_id == tasks.c.pair_id,
        judgement_events.c.pass_ == tasks.c.pass_,
        is_live_final(),
        *others,
    )
    return query.correlate(tasks).scalar_subquery()


def _num_leases(*others: ColumnElement[bool]) -> ColumnElement[int]:
    """SQL: leases of a task that hold a place: not finished, put aside or run out."""
    query = select(func.count()).where(
        leases.c.pair_id == tasks.c.pair_id,
        leases.c.pass_ == tasks.c.pass_,
        leases.c.finished_at.is_(None),
        leases.c.skipped_at.is_(None),
        leases.c.expires_at > bindparam("now", type_=UtcDateTime),
        *others,
    )
    return query.correlate(tasks).scalar_subquery()


def _num_of_annotator(table: Table) -> ColumnElement[int]:
    """SQL: rows that a task has of this annotator.

    Counted among the task's, who are few. As a condition the annotator would be one to look up by,
    and PostgreSQL then goes through all that this person ever did, for each task.
    """
    query = select(func.count().filter(table.c.annotator_id == bindparam("annotator"))).where(
        table.c.pair_id == tasks.c.pair_id,
        table.c.pass_ == tasks.c.pass_,
    )
    return query.correlate(tasks).scalar_subquery()


_status_of_pair = (
    select(pairs.c.status)
    .where(pairs.c.pair_id == tasks.c.pair_id)
    .correlate(tasks)
    .scalar_subquery()
)
_OF_CANDIDATE = _status_of_pair == PairStatus.CANDIDATE.value
_IS_OPEN = tasks.c.paused_at.is_(None) & _OF_CANDIDATE & (_num_finals() < tasks.c.target)
_SETTLE = Prepared(update(tasks).where(_ONE).values(is_open=_IS_OPEN))
_SETTLE_ALL = update(tasks).where(tasks.c.is_open != _IS_OPEN).values(is_open=_IS_OPEN)
# What is cheap and excludes most stands first: whatever others hold is looked at every time. All is
# asked of one task after the other, by subqueries with one value: of EXISTS PostgreSQL makes joins
# that begin elsewhere, and then it goes through all tasks.
NEXT_TASKS = (
    select(*_COLUMNS)
    .where(
        tasks.c.batch_id == bindparam("batch"),
        tasks.c.is_open.is_(True),
        _num_leases() < tasks.c.target,
        _num_finals() + _num_leases() < tasks.c.target,
        _num_of_annotator(leases) == 0,
        _num_of_annotator(judgement_events) == 0,
        _OF_CANDIDATE,
    )
    .order_by(tasks.c.rank, tasks.c.pair_id)
)
"""SQL: what `take_next` takes, and what comes after it."""
# The limit is a part of the text: with one that it does not know PostgreSQL plans every execution.
_TAKE_NEXT = Prepared(
    NEXT_TASKS.limit(literal_column("1")).with_for_update(of=tasks, skip_locked=True)
)
_USED_BY_OTHERS = Prepared(
    select(
        (
            _num_finals(judgement_events.c.annotator_id != bindparam("annotator"))
            + _num_leases(leases.c.annotator_id != bindparam("annotator"))
        ).label("used")
    ).where(_ONE)
)


def count_open(connection: Connection, batch_ids: Sequence[int]) -> int:
    """Count open tasks of some batches."""
    query = select(func.count()).select_from(tasks)
    query = query.where(tasks.c.batch_id.in_(batch_ids), tasks.c.is_open.is_(True))
    return connection.execute(query).scalar_one()


def count_waiting(connection: Connection, annotator_id: str, batch_ids: Sequence[int]) -> int:
    """Count open tasks of some batches that this annotator has finished and others have not."""
    query = (
        select(func.count())
        .select_from(leases)
        .join(tasks, (tasks.c.pair_id == leases.c.pair_id) & (tasks.c.pass_ == leases.c.pass_))
        .where(
            leases.c.annotator_id == annotator_id,
            leases.c.finished_at.is_not(None),
            tasks.c.batch_id.in_(batch_ids),
            tasks.c.is_open.is_(True),
        )
    )
    return connection.execute(query).scalar_one()


def has_tasks(connection: Connection, protocol: str) -> bool:
    """Whether any pair was ever given out under a protocol."""
    return _any(connection, protocol)


def has_withheld(connection: Connection, protocol: str) -> bool:
    """Whether a task of a protocol is short of its target: open in some batch, or paused."""
    paused = tasks.c.paused_at.is_not(None) & _OF_CANDIDATE & (_num_finals() < tasks.c.target)
    return _any(connection, protocol, tasks.c.is_open.is_(True)) or _any(
        connection, protocol, paused
    )


def _any(connection: Connection, protocol: str, *conditions: ColumnElement[bool]) -> bool:
    query = select(tasks.c.pair_id).join(batches, batches.c.batch_id == tasks.c.batch_id)
    query = query.where(batches.c.protocol == protocol, *conditions).limit(1)
    return connection.execute(query).first() is not None
