"""Writing and reading the Parquet files of a release.

Files hold the image bytes themselves, in the struct that Hugging Face `datasets` decodes as an
image; the schema's metadata says so. Memory is bounded by one row group, whatever the release's
size, and the same records give the same bytes under the same version of pyarrow. An image that
several rows of a row group show is stored once in it: rows of an item lie beside each other.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from creativepair.store.splits import SPLITS, Split
from exports.plan import CONFIG_NAMES, ConfigName

DATA = "data"
SHARD_BYTES = 256 * 2**20
"""Image bytes after which a split goes on in another file."""

ROW_GROUP_BYTES = 16 * 2**20
"""Image bytes after which a row group ends: readers fetch whole row groups."""

ROW_GROUP_ROWS = 1_000

Record = dict[str, Any]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# Parquet's own name for what a list holds: it reads back equal.
IMAGES = pa.list_(pa.field("element", IMAGE))
TIME = pa.timestamp("us", tz="UTC")

# Images are written as a dictionary, which is what stores an image once. They are given to the
# writer as one too: copying and hashing an image for every row that shows it took half of a build.
_NUMBERED_IMAGE = pa.struct(
    [("bytes", pa.dictionary(pa.int32(), pa.binary())), ("path", pa.string())]
)
_NUMBERED = {IMAGE: _NUMBERED_IMAGE, IMAGES: pa.list_(pa.field("element", _NUMBERED_IMAGE))}
# The dictionary is never given up for plain pages, which would store all images again: no row group
# is near this size.
_LARGEST_DICTIONARY_BYTES = 2**30
_NAME = re.compile(
    rf"{DATA}/({'|'.join(CONFIG_NAMES)})/({'|'.join(SPLITS)})-(\d{{5}})-of-(\d{{5}})\.parquet"
)


@dataclass(frozen=True)
class Configuration:
    """One table of a release, as Hugging Face `datasets` calls it.

    Attributes:
        name: its folder below `data`.
        columns: Arrow types by name.
    """

    name: ConfigName
    columns: Mapping[str, pa.DataType]

    @property
    def folder(self) -> str:
        """Where its files lie in a release."""
        return f"{DATA}/{self.name}"

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, which says to Hugging Face `datasets` what is an image."""
        features = {name: _feature(column) for name, column in self.columns.items()}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        return pa.schema(self.columns.items(), metadata=metadata)

    @cached_property
    def written_schema(self) -> pa.Schema:
        """The schema of what is given to Parquet's writer, which reads back as `schema`."""
        columns = {name: _NUMBERED.get(column, column) for name, column in self.columns.items()}
        return pa.schema(columns.items())

    @property
    def light_columns(self) -> list[str]:
        """The leaves of the table that hold no image bytes, as Parquet names them."""
        return [leaf for leaf, is_image in self._leaves if not is_image]

    @property
    def image_columns(self) -> list[str]:
        """The leaves that hold image bytes."""
        return [leaf for leaf, is_image in self._leaves if is_image]

    @property
    def _leaves(self) -> list[tuple[str, bool]]:
        return [leaf for name, column in self.columns.items() for leaf in _leaves(name, column)]


@dataclass(frozen=True, slots=True)
class FileName:
    """What the path of a data file in a release says."""

    config: ConfigName
    split: Split
    number: int
    num_files: int


class SplitWriter:
    """Writes the files of one split of one configuration; no records, no file.

    A row group is written in the background while the records of the next one come in.

    Args:
        root: of the release.
        background: with one worker, one row group of all that share it is being written at a time.
    """

    def __init__(
        self, root: Path, configuration: Configuration, split: Split, background: Executor
    ) -> None:
        self._configuration = configuration
        self._folder = root / configuration.folder
        self._split = split
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._shard_bytes = 0
        self._records: list[Record] = []
        self._images: set[bytes] = set()
        self._group_bytes = 0
        self._background = background
        self._writing: Future[None] | None = None

    def add(self, record: Record) -> None:
        """Add a row."""
        self._records.append(record)
        for image in _images_in(record):
            if image not in self._images:
                self._images.add(image)
                self._group_bytes += len(image)
        if self._group_bytes >= ROW_GROUP_BYTES or len(self._records) >= ROW_GROUP_ROWS:
            self._hand_over()

    def close(self) -> list[Path]:
        """Write what is left and return the files."""
        if self._records:
            self._hand_over()
        self._await_group()
        self._end_shard()
        # How many there are is known only now.
        return [
            part.rename(part.with_name(f"{part.stem}-of-{len(self._parts):05d}.parquet"))
            for part in self._parts
        ]

    def abandon(self) -> None:
        """Stop without finishing; the file that is open is closed."""
        if self._writing:
            wait([self._writing])
        self._end_shard()

    def _hand_over(self) -> None:
        self._await_group()
        self._writing = self._background.submit(self._write, self._records, self._group_bytes)
        self._records, self._images, self._group_bytes = [], set(), 0

    def _await_group(self) -> None:
        """Wait for the row group before this one, so that memory never holds three."""
        if self._writing:
            self._writing.result()

    def _write(self, records: Sequence[Record], image_bytes: int) -> None:
        if self._writer and self._shard_bytes + image_bytes > SHARD_BYTES:
            self._end_shard()
        if self._writer is None:
            self._writer = self._open_shard()
        self._writer.write_table(_make_table(records, self._configuration))
        self._shard_bytes += image_bytes

    def _open_shard(self) -> pq.ParquetWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f"{self._split}-{len(self._parts):05d}.part"
        self._parts.append(part)
        self._shard_bytes = 0
        light, images = self._configuration.light_columns, self._configuration.image_columns
        writer = pq.ParquetWriter(
            part,
            self._configuration.written_schema,
            compression=dict.fromkeys(light, "zstd") | dict.fromkeys(images, "none"),
            dictionary_pagesize_limit=_LARGEST_DICTIONARY_BYTES,
            write_statistics=light,
            write_page_index=True,
            store_schema=False,  # readers would make dictionaries again
        )
        writer.add_key_value_metadata(self._configuration.schema.metadata)
        return writer

    def _end_shard(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None


def parse_name(path: str) -> FileName | None:
    """Read the release-relative path of a data file; None for other files."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    config, split = cast(ConfigName, match[1]), cast(Split, match[2])
    return FileName(config, split, int(match[3]), int(match[4]))


def missing_shards(paths: Sequence[str]) -> list[str]:
    """Return which files are absent, going by the numbers in the names of those present."""
    named = [name for path in paths if (name := parse_name(path))]
    wanted = {
        f"{DATA}/{name.config}/{name.split}-{number:05d}-of-{name.num_files:05d}.parquet"
        for name in named
        for number in range(name.num_files)
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


def _make_table(records: Sequence[Record], configuration: Configuration) -> pa.Table:
    arrays = [
        _make_array([record[name] for record in records], column)
        for name, column in configuration.columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=configuration.written_schema)


def _make_array(values: Sequence[Any], column: pa.DataType) -> pa.Array:
    """Make a column; every row has its images."""
    if column == IMAGE:
        return _number_images(values)
    if column == IMAGES:
        offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32())
        images = _number_images([image for value in values for image in value])
        return pa.ListArray.from_arrays(offsets, images, type=_NUMBERED[IMAGES])
    return pa.array(values, column)


def _number_images(images: Sequence[Record]) -> pa.Array:
    numbers: dict[bytes, int] = {}
    shown = [numbers.setdefault(image["bytes"], len(numbers)) for image in images]
    different = pa.DictionaryArray.from_arrays(
        pa.array(shown, pa.int32()), pa.array(numbers, pa.binary())
    )
    paths = pa.array([image["path"] for image in images], pa.string())
    return pa.StructArray.from_arrays([different, paths], type=_NUMBERED_IMAGE)


def _images_in(record: Record) -> Iterator[bytes]:
    for value in record.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and isinstance(part.get("bytes"), bytes):
                yield part["bytes"]


def _leaves(name: str, column: pa.DataType) -> Iterator[tuple[str, bool]]:
    if pa.types.is_list(column):
        yield from _leaves(f"{name}.list.element", column.value_type)
    elif pa.types.is_struct(column):
        for field in column:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name, pa.types.is_binary(column)


def _feature(column: pa.DataType) -> dict[str, Any]:
    """Describe a column in the words of Hugging Face `datasets` 4."""
    if column == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(column):
        return {"feature": _feature(column.value_type), "_type": "List"}
    if pa.types.is_struct(column):
        return {field.name: _feature(field.type) for field in column}
    return {"dtype": _DTYPES[column], "_type": "Value"}


_DTYPES = {
    pa.string(): "string",
    pa.float64(): "float64",
    pa.int64(): "int64",
    pa.bool_(): "bool",
    TIME: "timestamp[us, tz=UTC]",
}
