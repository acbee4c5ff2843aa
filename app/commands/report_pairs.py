"""`pairs report`: one HTML page about the newest build, to decide whether to trust it."""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import Connection

from app.bootstrap import Studio
from app.reports.figures import COLUMNS, Rows
from app.reports.pairs_page import Example, PairsReport, render
from creativepair.errors import CreativePairError, InputError, StateError
from creativepair.pairing import PairSettings
from creativepair.records import PairStatus
from creativepair.store import catalogue, pairs

_PICTURE_SIDE_PX = 320
_OF_EACH_KIND = 2


def report_pairs(studio: Studio, out: Path | None = None) -> Path:
    """Write the report; the same build gives the same bytes.

    Args:
        studio: the workspace.
        out: the file; None puts it into the workspace's `reports/`, named after the build.

    Returns:
        Where it is, absolute.

    Raises:
        StateError: when nothing was built yet.
        InputError: when the file cannot be written.
    """
    with studio.store.read() as connection:
        builds = pairs.list_evidence_builds(connection)
        if not builds:
            raise StateError("there is no build yet", hint="Make one: creativepair pairs build.")
        build = builds[-1]
        version, summary = build["version"], build["summary"]
        settings = PairSettings().model_dump(mode="json") | build["settings"]
        num_stale = pairs.count_pairs(connection).get(PairStatus.STALE, 0)
        rows = _read_rows(connection, version, _find_groups(connection, summary))
        examples = [
            _show_example(studio, connection, kind, pair_id, version)
            for kind, pair_id in choose_examples(rows)
        ]
    report = PairsReport(
        workspace=studio.workspace.settings.name,
        synthetic=studio.workspace.settings.synthetic,
        version=version,
        built_at=build["built_at"],
        settings=settings,
        summary=summary,
        rows=rows,
        num_stale=num_stale,
        examples=examples,
    )
    path = out or _make_folder(reports_folder(studio)) / f"pairs-{version}.html"
    _write(path, render(report))
    return path.resolve()


def choose_examples(rows: Rows) -> Iterator[tuple[str, str]]:
    """Choose pairs to look at, none twice: kept ones by their confidence, and the closest misses.

    Args:
        rows: evidence of a build, by pair id, [num_pairs].

    Yields:
        The kind, a key of `pairs_page.KINDS`, and the pair's id.
    """
    confidence = np.maximum(rows["prob_a"], 1 - rows["prob_a"])
    kept = rows["status"] == "candidate"
    unsure = rows["reject_reason"] == "low_confidence"
    small = rows["reject_reason"] == "small_gap"
    middle = np.median(confidence[kept]) if kept.any() else 0.0
    chosen: set[int] = set()
    for kind, of_kind, first in (
        ("clear", kept, -confidence),
        ("typical", kept, np.abs(confidence - middle)),
        ("borderline", kept, confidence),
        ("nearly_sure", unsure, -confidence),
        ("wide_unsure", unsure, -rows["rel_gap"]),
        ("small_gap", small, -confidence),
    ):
        places = np.flatnonzero(of_kind)
        ranked = places[np.argsort(first[places], kind="stable")].tolist()
        fresh = [place for place in ranked[: 6 * _OF_EACH_KIND] if place not in chosen]
        for place in fresh[:_OF_EACH_KIND]:
            chosen.add(place)
            yield kind, str(rows["pair_id"][place])


def _read_rows(
    connection: Connection, version: int, groups: Mapping[str, Sequence[frozenset[str]]]
) -> Rows:
    """Read the evidence of a build; `groups` are those whose pairs it left out, by item."""
    listed = (
        (
            *(getattr(row, name) for name, _ in COLUMNS[:-1]),
            any({row.creative_a, row.creative_b} <= group for group in groups.get(row.item_id, ())),
        )
        for row in pairs.iterate_evidence(connection, version)
    )
    return np.fromiter(listed, dtype=list(COLUMNS))


def _find_groups(
    connection: Connection, summary: Mapping[str, Any]
) -> dict[str, list[frozenset[str]]]:
    """Return the creatives of each flagged group, by item."""
    flagged = {(g["item_id"], g["experiment_id"]) for g in summary.get("flagged_groups", ())}
    members = defaultdict(set)
    for row in catalogue.list_exposures(connection, sorted({item_id for item_id, _ in flagged})):
        if (row.item_id, row.experiment_id) in flagged:
            members[row.item_id, row.experiment_id].add(row.creative_id)
    groups = defaultdict(list)
    for (item_id, _), creatives in members.items():
        groups[item_id].append(frozenset(creatives))
    return groups


def _show_example(
    studio: Studio, connection: Connection, kind: str, pair_id: str, version: int
) -> Example:
    pair = pairs.get_pair(connection, pair_id)
    evidence = pairs.get_evidence(connection, pair_id, version)
    if evidence is None:  # it was read from there a moment ago, in this transaction
        raise LookupError(pair_id)
    [item] = catalogue.list_items(connection, [pair.item_id])
    a, b = (
        _shrink_picture(
            studio, catalogue.get_creative(connection, pair.item_id, creative_id).derivative_sha256
        )
        for creative_id in (pair.creative_a, pair.creative_b)
    )
    return Example(kind, pair, item, evidence, a, b)


def _shrink_picture(studio: Studio, sha256: str) -> str | None:
    """Return a small copy as a data address; None where the picture is gone or damaged."""
    try:
        data = studio.workspace.derivatives.get(sha256)
    except CreativePairError:
        return None
    buffer = BytesIO()
    with Image.open(BytesIO(data)) as image:
        image.draft("RGB", (2 * _PICTURE_SIDE_PX, 2 * _PICTURE_SIDE_PX))
        small = image.convert("RGB")
        small.thumbnail((_PICTURE_SIDE_PX, _PICTURE_SIDE_PX), Image.Resampling.LANCZOS)
        small.info = {}
        small.save(buffer, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def reports_folder(studio: Studio) -> Path:
    """Where reports go that were given no other place."""
    return studio.workspace.root / "reports"


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make {folder}: {error.strerror}", hint="Name a file with --out."
        ) from error
    return folder


def _write(path: Path, page: str) -> None:
    if not path.parent.is_dir():
        raise InputError(f"no folder {path.parent}", hint="Make it first.")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}", hint="Name another file."
        ) from error
