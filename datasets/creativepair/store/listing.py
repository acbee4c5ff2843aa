"""Looking through the pairs a page at a time, by key: the first page costs the same in any pool.

Nothing here counts the pool. Every function takes the connection of a transaction of `Store`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from creativepair.records import Draft, Evidence, Pair, PairStatus, Task
from creativepair.store import pairs as of_pairs
from creativepair.store.gold import is_data
from creativepair.store.tables import (
    drafts,
    evidence,
    item_revisions,
    items,
    pairs,
    tasks,
)


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs to list; what is None or empty lets all through.

    Attributes:
        text: a pair id or item id, or a part of a title in any case.
        is_open: whether a verdict is still wanted; False also asks for a task, so a pair that was
            never given out is neither.
        batch_id: has a task in this batch.
    """

    text: str = ""
    status: PairStatus | None = None
    reject_reason: str | None = None
    is_open: bool | None = None
    batch_id: int | None = None


@dataclass(frozen=True, slots=True)
class ListedPair:
    """A pair as the list shows it: with the newest of what is known of it.

    Attributes:
        pictures: SHA-256 of the derivatives of A and B.
        task: of the newest pass; None where it was never given out.
        is_open: whether that task still wants a verdict.
    """

    pair: Pair
    title: str
    pictures: tuple[str, str] | None
    evidence: Evidence | None
    draft: Draft | None
    task: Task | None
    is_open: bool


def page_pair_ids(
    connection: Connection, wanted: PairFilter, *, after: str = "", limit: int
) -> list[str]:
    """List pair ids in their order, those after a key; gold is no data and is left out."""
    query = select(pairs.c.pair_id).where(pairs.c.pair_id > after, is_data(), *_conditions(wanted))
    query = query.order_by(pairs.c.pair_id).limit(limit)
    return list(connection.execute(query).scalars())


def list_pairs(connection: Connection, pair_ids: Sequence[str], protocol: str) -> list[ListedPair]:
    """Return what is known of some pairs by id; drafts are those of today's items and protocol."""
    if not pair_ids:
        return []
    pictures = of_pairs.list_pictures(connection, pair_ids)
    known = _newest_evidence(connection, pair_ids)
    drafted = _newest_drafts(connection, pair_ids, protocol)
    given = _newest_tasks(connection, pair_ids)
    rows = connection.execute(
        select(pairs, item_revisions.c.title)
        .join(items, items.c.item_id == pairs.c.item_id)
        .join(item_revisions, _is_current())
        .where(pairs.c.pair_id.in_(pair_ids))
        .order_by(pairs.c.pair_id)
    )
    found = []
    for row in rows:
        values = row._asdict()
        title, pair_id = values.pop("title"), row.pair_id
        task, is_open = given.get(pair_id, (None, False))
        found.append(
            ListedPair(
                Pair.model_validate(values),
                title,
                pictures.get(pair_id),
                known.get(pair_id),
                drafted.get(pair_id),
                task,
                is_open,
            )
        )
    return found


def list_reject_reasons(connection: Connection) -> list[str]:
    """List the reasons that pairs are excluded for, one look at the index for each."""
    found: list[str] = []
    while True:
        query = select(func.min(pairs.c.reject_reason)).where(
            pairs.c.reject_reason > (found[-1] if found else ""), is_data()
        )
        reason = connection.execute(query).scalar()
        if reason is None:
            return found
        found.append(reason)


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Tasks of a batch.

    Attributes:
        num_open: still want a verdict.
        num_paused: are put aside, each by itself.
    """

    num_tasks: int
    num_open: int
    num_paused: int


def count_batches(connection: Connection) -> dict[int, BatchCounts]:
    """Count the tasks of every batch that has any."""
    query = select(
        tasks.c.batch_id,
        func.count(),
        func.count().filter(tasks.c.is_open.is_(True)),
        func.count(tasks.c.paused_at),
    ).group_by(tasks.c.batch_id)
    return {row[0]: BatchCounts(*row[1:]) for row in connection.execute(query)}


def _conditions(wanted: PairFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    text = wanted.text.strip()
    if text:
        titled = (
            select(items.c.item_id)
            .join(item_revisions, _is_current())
            .where(item_revisions.c.title.icontains(text, autoescape=True))
        )
        found.append(
            or_(
                pairs.c.pair_id == text,
                pairs.c.item_id == text,
                pairs.c.item_id.in_(titled),
            )
        )
    if wanted.status is not None:
        found.append(pairs.c.status == wanted.status.value)
    if wanted.reject_reason is not None:
        found.append(pairs.c.reject_reason == wanted.reject_reason)
    of_pair = select(tasks.c.pair_id).where(tasks.c.pair_id == pairs.c.pair_id)
    is_open = of_pair.where(tasks.c.is_open.is_(True)).exists()
    if wanted.is_open is not None:
        found.append(is_open if wanted.is_open else and_(~is_open, of_pair.exists()))
    if wanted.batch_id is not None:
        # Not correlated: a small batch in a large pool is found by its own index.
        of_batch = select(tasks.c.pair_id).where(tasks.c.batch_id == wanted.batch_id)
        found.append(pairs.c.pair_id.in_(of_batch))
    return found


def _is_current() -> ColumnElement[bool]:
    return and_(
        item_revisions.c.item_id == items.c.item_id,
        item_revisions.c.revision == items.c.revision,
    )


def _newest_evidence(connection: Connection, pair_ids: Sequence[str]) -> dict[str, Evidence]:
    rows = connection.execute(
        select(evidence).where(evidence.c.pair_id.in_(pair_ids)).order_by(evidence.c.version)
    )
    return {row.pair_id: Evidence.model_validate(row._asdict()) for row in rows}


def _newest_drafts(
    connection: Connection, pair_ids: Sequence[str], protocol: str
) -> dict[str, Draft]:
    query: Select[Any] = (
        select(drafts)
        .join(pairs, pairs.c.pair_id == drafts.c.pair_id)
        .join(items, items.c.item_id == pairs.c.item_id)
        .where(
            drafts.c.pair_id.in_(pair_ids),
            drafts.c.item_revision == items.c.revision,
            drafts.c.protocol == protocol,
        )
        .order_by(drafts.c.created_at, drafts.c.draft_id)
    )
    found = {}
    for row in connection.execute(query):
        values = row._asdict()
        del values["created_at"], values["protocol"]
        found[row.pair_id] = Draft.model_validate(values)
    return found


def _newest_tasks(connection: Connection, pair_ids: Sequence[str]) -> dict[str, tuple[Task, bool]]:
    rows = connection.execute(
        select(tasks).where(tasks.c.pair_id.in_(pair_ids)).order_by(tasks.c.pass_)
    )
    found = {}
    for row in rows:
        values = row._asdict()
        is_open = values.pop("is_open")
        found[row.pair_id] = Task.model_validate(values), is_open
    return found
