"""The whole reading of one `ingest`: items, creatives with their images, exposures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Connection

from creativepair.errors import InputError
from creativepair.ingestion.exposures import ExposureTally
from creativepair.ingestion.files import RawRow, Table, expand, read_table
from creativepair.ingestion.pictures import choose_rows, read_pictures
from creativepair.ingestion.readings import Reading, refuse_second_readings
from creativepair.ingestion.rejects import Reject, reject_invalid, reject_row, write_rejects
from creativepair.ingestion.schemas import (
    COUNT_COLUMNS,
    EVENT_COLUMNS,
    NOT_STRATA,
    CreativeRow,
    ItemRow,
    Row,
    find_zone,
)
from creativepair.records import Creative, Exposure, Item
from creativepair.store import Store, catalogue
from creativepair.workspace import Workspace

RowModel = TypeVar("RowModel", bound=Row)


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to read and how.

    Attributes:
        items, creatives, exposures: paths, globs or URLs; any may be empty.
        images: folder of the images; None means the folder of the creatives file.
        strata: log columns that are strata; None takes every column without another meaning.
        renames: our column name by the files'.
        timezone: of times that name none.
        replace: let new numbers and images win over known ones.
        dry_run: check everything, write nothing.
    """

    items: Sequence[str] = ()
    creatives: Sequence[str] = ()
    exposures: Sequence[str] = ()
    images: Path | None = None
    strata: tuple[str, ...] | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None
    replace: bool = False
    dry_run: bool = False
    allow_remote: bool = False


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was read: rows that stand in the store now, and the rejected ones.

    Attributes:
        recognised: exposure files whose bytes were ingested before.
        copies: files with the same bytes as another one of this reading; left out.
        strata: the log columns that were used as strata.
    """

    items: int
    creatives: int
    exposures: int
    rejects: tuple[Reject, ...]
    rejects_file: Path | None
    recognised: tuple[str, ...]
    copies: tuple[str, ...]
    strata: tuple[str, ...]


def ingest_files(workspace: Workspace, store: Store, request: IngestRequest) -> IngestReport:
    """Read items, creatives and exposures; good rows are kept, bad ones listed in a file.

    Raises:
        InputError: when a file cannot be read at all; nothing is written then.
        StateError: when known rows come with other content, or logs differ on what they both
            count, and `replace` is not set; or when a log was read before in another way.
            Nothing of this reading is written then.
    """
    now = datetime.now(UTC)
    tables, copies = _read_tables(request)
    zone = find_zone(request.timezone or workspace.settings.timezone)
    readings = _readings(tables["exposures"], request.strata, zone)
    rejects: list[Reject] = []
    items = _items(tables["items"], rejects)
    with store.read() as connection:
        known_items = {item.item_id for item in catalogue.list_items(connection)}
        known_creatives = {(c.item_id, c.creative_id) for c in catalogue.list_creatives(connection)}
        known_logs = {
            file["sha256"]: file["reading"]
            for file in catalogue.list_ingested_files(connection)
            if file["kind"] == "exposures"
        }
    refuse_second_readings(tables["exposures"], readings, known_logs)
    item_ids = known_items | {item.item_id for item in items}
    creatives = _creatives(workspace, tables["creatives"], request, item_ids, rejects)
    creative_ids = known_creatives | {(c.item_id, c.creative_id) for c in creatives}
    tally = ExposureTally(zone=zone, creative_ids=creative_ids)
    for table in tables["exposures"]:
        tally.add(table, readings[table.sha256].strata)
    exposures = tally.merge(replace=request.replace)
    rejects += tally.rejects
    with store.write() as connection:
        _write(connection, items, creatives, exposures, request.replace, now)
        kept = {sha256: r.after(known_logs.get(sha256)) for sha256, r in readings.items()}
        _remember_files(connection, tables, kept, now)
        if request.dry_run:  # conflicts with known rows only show in writing
            connection.rollback()
    path = None
    if rejects and not request.dry_run:
        path = write_rejects(rejects, workspace.root / "rejects", now=now)
    return IngestReport(
        items=len(items),
        creatives=len(creatives),
        exposures=len(exposures),
        rejects=tuple(rejects),
        rejects_file=path,
        recognised=tuple(t.name for t in tables["exposures"] if t.sha256 in known_logs),
        copies=tuple(copies),
        strata=tuple(sorted({name for r in readings.values() for name in r.strata})),
    )


def _read_tables(request: IngestRequest) -> tuple[dict[str, list[Table]], list[str]]:
    """Return the tables by kind, and the names of files that only repeat the bytes of another."""
    copies: list[str] = []

    def read(patterns: Sequence[str], required: Sequence[str]) -> list[Table]:
        names = [n for p in patterns for n in expand(p, allow_remote=request.allow_remote)]
        found: dict[str, Table] = {}
        for name in dict.fromkeys(names):
            table = read_table(name, request.renames, required)
            if found.setdefault(table.sha256, table) is not table:
                copies.append(name)
        return list(found.values())

    logs = read(request.exposures, ("item_id", "creative_id"))
    for log in logs:
        if not (set(COUNT_COLUMNS) <= set(log.columns) or set(EVENT_COLUMNS) <= set(log.columns)):
            missing = [column for column in COUNT_COLUMNS if column not in log.columns]
            raise InputError(
                f"{log.name} lacks the column {', '.join(missing)}; it has "
                f"{', '.join(log.columns)}",
                hint=f"Name yours: --map {missing[0]}=YOUR_COLUMN; event logs have ts, clicked.",
            )
    tables = {
        "items": read(request.items, ("item_id", "title")),
        "creatives": read(request.creatives, ("item_id", "creative_id", "image")),
        "exposures": logs,
    }
    _refuse_idle_renames(request.renames, [t for found in tables.values() for t in found])
    return tables, copies


def _refuse_idle_renames(renames: Mapping[str, str], tables: Sequence[Table]) -> None:
    there = {c for table in tables for c in (*table.columns, *table.renames)}
    idle = [f"{new}={old}" for old, new in renames.items() if old not in there]
    if tables and idle:
        raise InputError(
            f"no file has the column of --map {', '.join(idle)}",
            hint=f"The files have {', '.join(sorted(there))}.",
        )


def _write(
    connection: Connection,
    items: Sequence[Item],
    creatives: Sequence[Creative],
    exposures: Sequence[Exposure],
    replace: bool,
    now: datetime,
) -> None:
    catalogue.put_items(connection, items, now=now)
    catalogue.put_creatives(connection, creatives, replace=replace)
    catalogue.put_exposures(connection, exposures, replace=replace)


def _remember_files(
    connection: Connection,
    tables: Mapping[str, Sequence[Table]],
    readings: Mapping[str, Reading],
    now: datetime,
) -> None:
    for kind, read in tables.items():
        for table in read:
            reading = (
                readings[table.sha256].model_dump(mode="json") if kind == "exposures" else None
            )
            catalogue.put_ingested_file(
                connection,
                sha256=table.sha256,
                kind=kind,
                name=table.name,
                num_rows=len(table.rows),
                reading=reading,
                now=now,
            )


def _valid_rows(
    tables: Sequence[Table], model: type[RowModel], rejects: list[Reject]
) -> Iterator[tuple[RawRow, RowModel]]:
    for table in tables:
        for raw in table.rows:
            if raw.problem:
                rejects.append(reject_row(raw, raw.problem))
                continue
            try:
                yield raw, model.model_validate(raw.values)
            except ValidationError as error:
                rejects.append(reject_invalid(raw, error))


def _items(tables: Sequence[Table], rejects: list[Reject]) -> list[Item]:
    found: dict[str, Item] = {}
    for raw, row in _valid_rows(tables, ItemRow, rejects):
        item = Item(**row.model_dump())
        if item.item_id in found:
            reason = (
                "repeats an item" if found[item.item_id] == item else "is given twice, differently"
            )
            rejects.append(reject_row(raw, reason, column="item_id"))
            continue
        found[item.item_id] = item
    return list(found.values())


def _creatives(
    workspace: Workspace,
    tables: Sequence[Table],
    request: IngestRequest,
    item_ids: set[str],
    rejects: list[Reject],
) -> list[Creative]:
    refused: list[Reject] = []
    rows = choose_rows(
        _valid_rows(tables, CreativeRow, refused),
        item_ids,
        images=request.images,
        allow_remote=request.allow_remote,
        rejects=refused,
    )
    found = read_pictures(workspace, rows, store=not request.dry_run, rejects=refused)
    # Pictures are read after all rows were checked; a person reads the rejects row by row.
    order = {table.name: place for place, table in enumerate(tables)}
    rejects += sorted(refused, key=lambda reject: (order[reject.file], reject.row))
    return found


def _readings(
    tables: Sequence[Table], wanted: tuple[str, ...] | None, zone: ZoneInfo | None
) -> dict[str, Reading]:
    """Say for each log how it is read, whatever other logs come with it; by SHA-256.

    Raises:
        InputError: when no log has a column that is wanted as a stratum.
    """
    there = dict.fromkeys(column for table in tables for column in table.columns)
    missing = [column for column in wanted or () if column not in there]
    if tables and missing:
        raise InputError(
            f"no log has the stratum column {', '.join(missing)}",
            hint=f"The logs have {', '.join(there)}.",
        )
    return {
        table.sha256: Reading(
            strata=tuple(
                sorted(
                    column
                    for column in table.columns
                    if column not in NOT_STRATA and (wanted is None or column in wanted)
                )
            ),
            timezone=zone.key if zone else None,
            renames=table.renames,
        )
        for table in tables
    }
