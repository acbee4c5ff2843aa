"""Size and SHA-256 of files, and of a whole folder: what releases and models are known by."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, NonNegativeInt, StringConstraints

from creativepair.records import Sha256

RelativePath = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z_-][0-9A-Za-z._-]*(/[0-9A-Za-z_-][0-9A-Za-z._-]*)*$"),
]
"""Path of a file within a folder; no part begins with a dot, so none leads out of it."""


class FileEntry(BaseModel):
    """Size and SHA-256 of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    bytes: NonNegativeInt


def describe_file(path: Path) -> FileEntry:
    """Measure and hash a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(sha256=sha256, bytes=path.stat().st_size)


def digest_files(files: Mapping[str, FileEntry]) -> str:
    """Return the SHA-256 over the lines `<sha256>  <bytes>  <path>`, sorted by path."""
    lines = (f"{files[path].sha256}  {files[path].bytes}  {path}\n" for path in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
