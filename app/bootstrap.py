"""The one place that builds real objects: opens a workspace with its store."""

from dataclasses import dataclass
from pathlib import Path

from creativepair.errors import StateError
from creativepair.store import Store, open_store
from creativepair.workspace import Workspace, find_workspace, open_workspace

LOCAL_ANNOTATOR = "local"
"""Who judges on a desk without accounts."""


@dataclass(frozen=True, slots=True)
class Studio:
    """An open workspace."""

    workspace: Workspace
    store: Store


_served: list[tuple[Studio, bool]] = []


def open_studio(root: Path | None = None) -> Studio:
    """Open the named workspace, else the nearest one.

    Raises:
        NotFoundError, InputError: when there is none, or its settings are not valid.
        StateError: when its store cannot be opened.
    """
    workspace = open_workspace(root) if root else find_workspace()
    return Studio(workspace, open_store(workspace.database_url))


def serve_studio(studio: Studio, *, has_accounts: bool = False) -> None:
    """Make a workspace the one that the pages of this process show, to whom is signed in or all."""
    _served[:] = [(studio, has_accounts)]


def served_studio() -> Studio:
    """Return the workspace that this process serves.

    Raises:
        StateError: when a page runs outside the desk's own server.
    """
    if not _served:
        raise StateError("no workspace is served", hint="Start the desk: creativepair review.")
    return _served[0][0]


def serves_accounts() -> bool:
    """Whether the pages of this process are for people who have signed in."""
    return bool(_served) and _served[0][1]
