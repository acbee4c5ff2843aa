"""`judgements export` and `import`: judgements as a table, out and in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from annotators.exchange import COLUMNS, export_rows, import_rows
from app.bootstrap import Studio
from app.commands.tables import write_table
from creativepair.ingestion.files import read_table
from creativepair.ingestion.rejects import Reject, write_rejects
from creativepair.store.keys import make_key
from creativepair.store.takedowns import list_takedowns
from exports.pseudonyms import KEY_NAME, pseudonymiser

_REQUIRED = ("pair_id", "annotator_id", "left_is", "blind", "final", "shown_at", "decided_at")


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """How an import went."""

    imported: int
    skipped: int
    rejects: Sequence[Reject]
    rejects_file: Path | None


def export_judgements(studio: Studio, out: Path) -> int:
    """Write every finished judgement to a CSV or Parquet file.

    Returns:
        The number of rows.

    Raises:
        InputError: when the file name says neither.
    """
    with studio.store.read() as connection:
        rows = export_rows(connection)
    write_table(rows, COLUMNS, out)
    return len(rows)


def import_judgements(studio: Studio, path: Path) -> ImportSummary:
    """Read judgements from a file; good rows are kept, bad ones listed.

    Raises:
        InputError: when the file cannot be read at all.
    """
    table = read_table(str(path), {}, _REQUIRED)
    with studio.store.write() as connection:
        key = make_key(connection, KEY_NAME, now=datetime.now(UTC))
        pseudonymise = pseudonymiser(key)
        erased = {one.key for one in list_takedowns(connection, "annotator")}
        report = import_rows(
            connection,
            studio.workspace.protocol,
            table.rows,
            is_erased=lambda annotator_id: pseudonymise(annotator_id) in erased,
        )
    rejects_file = None
    if report.rejects:
        folder = studio.workspace.root / "rejects"
        rejects_file = write_rejects(report.rejects, folder, now=datetime.now(UTC))
    return ImportSummary(report.imported, report.skipped, report.rejects, rejects_file)
