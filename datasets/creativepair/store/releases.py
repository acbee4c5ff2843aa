"""What a release reads from the store.

Every function takes the connection of a transaction of `Store`; read everything of one release in
one transaction, so that it is one state of the workspace.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from creativepair.chain import Chain, Finding
from creativepair.records import Draft, Evidence, HumanVerdict, JudgementEvent, Pair, PairStatus
from creativepair.store.tables import (
    adjudications,
    creatives,
    drafts,
    evidence,
    evidence_builds,
    item_revisions,
    judgement_events,
    pairs,
    split_records,
    takedowns,
)

CHUNK = 500
"""Pairs that are read at once: what a release holds in memory does not grow with it."""


_PICTURES = 5_000


@dataclass(frozen=True, slots=True)
class Picture:
    """What splits ask of a creative."""

    item_id: str
    creative_id: str
    pixel_sha256: str
    phash: str
    recipe: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate and what the store holds on it under one protocol version.

    Attributes:
        evidence: in the newest build. That of an earlier one says nothing: pairs that the newest
            build made without logs qualified without it.
        events: in the order they were stored, their chains unchecked: the gates of a release name
            every pair whose chain does not hold, where a checked read would stop at the first.
        adjudication: the verdict that settles the pair.
        drafts: oldest first; chains unchecked.
    """

    pair: Pair
    evidence: Evidence | None
    events: tuple[JudgementEvent, ...]
    adjudication: HumanVerdict | None
    drafts: tuple[Draft, ...]


def iterate_pictures(connection: Connection) -> Iterator[Picture]:
    """Go through the picture of every creative."""
    names = ("item_id", "creative_id", "pixel_sha256", "phash", "recipe")
    query = select(*(creatives.c[name] for name in names)).execution_options(yield_per=_PICTURES)
    return (Picture(*row) for row in connection.execute(query))


def iterate_candidates(connection: Connection, protocol: str) -> Iterator[Candidate]:
    """Go through the candidates by id."""
    is_candidate = pairs.c.status == PairStatus.CANDIDATE.value
    last = ""
    while True:
        query = select(pairs.c.pair_id).where(is_candidate, pairs.c.pair_id > last)
        found = connection.execute(query.order_by(pairs.c.pair_id).limit(CHUNK)).scalars().all()
        if not found:
            return
        yield from read_candidates(connection, found, protocol)
        last = found[-1]


def read_candidates(
    connection: Connection, pair_ids: Sequence[str], protocol: str
) -> list[Candidate]:
    """Return some pairs, at most `CHUNK`, in the order of their ids."""
    newest = select(func.max(evidence_builds.c.version)).scalar_subquery()
    known = and_(evidence.c.pair_id == pairs.c.pair_id, evidence.c.version == newest)
    query = (
        select(*pairs.c, *(column.label("e_" + column.name) for column in evidence.c))
        .select_from(pairs.outerjoin(evidence, known))
        .where(pairs.c.pair_id.in_(pair_ids))
        .order_by(pairs.c.pair_id)
    )
    events = _events_of(connection, pair_ids, protocol)
    settled = _adjudications_of(connection, pair_ids, protocol)
    drafted = _drafts_of(connection, pair_ids, protocol)
    listed = []
    for row in connection.execute(query):
        values = row._asdict()
        found = {name[2:]: values.pop(name) for name in list(values) if name.startswith("e_")}
        pair = Pair.model_validate(values)
        listed.append(
            Candidate(
                pair=pair,
                evidence=Evidence.model_validate(found) if found["pair_id"] else None,
                events=tuple(events.get(pair.pair_id, ())),
                adjudication=settled.get(pair.pair_id),
                drafts=tuple(drafted.get(pair.pair_id, ())),
            )
        )
    return listed


def list_drafters(connection: Connection) -> list[dict[str, Any]]:
    """List the drafters with their model versions and how many drafts each made."""
    who = (drafts.c.drafter, drafts.c.model_version)
    query = select(*who, func.count().label("num_drafts")).group_by(*who).order_by(*who)
    return [row._asdict() for row in connection.execute(query)]


def list_guidelines(connection: Connection, protocol: str) -> dict[str, int]:
    """Count the decisions under a protocol version by the guideline that they were made with."""
    made_with = func.coalesce(judgement_events.c.guideline, "unknown")
    query = (
        select(made_with, func.count())
        .where(judgement_events.c.protocol == protocol)
        .group_by(made_with)
        .order_by(made_with)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def read_state(connection: Connection) -> tuple[int, ...]:
    """Return numbers of which one is another after whatever changes what a release would hold."""
    is_candidate = pairs.c.status == PairStatus.CANDIDATE.value
    queries = (
        select(func.max(judgement_events.c.event_id)),
        select(func.max(adjudications.c.adjudication_id)),
        select(func.max(evidence_builds.c.version)),
        select(func.max(takedowns.c.takedown_id)),
        select(func.count()).select_from(drafts),
        select(func.count()).select_from(item_revisions),
        select(func.count()).select_from(creatives),
        select(func.count()).select_from(split_records),
        select(func.count()).select_from(pairs).where(is_candidate),
    )
    return tuple(connection.execute(query).scalar() or 0 for query in queries)


def _events_of(
    connection: Connection, pair_ids: Sequence[str], protocol: str
) -> dict[str, list[JudgementEvent]]:
    table = judgement_events
    query = select(table).where(table.c.pair_id.in_(pair_ids), table.c.protocol == protocol)
    by_pair: dict[str, list[JudgementEvent]] = {}
    for row in connection.execute(query.order_by(table.c.event_id)):
        values = row._asdict()
        del values["event_id"]
        values["chain"] = values["chain"] and _unchecked_chain(**values["chain"])
        by_pair.setdefault(row.pair_id, []).append(JudgementEvent.model_validate(values))
    return by_pair


def _adjudications_of(
    connection: Connection, pair_ids: Sequence[str], protocol: str
) -> dict[str, HumanVerdict]:
    table = adjudications
    query = (
        select(table.c.pair_id, table.c.verdict)
        .where(table.c.pair_id.in_(pair_ids), table.c.protocol == protocol)
        .order_by(table.c.adjudication_id)
    )
    return {row.pair_id: row.verdict for row in connection.execute(query)}  # the last one stands


def _drafts_of(
    connection: Connection, pair_ids: Sequence[str], protocol: str
) -> dict[str, list[Draft]]:
    table = drafts
    query = select(table).where(table.c.pair_id.in_(pair_ids), table.c.protocol == protocol)
    by_pair: dict[str, list[Draft]] = {}
    for row in connection.execute(query.order_by(table.c.created_at, table.c.draft_id)):
        values = row._asdict()
        del values["created_at"], values["protocol"]
        values["chain"] = _unchecked_chain(**values["chain"])
        by_pair.setdefault(row.pair_id, []).append(Draft.model_validate(values))
    return by_pair


def _unchecked_chain(protocol: str, findings: list[dict[str, Any]]) -> Chain:
    built = tuple(Finding.model_construct(**finding) for finding in findings)
    return Chain.model_construct(protocol=protocol, findings=built)
