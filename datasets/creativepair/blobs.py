"""Content-addressed storage of image bytes, on a local disk or under any fsspec URL.

A blob is found by the SHA-256 of its bytes, in `ab/cd/<sha256>` under the root. Use it for original
images and their derivatives: the same bytes are stored once, and what is read back is what was
written, or an error.
"""

import hashlib
import os
import re
import uuid
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from creativepair.errors import InputError, NotFoundError, StateError

_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Blobs under one root.

    On a local disk a blob appears whole and durable or not at all. Elsewhere it is as atomic as
    the file system's own write (object stores are), and `get` verifies what it reads either way.

    Args:
        root: a local folder, made when the first blob is put, or any fsspec URL (`s3://…`).
    """

    def __init__(self, root: str) -> None:
        self._filesystem, self._root = url_to_fs(root)
        self._is_local = isinstance(self._filesystem, LocalFileSystem)

    def put(self, data: bytes) -> str:
        """Store bytes and return their SHA-256.

        Does nothing when the same bytes are stored already, and repairs a damaged blob.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._locate(sha256)
        if self._read(path) == data:
            return sha256
        if self._is_local:
            _write_durably(Path(path), data)
        else:
            self._filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._filesystem.pipe_file(path, data)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a blob, verified.

        Raises:
            InputError: when `sha256` is not a SHA-256 in lower-case hex digits.
            NotFoundError: when there is no such blob.
            StateError: when the stored bytes are not those that the name promises.
        """
        data = self._read(self._locate(sha256))
        if data is None:
            raise NotFoundError(
                f"blob {sha256} is not in the store", hint="Ingest the image it came from again."
            )
        actual = hashlib.sha256(data).hexdigest()
        if actual != sha256:
            raise StateError(
                f"blob {sha256} is damaged: its {len(data):,} bytes have SHA-256 {actual}",
                hint="Ingest the image it came from again, or restore the blob from a backup.",
            )
        return data

    def exists(self, sha256: str) -> bool:
        """Tell whether a blob is stored, without verifying it.

        Raises:
            InputError: when `sha256` is not a SHA-256 in lower-case hex digits.
        """
        return bool(self._filesystem.isfile(self._locate(sha256)))

    def delete(self, sha256: str) -> bool:
        """Delete a blob; tell whether there was one.

        Raises:
            InputError: when `sha256` is not a SHA-256 in lower-case hex digits.
        """
        path = self._locate(sha256)
        try:
            self._filesystem.rm_file(path)
        except FileNotFoundError:
            return False
        return True

    def local_path(self, sha256: str) -> Path | None:
        """Return where a blob lies, to serve it from there; None unless it is on a local disk.

        Raises:
            InputError: when `sha256` is not a SHA-256 in lower-case hex digits.
        """
        path = self._locate(sha256)
        return Path(path) if self._is_local and Path(path).is_file() else None

    def _locate(self, sha256: str) -> str:
        # Anything but hex digits could lead out of the root.
        if not _SHA256.fullmatch(sha256):
            raise InputError(
                f"{sha256!r} is not a blob id", hint="A blob id is 64 lower-case hex digits."
            )
        return f"{self._root.rstrip('/')}/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def _read(self, path: str) -> bytes | None:
        try:
            return bytes(self._filesystem.cat_file(path))
        except FileNotFoundError:
            return None


def _write_durably(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, also after a crash."""
    new_folders = _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # A new name is durable once its folder is, and a new folder once the folder above it is.
    for folder in (path.parent, *(folder.parent for folder in new_folders)):
        _sync_folder(folder)


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and return those that had to be made, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
