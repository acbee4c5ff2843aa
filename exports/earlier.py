"""Reading what an earlier release says, for comparing with it and for keeping its answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from creativepair.errors import StateError
from creativepair.workspace import Workspace
from exports.changes import Released, digest_text
from exports.configurations import DEFAULT
from exports.labels import Answer, Counts, Labels
from exports.listing import ReleaseSummary, list_releases, read_manifest
from exports.manifest import Manifest
from exports.notes import Notes
from exports.parquet import Record, parse_name, read_records
from exports.plan import LabelSource
from exports.versions import check_version, is_free
from exports.withdrawal import read_withdrawal

_COUNTS = ("ctr_prob_a", "rel_gap", "impressions_a", "clicks_a", "impressions_b", "clicks_b",
           "randomised")  # fmt: skip
_COLUMNS = [
    "pair_id", "item_id", "image_a.path", "image_b.path", "title", "queries", "category", "chain",
    "label", "label_ctr", "label_blind", "label_final", "label_adjudicated", *_COUNTS,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier release: its manifest, and what it says of each pair."""

    manifest: Manifest
    released: Notes[Released]


def read_earlier(workspace: Workspace, version: str) -> Earlier:
    """Read a release without its images.

    Raises:
        NotFoundError: when there is none of this version.
        StateError: when it was withdrawn, or its manifest or a file is missing or damaged.
    """
    manifest = read_manifest(workspace, version)
    if withdrawal := read_withdrawal(workspace.releases / version):
        raise StateError(
            f"release {version} was {withdrawal}; nothing of its data is left",
            hint="See which releases stand: creativepair release list",
        )
    try:
        return Earlier(manifest, _read(workspace.releases / version, manifest))
    except (pa.ArrowException, OSError) as error:
        raise StateError(
            f"release {version} cannot be read: {error}",
            hint=f"See what is wrong: creativepair release verify {version}",
        ) from error


@dataclass(frozen=True, slots=True)
class Base:
    """What the next release from 1.0.0 on comes after.

    Attributes:
        follows: the highest release that stands: what the next one is compared with.
        after: the highest number in use; another one than `follows` where it was withdrawn.
        is_renewed: whether a withdrawn one after `follows` may have decided labels anew: what
            `follows` says of them holds no longer.
    """

    follows: str | None = None
    after: str | None = None
    is_renewed: bool = False


def find_base(workspace: Workspace, version: str | None = None) -> Base:
    """Return what a release comes after; below 1.0.0 nothing.

    Args:
        version: that it will have; the next one from 1.0.0 on when not given.

    Raises:
        InputError: when that is no version.
        StateError: when it exists.
    """
    if version is not None:
        check_version(version)
        if (workspace.releases / version).exists():
            raise StateError(
                f"release {version} exists already, and releases never change",
                hint="Choose a higher version; see creativepair release list",
            )
        if is_free(version):
            return Base()
    found = [one for one in list_releases(workspace) if not is_free(one.version)]
    if not found:
        return Base()
    places = [place for place, one in enumerate(found) if one.withdrawal is None]
    later = found[places[-1] + 1 :] if places else found
    return Base(
        follows=found[places[-1]].version if places else None,
        after=found[-1].version,
        is_renewed=any(_renews(one) for one in later),
    )


def _renews(release: ReleaseSummary) -> bool:
    if release.manifest is None:
        return True
    follows = release.manifest.lineage.follows
    return follows is not None and not follows.kept


def _read(folder: Path, manifest: Manifest) -> Notes[Released]:
    source = manifest.settings.plan.label_source
    released: Notes[Released] = Notes()
    for path in sorted(manifest.files):
        name = parse_name(path)
        if name and name.config == DEFAULT.name:
            for record in read_records(folder / path, _COLUMNS):
                released[record["pair_id"]] = Released(
                    item_id=record["item_id"],
                    split=name.split,
                    answer=Answer(_labels(record, source), _counts(record)),
                    pictures=(
                        record["image_a"]["path"].removesuffix(".jpg"),
                        record["image_b"]["path"].removesuffix(".jpg"),
                    ),
                    item_text=digest_text(record["title"], record["queries"], record["category"]),
                    chain=digest_text(record["chain"]) if record["chain"] else None,
                )
    return released


def _labels(record: Record, source: LabelSource) -> Labels:
    return Labels(
        label=record["label"],
        source="ctr" if source == "ctr" and record["label_ctr"] else "human",
        ctr=record["label_ctr"],
        blind=record["label_blind"],
        final=record["label_final"],
        adjudicated=record["label_adjudicated"],
    )


def _counts(record: Record) -> Counts:
    values: dict[str, Any] = {name: record[name] for name in _COUNTS}
    return Counts(**values)
