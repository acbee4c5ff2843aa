"""Looking for leaks between splits in finished files, not in what should have been written."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from creativepair.errors import StateError
from exports.gates import SHOWN_OFFENDERS
from exports.parquet import Record, parse_name, read_records
from exports.plan import ConfigName
from exports.splits import Split

LEAKING_COLUMNS: dict[ConfigName, list[str]] = {
    "default": ["pair_id", "item_id", "image_a.path", "image_b.path"],
    "cot": ["pair_id", "images.list.element.path"],
    "prompts": ["pair_id", "images.list.element.path"],
    "preference": ["pair_id", "images.list.element.path"],
    "annotations": ["pair_id"],
    "drafts": ["pair_id"],
}
"""What of each configuration may stand in one split only."""

_KEYS_AT_ONCE = 100_000


def find_leaks(read: Callable[[], Iterable[tuple[Split, Record]]]) -> list[str]:
    """Name each item, pair and picture that stands in more than one split.

    Of most releases one look is enough, which keeps eight bytes of each; where hashes stand in two
    splits, a second one tells what they are of.

    Args:
        read: goes through rows and their splits; they may lack what `LEAKING_COLUMNS` does not
            name.
    """
    hashes: dict[Split, NDArray[np.int64]] = defaultdict(lambda: np.empty(0, dtype=np.int64))
    for split, rows in groupby(read(), itemgetter(0)):
        keys = (hash(key) for _, record in rows for key in _keys(record))
        while len(some := np.fromiter(islice(keys, _KEYS_AT_ONCE), dtype=np.int64)):
            hashes[split] = np.union1d(hashes[split], some)
    known = np.concatenate([np.empty(0, dtype=np.int64), *hashes.values()])
    found, times = np.unique(known, return_counts=True)
    suspects = set(found[times > 1].tolist())
    splits_of: dict[str, set[Split]] = defaultdict(set)
    for split, record in read() if suspects else ():
        for key in _keys(record):
            if hash(key) in suspects:
                splits_of[key].add(split)
    return [
        f"{key} is in {' and '.join(sorted(splits))}"
        for key, splits in sorted(splits_of.items())
        if len(splits) > 1
    ]


def read_leaking(folder: Path, paths: Iterable[str]) -> Iterator[tuple[Split, Record]]:
    """Go through what may leak of the rows of a release, and their splits.

    Args:
        folder: of the finished files.
        paths: of all its files, within it.
    """
    for path in paths:
        if name := parse_name(path):
            for record in read_records(folder / path, LEAKING_COLUMNS[name.config]):
                yield name.split, record


def refuse_leaks(folder: Path, paths: Sequence[str]) -> None:
    """Let no release appear whose splits share a pair, an item or a picture.

    Args:
        folder: of the finished files.
        paths: of all its files, within it.

    Raises:
        StateError: naming what leaks.
    """
    if problems := find_leaks(lambda: read_leaking(folder, paths)):
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
