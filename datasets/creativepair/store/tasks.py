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
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from creativepair.errors import NotFoundError
from creativepair.records import Batch, PairStatus, Task
from creativepair.store.finals import is_live_final
from creativepair.store.locks import take_turn
from creativepair.store.tables import (
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
    to_whom: dict[int, list[tuple[str | None, str | None]]] = {}
    for row in connection.execute(select(assignments).order_by(assignments.c.assignment_id)):
        to_whom.setdefault(row.batch_id, []).append((row.annotator_id, row.role))
    query = select(batches).order_by(batches.c.priority.desc(), batches.c.batch_id)
    return [
        Batch(
            annotators=tuple(a for a, _ in to_whom.get(row.batch_id, ()) if a is not None),
            roles=tuple(r for _, r in to_whom.get(row.batch_id, ()) if r is not None),
            **row._asdict(),
        )
        for row in connection.execute(query)
    ]


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
    query = select(*_COLUMNS).where(tasks.c.pair_id == pair_id, tasks.c.pass_ == pass_)
    if lock:
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    return Task.model_validate(row._asdict()) if row else None


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
) -> None:
    """Pause the tasks of some pairs, or resume them with None."""
    changed = update(tasks).where(tasks.c.pair_id.in_(pair_ids)).values(paused_at=paused_at)
    rows = connection.execute(changed.returning(tasks.c.pair_id, tasks.c.pass_))
    settle(connection, [(row.pair_id, row.pass_) for row in rows])


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


def settle(connection: Connection, keys: Iterable[tuple[str, int]] | None = None) -> None:
    """Write `is_open` of some tasks (pair id, pass), or of all.

    Open is a task that is not paused, of a candidate, with fewer live finals than its target.
    """
    candidate = (
        select(pairs.c.pair_id)
        .where(pairs.c.pair_id == tasks.c.pair_id, pairs.c.status == PairStatus.CANDIDATE.value)
        .exists()
    )
    is_open = tasks.c.paused_at.is_(None) & candidate & (_num_finals() < tasks.c.target)
    if keys is None:
        connection.execute(update(tasks).where(tasks.c.is_open != is_open).values(is_open=is_open))
        return
    one = and_(tasks.c.pair_id == bindparam("pair"), tasks.c.pass_ == bindparam("of_pass"))
    rows = [{"pair": pair_id, "of_pass": pass_} for pair_id, pass_ in dict.fromkeys(keys)]
    if rows:
        connection.execute(update(tasks).where(one).values(is_open=is_open), rows)


def next_tasks(
    connection: Connection,
    annotator_id: str,
    batch_id: int,
    *,
    now: datetime,
    limit: int,
    lock: bool = False,
) -> list[Task]:
    """List open tasks of a batch that an annotator may take, those of the lowest rank first.

    That is: whose target is not reached by live finals and other people's leases together, and
    which this annotator neither holds nor has judged.
    """
    mine = (
        select(leases.c.lease_id)
        .where(
            leases.c.pair_id == tasks.c.pair_id,
            leases.c.pass_ == tasks.c.pass_,
            leases.c.annotator_id == annotator_id,
        )
        .exists()
    )
    judged = (
        select(judgement_events.c.event_id)
        .where(
            judgement_events.c.pair_id == tasks.c.pair_id,
            judgement_events.c.pass_ == tasks.c.pass_,
            judgement_events.c.annotator_id == annotator_id,
        )
        .exists()
    )
    query = (
        select(*_COLUMNS)
        .join(pairs, pairs.c.pair_id == tasks.c.pair_id)
        .where(
            tasks.c.batch_id == batch_id,
            tasks.c.is_open.is_(True),
            pairs.c.status == PairStatus.CANDIDATE.value,
            ~mine,
            ~judged,
            _num_finals() + _num_leases(now) < tasks.c.target,
        )
        .order_by(tasks.c.rank, tasks.c.pair_id)
        .limit(limit)
    )
    if lock:
        # Others take the next ones meanwhile, instead of waiting.
        query = query.with_for_update(of=tasks, skip_locked=True)
    return [Task.model_validate(row._asdict()) for row in connection.execute(query)]


def has_room(connection: Connection, task: Task, annotator_id: str, *, now: datetime) -> bool:
    """Whether finals and other people's leases leave room for one more final of an annotator.

    True also where this annotator's own final is what fills the target: it can be changed.
    """
    others = _num_leases(now, except_annotator=annotator_id)
    query = select(_num_finals(except_annotator=annotator_id) + others).where(
        tasks.c.pair_id == task.pair_id, tasks.c.pass_ == task.pass_
    )
    return connection.execute(query).scalar_one() < task.target


def count_open(connection: Connection, batch_ids: Sequence[int]) -> int:
    """Count open tasks of some batches."""
    query = select(func.count()).select_from(tasks)
    query = query.where(tasks.c.batch_id.in_(batch_ids), tasks.c.is_open.is_(True))
    return connection.execute(query).scalar_one()


def count_waiting(connection: Connection, annotator_id: str, batch_ids: Sequence[int]) -> int:
    """Count open tasks of some batches that this annotator has finished and others have not."""
    finished = (
        select(leases.c.lease_id)
        .where(
            leases.c.pair_id == tasks.c.pair_id,
            leases.c.pass_ == tasks.c.pass_,
            leases.c.annotator_id == annotator_id,
            leases.c.finished_at.is_not(None),
        )
        .exists()
    )
    query = select(func.count()).select_from(tasks)
    query = query.where(
        tasks.c.batch_id.in_(batch_ids), tasks.c.is_open.is_(True), tasks.c.target > 1, finished
    )
    return connection.execute(query).scalar_one()


def _num_finals(*, except_annotator: str | None = None) -> ColumnElement[int]:
    """SQL: live finals of a task."""
    query = select(func.count()).where(
        judgement_events.c.pair_id == tasks.c.pair_id,
        judgement_events.c.pass_ == tasks.c.pass_,
        is_live_final(),
    )
    if except_annotator is not None:
        query = query.where(judgement_events.c.annotator_id != except_annotator)
    return query.correlate(tasks).scalar_subquery()


def _num_leases(now: datetime, *, except_annotator: str | None = None) -> ColumnElement[int]:
    """SQL: leases of a task that hold a place: not finished, put aside or run out."""
    query = select(func.count()).where(
        leases.c.pair_id == tasks.c.pair_id,
        leases.c.pass_ == tasks.c.pass_,
        leases.c.finished_at.is_(None),
        leases.c.skipped_at.is_(None),
        leases.c.expires_at > now,
    )
    if except_annotator is not None:
        query = query.where(leases.c.annotator_id != except_annotator)
    return query.correlate(tasks).scalar_subquery()
