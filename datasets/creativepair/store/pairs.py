"""Pairs, CTR evidence and drafts in the store.

Every function takes the connection of a transaction of `Store`.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from creativepair.columns import list_batches
from creativepair.errors import NotFoundError
from creativepair.records import NOT_CONSIDERED, Draft, Evidence, Pair, PairStatus
from creativepair.store.gold import is_data
from creativepair.store.guidelines import NEWEST_VERSION
from creativepair.store.locks import take_turn
from creativepair.store.prepared import Prepared
from creativepair.store.tables import (
    creatives,
    drafts,
    evidence,
    evidence_builds,
    item_revisions,
    items,
    judgement_events,
    pairs,
)
from creativepair.store.tasks import settle

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class KnownPair:
    """A pair with its newest evidence and draft, where there are any."""

    pair: Pair
    evidence: Evidence | None
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest of what is known of a pair; its draft is one that saw the item as it is now.

    Attributes:
        guideline: version in force, the same for all pairs.
    """

    item_revision: int
    evidence_version: int | None
    draft_id: str | None
    guideline: int


def next_evidence_version(connection: Connection) -> int:
    """Return the number of the build to come; builds count from 1."""
    newest = connection.execute(select(func.max(evidence_builds.c.version))).scalar()
    return (newest or 0) + 1


def save_build(
    connection: Connection,
    *,
    pairs_built: Sequence[Pair],
    evidence_built: Sequence[Evidence],
    settings: dict[str, Any],
    summary: dict[str, Any],
    now: datetime,
) -> int:
    """Save one build of evidence and pairs; evidence of earlier builds stays as it was.

    The build decides on every pair: known ones that it does not hold are no candidates any more. A
    pair that was judged and is no candidate any more becomes stale, not excluded, until a build
    finds it a candidate again. A withdrawn pair stays withdrawn.

    The number of the build is given here and not when it was computed: of two builds at once, each
    gets its own, and the one that is saved last holds.

    Returns:
        How many pairs are stale now.
    """
    take_turn(connection, "build")
    version = next_evidence_version(connection)
    connection.execute(
        insert(evidence_builds).values(
            version=version, settings=settings, summary=summary, built_at=now
        )
    )
    query = select(pairs.c.pair_id, pairs.c.status, pairs.c.reject_reason).where(is_data())
    known = {row[0]: (row[1], row[2]) for row in connection.execute(query)}
    judged = judged_pair_ids(connection)
    decided: set[str] = set()
    for batch in list_batches(pairs_built):
        decided |= {row["pair_id"] for row in batch}
        _update(connection, [row for row in batch if row["pair_id"] in known], known, judged)
        if added := [row for row in batch if row["pair_id"] not in known]:
            connection.execute(insert(pairs), added)
    absent = {"status": PairStatus.EXCLUDED.value, "reject_reason": NOT_CONSIDERED}
    _update(connection, [absent | {"pair_id": i} for i in known.keys() - decided], known, judged)
    for batch in list_batches(evidence_built):
        connection.execute(insert(evidence), [row | {"version": version} for row in batch])
    settle(connection)
    return count_pairs(connection).get(PairStatus.STALE, 0)


def _update(
    connection: Connection,
    rows: Sequence[dict[str, Any]],
    known: Mapping[str, tuple[str, str | None]],
    judged: AbstractSet[str],
) -> None:
    """Write what a build says of known pairs, where it is something new."""
    changes = []
    for row in rows:
        pair_id, status = row["pair_id"], row["status"]
        if status == PairStatus.EXCLUDED and pair_id in judged:
            status = PairStatus.STALE.value
        before, decided = known[pair_id], (status, row["reject_reason"])
        if before[0] != PairStatus.WITHDRAWN and before != decided:
            changes.append({"id": pair_id, "status": status, "reject_reason": decided[1]})
    if changes:
        stands = pairs.c.status != PairStatus.WITHDRAWN.value
        connection.execute(update(pairs).where(pairs.c.pair_id == bindparam("id"), stands), changes)


def make_candidates(connection: Connection, pair_ids: Sequence[str]) -> None:
    """Make stale pairs candidates again."""
    stale = pairs.c.pair_id.in_(pair_ids) & (pairs.c.status == PairStatus.STALE.value)
    values = {"status": PairStatus.CANDIDATE.value, "reject_reason": None}
    connection.execute(update(pairs).where(stale).values(**values))


def get_pair(connection: Connection, pair_id: str) -> Pair:
    """Return one pair.

    Raises:
        NotFoundError: when there is no such pair.
    """
    row = connection.execute(_GET_PAIR, {"pair": pair_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"no pair {pair_id!r}", hint="List them: creativepair pairs list.")
    return Pair.model_validate(row._asdict())


# Statements that every step of the desk runs stand ready: building one takes longer than
# running it.
_PAIR: BindParameter[str] = bindparam("pair")
_GET_PAIR = select(pairs).where(pairs.c.pair_id == _PAIR)


def get_evidence(connection: Connection, pair_id: str, version: int | None) -> Evidence | None:
    """Return the evidence of a pair in one build; None where it has none."""
    if version is None:
        return None
    wanted = {"pair": pair_id, "version": version}
    row = _GET_EVIDENCE.find(connection, wanted)
    return Evidence.model_validate(row) if row else None


_GET_EVIDENCE = Prepared(
    select(evidence).where(evidence.c.pair_id == _PAIR, evidence.c.version == bindparam("version"))
)


def list_pictures(connection: Connection, pair_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 of the derivatives of A and B by pair id; gold has none here."""
    rows = connection.execute(_LIST_PICTURES, {"pairs": list(pair_ids)})
    return {row.pair_id: (row.a, row.b) for row in rows}


_A, _B = creatives.alias("a"), creatives.alias("b")
_LIST_PICTURES = (
    select(pairs.c.pair_id, _A.c.derivative_sha256.label("a"), _B.c.derivative_sha256.label("b"))
    .join(_A, (_A.c.item_id == pairs.c.item_id) & (_A.c.creative_id == pairs.c.creative_a))
    .join(_B, (_B.c.item_id == pairs.c.item_id) & (_B.c.creative_id == pairs.c.creative_b))
    .where(pairs.c.pair_id.in_(bindparam("pairs", expanding=True)))
)


def find_newest(connection: Connection, pair_id: str, protocol: str) -> Newest:
    """Return what a reveal of a pair would show today, under a protocol."""
    wanted = {"pair": pair_id, "protocol": protocol}
    [row] = _FIND_NEWEST.run(connection, wanted)
    return Newest(**row)


def list_evidence_builds(connection: Connection) -> list[dict[str, Any]]:
    """List the builds, oldest first, with their settings and summaries."""
    query = select(evidence_builds).order_by(evidence_builds.c.version)
    return [row._asdict() for row in connection.execute(query)]


def iterate_evidence(connection: Connection, version: int) -> Iterator[Row[Any]]:
    """Go through the evidence of one build by pair id, each row with the columns of its pair.

    Rows and not records: a figure of a million pairs needs their numbers only.
    """
    of_pair = [column for column in pairs.c if column.name != "pair_id"]
    query = (
        select(evidence, *of_pair)
        .join(pairs, pairs.c.pair_id == evidence.c.pair_id)
        .where(evidence.c.version == version, is_data())
        .order_by(evidence.c.pair_id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    yield from connection.execute(query)


def iterate_pairs(connection: Connection, status: PairStatus | None = None) -> Iterator[KnownPair]:
    """Go through pairs by id, each with its newest evidence and draft."""
    newest = (
        select(evidence.c.pair_id, func.max(evidence.c.version).label("version"))
        .group_by(evidence.c.pair_id)
        .subquery()
    )
    query = (
        select(*pairs.c, *_labelled(evidence, "e_"))
        .outerjoin(newest, newest.c.pair_id == pairs.c.pair_id)
        .outerjoin(
            evidence,
            and_(evidence.c.pair_id == newest.c.pair_id, evidence.c.version == newest.c.version),
        )
        .where(is_data())
        .order_by(pairs.c.pair_id)
    )
    if status is not None:
        query = query.where(pairs.c.status == status.value)
    drafted = _newest_drafts(connection)
    for row in connection.execute(query):
        values = row._asdict()
        found = {k[2:]: values.pop(k) for k in list(values) if k.startswith("e_")}
        yield KnownPair(
            pair=Pair.model_validate(values),
            evidence=Evidence.model_validate(found) if found["pair_id"] else None,
            draft=drafted.get(values["pair_id"]),
        )


def add_evidence(connection: Connection, new: Sequence[Evidence]) -> None:
    """Add evidence to builds that are there."""
    if new:
        connection.execute(insert(evidence), [one.model_dump() for one in new])


def add_drafts(connection: Connection, new: Sequence[Draft], *, now: datetime) -> None:
    """Add drafts; a pair holds one per model version, item revision and protocol.

    Another one is left out: two runs at once draft the same pairs, and the first one stands.
    """
    rows = [d.model_dump() | {"protocol": d.chain.protocol, "created_at": now} for d in new]
    if rows:
        # Both dialects have the clause, and SQLAlchemy's common insert has not.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(drafts).on_conflict_do_nothing(), rows)


def pairs_without_draft(connection: Connection, model_version: str, protocol: str) -> list[Pair]:
    """List candidates that this model version has not drafted as they are asked about today."""
    drafted = select(drafts.c.draft_id).where(
        drafts.c.pair_id == pairs.c.pair_id,
        drafts.c.model_version == model_version,
        drafts.c.item_revision == items.c.revision,
        drafts.c.protocol == protocol,
    )
    query = (
        select(pairs)
        .join(items, items.c.item_id == pairs.c.item_id)
        .where(pairs.c.status == PairStatus.CANDIDATE.value, ~drafted.exists())
        .order_by(pairs.c.item_id, pairs.c.pair_id)
    )
    return [Pair.model_validate(row._asdict()) for row in connection.execute(query)]


def get_draft(connection: Connection, draft_id: str) -> Draft:
    """Return one draft that is known to exist."""
    [row] = _GET_DRAFT.run(connection, {"draft": draft_id})
    return _draft(row)


_GET_DRAFT = Prepared(select(drafts).where(drafts.c.draft_id == bindparam("draft")))


def list_shown_drafts(connection: Connection) -> dict[str, Draft]:
    """Return the drafts that any decision was made with, by id."""
    shown = select(judgement_events.c.draft_id).where(judgement_events.c.draft_id.is_not(None))
    rows = connection.execute(select(drafts).where(drafts.c.draft_id.in_(shown)))
    return {row.draft_id: _draft(row._asdict()) for row in rows}


def count_pairs(connection: Connection) -> dict[str, int]:
    """Count pairs by status."""
    query = select(pairs.c.status, func.count()).where(is_data()).group_by(pairs.c.status)
    return {row[0]: row[1] for row in connection.execute(query)}


def judged_pair_ids(connection: Connection) -> set[str]:
    """Return the pairs on which anybody decided anything."""
    return set(connection.execute(select(judgement_events.c.pair_id).distinct()).scalars())


def list_judged_pairs(connection: Connection) -> list[Pair]:
    """List the pairs on which anybody decided anything, by id."""
    judged = select(judgement_events.c.pair_id)
    query = select(pairs).where(pairs.c.pair_id.in_(judged), is_data()).order_by(pairs.c.pair_id)
    return [Pair.model_validate(row._asdict()) for row in connection.execute(query)]


def outdated_pair_ids(connection: Connection) -> set[str]:
    """Return the pairs whose item reads otherwise today than when they were judged last."""
    last = (
        select(func.max(judgement_events.c.event_id))
        .where(judgement_events.c.item_revision.is_not(None))
        .group_by(judgement_events.c.pair_id)
    )
    shown, today = item_revisions.alias("shown"), item_revisions.alias("today")
    query = (
        select(
            pairs.c.pair_id,
            *(
                table.c[name]
                for table in (shown, today)
                for name in ("title", "category", "queries")
            ),
        )
        .join(judgement_events, judgement_events.c.pair_id == pairs.c.pair_id)
        .join(items, items.c.item_id == pairs.c.item_id)
        .join(
            shown,
            and_(
                shown.c.item_id == items.c.item_id,
                shown.c.revision == judgement_events.c.item_revision,
            ),
        )
        .join(
            today,
            and_(today.c.item_id == items.c.item_id, today.c.revision == items.c.revision),
        )
        .where(judgement_events.c.event_id.in_(last), shown.c.revision != today.c.revision)
    )
    # Revisions differ also where an edit was taken back, so what they hold is compared.
    return {row[0] for row in connection.execute(query) if row[1:4] != row[4:7]}


def _newest_drafts(connection: Connection) -> dict[str, Draft]:
    rows = connection.execute(_by_age(select(drafts), newest_first=False))
    return {row.pair_id: _draft(row._asdict()) for row in rows}


def _by_age(query: Select[Any], *, newest_first: bool = True) -> Select[Any]:
    keys = (drafts.c.created_at, drafts.c.draft_id)
    return query.order_by(*(key.desc() if newest_first else key for key in keys))


_NEWEST_DRAFT = (
    _by_age(select(drafts.c.draft_id))
    .where(
        drafts.c.pair_id == pairs.c.pair_id,
        drafts.c.item_revision == items.c.revision,
        drafts.c.protocol == bindparam("protocol"),
    )
    .limit(1)
    .scalar_subquery()
)
_NEWEST_EVIDENCE = (
    select(func.max(evidence.c.version))
    .where(evidence.c.pair_id == pairs.c.pair_id)
    .scalar_subquery()
)
_FIND_NEWEST = Prepared(
    select(
        items.c.revision.label("item_revision"),
        _NEWEST_EVIDENCE.label("evidence_version"),
        _NEWEST_DRAFT.label("draft_id"),
        NEWEST_VERSION.label("guideline"),
    )
    .select_from(pairs.join(items, items.c.item_id == pairs.c.item_id))
    .where(pairs.c.pair_id == _PAIR)
)


def _labelled(table: Any, prefix: str) -> list[Any]:  # noqa: ANN401 (labels have no public type)
    return [column.label(prefix + column.name) for column in table.c]


def _draft(row: dict[str, Any]) -> Draft:
    del row["created_at"], row["protocol"]
    return Draft.model_validate(row)
