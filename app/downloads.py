"""Routes that give releases away: one file, or all of them as one archive."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from app.bootstrap import Studio
from app.routes import error_response
from creativepair.errors import CreativePairError, NotFoundError, StateError
from exports.listing import find_release, read_manifest
from exports.manifest import MANIFEST_FILE, Manifest
from exports.withdrawal import read_withdrawal

_CHUNK_BYTES = 2**20
_HINT = "Open the page Releases again."
_MEDIA_TYPES = {".json": "application/json", ".md": "text/markdown", ".svg": "image/svg+xml"}


def download_routes(studio: Studio) -> list[Route]:
    """Return the routes; who may call them, `app.roles` says."""
    downloads = _Downloads(studio)
    return [
        Route("/release/{version}.tar", downloads.archive, methods=["GET"]),
        Route("/release/{version}/{path:path}", downloads.file, methods=["GET"]),
    ]


class _Downloads:
    def __init__(self, studio: Studio) -> None:
        self._workspace = studio.workspace

    async def file(self, request: Request) -> Response:
        """Serve one file that the manifest names."""
        name = request.path_params["path"]
        try:
            folder, manifest = await run_in_threadpool(self._find, request)
            if name not in (*manifest.files, MANIFEST_FILE):
                raise NotFoundError(f"release {folder.name} has no file {name!r}", hint=_HINT)
        except CreativePairError as error:
            return error_response(error)
        path = folder / name
        if not path.is_file():
            return error_response(_missing(folder, name))
        media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=media_type, headers={"Cache-Control": "private"})

    async def archive(self, request: Request) -> Response:
        """Serve all files as a tar archive, made while it is sent."""
        try:
            folder, members = await run_in_threadpool(self._find_members, request)
        except CreativePairError as error:
            return error_response(error)
        headers = {
            "Content-Disposition": f'attachment; filename="release-{folder.name}.tar"',
            "Content-Length": str(sum(map(_padded, members)) + 2 * tarfile.BLOCKSIZE),
        }
        stream = _stream(folder, members)
        return StreamingResponse(stream, media_type="application/x-tar", headers=headers)

    def _find_members(self, request: Request) -> tuple[Path, list[tarfile.TarInfo]]:
        folder, manifest = self._find(request)
        return folder, _list_members(folder, manifest)

    def _find(self, request: Request) -> tuple[Path, Manifest]:
        version = request.path_params["version"]
        try:
            folder = find_release(self._workspace, version)
        except NotFoundError as error:
            raise NotFoundError(error.message, hint=_HINT) from error
        if withdrawal := read_withdrawal(folder):
            raise StateError(f"release {version} was {withdrawal}", hint=_HINT)
        return folder, read_manifest(self._workspace, version)


def _list_members(folder: Path, manifest: Manifest) -> list[tarfile.TarInfo]:
    """Return the headers of the files; the same release gives the same archive.

    Raises:
        StateError: when a file is missing.
    """
    members = []
    for name in (*sorted(manifest.files), MANIFEST_FILE):
        if not (folder / name).is_file():
            raise _missing(folder, name)
        member = tarfile.TarInfo(f"{folder.name}/{name}")
        member.size = (folder / name).stat().st_size
        member.mtime = int(manifest.created.timestamp())
        members.append(member)
    return members


def _missing(folder: Path, name: str) -> StateError:
    return StateError(
        f"release {folder.name} lacks {name}",
        hint=f"Whoever runs this desk looks: creativepair release verify {folder.name}",
    )


def _stream(folder: Path, members: Sequence[tarfile.TarInfo]) -> Iterator[bytes]:
    for member in members:
        yield member.tobuf(tarfile.USTAR_FORMAT)
        with (folder.parent / member.name).open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                yield data
        yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _padded(member: tarfile.TarInfo) -> int:
    return tarfile.BLOCKSIZE + member.size + -member.size % tarfile.BLOCKSIZE
