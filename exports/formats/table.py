"""CSV: what a release says in plain cells, without images and messages."""

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from creativepair.cells import escape_cell
from exports.configurations import CONFIGURATIONS
from exports.formats.source import ReleaseSource
from exports.parquet import Configuration
from exports.plan import ConfigName

_WRITTEN: tuple[ConfigName, ...] = ("default", "annotations", "drafts")
_BETWEEN_QUERIES = "|"


def write_tables(source: ReleaseSource, folder: Path) -> None:
    """Write `<configuration>.csv`, all splits in one; an image is named by its file."""
    for name in _WRITTEN:
        configuration = CONFIGURATIONS[name]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["split", *configuration.columns])
            writer.writerows(_rows(source, configuration))


def _rows(source: ReleaseSource, configuration: Configuration) -> Iterator[list[str]]:
    light = configuration.light_columns
    for split in source.splits:
        for record in source.records(configuration.name, split, light):
            yield [split, *(_cell(record[column]) for column in configuration.columns)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):  # an image without its bytes
        return str(value["path"])
    if isinstance(value, list):
        return escape_cell(_BETWEEN_QUERIES.join(value))
    if isinstance(value, datetime):
        return value.isoformat()
    return escape_cell(value) if isinstance(value, str) else str(value)
