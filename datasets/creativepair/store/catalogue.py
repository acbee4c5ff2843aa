"""Items, creatives and exposures in the store.

Every function takes the connection of a transaction of `Store`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Row,
    Table,
    and_,
    bindparam,
    func,
    select,
    update,
)

from creativepair.errors import StateError
from creativepair.records import Creative, Exposure, Item, PairStatus
from creativepair.store.tables import (
    creatives,
    drafts,
    exposures,
    ingested_files,
    item_revisions,
    items,
    judgement_events,
    leases,
    pairs,
    takedowns,
)

_SHOWN_OFFENDERS = 20
_CHUNK = 500
_TAKEN_PICTURES = select(takedowns.c.key).where(takedowns.c.kind == "picture")
AnyRecord = TypeVar("AnyRecord", Creative, Exposure)


def put_items(connection: Connection, new: Sequence[Item], *, now: datetime) -> int:
    """Add items; an item whose title, category or queries changed gets a new revision.

    Returns:
        How many items were added or changed.
    """
    known = {item.item_id: item for item in list_items(connection, [i.item_id for i in new])}
    latest = dict(known)
    revisions = []
    for item in new:
        before = latest.get(item.item_id)
        if before and _content(before) == _content(item):
            continue
        revision = before.revision + 1 if before else 1
        latest[item.item_id] = item.model_copy(update={"revision": revision})
        row = item.model_dump() | {"queries": list(item.queries), "revision": revision}
        revisions.append(row | {"created_at": now})
    _insert(connection, item_revisions, revisions)
    touched = [latest[item_id] for item_id in dict.fromkeys(row["item_id"] for row in revisions)]
    _insert(
        connection,
        items,
        [{"item_id": i.item_id, "revision": i.revision} for i in touched if i.item_id not in known],
    )
    if changed := [{"changed": i.item_id, "to": i.revision} for i in touched if i.item_id in known]:
        query = update(items).where(items.c.item_id == bindparam("changed"))
        connection.execute(query.values(revision=bindparam("to")), changed)
    return len(revisions)


def list_items(connection: Connection, item_ids: Sequence[str] | None = None) -> list[Item]:
    """List items at their current revision, by id; all of them when no ids are given."""
    query = (
        select(item_revisions)
        .join(
            items,
            and_(
                items.c.item_id == item_revisions.c.item_id,
                items.c.revision == item_revisions.c.revision,
            ),
        )
        .order_by(item_revisions.c.item_id)
    )
    if item_ids is None:
        return [_item(row) for row in connection.execute(query)]
    return [
        _item(row)
        for chunk in _chunks(item_ids)
        for row in connection.execute(query.where(items.c.item_id.in_(chunk)))
    ]


def put_creatives(connection: Connection, new: Sequence[Creative], *, replace: bool = False) -> int:
    """Add creatives; the same creative again is no change.

    Returns:
        How many creatives were added or replaced.

    Where an image is replaced, the pairs that show it are stale until the next build.

    Raises:
        StateError: when a known creative comes with other content and `replace` is not set, or
            with other pixels although a draft or judgement was made on its image.
    """
    known = {
        (c.item_id, c.creative_id): c
        for c in list_creatives(connection, sorted({c.item_id for c in new}), taken_down=True)
    }
    fresh = [c for c in new if known.get((c.item_id, c.creative_id)) != c]
    clashing = [c for c in fresh if (c.item_id, c.creative_id) in known]
    if clashing and not replace:
        names = ", ".join(f"{c.item_id}/{c.creative_id}" for c in clashing[:_SHOWN_OFFENDERS])
        raise StateError(
            f"{len(clashing)} known creatives come with other content: {names}",
            hint="Give changed images new ids, or pass --replace.",
        )
    repainted = [
        c for c in clashing if c.pixel_sha256 != known[c.item_id, c.creative_id].pixel_sha256
    ]
    if in_use := [c for c in repainted if _is_looked_at(connection, c)]:
        names = ", ".join(f"{c.item_id}/{c.creative_id}" for c in in_use[:_SHOWN_OFFENDERS])
        raise StateError(
            f"{len(in_use)} images would change under drafts or judgements made on them: {names}",
            hint="Give the new images new creative ids; their logs start anew as well.",
        )
    for creative in repainted:
        connection.execute(
            update(pairs)
            .where(_shows(creative), pairs.c.status != PairStatus.WITHDRAWN.value)
            .values(status=PairStatus.STALE.value, reject_reason="image_replaced")
        )
    for creative in clashing:
        connection.execute(
            update(creatives)
            .where(
                creatives.c.item_id == creative.item_id,
                creatives.c.creative_id == creative.creative_id,
            )
            .values(**creative.model_dump())
        )
    added = [c for c in fresh if (c.item_id, c.creative_id) not in known]
    _insert(connection, creatives, [c.model_dump() for c in added])
    return len(fresh)


def list_creatives(
    connection: Connection, item_ids: Sequence[str] | None = None, *, taken_down: bool = False
) -> list[Creative]:
    """List creatives by item and id; all of them when no items are given.

    Args:
        taken_down: with those whose picture was taken down.
    """
    query = select(creatives).order_by(creatives.c.item_id, creatives.c.creative_id)
    if not taken_down:
        query = query.where(creatives.c.pixel_sha256.not_in(_TAKEN_PICTURES))
    if item_ids is None:
        return list(_records(Creative, connection.execute(query)))
    return [
        creative
        for chunk in _chunks(item_ids)
        for creative in _records(
            Creative, connection.execute(query.where(creatives.c.item_id.in_(chunk)))
        )
    ]


def find_creatives(
    connection: Connection, creative_id: str, item_id: str | None = None
) -> list[Creative]:
    """List the creatives of an id by item: of one item, or of all."""
    query = select(creatives).where(creatives.c.creative_id == creative_id)
    if item_id is not None:
        query = query.where(creatives.c.item_id == item_id)
    return list(_records(Creative, connection.execute(query.order_by(creatives.c.item_id))))


def list_taken_pictures(connection: Connection) -> frozenset[str]:
    """Return the SHA-256 of the pixels of every picture that was taken down."""
    return frozenset(connection.execute(_TAKEN_PICTURES).scalars())


def refuse_new_takedowns(connection: Connection, known: frozenset[str]) -> None:
    """Hold that no picture was taken down since the list of those that were was read.

    Args:
        connection: of the transaction that writes what was made from pictures meanwhile.

    Raises:
        StateError: when one was.
    """
    if list_taken_pictures(connection) - known:
        raise StateError(
            "pictures were taken down meanwhile", hint="Do it again: they are left out then."
        )


def get_creative(connection: Connection, item_id: str, creative_id: str) -> Creative:
    """Return one creative that is known to exist."""
    query = select(creatives).where(
        creatives.c.item_id == item_id, creatives.c.creative_id == creative_id
    )
    return Creative.model_validate(connection.execute(query).one()._asdict())


def put_exposures(connection: Connection, new: Sequence[Exposure], *, replace: bool = False) -> int:
    """Add exposures; the same counts under the same key again are no change.

    Returns:
        How many rows were added or replaced.

    Raises:
        StateError: when known keys come with other numbers and `replace` is not set; lists the
            first twenty.
    """
    known = {_key(e): e for e in list_exposures(connection, sorted({e.item_id for e in new}))}
    fresh = [e for e in new if known.get(_key(e)) != e]
    clashing = [e for e in fresh if _key(e) in known]
    if clashing and not replace:
        lines = "; ".join(
            f"{'/'.join(_key(e)).rstrip('/')}: {known[_key(e)].clicks} of "
            f"{known[_key(e)].impressions} known, {e.clicks} of {e.impressions} given"
            for e in clashing[:_SHOWN_OFFENDERS]
        )
        raise StateError(
            f"{len(clashing)} known exposures come with other numbers: {lines}",
            hint="Cumulative logs overlap: give each file its own days, or pass --replace. Event "
            "logs that share a day belong into one ingest.",
        )
    for exposure in clashing:
        row = exposure.model_dump()
        match = and_(*(c == row[c.name] for c in exposures.primary_key.columns))
        connection.execute(update(exposures).where(match).values(**row))
    added = [e.model_dump() for e in fresh if _key(e) not in known]
    _insert(connection, exposures, added)
    return len(fresh)


def list_exposures(connection: Connection, item_ids: Sequence[str] | None = None) -> list[Exposure]:
    """List exposures; all of them when no items are given."""
    if item_ids is None:
        return list(_records(Exposure, connection.execute(select(exposures))))
    return [
        exposure
        for chunk in _chunks(item_ids)
        for exposure in _records(
            Exposure,
            connection.execute(select(exposures).where(exposures.c.item_id.in_(chunk))),
        )
    ]


def put_ingested_file(
    connection: Connection,
    *,
    sha256: str,
    kind: str,
    name: str,
    num_rows: int,
    reading: dict[str, Any] | None,
    now: datetime,
) -> None:
    """Remember a file by its bytes, and how it was read last.

    Args:
        reading: JSON values; None for files that can be read in one way only.
    """
    same = (ingested_files.c.sha256 == sha256) & (ingested_files.c.kind == kind)
    known = connection.execute(update(ingested_files).where(same).values(reading=reading))
    if known.rowcount == 0:
        row = {"sha256": sha256, "kind": kind, "name": name, "num_rows": num_rows}
        connection.execute(ingested_files.insert().values(**row, reading=reading, ingested_at=now))


def list_ingested_files(connection: Connection) -> list[dict[str, Any]]:
    """List the files that were read, oldest first: the lineage of the exposures."""
    query = select(ingested_files).order_by(ingested_files.c.ingested_at, ingested_files.c.sha256)
    return [row._asdict() for row in connection.execute(query)]


def count_rows(connection: Connection, table: Table) -> int:
    """Count the rows of a table."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _shows(creative: Creative) -> ColumnElement[bool]:
    return (pairs.c.item_id == creative.item_id) & (
        (pairs.c.creative_a == creative.creative_id) | (pairs.c.creative_b == creative.creative_id)
    )


def _is_looked_at(connection: Connection, creative: Creative) -> bool:
    """Whether a draft, or a judgement in any state, was made on the creative's image."""
    made = (
        select(pairs.c.pair_id).join(table, table.c.pair_id == pairs.c.pair_id)
        for table in (drafts, leases, judgement_events)
    )
    return any(connection.execute(q.where(_shows(creative)).limit(1)).first() for q in made)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _content(item: Item) -> tuple[object, ...]:
    return item.title, item.category, item.queries


def _item(row: Row[Any]) -> Item:
    values = row._asdict()
    values.pop("created_at")
    return Item.model_validate(values)


def _records(kind: type[AnyRecord], rows: CursorResult[Any]) -> Iterator[AnyRecord]:
    """Make records of rows that were checked when they were written: there may be millions."""
    names = list(rows.keys())
    fields = set(names)  # one for all: a set for each record would double its memory
    for row in rows:
        yield kind.model_construct(_fields_set=fields, **dict(zip(names, row, strict=True)))


def _key(exposure: Exposure) -> tuple[str, str, str, str, str]:
    return (
        exposure.item_id,
        exposure.creative_id,
        exposure.source,
        exposure.stratum,
        exposure.period,
    )


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """Split ids, in order, into lists that fit one statement's bound parameters."""
    listed = sorted(set(values))
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]
