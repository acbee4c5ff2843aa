"""What a release reads from the store.

Every function takes the connection of a transaction of `Store`; read everything of one release in
one transaction, so that it is one state of the workspace.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, and_, func, select

from creativepair.chain import Chain, Finding
from creativepair.records import Evidence, JudgementEvent, Pair, PairStatus
from creativepair.store.tables import drafts, evidence, evidence_builds, judgement_events, pairs


def iterate_candidates(connection: Connection) -> Iterator[tuple[Pair, Evidence | None]]:
    """Go through the candidates by id, each with its evidence in the newest build.

    Evidence of an earlier build says nothing here: pairs that the newest build made without logs
    qualified without it.
    """
    newest = select(func.max(evidence_builds.c.version)).scalar_subquery()
    known = and_(evidence.c.pair_id == pairs.c.pair_id, evidence.c.version == newest)
    query = (
        select(*pairs.c, *(column.label("e_" + column.name) for column in evidence.c))
        .select_from(pairs.outerjoin(evidence, known))
        .where(pairs.c.status == PairStatus.CANDIDATE.value)
        .order_by(pairs.c.pair_id)
    )
    for row in connection.execute(query):
        values = row._asdict()
        found = {name[2:]: values.pop(name) for name in list(values) if name.startswith("e_")}
        yield (
            Pair.model_validate(values),
            Evidence.model_validate(found) if found["pair_id"] else None,
        )


def list_candidate_events(connection: Connection, protocol: str) -> list[JudgementEvent]:
    """List the events on candidates under one protocol version, in the order they were stored.

    Their chains are as stored, unchecked: the gates of a release name every pair whose chain does
    not hold, where a checked read would stop at the first one.
    """
    query = (
        select(judgement_events)
        .join(pairs, pairs.c.pair_id == judgement_events.c.pair_id)
        .where(
            pairs.c.status == PairStatus.CANDIDATE.value, judgement_events.c.protocol == protocol
        )
        .order_by(judgement_events.c.event_id)
    )
    return [_event(row._asdict()) for row in connection.execute(query)]


def list_drafters(connection: Connection) -> list[dict[str, Any]]:
    """List the drafters with their model versions and how many drafts each made."""
    who = (drafts.c.drafter, drafts.c.model_version)
    query = select(*who, func.count().label("num_drafts")).group_by(*who).order_by(*who)
    return [row._asdict() for row in connection.execute(query)]


def _event(values: dict[str, Any]) -> JudgementEvent:
    values.pop("event_id")
    if values["chain"]:
        values["chain"] = _unchecked_chain(**values["chain"])
    return JudgementEvent.model_validate(values)


def _unchecked_chain(protocol: str, findings: list[dict[str, Any]]) -> Chain:
    built = tuple(Finding.model_construct(**finding) for finding in findings)
    return Chain.model_construct(protocol=protocol, findings=built)
