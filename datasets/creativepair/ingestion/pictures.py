"""The pictures of creatives: read, decoded, hashed, and stored with their derivatives.

Most of an ingest's time goes here, so many pictures are read in several processes. A picture's
blobs are durable before its creative is returned, and so before any row of it is committed.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from creativepair.errors import InputError
from creativepair.fingerprints import fingerprint
from creativepair.images import decode, encode_derivative
from creativepair.ingestion.files import RawRow
from creativepair.ingestion.pool import count_processes, map_in_order
from creativepair.ingestion.rejects import RejectList, reject_row
from creativepair.ingestion.schemas import CreativeRow
from creativepair.records import Creative
from creativepair.sources import ImageSource
from creativepair.thumbnails import ThumbnailCache, thumbnail_of_derivative
from creativepair.workspace import Workspace

POOL_FROM = 200
"""Pictures from which processes pay: a process starts in 2 seconds, a picture takes 20 ms."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A row of a creatives file whose picture is to be read.

    Attributes:
        raw: the row as it stands in the file.
        row: the same, checked.
        source: where its image reference is looked up.
    """

    raw: RawRow
    row: CreativeRow
    source: ImageSource


def choose_rows(
    rows: Iterable[tuple[RawRow, CreativeRow]],
    item_ids: Collection[str],
    *,
    images: Path | None,
    allow_remote: bool,
    rejects: RejectList,
) -> list[PictureRow]:
    """Return the rows whose picture is worth reading, and append the others to `rejects`.

    Args:
        rows: checked rows of creatives files.
        item_ids: every item there is.
        images: folder of the images; None means the folder of each creatives file.
        allow_remote: whether web addresses are fetched.
        rejects: where rows of unknown items and repeated creatives go.

    Raises:
        InputError: when `images` is not a folder.
    """
    seen: set[tuple[str, str]] = set()
    sources: dict[Path | None, ImageSource] = {}
    chosen = []
    for raw, row in rows:
        key = (row.item_id, row.creative_id)
        if row.item_id not in item_ids:
            rejects.append(reject_row(raw, "is an unknown item", column="item_id"))
        elif key in seen:
            rejects.append(reject_row(raw, "is given twice for this item", column="creative_id"))
        else:
            seen.add(key)
            here = None if "://" in raw.file else Path(raw.file).resolve().parent
            root = images or here
            if root not in sources:
                sources[root] = ImageSource(root, allow_remote=allow_remote)
            chosen.append(PictureRow(raw, row, sources[root]))
    return chosen


def read_pictures(
    workspace: Workspace,
    rows: Collection[PictureRow],
    *,
    taken: frozenset[str],
    store: bool,
    rejects: RejectList,
) -> list[Creative]:
    """Return the creatives of the rows whose picture can be used, in the order of the rows.

    Args:
        workspace: where images and derivatives are stored.
        rows: as `choose_rows` returns them.
        taken: SHA-256 of the pixels of pictures that were taken down; such rows are rejected.
        store: False checks everything and writes nothing.
        rejects: where rows go whose picture cannot be used, for the reason that its error gives.

    Raises:
        StateError: when a process that reads pictures dies.
    """
    creatives = []
    for picture, found in zip(rows, _read_all(workspace, rows, taken, store=store), strict=True):
        if isinstance(found, Creative):
            creatives.append(found)
        else:
            rejects.append(reject_row(picture.raw, found, column="image"))
    return creatives


def _read_all(
    workspace: Workspace, rows: Collection[PictureRow], taken: frozenset[str], *, store: bool
) -> Iterator[Creative | str]:
    processes = count_processes() if len(rows) >= POOL_FROM else 1
    tasks = ((picture.row, picture.source) for picture in rows)
    return map_in_order(partial(_try_to_read, workspace, taken, store), tasks, processes=processes)


def _try_to_read(
    workspace: Workspace, taken: frozenset[str], store: bool, task: tuple[CreativeRow, ImageSource]
) -> Creative | str:
    """Return the creative, or why its picture cannot be used."""
    row, source = task
    try:
        return read_creative(workspace, row, source, taken=taken, store=store)
    except InputError as error:  # as text: errors with keyword arguments do not survive a pickle
        return error.message


def read_creative(
    workspace: Workspace,
    row: CreativeRow,
    source: ImageSource,
    *,
    taken: frozenset[str] = frozenset(),
    store: bool,
) -> Creative:
    """Read, decode and hash one picture, and store it with its derivative and its thumbnail.

    Raises:
        InputError: when the picture cannot be read or used, or was taken down.
    """
    data = source.read(row.image)
    decoded = decode(data, name=row.image)
    if decoded.pixel_sha256 in taken:
        raise InputError(
            f"{row.image} shows a picture that was taken down",
            hint="It can never be added again; leave the row out.",
        )
    derivative = encode_derivative(decoded.image)
    prints = fingerprint(decoded.image)
    derivative_sha256 = _keep_derivative(workspace, derivative) if store else _digest(derivative)
    return Creative(
        item_id=row.item_id,
        creative_id=row.creative_id,
        image_sha256=workspace.originals.put(data) if store else _digest(data),
        pixel_sha256=decoded.pixel_sha256,
        derivative_sha256=derivative_sha256,
        width=decoded.width,
        height=decoded.height,
        phash=prints.phash,
        dhash=prints.dhash,
        colorhash=prints.colorhash,
        recipe=prints.recipe,
        aa_of=row.aa_of,
        text=row.text,
        synthetic=workspace.settings.synthetic,
    )


def _keep_derivative(workspace: Workspace, derivative: bytes) -> str:
    sha256 = workspace.derivatives.put(derivative)
    cache = ThumbnailCache(workspace.thumbnails)
    if cache.get(sha256) is None:
        cache.put(sha256, thumbnail_of_derivative(derivative))
    return sha256


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
