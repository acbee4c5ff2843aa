"""Making work: which pairs are asked about, how often, in which batch, and again.

`fill` gives every candidate a task; `reopen` asks about judged pairs once more, in a new pass.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from annotators.draws import draw_number
from creativepair.errors import InputError
from creativepair.records import PairStatus, Task
from creativepair.store import pairs, tasks
from creativepair.workspace import Workspace

_PAIRS_AT_ONCE = 10_000


def fill(connection: Connection, workspace: Workspace, *, now: datetime) -> int:
    """Give a task to each candidate that has none under today's protocol; return how many.

    What was finished under an older protocol stays finished; `reopen` asks again. The tasks go
    into the newest running batch that everyone works on, or into a new one.
    """
    protocol, filled, batch_id = workspace.protocol.version, 0, None
    while names := tasks.candidates_without_task(connection, protocol, limit=_PAIRS_AT_ONCE):
        if batch_id is None:
            batch_id = _find_open_batch(connection, protocol) or tasks.add_batch(
                connection, "All candidates", protocol, priority=0, now=now
            )
        filled += _add_tasks(connection, workspace, names, batch_id)
    return filled


def open_batch(
    connection: Connection,
    workspace: Workspace,
    name: str,
    pair_ids: Sequence[str],
    *,
    priority: int = 0,
    now: datetime,
) -> int:
    """Put the open tasks of some pairs into a batch of their own; return its number.

    Raises:
        InputError: when none of the pairs has an open task.
    """
    batch_id = tasks.add_batch(
        connection, name, workspace.protocol.version, priority=priority, now=now
    )
    if not tasks.move_tasks(connection, pair_ids, batch_id=batch_id):
        raise InputError(
            "none of these pairs is open", hint="Choose open pairs, or reopen judged ones."
        )
    return batch_id


def reopen(
    connection: Connection,
    workspace: Workspace,
    name: str,
    pair_ids: Sequence[str],
    *,
    priority: int = 0,
    now: datetime,
) -> int:
    """Ask about some pairs again, in a new pass and a batch of its own; return its number.

    What was judged stays. A stale pair becomes a candidate again: whoever reopens it wants it
    judged as it is today.

    Raises:
        InputError: when one of them is excluded or withdrawn, or is still open.
    """
    listed = [pairs.get_pair(connection, pair_id) for pair_id in dict.fromkeys(pair_ids)]
    barred = [
        pair.pair_id
        for pair in listed
        if pair.status not in (PairStatus.CANDIDATE, PairStatus.STALE)
    ]
    if barred or not listed:
        raise InputError(
            f"{len(barred)} of these pairs cannot be judged: {', '.join(barred[:20])}"
            if barred
            else "no pairs were named",
            hint="Reopen candidates and stale pairs; `pairs show` says why a pair is excluded.",
        )
    names = [pair.pair_id for pair in listed]
    still_open = tasks.open_pair_ids(connection, names)
    if still_open:
        raise InputError(
            f"{len(still_open)} of these pairs are open already: {', '.join(still_open[:20])}",
            hint="Leave them out; they are still to be judged.",
        )
    pairs.make_candidates(connection, names)
    batch_id = tasks.add_batch(
        connection, name, workspace.protocol.version, priority=priority, now=now
    )
    _add_tasks(connection, workspace, names, batch_id, new_pass=True)
    return batch_id


def _find_open_batch(connection: Connection, protocol: str) -> int | None:
    running = [
        batch.batch_id
        for batch in tasks.list_batches(connection)
        if batch.protocol == protocol
        and batch.paused_at is None
        and not (batch.annotators or batch.roles)
    ]
    return max(running, default=None)


def _add_tasks(
    connection: Connection,
    workspace: Workspace,
    pair_ids: Sequence[str],
    batch_id: int,
    *,
    new_pass: bool = False,
) -> int:
    seed, review = workspace.settings.seed, workspace.settings.review
    passes = tasks.newest_passes(connection, pair_ids)
    new = []
    for pair_id in pair_ids:
        # A task under an older protocol, or one to be asked again, needs a pass of its own; a pair
        # that was only imported as judged has a pass and no task.
        number = passes.get(pair_id, (0, False))
        pass_ = max(1, number[0] + (1 if new_pass or number[1] else 0))
        overlaps = draw_number(seed, "overlap", pair_id, str(pass_)) < review.overlap_share
        target = review.overlap_target if overlaps else 1
        new.append(Task(pair_id=pair_id, pass_=pass_, batch_id=batch_id, target=target))
    tasks.add_tasks(connection, new)
    return len(new)
