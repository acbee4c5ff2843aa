"""Which releases a workspace has."""

from dataclasses import dataclass
from pathlib import Path

from creativepair.errors import CreativePairError, InputError, NotFoundError, StateError
from creativepair.workspace import Workspace
from exports.manifest import MANIFEST_FILE, Manifest, parse_manifest
from exports.versions import is_version, precedence
from exports.withdrawal import Withdrawal, read_withdrawal


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """One release in a list.

    Attributes:
        manifest: None when it cannot be read.
        withdrawal: None for a release that stands.
        problem: why the manifest cannot be read; None when it can.
    """

    version: str
    path: Path
    manifest: Manifest | None
    withdrawal: Withdrawal | None
    problem: str | None


def list_releases(workspace: Workspace) -> list[ReleaseSummary]:
    """List the releases, lowest version first; damaged ones are listed with their problem."""
    if not workspace.releases.is_dir():
        return []
    versions = [p.name for p in workspace.releases.iterdir() if is_version(p.name)]
    return [_summarise(workspace, version) for version in sorted(versions, key=precedence)]


def find_release(workspace: Workspace, version: str) -> Path:
    """Return the folder of a release.

    Raises:
        NotFoundError: when there is none of this version.
    """
    folder = workspace.releases / version
    # Only a version names a folder here: other text could lead out of the releases.
    if not is_version(version) or not folder.is_dir():
        raise NotFoundError(
            f"there is no release {version!r}", hint="List them: creativepair release list"
        )
    return folder


def read_manifest(workspace: Workspace, version: str) -> Manifest:
    """Read the manifest of a release.

    Raises:
        NotFoundError: when there is no such release.
        StateError: when its manifest is missing or damaged.
    """
    path = find_release(workspace, version) / MANIFEST_FILE
    try:
        return parse_manifest(path.read_bytes())
    except (OSError, InputError) as error:
        raise StateError(
            f"release {version}: {_reason(error)}",
            hint=f"See what else is wrong: creativepair release verify {version}",
        ) from error


def _summarise(workspace: Workspace, version: str) -> ReleaseSummary:
    path = workspace.releases / version
    manifest = withdrawal = problem = None
    try:
        withdrawal = read_withdrawal(path)
        manifest = read_manifest(workspace, version)
    except CreativePairError as error:
        problem = error.message
    return ReleaseSummary(version, path, manifest, withdrawal, problem)


def _reason(error: OSError | InputError) -> str:
    if isinstance(error, InputError):
        return error.message
    return f"{MANIFEST_FILE} cannot be read: {error.strerror}"
