"""Writing and reading the Parquet files of the `default` configuration.

Files hold the image bytes themselves, in the struct that Hugging Face `datasets` decodes as an
image; the schema's metadata says so. Memory is bounded by one row group, whatever the release's
size, and the same rows give the same bytes under the same version of pyarrow.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from creativepair.records import Creative
from exports.rows import Row
from exports.splits import Split

FOLDER = "data/default"
SHARD_BYTES = 256 * 2**20
"""Image bytes after which a split goes on in another file."""

ROW_GROUP_BYTES = 16 * 2**20
"""Image bytes after which a row group ends: readers fetch whole row groups."""

ROW_GROUP_ROWS = 1_000

ReadImage = Callable[[str], bytes]
Record = dict[str, Any]

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TEXTS = pa.list_(pa.field("element", pa.string()))  # Parquet's own name: it reads back equal
_COLUMNS = {
    "pair_id": pa.string(),
    "item_id": pa.string(),
    "image_a": _IMAGE,
    "image_b": _IMAGE,
    "title": pa.string(),
    "queries": _TEXTS,
    "category": pa.string(),
    "label": pa.string(),
    "label_ctr": pa.string(),
    "label_blind": pa.string(),
    "label_final": pa.string(),
    "label_adjudicated": pa.string(),
    "ctr_prob_a": pa.float64(),
    "rel_gap": pa.float64(),
    "impressions_a": pa.int64(),
    "clicks_a": pa.int64(),
    "impressions_b": pa.int64(),
    "clicks_b": pa.int64(),
    "randomised": pa.bool_(),
    "chain": pa.string(),
    "chain_status": pa.string(),
    "protocol": pa.string(),
    "synthetic": pa.bool_(),
}
_DTYPES = {pa.string(): "string", pa.float64(): "float64", pa.int64(): "int64", pa.bool_(): "bool"}
_NAME = re.compile(rf"{FOLDER}/(train|validation|test)-(\d{{5}})-of-(\d{{5}})\.parquet")


def _feature(column: pa.DataType) -> dict[str, Any]:
    """Describe a column in the words of Hugging Face `datasets` 4."""
    if column == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(column):
        return {"feature": _feature(column.value_type), "_type": "List"}
    return {"dtype": _DTYPES[column], "_type": "Value"}


_FEATURES = {name: _feature(column) for name, column in _COLUMNS.items()}
SCHEMA = pa.schema(
    _COLUMNS.items(), metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})}
)

# Dictionaries and statistics of image bytes would store whole images again.
_PLAIN_COLUMNS = [name for name in _COLUMNS if _COLUMNS[name] != _IMAGE]


@dataclass(frozen=True, slots=True)
class _RowGroup:
    table: pa.Table
    num_bytes: int


def write_split(
    root: Path, split: Split, rows: Iterable[Row], protocol: str, read_image: ReadImage
) -> list[Path]:
    """Write the files of one split, in the order of the rows; no rows, no file.

    Args:
        root: of the release.
        protocol: version that the chains follow.
        read_image: gives the bytes of a derivative; called for one image at a time.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    groups = _row_groups(rows, protocol, read_image)
    group = next(groups, None)
    while group:
        part = folder / f"{split}-{len(parts):05d}.part"
        group = _write_shard(part, group, groups)
        parts.append(part)
    return [
        part.rename(folder / f"{part.stem}-of-{len(parts):05d}.parquet") for part in parts
    ]  # how many there are is known only now


def split_of(path: str) -> Split | None:
    """Return the split that a file of this release-relative path holds, None for other files."""
    match = _NAME.fullmatch(path)
    return match[1] if match else None  # type: ignore[return-value]  # as the pattern says


def missing_shards(paths: Sequence[str]) -> list[str]:
    """Return which files are absent, going by the numbers in the names of those present."""
    named = [match for path in paths if (match := _NAME.fullmatch(path))]
    wanted = {
        f"{FOLDER}/{match[1]}-{number:05d}-of-{match[3]}.parquet"
        for match in named
        for number in range(int(match[3]))
    }
    return sorted(wanted - set(paths))


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of a file."""
    with pq.ParquetFile(path) as file:
        return file.schema_arrow


def read_records(path: Path, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """Go through the rows of a file, a few at a time in memory."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):  # all at once would be buffered whole
            for batch in file.iter_batches(64, row_groups=[number], columns=columns):
                yield from batch.to_pylist()


def _write_shard(path: Path, first: _RowGroup, others: Iterator[_RowGroup]) -> _RowGroup | None:
    """Write row groups until the file is full; return the one that did not fit."""
    options = {
        "use_dictionary": _PLAIN_COLUMNS,
        "write_statistics": _PLAIN_COLUMNS,
        "write_page_index": True,
    }
    size = first.num_bytes
    with pq.ParquetWriter(path, SCHEMA, **options) as writer:
        writer.write_table(first.table)
        for group in others:
            if size + group.num_bytes > SHARD_BYTES:
                return group
            writer.write_table(group.table)
            size += group.num_bytes
    return None


def _row_groups(rows: Iterable[Row], protocol: str, read_image: ReadImage) -> Iterator[_RowGroup]:
    records: list[Record] = []
    num_bytes = 0
    for row in rows:
        record = _record(row, protocol, read_image)
        records.append(record)
        num_bytes += len(record["image_a"]["bytes"]) + len(record["image_b"]["bytes"])
        if num_bytes >= ROW_GROUP_BYTES or len(records) >= ROW_GROUP_ROWS:
            yield _RowGroup(pa.Table.from_pylist(records, schema=SCHEMA), num_bytes)
            records, num_bytes = [], 0
    if records:
        yield _RowGroup(pa.Table.from_pylist(records, schema=SCHEMA), num_bytes)


def _record(row: Row, protocol: str, read_image: ReadImage) -> Record:
    evidence, labels = row.evidence, row.labels
    return {
        "pair_id": row.pair.pair_id,
        "item_id": row.pair.item_id,
        "image_a": _image(row.image_a, read_image),
        "image_b": _image(row.image_b, read_image),
        "title": row.item.title,
        "queries": list(row.item.queries),
        "category": row.item.category,
        "label": labels.label,
        "label_ctr": labels.ctr,
        "label_blind": labels.blind,
        "label_final": labels.final,
        "label_adjudicated": labels.adjudicated,
        "ctr_prob_a": evidence.prob_a if evidence else None,
        "rel_gap": evidence.rel_gap if evidence else None,
        "impressions_a": evidence.impressions_a if evidence else None,
        "clicks_a": evidence.clicks_a if evidence else None,
        "impressions_b": evidence.impressions_b if evidence else None,
        "clicks_b": evidence.clicks_b if evidence else None,
        "randomised": evidence.randomised if evidence else None,
        "chain": row.chain.model_dump_json() if row.chain else None,
        "chain_status": row.chain_status.value,
        "protocol": protocol,
        "synthetic": row.is_synthetic,
    }


def _image(creative: Creative, read_image: ReadImage) -> Record:
    # The name states which picture it is, so that leaks between splits show in the files alone.
    return {
        "bytes": read_image(creative.derivative_sha256),
        "path": f"{creative.pixel_sha256}.jpg",
    }
