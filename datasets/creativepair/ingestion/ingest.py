"""The whole reading of one `ingest`: items, creatives with their images, exposures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Connection

from creativepair.errors import InputError
from creativepair.ingestion.exposures import ExposureTally
from creativepair.ingestion.files import RawRow, Table, expand, read_table
from creativepair.ingestion.logs import Log, open_log
from creativepair.ingestion.pictures import choose_rows, read_pictures
from creativepair.ingestion.readings import Reading, refuse_second_readings
from creativepair.ingestion.rejects import (
    Reject,
    RejectList,
    reject_invalid,
    reject_row,
    write_rejects,
)
from creativepair.ingestion.schemas import (
    NOT_STRATA,
    CreativeRow,
    ItemRow,
    Row,
    find_zone,
)
from creativepair.records import Creative, Exposure, Item
from creativepair.store import Store, catalogue
from creativepair.store.locks import take_turn
from creativepair.thumbnails import ThumbnailCache
from creativepair.workspace import Workspace

RowModel = TypeVar("RowModel", bound=Row)
File = TypeVar("File", Table, Log)


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
        folder: where the files lie for this reading only; their names leave it out.
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
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was read: rows that stand in the store now, and the rejected ones.

    Attributes:
        rejects: the first of them; `num_rejected` is how many there are.
        recognised: exposure files whose bytes were ingested before.
        copies: files with the same bytes as another one of this reading; left out.
        strata: the log columns that were used as strata.
    """

    items: int
    creatives: int
    exposures: int
    rejects: tuple[Reject, ...]
    num_rejected: int
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
    with TemporaryDirectory(prefix=".ingest-", dir=workspace.root) as folder:
        return _ingest(workspace, store, request, Path(folder))


def _ingest(
    workspace: Workspace, store: Store, request: IngestRequest, folder: Path
) -> IngestReport:
    now = datetime.now(UTC)
    tables, logs, copies = _read_files(request, folder)
    zone = find_zone(request.timezone or workspace.settings.timezone)
    readings = _readings(logs, request.strata, zone)
    rejects = RejectList()
    items = _items(tables["items"], rejects)
    with store.read() as connection:
        known_items = {item.item_id for item in catalogue.list_items(connection)}
        known_creatives = {
            (c.item_id, c.creative_id)
            for c in catalogue.list_creatives(connection, taken_down=True)
        }
        taken = catalogue.list_taken_pictures(connection)
        known_logs = _list_known_logs(connection)
    refuse_second_readings(logs, readings, known_logs)
    item_ids = known_items | {item.item_id for item in items}
    creatives = _creatives(workspace, tables["creatives"], request, item_ids, taken, rejects)
    creative_ids = known_creatives | {(c.item_id, c.creative_id) for c in creatives}
    with ExposureTally(
        zone=zone,
        creative_ids=creative_ids,
        memory=workspace.settings.log_memory,
        folder=folder,
    ) as tally:
        for log in logs:
            tally.add(log, readings[log.sha256].strata)
        exposures = tally.merge(replace=request.replace)
    rejects.extend(tally.rejects)
    with store.write() as connection:
        take_turn(connection, "ingest")
        # Another ingest or a takedown may have ended while this one read.
        if not request.dry_run:
            _delete_taken(workspace, creatives, catalogue.list_taken_pictures(connection) - taken)
        catalogue.refuse_new_takedowns(connection, taken)
        known_logs = _list_known_logs(connection)
        refuse_second_readings(logs, readings, known_logs)
        _write(connection, items, creatives, exposures, request.replace, now)
        kept = {sha256: r.after(known_logs.get(sha256)) for sha256, r in readings.items()}
        _remember_tables(connection, tables, now)
        _remember_logs(connection, logs, tally.num_rows, kept, now)
        if request.dry_run:  # conflicts with known rows only show in writing
            connection.rollback()
    path = None
    if rejects.num and not request.dry_run:
        path = write_rejects(rejects.kept, workspace.root / "rejects", now=now)
    return IngestReport(
        items=len(items),
        creatives=len(creatives),
        exposures=len(exposures),
        rejects=tuple(rejects.kept),
        num_rejected=rejects.num,
        rejects_file=path,
        recognised=tuple(log.name for log in logs if log.sha256 in known_logs),
        copies=tuple(copies),
        strata=tuple(sorted({name for r in readings.values() for name in r.strata})),
    )


def _delete_taken(
    workspace: Workspace, creatives: Sequence[Creative], taken: frozenset[str]
) -> None:
    """Delete what was just stored of pictures that were taken down meanwhile."""
    for creative in creatives:
        if creative.pixel_sha256 in taken:
            workspace.originals.delete(creative.image_sha256)
            workspace.derivatives.delete(creative.derivative_sha256)
            ThumbnailCache(workspace.thumbnails).delete(creative.derivative_sha256)


def _read_files(
    request: IngestRequest, folder: Path
) -> tuple[dict[str, list[Table]], list[Log], list[str]]:
    """Return the tables by kind, the logs, and the names of files that repeat another's bytes."""
    copies: list[str] = []

    def once(patterns: Sequence[str], read: Callable[[str], File]) -> list[File]:
        names = [n for p in patterns for n in expand(p, allow_remote=request.allow_remote)]
        found: dict[str, File] = {}
        for name in dict.fromkeys(names):
            file = read(name)
            if request.folder is not None:
                file = _rename(file, str(Path(name).relative_to(request.folder)))
            if found.setdefault(file.sha256, file) is not file:
                copies.append(name)
        return list(found.values())

    def table(required: Sequence[str]) -> Callable[[str], Table]:
        return lambda name: read_table(name, request.renames, required)

    logs = once(request.exposures, lambda name: open_log(name, request.renames, folder))
    tables = {
        "items": once(request.items, table(("item_id", "title"))),
        "creatives": once(request.creatives, table(("item_id", "creative_id", "image"))),
    }
    _refuse_idle_renames(request.renames, [*logs, *tables["items"], *tables["creatives"]])
    return tables, logs, copies


def _rename(file: File, name: str) -> File:
    if isinstance(file, Table):
        return replace(file, name=name, rows=[replace(row, file=name) for row in file.rows])
    return replace(file, name=name)


def _refuse_idle_renames(renames: Mapping[str, str], tables: Sequence[Table | Log]) -> None:
    there = {c for table in tables for c in (*table.columns, *table.renames)}
    idle = [f"{new}={old}" for old, new in renames.items() if old not in there]
    if tables and idle:
        raise InputError(
            f"no file has the column of --map {', '.join(idle)}",
            hint=f"The files have {', '.join(sorted(there))}.",
        )


def _list_known_logs(connection: Connection) -> dict[str, Any]:
    """List how each log was read, by its SHA-256."""
    return {
        file["sha256"]: file["reading"]
        for file in catalogue.list_ingested_files(connection)
        if file["kind"] == "exposures"
    }


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


def _remember_tables(
    connection: Connection, tables: Mapping[str, Sequence[Table]], now: datetime
) -> None:
    for kind, read in tables.items():
        for table in read:
            catalogue.put_ingested_file(
                connection,
                sha256=table.sha256,
                kind=kind,
                name=table.name,
                num_rows=len(table.rows),
                reading=None,
                now=now,
            )


def _remember_logs(
    connection: Connection,
    logs: Sequence[Log],
    num_rows: Mapping[str, int],
    readings: Mapping[str, Reading],
    now: datetime,
) -> None:
    for log in logs:
        catalogue.put_ingested_file(
            connection,
            sha256=log.sha256,
            kind="exposures",
            name=log.name,
            num_rows=num_rows[log.sha256],
            reading=readings[log.sha256].model_dump(mode="json"),
            now=now,
        )


def _valid_rows(
    tables: Sequence[Table], model: type[RowModel], rejects: RejectList
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


def _items(tables: Sequence[Table], rejects: RejectList) -> list[Item]:
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
    taken: frozenset[str],
    rejects: RejectList,
) -> list[Creative]:
    refused = RejectList()
    rows = choose_rows(
        _valid_rows(tables, CreativeRow, refused),
        item_ids,
        images=request.images,
        allow_remote=request.allow_remote,
        rejects=refused,
    )
    found = read_pictures(workspace, rows, taken=taken, store=not request.dry_run, rejects=refused)
    # Pictures are read after all rows were checked; a person reads the rejects row by row.
    order = {table.name: place for place, table in enumerate(tables)}
    refused.kept.sort(key=lambda reject: (order[reject.file], reject.row))
    rejects.extend(refused)
    return found


def _readings(
    tables: Sequence[Log], wanted: tuple[str, ...] | None, zone: ZoneInfo | None
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
