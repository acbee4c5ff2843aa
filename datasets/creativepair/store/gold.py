"""Gold pairs in the store. Every function takes the connection of a transaction of `Store`."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, insert, select

from creativepair.records import Gold, Pair, PairStatus
from creativepair.store.tables import gold, leases, pairs

GOLD_REASON = "gold"
"""Reason of a pair that was made to check attention: it is never a candidate."""

_COLUMNS = [gold.c[name] for name in Gold.model_fields]


def is_data() -> ColumnElement[bool]:
    """SQL condition on `pairs`: not made to check attention."""
    return pairs.c.reject_reason.is_distinct_from(GOLD_REASON)


def is_asked() -> ColumnElement[bool]:
    """SQL condition on `pairs`: shown to annotators, as a candidate or as gold."""
    return (pairs.c.status == PairStatus.CANDIDATE.value) | ~is_data()


def add_gold(
    connection: Connection, new: Sequence[Gold], pairs_of: Sequence[Pair], *, now: datetime
) -> int:
    """Add gold with its pairs; what is known already stays. Return how many were added."""
    wanted = [one.pair_id for one in new]
    query = select(gold.c.pair_id).where(gold.c.pair_id.in_(wanted))
    known = set(connection.execute(query).scalars())
    added = [one for one in new if one.pair_id not in known]
    if added:
        rows = [pair.model_dump() for pair in pairs_of if pair.pair_id not in known]
        connection.execute(insert(pairs), rows)
        connection.execute(insert(gold), [one.model_dump() | {"created_at": now} for one in added])
    return len(added)


def get_gold(connection: Connection, pair_id: str) -> Gold | None:
    """Return the gold of a pair; None where it is none."""
    row = connection.execute(select(*_COLUMNS).where(gold.c.pair_id == pair_id)).one_or_none()
    return Gold.model_validate(row._asdict()) if row else None


def list_gold(connection: Connection) -> list[Gold]:
    """List all gold by pair id."""
    query = select(*_COLUMNS).order_by(gold.c.pair_id)
    return [Gold.model_validate(row._asdict()) for row in connection.execute(query)]


def next_gold(connection: Connection, annotator_id: str) -> Gold | None:
    """Return gold that an annotator has not had; None when there is no more."""
    had = (
        select(leases.c.lease_id)
        .where(leases.c.pair_id == gold.c.pair_id, leases.c.annotator_id == annotator_id)
        .exists()
    )
    row = connection.execute(
        select(*_COLUMNS).where(~had).order_by(gold.c.pair_id).limit(1)
    ).one_or_none()
    return Gold.model_validate(row._asdict()) if row else None
