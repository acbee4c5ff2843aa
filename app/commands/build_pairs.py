"""`pairs build`: evidence, near-duplicates, candidates."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from annotators.batches import fill
from app.bootstrap import Studio
from creativepair.errors import InputError, StateError
from creativepair.fingerprints import mean_rgb_difference
from creativepair.groups import ExpectedShare
from creativepair.ingestion.files import read_table
from creativepair.pairing import PairBuild, PairSettings, build_pairs
from creativepair.records import Creative
from creativepair.shrinkage import SHAPE_SCALES
from creativepair.store import catalogue, pairs
from creativepair.store.locks import take_turn
from creativepair.thumbnails import ThumbnailCache, thumbnail_of_derivative

_CACHED_THUMBNAILS = 2_000
_SHOWN_PROBLEMS = 20


def build_workspace_pairs(studio: Studio, settings: PairSettings) -> tuple[PairBuild, int]:
    """Build evidence and pairs from everything ingested, as a new evidence version.

    Returns:
        The build, and how many judged pairs are stale after it.

    Raises:
        StateError: when there is nothing to pair, or a picture was taken down meanwhile.
    """
    with studio.store.read() as connection:
        creatives = catalogue.list_creatives(connection)
        exposures = catalogue.list_exposures(connection)
        taken = catalogue.list_taken_pictures(connection)
        items = catalogue.list_items(connection)
        version = pairs.next_evidence_version(connection)
        judged = pairs.list_judged_pairs(connection)
        outdated = pairs.outdated_pair_ids(connection)
    if taken:  # its exposures stay; no build counts them
        there = {(c.item_id, c.creative_id) for c in creatives}
        exposures = [e for e in exposures if (e.item_id, e.creative_id) in there]
    if not creatives:
        raise StateError("the workspace has no creatives", hint="Read some: creativepair ingest.")
    if not exposures and not settings.without_logs:
        raise StateError(
            "the workspace has no exposures",
            hint="Read logs with creativepair ingest, or pass --without-logs.",
        )
    build = build_pairs(
        creatives,
        exposures,
        settings,
        version=version,
        category_of={item.item_id: item.category for item in items},
        judged=judged,
        outdated=outdated,
        rgb_difference=_rgb_differences(studio),
    )
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        take_turn(connection, "build")
        catalogue.refuse_new_takedowns(connection, taken)
        num_stale = pairs.save_build(
            connection,
            pairs_built=build.pairs,
            evidence_built=build.evidence,
            settings=settings.model_dump(mode="json"),
            summary=summarise(build),
            now=now,
        )
        fill(connection, studio.workspace, now=now)
    return build, num_stale


def newest_settings(studio: Studio) -> PairSettings:
    """Return the settings of the newest build; the usual ones before the first."""
    with studio.store.read() as connection:
        builds = pairs.list_evidence_builds(connection)
    return PairSettings.model_validate(builds[-1]["settings"]) if builds else PairSettings()


def read_expected_shares(name: str) -> tuple[ExpectedShare, ...]:
    """Read the expected shares of declared experiments from CSV, Parquet or JSONL.

    Raises:
        InputError: when the file cannot be read or a row is wrong; lists the first twenty.
    """
    table = read_table(name, {}, ())
    columns = tuple(ExpectedShare.model_fields)
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(
            f"{name} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}",
            hint=f"Name the columns {', '.join(columns)}.",
        )
    rows, problems = [], []
    for raw in table.rows:
        if raw.problem:
            problems.append(f"row {raw.row} {raw.problem}")
            continue
        try:
            cells = {column: raw.values.get(column) for column in columns}
            rows.append(ExpectedShare.model_validate(cells))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(
                f"row {raw.row}, {first['loc'][0]}: {first['msg']}, not {first['input']}"
            )
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if problems[_SHOWN_PROBLEMS:] else ""
        raise InputError(
            f"{name}: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}",
            hint="A row holds item_id, experiment_id, creative_id and a share from 0 to 1.",
        )
    return tuple(rows)


def summarise(build: PairBuild) -> dict[str, Any]:
    """Return the figures of a build as JSON values."""
    return {
        "pairs": len(build.pairs),
        "candidates": build.funnel.get("candidate", 0),
        "near_duplicates": build.near_duplicates,
        "flagged_groups": [asdict(group) for group in build.flagged_groups],
        "num_groups": build.num_groups,
        "noise_scale": build.noise_scale,
        "num_aa_pairs": build.num_aa_pairs,
        "noise": {
            "phi": build.noise.noise.phi,
            "omega": build.noise.noise.omega,
            "kappa": build.noise.noise.kappa,
            "num_pairs": build.noise.num_pairs,
            "phi_interval": build.noise.phi_interval,
            "omega_interval": build.noise.omega_interval,
            "kappa_interval": build.noise.kappa_interval,
        },
        "tau": asdict(build.tau),
        "tau_by_category": {name: asdict(fit) for name, fit in build.tau_by_category.items()},
        "tau_shape": dict(zip(map(str, SHAPE_SCALES), build.tau_shape, strict=True)),
        "expected_wrong": build.expected_wrong,
        "funnel": dict(build.funnel),
    }


def _rgb_differences(studio: Studio) -> Callable[[Creative, Creative], float]:
    cache = ThumbnailCache(studio.workspace.thumbnails)

    @lru_cache(maxsize=_CACHED_THUMBNAILS)
    def thumbnail(sha256: str) -> NDArray[np.uint8]:
        kept = cache.get(sha256)
        if kept is None:  # the cache was cleared, or the workspace is older than it
            kept = thumbnail_of_derivative(studio.workspace.derivatives.get(sha256))
            cache.put(sha256, kept)
        return kept

    def difference(first: Creative, second: Creative) -> float:
        return mean_rgb_difference(
            thumbnail(first.derivative_sha256), thumbnail(second.derivative_sha256)
        )

    return difference
