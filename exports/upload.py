"""Sending a release to another place: a folder that fsspec reaches, or the Hugging Face Hub.

In a folder, `TARGET/VERSION/`, a marker comes first, then data, then what describes it, and the
manifest last: what has no manifest is no release, so an upload that is killed leaves none, and the
same command goes on.

A file counts as there when its bytes, read back, have the SHA-256 of the manifest. A size alone
would take a damaged file for a whole one, and the checksums that stores report (ETags of several
kinds, or none) differ from store to store. So each file is read back before the manifest is
written, kept or just sent, and no manifest is put over a wrong file. It costs reading the release
once, and again each time that the command is repeated, which also mends what was damaged there.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.local import LocalFileSystem

from creativepair.checksums import FileEntry, describe_file
from creativepair.errors import InputError, StateError
from creativepair.publication import sync
from creativepair.workspace import Workspace
from exports.addresses import reaching, show_address, show_reason
from exports.hub import HUB, send_to_hub
from exports.listing import find_release, read_manifest
from exports.manifest import MANIFEST_FILE, Manifest, parse_manifest
from exports.parquet import DATA
from exports.verification import verify_release

MARKER_FILE = "uploading.json"
"""In the folder of a release that is not whole yet; holds the digest of what is to be there."""

_SHOWN = 3
_PART_BYTES = 2**20
_EXTRAS = {"s3": "s3", "s3a": "s3"}

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An upload that is done.

    Attributes:
        target: address of the release, without what is secret.
        uploaded: files that were sent, the manifest among them.
        kept: files that were there.
        bytes: of the files that were sent.
    """

    version: str
    target: str
    uploaded: int
    kept: int
    bytes: int


def upload_release(
    workspace: Workspace,
    version: str,
    target: str,
    *,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Uploaded:
    """Send a release, verified before, or what is missing of it.

    Args:
        target: a folder, as a path or an fsspec address, in which the release gets a folder named
            by its version; or `hf://datasets/OWNER/NAME`.
        on_progress: called with the number of files that are there and of all files.

    Raises:
        NotFoundError: when there is no such release.
        InputError: when the target is no address of a folder, or needs an extra.
        StateError: when the release is not ok, another one stands there, or the target fails.
    """
    release = find_release(workspace, version)
    _refuse_damaged(workspace, version)
    manifest = read_manifest(workspace, version)
    if target.startswith(HUB):
        address = target.rstrip("/")
        sent = send_to_hub(release, manifest, target)
    else:
        folder = open_folder(target, version)
        address = folder.address
        sent = _send_to_folder(release, manifest, folder, on_progress)
    return Uploaded(
        version=version,
        target=show_address(address),
        uploaded=len(sent),
        kept=len(manifest.files) + 1 - len(sent),
        bytes=sum((release / name).stat().st_size for name in sent),
    )


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one release in some file system; what fails there is a StateError.

    Attributes:
        root: its path in the file system.
        address: the same as people write it.
    """

    filesystem: Any
    root: str
    address: str

    def sizes(self) -> dict[str, int]:
        """Return the size of each file by its path in the folder; none where there is no folder."""
        with reaching(self.address):
            self.filesystem.invalidate_cache()
            found = self.filesystem.find(self.root, detail=True)
        return {path[len(self.root) + 1 :]: about["size"] for path, about in found.items()}

    def read(self, name: str) -> bytes:
        """Return the bytes of a small file."""
        with reaching(self.address):
            return bytes(self.filesystem.cat_file(self._locate(name)))

    def describe(self, name: str) -> FileEntry:
        """Read a file back for its size and SHA-256."""
        sha256, size = hashlib.sha256(), 0
        with reaching(self.address), self.filesystem.open(self._locate(name), "rb") as file:
            while part := file.read(_PART_BYTES):
                sha256.update(part)
                size += len(part)
        return FileEntry(sha256=sha256.hexdigest(), bytes=size)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""
        path = self._locate(name)
        with reaching(self.address):
            self._make_parent(path)
            self.filesystem.pipe_file(path, data)

    def send(self, name: str, source: Path) -> None:
        """Write a file from the disk."""
        path = self._locate(name)
        with reaching(self.address):
            self._make_parent(path)
            self.filesystem.put_file(str(source), path)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with reaching(self.address):
            self.filesystem.rm_file(self._locate(name))

    def settle(self) -> None:
        """Make what was written durable, where that is not the file system's own work."""
        if isinstance(self.filesystem, LocalFileSystem):
            root = Path(self.root)
            with reaching(self.address):
                for path in (*sorted(root.rglob("*")), root, root.parent):
                    sync(path)

    def _locate(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _make_parent(self, path: str) -> None:
        # Elsewhere writing a file makes its folders, and asking for them could make a bucket.
        if isinstance(self.filesystem, LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)


def open_folder(target: str, version: str) -> Folder:
    """Return the folder that a release has, or is to have, in a target.

    Raises:
        InputError: when fsspec cannot open such an address.
    """
    shown = show_address(target)
    protocol, _ = split_protocol(target)
    if not target.strip() or "::" in target:  # what is read back through a cache proves nothing
        raise InputError(
            f"{shown!r} is not the address of a folder",
            hint="Give a path, or one address such as s3://bucket/datasets/mugs",
        )
    try:
        filesystem, root = url_to_fs(target)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f"pip install 'creativepair[{extra}]'" if extra else "Install what it names."
        raise InputError(f"{shown} needs a package: {error}", hint=hint) from error
    except Exception as error:
        raise InputError(
            f"{shown} cannot be opened: {show_reason(error, target)}",
            hint="Give a path, or an address that fsspec knows, such as s3://bucket/folder",
        ) from error
    return Folder(filesystem, f"{root.rstrip('/')}/{version}", f"{target.rstrip('/')}/{version}")


def _refuse_damaged(workspace: Workspace, version: str) -> None:
    verification = verify_release(workspace, version)
    if not verification.ok:
        problems = verification.problems
        more = f"; {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise StateError(
            f"release {version} is not ok and is not sent: {'; '.join(problems[:_SHOWN])}{more}",
            hint=f"creativepair release verify {version}",
        )


def _send_to_folder(
    release: Path, manifest: Manifest, folder: Folder, on_progress: OnProgress
) -> list[str]:
    """Make the folder hold the release; returns the files that were sent."""
    present = folder.sizes()
    is_there = _stands_there(present, manifest, folder)
    _refuse_strangers(present, manifest, folder, is_there=is_there)
    if not is_there:
        folder.write(MARKER_FILE, json.dumps({"digest": manifest.digest}).encode())
    names = sorted(manifest.files, key=lambda name: (not name.startswith(f"{DATA}/"), name))
    sent = []
    for done, name in enumerate(names, start=1):
        entry = manifest.files[name]
        if present.get(name) != entry.bytes or folder.describe(name) != entry:
            _send(release, name, entry, folder)
            sent.append(name)
        on_progress(done, len(names))
    folder.settle()
    if is_there:
        return sent
    _send(release, MANIFEST_FILE, describe_file(release / MANIFEST_FILE), folder)
    folder.settle()
    folder.remove(MARKER_FILE)
    return [*sent, MANIFEST_FILE]


def _send(release: Path, name: str, entry: FileEntry, folder: Folder) -> None:
    folder.send(name, release / name)
    if folder.describe(name) != entry:
        raise StateError(
            f"{show_address(folder.address)}/{name} reads back otherwise than it was sent",
            hint="Repeat the command; if it stays so, the store there is damaged.",
        )


def _stands_there(present: dict[str, int], manifest: Manifest, folder: Folder) -> bool:
    """Tell whether the manifest of the same release stands there: its upload came to an end.

    Raises:
        StateError: when another one does.
    """
    if MANIFEST_FILE not in present or MARKER_FILE in present:
        return False
    try:
        digest = parse_manifest(folder.read(MANIFEST_FILE)).digest
    except InputError as error:
        raise StateError(
            f"{show_address(folder.address)}: {error.message}",
            hint="Remove that folder if it holds nothing of worth, or choose another target.",
        ) from error
    if digest != manifest.digest:
        raise StateError(
            f"{show_address(folder.address)} holds another release {manifest.version}, of digest "
            f"{digest}, not {manifest.digest}; releases never change",
            hint="Choose another target, or build the data under a new version.",
        )
    return True


def _refuse_strangers(
    present: dict[str, int], manifest: Manifest, folder: Folder, *, is_there: bool
) -> None:
    """Leave alone what is not an upload of this release: nothing of it is overwritten.

    A file that the manifest does not name would be loaded as a part of the release.
    """
    others = sorted(set(present) - {MARKER_FILE})
    if is_there:
        others = sorted(set(others) - set(manifest.files) - {MANIFEST_FILE})
    elif MARKER_FILE in present:
        marked = _read_digest(folder.read(MARKER_FILE))
        if marked == manifest.digest:
            others = sorted(set(others) - set(manifest.files) - {MANIFEST_FILE})
        elif marked:
            raise StateError(
                f"{show_address(folder.address)} holds an unfinished upload of another release "
                f"{manifest.version}, of digest {marked}, not {manifest.digest}",
                hint="Remove that folder if nobody uploads to it, or choose another target.",
            )
    if others:
        raise StateError(
            f"{show_address(folder.address)} holds {len(others)} files that are not of this "
            f"release: {', '.join(others[:_SHOWN])}",
            hint="Remove them if they are of no worth, or choose another target.",
        )


def _read_digest(marker: bytes) -> str | None:
    """Return the digest in a marker; None when it was cut off while it was written."""
    try:
        return str(json.loads(marker)["digest"])
    except (ValueError, KeyError, TypeError):
        return None
