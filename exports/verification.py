"""Holding a release against its manifest and against the rules that every release keeps.

A release is checked as it lies, without the store: its files first, and once they are what the
manifest promises, their rows.
"""

import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from creativepair.checksums import FileEntry, describe_file, digest_files
from creativepair.errors import InputError, StateError
from creativepair.workspace import Workspace
from exports.configurations import CONFIGURATIONS
from exports.leakage import find_leaks, read_leaking
from exports.listing import find_release
from exports.manifest import (
    MANIFEST_FILE,
    Manifest,
    parse_manifest,
)
from exports.parquet import (
    FileName,
    Record,
    missing_shards,
    parse_name,
    read_records,
    read_schema,
)
from exports.rules import Rules
from exports.withdrawal import list_remains, read_withdrawal

_SHOWN_PER_FILE = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes:
        problems: name the file, and the pair where it is one's; that a release was withdrawn is
            one too: nobody can use it.
    """

    ok: bool
    problems: list[str]
    withdrawn: bool = False


def verify_release(workspace: Workspace, version: str) -> Verification:
    """Check every byte and every rule of a release.

    Rows are looked at only when all files are whole: those of a damaged file mean nothing.

    Raises:
        NotFoundError: when there is no such release.
    """
    return verify_folder(find_release(workspace, version), version)


def verify_folder(folder: Path, version: str | None = None) -> Verification:
    """Check a release that lies anywhere, as `verify_release` does.

    Args:
        version: that it has to be; any when not given.
    """
    try:
        withdrawal = read_withdrawal(folder)
    except StateError as error:
        return Verification(ok=False, problems=[error.message], withdrawn=True)
    if withdrawal:
        remains = [f"{name} should have been deleted" for name in list_remains(folder)]
        return Verification(ok=False, problems=[str(withdrawal), *remains], withdrawn=True)
    try:
        manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes())
    except InputError as error:
        return Verification(ok=False, problems=[error.message])
    except OSError as error:
        problem = f"{MANIFEST_FILE} cannot be read: {error.strerror}"
        return Verification(ok=False, problems=[problem])
    problems = [
        *_check_manifest(manifest, version or manifest.version),
        *_check_files(folder, manifest),
    ]
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
    rules = Rules(manifest.lineage.protocol, manifest.settings.plan.label_source)
    readable = set()
    num_rows: dict[str, Counter[str]] = defaultdict(Counter)
    for path, name in _data_files(manifest):
        found = []
        for problem, record in _check_table(folder / path, name, rules):
            if record is not None:
                num_rows[name.config][name.split] += 1
                readable.add(path)
            if problem:
                found.append(problem)
        yield from (f"{path}: {problem}" for problem in found[:_SHOWN_PER_FILE])
        if len(found) > _SHOWN_PER_FILE:
            yield f"{path}: {len(found) - _SHOWN_PER_FILE} more problems"
    with suppress(pa.ArrowException, OSError):  # a file that cannot be read is named above
        yield from find_leaks(lambda: read_leaking(folder, sorted(readable)))
    yield from rules.repeats()
    counts = manifest.counts
    held = {name: dict(counter) for name, counter in num_rows.items()}
    default = held.get("default", {})
    if (
        held != counts.configurations
        or default != counts.splits
        or sum(default.values()) != counts.rows
    ):
        yield f"the files hold {held} rows, {MANIFEST_FILE} has other counts"


def _data_files(manifest: Manifest) -> list[tuple[str, FileName]]:
    """Return the data files, those of `default` first: others are held against it."""
    named = [(path, name) for path in sorted(manifest.files) if (name := parse_name(path))]
    order = list(CONFIGURATIONS)
    return sorted(named, key=lambda each: order.index(each[1].config))


def _check_table(
    path: Path, name: FileName, rules: Rules
) -> Iterator[tuple[str | None, Record | None]]:
    """Go through problems, and through rows."""
    try:
        schema = CONFIGURATIONS[name.config].schema
        if not read_schema(path).equals(schema, check_metadata=True):
            yield "has other columns than the configuration promises", None
            return
        for record in read_records(path):
            yield None, record
            for problem in rules.check(name.config, record):
                yield f"pair {record['pair_id']}: {problem}", None
    except (pa.ArrowException, OSError) as error:
        yield f"cannot be read as Parquet: {error}", None
