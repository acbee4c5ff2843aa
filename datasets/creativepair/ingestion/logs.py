"""Logs of any size: looked over once when opened, read row by row as often as needed.

The first look takes the checksum and finds what makes a file unreadable as a whole, so that
nothing is written when one of several logs is damaged. It reads in pieces and keeps none. A log
at a remote address is fetched into a temporary folder first: its checksum needs every byte anyway.
"""

import codecs
import gzip
import hashlib
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import IO, cast

import fsspec

from creativepair.errors import InputError
from creativepair.ingestion.delimited import DELIMITERS, find_delimiter
from creativepair.ingestion.files import (
    JSON_FORMS,
    RawRow,
    form_of,
    is_empty,
    read_bytes,
    read_csv,
    read_jsonl,
    read_parquet,
    rename_columns,
    rename_row,
)
from creativepair.ingestion.schemas import COUNT_COLUMNS, EVENT_COLUMNS

_CHUNK_BYTES = 2**20
_BLANK_LINE = re.compile(rb"\n\r?\n")


@dataclass(frozen=True, slots=True)
class Log:
    """A log that can be read.

    Attributes:
        name: as the user gave it.
        path: where its bytes are on this machine.
        columns: after renaming, in the order of the file.
        originals: the same columns as the file names them.
        renames: our column name by the file's, where the two differ.
        stamp: tells whether another program wrote to the file since.
        simple_delimiter: of a CSV without quotes, blank lines or odd line ends, and as many
            delimiters as its columns need, whose n-th line is its n-th record for every reader;
            else None.
    """

    name: str
    path: Path
    form: str
    compressed: bool
    sha256: str
    columns: tuple[str, ...]
    originals: tuple[str, ...]
    renames: Mapping[str, str]
    stamp: tuple[int, int, int]
    simple_delimiter: str | None = None

    @property
    def has_events(self) -> bool:
        """Whether a row is one impression; else it counts several."""
        return set(EVENT_COLUMNS) <= set(self.columns)

    def require_unchanged(self) -> None:
        """See that the checksum is that of the rows that were read.

        Raises:
            InputError: when another program wrote to the file in the meantime.
        """
        if not self.path.exists() or _stamp(self.path) != self.stamp:
            raise InputError(
                f"{self.name} changed while it was read",
                hint="Ingest it when it is complete, or ingest a copy.",
            )

    def rows(self) -> Iterator[RawRow]:
        """Read the rows from the start.

        Raises:
            InputError: when a Parquet file is damaged further on.
        """
        if self.form == ".parquet":
            _, rows = read_parquet(self.path, self.name)
            yield from (rename_row(row, self.renames) for row in rows)
            return
        with _open_text(self.path, self.compressed) as text:
            rows = (
                read_jsonl(text, self.name, {})
                if self.form in JSON_FORMS
                else read_csv(text, self.name)[1]
            )
            yield from (rename_row(row, self.renames) for row in rows)


def open_log(name: str, renames: Mapping[str, str], folder: Path) -> Log:
    """Look a log over.

    Args:
        name: a path, or a URL that the caller may read.
        folder: for copies of remote logs.

    Raises:
        InputError: when it is empty, damaged, no table, or lacks a column.
    """
    form, compressed = form_of(name)
    path = _fetch(name, folder) if "://" in name else Path(name).absolute()
    try:
        stamp = _stamp(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if form == ".parquet" and compressed:
            path, compressed = _unpack(path, name, folder / f"{sha256}.parquet"), False
            stamp = _stamp(path)
        if path.stat().st_size == 0:
            raise is_empty(name)
        simple, columns = _look_over(path, form, compressed, name)
    except OSError as error:
        raise InputError(
            f"{name} cannot be read: {error.strerror}", hint="Check the path."
        ) from error
    renamed, applied = rename_columns(name, columns, renames, ("item_id", "creative_id"))
    _require_numbers(name, renamed)
    return Log(name, path, form, compressed, sha256, renamed, columns, applied, stamp, simple)


def _look_over(
    path: Path, form: str, compressed: bool, name: str
) -> tuple[str | None, tuple[str, ...]]:
    """Return the delimiter of a simple CSV, and the columns."""
    if form == ".parquet":
        return None, read_parquet(path, name)[0]
    traits = _scan_text(path, compressed, name)
    with _open_text(path, compressed) as text:
        if form in JSON_FORMS:
            found: dict[str, None] = {}
            for _ in read_jsonl(text, name, found):
                pass
            return None, tuple(found)
        header = next(text, "")
        text.seek(0)
        columns, rows = read_csv(text, name)
        if traits.has_quotes:  # one that is not closed shows on the way
            for _ in rows:
                pass
    delimiter = find_delimiter(header)
    # Some readers let an empty cell too many pass; none of them lets one too few pass.
    is_even = traits.counts[delimiter] == traits.num_lines * (len(columns) - 1)
    simple = traits.is_simple and is_even and bool(header.strip())
    return delimiter if simple else None, columns


@dataclass(slots=True)
class _Traits:
    has_quotes: bool = False
    is_simple: bool = True
    num_lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def _scan_text(path: Path, compressed: bool, name: str) -> _Traits:
    decoder = codecs.getincrementaldecoder("utf-8")()
    traits, before, blank = _Traits(), b"", True
    with _open_bytes(path, compressed) as file:
        for chunk in _chunks(file, name):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(name, traits.num_lines + 1, error) from error
            traits.num_lines += chunk.count(b"\n")
            traits.counts.update({sign: chunk.count(sign.encode()) for sign in DELIMITERS})
            blank = blank and not chunk.strip()
            _note_traits(traits, before + chunk)
            before = chunk[-2:]  # a line end may be cut in two
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(name, traits.num_lines + 1, error) from error
    if blank:
        raise is_empty(name)
    traits.num_lines += not before.endswith(b"\n")
    return traits


def _note_traits(traits: _Traits, data: bytes) -> None:
    traits.has_quotes = traits.has_quotes or b'"' in data
    body = data.removesuffix(b"\r")  # its newline may come with the next piece
    traits.is_simple = (
        traits.is_simple
        and not traits.has_quotes
        and b"\0" not in data
        and body.count(b"\r") == body.count(b"\r\n")
        and not _BLANK_LINE.search(data)
    )


def _chunks(file: IO[bytes] | gzip.GzipFile, name: str) -> Iterator[bytes]:
    try:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{name} is a damaged gzip file: {error}", hint="Fetch it again."
        ) from error


def _not_utf8(name: str, line: int, error: UnicodeDecodeError) -> InputError:
    line += error.object[: error.start].count(b"\n")
    return InputError(
        f"{name}, line {line}: byte {error.object[error.start]:#04x} is not UTF-8",
        hint="Save the file as UTF-8.",
    )


def _open_bytes(path: Path, compressed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if compressed else path.open("rb")


@contextmanager
def _open_text(path: Path, compressed: bool) -> Iterator[TextIOWrapper]:
    with TextIOWrapper(_open_bytes(path, compressed), encoding="utf-8-sig", newline="") as text:
        yield text


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _fetch(name: str, folder: Path) -> Path:
    path = folder / hashlib.sha256(name.encode()).hexdigest()
    if name.startswith(("http:", "https:", "file:", "local:")):
        path.write_bytes(read_bytes(name))  # checked addresses only, up to a size
        return path
    try:
        with fsspec.open(name, "rb") as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    except (OSError, ImportError, ValueError) as error:
        raise InputError(f"{name} cannot be read: {error}", hint="Check the address.") from error
    return path


def _unpack(path: Path, name: str, target: Path) -> Path:
    with gzip.open(path) as file, target.open("wb") as copy:
        for chunk in _chunks(file, name):
            copy.write(chunk)
    return target


def _require_numbers(name: str, columns: tuple[str, ...]) -> None:
    if set(COUNT_COLUMNS) <= set(columns) or set(EVENT_COLUMNS) <= set(columns):
        return
    missing = [column for column in COUNT_COLUMNS if column not in columns]
    raise InputError(
        f"{name} lacks the column {', '.join(missing)}; it has {', '.join(columns)}",
        hint=f"Name yours: --map {missing[0]}=YOUR_COLUMN; event logs have ts, clicked.",
    )
