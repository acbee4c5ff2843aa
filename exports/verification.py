"""Holding a release against its manifest and against the rules that every release keeps.

A release is checked as it lies, without the store: its files first, and once they are what the
manifest promises, their rows.
"""

import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from creativepair.chain import Chain
from creativepair.errors import InputError
from creativepair.protocol import Protocol
from creativepair.workspace import Workspace
from exports.gates import Leakage, find_chain_problems
from exports.listing import find_release
from exports.manifest import (
    MANIFEST_FILE,
    FileEntry,
    Manifest,
    describe_file,
    digest_files,
    parse_manifest,
)
from exports.parquet import (
    SCHEMA,
    Record,
    missing_shards,
    read_records,
    read_schema,
    split_of,
)
from exports.splits import Split

_SHOWN_PER_FILE = 20
_LABELS = ("label_ctr", "label_blind", "label_final", "label_adjudicated")


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found; `problems` name the file, and the pair where it is one's."""

    ok: bool
    problems: list[str]


@dataclass(frozen=True, slots=True)
class _Tally:
    """What is known only after the last row."""

    num_rows: Counter[str]
    pair_ids: Counter[str]
    leakage: Leakage


def verify_release(workspace: Workspace, version: str) -> Verification:
    """Check every byte and every rule of a release.

    Rows are looked at only when all files are whole: those of a damaged file mean nothing.

    Raises:
        NotFoundError: when there is no such release.
    """
    folder = find_release(workspace, version)
    try:
        manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes())
    except InputError as error:
        return Verification(ok=False, problems=[error.message])
    except OSError as error:
        problem = f"{MANIFEST_FILE} cannot be read: {error.strerror}"
        return Verification(ok=False, problems=[problem])
    problems = [*_check_manifest(manifest, version), *_check_files(folder, manifest)]
    if not problems:
        problems = list(_check_data(folder, manifest))
    return Verification(ok=not problems, problems=problems)


def _check_manifest(manifest: Manifest, version: str) -> Iterator[str]:
    if manifest.version != version:
        yield f"{MANIFEST_FILE} is that of release {manifest.version}"
    if manifest.digest != digest_files(manifest.files):
        yield f"{MANIFEST_FILE}: digest is not that of the files listed"
    if manifest.settings.protocol != manifest.lineage.protocol.version:
        yield f"{MANIFEST_FILE}: settings and lineage name different protocols"


def _check_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    # A link is no file of the release: what it leads to can change.
    present = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    for name, entry in sorted(manifest.files.items()):
        path = present.pop(name, None)
        if path is None or not stat.S_ISREG(path.lstat().st_mode):
            yield f"{name} is missing"
        else:
            yield from _check_file(name, path, entry)
    yield from (f"{name} is not in the manifest" for name in sorted(set(present) - {MANIFEST_FILE}))
    yield from (f"{name} is missing" for name in missing_shards(list(manifest.files)))


def _check_file(name: str, path: Path, promised: FileEntry) -> Iterator[str]:
    try:
        found = describe_file(path)
    except OSError as error:
        yield f"{name} cannot be read: {error.strerror}"
        return
    if found.bytes != promised.bytes:
        yield f"{name} has {found.bytes:,} bytes, not {promised.bytes:,}"
    elif found.sha256 != promised.sha256:
        yield f"{name} is damaged: its SHA-256 is {found.sha256}, not {promised.sha256}"


def _check_data(folder: Path, manifest: Manifest) -> Iterator[str]:
    tally = _Tally(Counter(), Counter(), Leakage())
    for name in sorted(manifest.files):
        if split := split_of(name):
            found = list(_check_table(folder / name, split, manifest.lineage.protocol, tally))
            yield from (f"{name}: {problem}" for problem in found[:_SHOWN_PER_FILE])
            if len(found) > _SHOWN_PER_FILE:
                yield f"{name}: {len(found) - _SHOWN_PER_FILE} more problems"
    yield from tally.leakage.problems()
    yield from (f"pair {pair_id} is in {n} rows" for pair_id, n in tally.pair_ids.items() if n > 1)
    if (
        dict(tally.num_rows) != manifest.counts.splits
        or manifest.counts.rows != tally.num_rows.total()
    ):
        yield f"the files hold {dict(tally.num_rows)} rows, {MANIFEST_FILE} has other counts"


def _check_table(path: Path, split: Split, protocol: Protocol, tally: _Tally) -> Iterator[str]:
    try:
        if not read_schema(path).equals(SCHEMA, check_metadata=True):
            yield "has other columns than the configuration promises"
            return
        for record in read_records(path):
            tally.num_rows[split] += 1
            tally.pair_ids[record["pair_id"]] += 1
            problems = list(_check_record(record, protocol))
            yield from (f"pair {record['pair_id']}: {problem}" for problem in problems)
            if record["image_a"] and record["image_b"]:
                tally.leakage.add(split, record)
    except (pa.ArrowException, OSError) as error:
        yield f"cannot be read as Parquet: {error}"


def _check_record(record: Record, protocol: Protocol) -> Iterator[str]:
    if record["label"] not in ("A", "B"):
        yield f"label is {record['label']!r}, not A or B"
    for column in _LABELS:
        if record[column] not in ("A", "B", None):
            yield f"{column} is {record[column]!r}, not A, B or null"
    yield from _check_label_sources(record)
    if record["protocol"] != protocol.version:
        yield f"protocol is {record['protocol']!r}, not {protocol.version!r}"
    for column in ("image_a", "image_b"):
        if not record[column] or not record[column]["bytes"]:
            yield f"{column} holds no image"
    if (record["chain"] is None) != (record["chain_status"] == "none"):
        yield f"chain_status is {record['chain_status']!r}, which the chain does not fit"
    if record["chain"] is not None:
        yield from _check_chain(record["chain"], record["label"], protocol)


def _check_label_sources(record: Record) -> Iterator[str]:
    """Hold the labels of a row against each other and against the evidence beside them."""
    for source in ("label_ctr", "label_adjudicated", "label_final"):
        if record[source]:
            if record["label"] != record[source]:
                yield f"label is {record['label']!r}, its source {source} is {record[source]!r}"
            break
    else:
        yield "label has no source: no evidence, adjudication or final names a creative"
    prob_a = record["ctr_prob_a"]
    winner = None if prob_a is None or prob_a == 0.5 else "A" if prob_a > 0.5 else "B"
    if record["label_ctr"] != winner:
        yield f"label_ctr is {record['label_ctr']!r} beside ctr_prob_a {prob_a}"
    for side in ("a", "b"):
        clicks, impressions = record[f"clicks_{side}"], record[f"impressions_{side}"]
        if clicks is not None and impressions is not None and clicks > impressions:
            yield f"clicks_{side} is {clicks}, over {impressions} impressions"
    if (
        record["image_a"]
        and record["image_b"]
        and record["image_a"]["path"] == record["image_b"]["path"]
    ):
        yield "image_a and image_b are the same picture"


def _check_chain(text: str, label: str, protocol: Protocol) -> Iterator[str]:
    problems = find_chain_problems(text, protocol)
    yield from (f"chain: {problem}" for problem in problems)
    if not problems:
        answer = Chain.model_validate_json(text).answer(protocol)
        if answer != label:
            yield f"the chain answers {answer}, the label is {label}"
