"""Importing files that a lead uploads, as `ingest` reads them from the disk."""

import errno
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from app.bootstrap import Studio
from creativepair.errors import CreativePairError, InputError, StateError
from creativepair.ingestion import IngestReport, IngestRequest, ingest_files

MOST_PICTURES = 50_000
MOST_BYTES = 4 * 2**30
"""Of all pictures of an import together, unpacked."""

_MOST_OF_ONE = 100 * 2**20
_SYMLINK = 0o120000
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came; `name` is the one that messages say."""

    name: str
    data: IO[bytes]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import and how; see `IngestRequest`.

    Attributes:
        pictures: ZIP archives; a creative's `image` is a path in one of them.
    """

    items: Sequence[Upload] = ()
    creatives: Sequence[Upload] = ()
    exposures: Sequence[Upload] = ()
    pictures: Sequence[Upload] = ()
    timezone: str | None = None
    replace: bool = False
    dry_run: bool = False


def import_files(studio: Studio, request: ImportRequest) -> IngestReport:
    """Import uploads; nothing of them stays but what is stored.

    Raises:
        InputError, StateError: as `ingest_files`; and when there is nothing to read, two files
            have one name, an archive is damaged, too large or reaches outside itself, or the disk
            is full.
    """
    if not (request.items or request.creatives or request.exposures):
        raise InputError("there is nothing to import", hint="Choose items, creatives or logs.")
    with TemporaryDirectory(prefix=".upload-", dir=studio.workspace.root) as name:
        folder = Path(name)
        images = folder / "pictures"
        images.mkdir()
        try:
            unpack_pictures(request.pictures, images)
            return ingest_files(
                studio.workspace,
                studio.store,
                IngestRequest(
                    items=_save(request.items, folder),
                    creatives=_save(request.creatives, folder),
                    exposures=_save(request.exposures, folder),
                    images=images,
                    timezone=request.timezone,
                    replace=request.replace,
                    dry_run=request.dry_run,
                    folder=folder,
                ),
            )
        except OSError as error:
            raise StateError(
                f"the import cannot be written: {error.strerror}",
                hint=f"Free space where {studio.workspace.root} lies; nothing was imported.",
            ) from error
        except CreativePairError as error:
            error.message = error.message.replace(f"{folder}/", "")
            error.hint = error.hint.replace(f"{folder}/", "")
            raise


def unpack_pictures(archives: Sequence[Upload], folder: Path) -> None:
    """Unpack archives into a folder and nowhere else; all are looked over before the first.

    Raises:
        InputError: when one is no ZIP archive, damaged or encrypted, they are too large together,
            a name in one is no plain path, or two files have one path.
    """
    known = _Unpacked()
    for archive in archives:
        with _named(archive), zipfile.ZipFile(archive.data) as packed:
            _look_over(archive.name, packed.infolist(), known)
    for archive in archives:
        with _named(archive), zipfile.ZipFile(archive.data) as packed:
            for entry in packed.infolist():
                if entry.is_dir():
                    continue
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)


@dataclass(slots=True)
class _Unpacked:
    """The paths and bytes of the archives so far."""

    paths: set[str] = field(default_factory=set)
    num_bytes: int = 0


@contextmanager
def _named(archive: Upload) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise _unusable(archive, error) from error
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        raise _unusable(archive, error) from error


def _unusable(archive: Upload, error: Exception) -> InputError:
    return InputError(
        f"{archive.name} cannot be unpacked: {error}",
        hint="Pack the pictures again, as a ZIP archive without a password.",
    )


def _look_over(archive: str, entries: Sequence[zipfile.ZipInfo], known: _Unpacked) -> None:
    """Refuse before anything is written; reading holds an archive to the sizes that it states."""
    for entry in entries:
        path = PurePosixPath(entry.filename)
        is_link = entry.external_attr >> 16 & 0o170000 == _SYMLINK
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or is_link:
            raise InputError(
                f"{archive} holds {entry.filename!r}, which is no plain path in it",
                hint="Pack the folder of the pictures itself.",
            )
        if entry.is_dir():
            continue
        if entry.file_size > _MOST_OF_ONE:
            raise InputError(
                f"{archive} holds {entry.filename!r} of {entry.file_size / 2**20:,.0f} MiB",
                hint=f"A picture has {_MOST_OF_ONE / 2**20:.0f} MiB at most.",
            )
        if str(path) in known.paths:
            raise InputError(
                f"{archive} holds {entry.filename!r} a second time",
                hint="Give each picture a path of its own.",
            )
        known.paths.add(str(path))
        known.num_bytes += entry.file_size
    if len(known.paths) > MOST_PICTURES or known.num_bytes > MOST_BYTES:
        raise InputError(
            f"the archives up to {archive} hold {len(known.paths):,} files of "
            f"{known.num_bytes / 2**30:.1f} GiB; {MOST_PICTURES:,} of {MOST_BYTES / 2**30:.0f} GiB "
            "are the most",
            hint="Put the folder on the server and use: creativepair ingest --images FOLDER",
        )


def _save(uploads: Sequence[Upload], folder: Path) -> list[str]:
    saved = []
    for upload in uploads:
        path = folder / Path(upload.name).name
        if path.exists():
            raise InputError(f"two files are called {path.name}", hint="Rename one of them.")
        with path.open("wb") as file:
            shutil.copyfileobj(upload.data, file)
        saved.append(str(path))
    return saved
