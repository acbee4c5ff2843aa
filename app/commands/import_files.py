"""Importing files that a lead uploads, as `ingest` reads them from the disk."""

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from app.bootstrap import Studio
from creativepair.errors import CreativePairError, InputError
from creativepair.ingestion import IngestReport, IngestRequest, ingest_files

MOST_PICTURES = 50_000
MOST_BYTES = 4 * 2**30
"""Of all pictures of an archive together, unpacked."""

_MOST_OF_ONE = 100 * 2**20
_SYMLINK = 0o120000


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
            have one name, or an archive is damaged, too large or reaches outside itself.
    """
    if not (request.items or request.creatives or request.exposures):
        raise InputError("there is nothing to import", hint="Choose items, creatives or logs.")
    with TemporaryDirectory(prefix=".upload-", dir=studio.workspace.root) as name:
        folder = Path(name)
        images = folder / "pictures"
        images.mkdir()
        for archive in request.pictures:
            unpack_pictures(archive, images)
        try:
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
        except CreativePairError as error:
            error.message = error.message.replace(f"{folder}/", "")
            raise


def unpack_pictures(archive: Upload, folder: Path) -> None:
    """Unpack an archive into a folder and nowhere else.

    Raises:
        InputError: when it is no ZIP archive, damaged, encrypted or too large, or a name in it is
            no plain path.
    """
    try:
        with zipfile.ZipFile(archive.data) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            _check_entries(archive.name, entries)
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise InputError(
            f"{archive.name} cannot be unpacked: {error}",
            hint="Pack the pictures again as a plain ZIP archive, without a password.",
        ) from error


def _check_entries(archive: str, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse before anything is written; reading holds an archive to the sizes that it states."""
    if len(entries) > MOST_PICTURES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise InputError(
            f"{archive} holds {len(entries):,} files of "
            f"{sum(entry.file_size for entry in entries) / 2**30:.1f} GiB; {MOST_PICTURES:,} of "
            f"{MOST_BYTES / 2**30:.0f} GiB are the most",
            hint="Put the folder on the server and use: creativepair ingest --images FOLDER",
        )
    for entry in entries:
        path = PurePosixPath(entry.filename)
        is_link = entry.external_attr >> 16 & 0o170000 == _SYMLINK
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or is_link:
            raise InputError(
                f"{archive} holds {entry.filename!r}, which is no plain path in it",
                hint="Pack the folder of the pictures itself.",
            )
        if entry.file_size > _MOST_OF_ONE:
            raise InputError(
                f"{archive} holds {entry.filename!r} of {entry.file_size / 2**20:,.0f} MiB",
                hint=f"A picture has {_MOST_OF_ONE / 2**20:.0f} MiB at most.",
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
