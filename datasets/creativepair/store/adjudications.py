"""Adjudications in the store: append-only, the newest of a pair under a protocol stands.

Every function takes the connection of a transaction of `Store`.
"""

from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, or_, select

from creativepair.records import (
    OUTSIDE,
    Adjudication,
    ChainStatus,
    HumanVerdict,
    JudgementEvent,
    PairStatus,
    Step,
)
from creativepair.store.tables import adjudications, judgement_events, pairs

_COLUMNS = [adjudications.c[name] for name in Adjudication.model_fields]
# A list of cases reads no chains: they are the bulk of an event.
_LIGHT = [c for c in judgement_events.c if c.name not in ("chain", "reviewed")]


def add_adjudication(connection: Connection, new: Adjudication) -> None:
    """Append an adjudication."""
    connection.execute(insert(adjudications), new.model_dump())


def find_adjudication(connection: Connection, decision_id: str) -> Adjudication | None:
    """Return the adjudication of a decision, or None when it was never stored."""
    query = select(*_COLUMNS).where(adjudications.c.decision_id == decision_id)
    row = connection.execute(query).one_or_none()
    return _adjudication(row) if row else None


def list_adjudications(connection: Connection, pair_id: str) -> list[Adjudication]:
    """List all of a pair in the order they were stored."""
    query = select(*_COLUMNS).where(adjudications.c.pair_id == pair_id)
    rows = connection.execute(query.order_by(adjudications.c.adjudication_id))
    return [_adjudication(row) for row in rows]


def list_standing(connection: Connection, protocol: str) -> dict[str, Adjudication]:
    """Return the newest adjudication of each pair under a protocol."""
    query = select(*_COLUMNS).where(adjudications.c.protocol == protocol)
    rows = connection.execute(query.order_by(adjudications.c.adjudication_id))
    return {row.pair_id: _adjudication(row) for row in rows}


def list_verdicts(connection: Connection, protocol: str) -> dict[str, HumanVerdict]:
    """Return the verdict that settles each adjudicated pair under a protocol."""
    standing = list_standing(connection, protocol)
    return {pair_id: settled.verdict for pair_id, settled in standing.items()}


def list_disputed_events(
    connection: Connection, protocol: str, pair_id: str | None = None
) -> list[tuple[int, JudgementEvent]]:
    """List the events, with their numbers and without chains, of candidates that may be disputed.

    May be: verdicts that were taken back, or one person's in several passes, differ here too.
    Gold and repeats are left out.

    Args:
        protocol: version whose judgements count.
        pair_id: of this pair alone, where given.
    """
    counts = (judgement_events.c.protocol == protocol) & (judgement_events.c.pass_ != OUTSIDE)
    if pair_id is not None:
        counts &= judgement_events.c.pair_id == pair_id
    disputed = (
        select(judgement_events.c.pair_id)
        .where(counts)
        .group_by(judgement_events.c.pair_id)
        .having(or_(_differ(Step.BLIND), _differ(Step.FINAL), _num_contested() > 0))
    )
    query = (
        select(*_LIGHT)
        .join(pairs, pairs.c.pair_id == judgement_events.c.pair_id)
        .where(
            counts,
            judgement_events.c.pair_id.in_(disputed),
            pairs.c.status == PairStatus.CANDIDATE.value,
        )
        .order_by(judgement_events.c.event_id)
    )
    listed = []
    for row in connection.execute(query):
        values = row._asdict()
        listed.append((values.pop("event_id"), JudgementEvent.model_validate(values)))
    return listed


def _differ(step: Step) -> Any:  # noqa: ANN401 (a condition on aggregates)
    verdict = case((judgement_events.c.step == step.value, judgement_events.c.verdict))
    return func.min(verdict) != func.max(verdict)


def _num_contested() -> Any:  # noqa: ANN401 (an aggregate)
    return func.count(
        case((judgement_events.c.chain_status == ChainStatus.CONTESTED.value, 1), else_=None)
    )


def _adjudication(row: Row[Any]) -> Adjudication:
    return Adjudication.model_validate(row._asdict())
