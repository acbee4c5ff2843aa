"""Gold pairs in the store. Every function takes the connection of a transaction of `Store`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)

from creativepair.records import OUTSIDE, Gold, GoldKind, Pair, PairStatus
from creativepair.store.prepared import Prepared
from creativepair.store.tables import gold, leases, pairs

GOLD_REASON = "gold"
"""Reason of a pair that was made to check attention or for practice: it is never a candidate."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A pair of an annotator's practice: its right answer, and that it is the n-th of so many."""

    answer: str
    number: int
    of: int


_COLUMNS = [gold.c[name] for name in Gold.model_fields]


def is_data() -> ColumnElement[bool]:
    """SQL condition on `pairs`: not made to check attention or for practice."""
    return pairs.c.reject_reason.is_distinct_from(GOLD_REASON)


def is_asked() -> ColumnElement[bool]:
    """SQL condition on `pairs`: shown to annotators, as a candidate or as gold."""
    is_gold = ~is_data() & (pairs.c.status != PairStatus.WITHDRAWN.value)
    return (pairs.c.status == PairStatus.CANDIDATE.value) | is_gold


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


def list_gold(connection: Connection) -> list[Gold]:
    """List by pair id what checks attention; practice does not."""
    query = select(*_COLUMNS).where(~_IS_PRACTICE).order_by(gold.c.pair_id)
    return [Gold.model_validate(row._asdict()) for row in connection.execute(query)]


def list_practice(connection: Connection) -> list[Gold]:
    """List practice by pair id."""
    query = select(*_COLUMNS).where(_IS_PRACTICE).order_by(gold.c.pair_id)
    return [Gold.model_validate(row._asdict()) for row in connection.execute(query)]


def next_practice(connection: Connection, annotator_id: str) -> Gold | None:
    """Return practice that an annotator has not had; None for who has begun real work."""
    row = _NEXT_PRACTICE.find(connection, {"annotator": annotator_id})
    return Gold.model_validate(row) if row else None


def get_practice(connection: Connection, pair_id: str, annotator_id: str) -> Practice | None:
    """Return where a pair stands in an annotator's practice; None where it is none."""
    wanted = {"pair": pair_id, "annotator": annotator_id}
    row = _GET_PRACTICE.find(connection, wanted)
    return Practice(**row) if row else None


def next_gold(connection: Connection, annotator_id: str) -> Gold | None:
    """Return gold that an annotator has not had; None when there is no more."""
    had = (
        select(leases.c.lease_id)
        .where(leases.c.pair_id == gold.c.pair_id, leases.c.annotator_id == annotator_id)
        .exists()
    )
    row = connection.execute(
        select(*_COLUMNS)
        .join(pairs, _STANDS)
        .where(~_IS_PRACTICE, ~had)
        .order_by(gold.c.pair_id)
        .limit(1)
    ).one_or_none()
    return Gold.model_validate(row._asdict()) if row else None


# Every new lease asks for practice first, so these stand ready.
_IS_PRACTICE = gold.c.kind == GoldKind.PRACTICE.value
_STANDS = (pairs.c.pair_id == gold.c.pair_id) & (pairs.c.status != PairStatus.WITHDRAWN.value)
_WHOSE: BindParameter[str] = bindparam("annotator")
_HAD = (
    select(leases.c.lease_id)
    .where(leases.c.pair_id == gold.c.pair_id, leases.c.annotator_id == _WHOSE)
    .exists()
)
_AT_WORK = (
    select(leases.c.lease_id).where(leases.c.annotator_id == _WHOSE, leases.c.pass_ != OUTSIDE)
).exists()
_NEXT_PRACTICE = Prepared(
    select(*_COLUMNS)
    .join(pairs, _STANDS)
    .where(_IS_PRACTICE, ~_HAD, ~_AT_WORK)
    .order_by(gold.c.pair_id)
    .limit(literal_column("1"))
)
_all = gold.alias("every")
_of_mine = leases.alias("mine")
_GET_PRACTICE = Prepared(
    select(
        gold.c.answer,
        select(func.count())
        .select_from(_of_mine.join(_all, _all.c.pair_id == _of_mine.c.pair_id))
        .where(
            _of_mine.c.annotator_id == _WHOSE,
            _all.c.kind == GoldKind.PRACTICE.value,
            _all.c.pair_id <= gold.c.pair_id,
        )
        .correlate(gold)
        .scalar_subquery()
        .label("number"),
        select(func.count())
        .where(_all.c.kind == GoldKind.PRACTICE.value)
        .scalar_subquery()
        .label("of"),
    ).where(_IS_PRACTICE, gold.c.pair_id == bindparam("pair"))
)
