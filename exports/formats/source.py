"""Reading a finished release pair by pair, with what every configuration says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from creativepair.protocol import Protocol
from creativepair.store.splits import Split
from exports.manifest import Manifest
from exports.parquet import Record, parse_name, read_records
from exports.plan import ConfigName

_BESIDE: tuple[ConfigName, ...] = ("annotations", "drafts")


@dataclass(frozen=True, slots=True)
class ReleasedPair:
    """One pair.

    Attributes:
        default: its row of `default`.
        annotations, drafts: its rows there.
    """

    split: Split
    default: Record
    annotations: tuple[Record, ...]
    drafts: tuple[Record, ...]


class ReleaseSource:
    """A release that was found whole.

    Args:
        folder: of the release.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    @property
    def splits(self) -> list[Split]:
        """Splits that have pairs."""
        return list(self._manifest.counts.splits)

    @property
    def protocol(self) -> Protocol:
        """The protocol that the chains follow."""
        return self._manifest.lineage.protocol

    @property
    def created(self) -> datetime:
        """When the release was built."""
        return self._manifest.created

    def pairs(self, split: Split) -> Iterator[ReleasedPair]:
        """Go through the pairs of a split; memory holds one row group of each configuration."""
        # Every configuration has its rows in the order of `default`.
        beside = {name: _Cursor(self.records(name, split)) for name in _BESIDE}
        for record in self.records("default", split):
            of = {name: cursor.take(record["pair_id"]) for name, cursor in beside.items()}
            yield ReleasedPair(split, record, of["annotations"], of["drafts"])

    def records(
        self, config: ConfigName, split: Split, columns: Sequence[str] | None = None
    ) -> Iterator[Record]:
        """Go through the rows of a configuration in a split."""
        for path in sorted(self._manifest.files):
            name = parse_name(path)
            if name and (name.config, name.split) == (config, split):
                yield from read_records(self._folder / path, columns)


class _Cursor:
    """Gives the rows of one pair after another, for pairs asked for in the rows' own order."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._groups = groupby(records, key=lambda record: str(record["pair_id"]))
        self._next: tuple[str, tuple[Record, ...]] | None = None
        self._advance()

    def take(self, pair_id: str) -> tuple[Record, ...]:
        if self._next is None or self._next[0] != pair_id:
            return ()
        records = self._next[1]
        self._advance()
        return records

    def _advance(self) -> None:
        found = next(self._groups, None)
        self._next = (found[0], tuple(found[1])) if found else None


class ImageFolder:
    """Writes images as files, each once.

    Args:
        root: in which a folder `images` is made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._written: set[str] = set()

    def add(self, image: Record) -> str:
        """Write an image and return its path below the root."""
        path = f"images/{image['path']}"
        if path not in self._written:
            target = self._root / path
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(image["bytes"])
            self._written.add(path)
        return path
