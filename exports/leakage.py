"""Looking for leaks between splits in finished files, not in what should have been written."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from creativepair.errors import StateError
from exports.gates import SHOWN_OFFENDERS
from exports.parquet import Record, parse_name, read_records
from exports.plan import ConfigName

LEAKING_COLUMNS: dict[ConfigName, list[str]] = {
    "default": ["pair_id", "item_id", "image_a.path", "image_b.path"],
    "cot": ["pair_id", "images.list.element.path"],
    "prompts": ["pair_id", "images.list.element.path"],
    "preference": ["pair_id", "images.list.element.path"],
    "annotations": ["pair_id"],
    "drafts": ["pair_id"],
}
"""What of each configuration may stand in one split only."""


class Leakage:
    """Collects in which split each item, pair and picture stands."""

    def __init__(self) -> None:
        self._split_of: dict[str, str] = {}
        self._leaks: dict[str, set[str]] = {}

    def add(self, split: str, record: Record) -> None:
        """Note one row; it may lack what `LEAKING_COLUMNS` does not name."""
        for key in _keys(record):
            known = self._split_of.setdefault(key, split)
            if known != split:
                self._leaks.setdefault(key, {known}).add(split)

    def problems(self) -> list[str]:
        """Name each thing that stands in more than one split."""
        return [
            f"{key} is in {' and '.join(sorted(splits))}"
            for key, splits in sorted(self._leaks.items())
        ]


def refuse_leaks(folder: Path, paths: Iterable[str]) -> None:
    """Let no release appear whose splits share a pair, an item or a picture.

    Args:
        folder: of the finished files.
        paths: of all its files, within it.

    Raises:
        StateError: naming what leaks.
    """
    leakage = Leakage()
    for path in paths:
        if name := parse_name(path):
            for record in read_records(folder / path, LEAKING_COLUMNS[name.config]):
                leakage.add(name.split, record)
    if problems := leakage.problems():
        raise StateError(
            f"{len(problems)} pairs, items or images are in two splits: "
            + "; ".join(problems[:SHOWN_OFFENDERS]),
            hint="This is a fault of the program; please report it. Nothing was released.",
        )


def _keys(record: Record) -> Iterator[str]:
    yield f"pair {record['pair_id']}"
    if "item_id" in record:
        yield f"item {record['item_id']}"
    images = [record.get("image_a"), record.get("image_b"), *record.get("images", ())]
    yield from (f"image {image['path']}" for image in images if image)
