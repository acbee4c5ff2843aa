"""`doctor`: checks the environment and the workspace, and says what to mend."""

import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.accounts.oidc import OidcClient
from app.bootstrap import Studio, open_studio
from creativepair.errors import CreativePairError
from creativepair.store import catalogue, pairs, users
from exports.listing import list_releases

_LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `message` says what was found, and what to do when it is not ok."""

    name: str
    ok: bool
    message: str


def check_all(root: Path | None) -> list[Check]:
    """Check the environment, then the workspace as far as it can be opened."""
    checks = [_python(), _sqlite()]
    try:
        studio = open_studio(root)
    except CreativePairError as error:
        return [*checks, Check("workspace", False, f"{error.message}. {error.hint}")]
    checks.append(Check("workspace", True, str(studio.workspace.root)))
    for name, check in _WORKSPACE_CHECKS.items():
        try:
            checks.append(check(studio))
        except CreativePairError as error:
            checks.append(Check(name, False, f"{error.message}. {error.hint}"))
    return checks


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), f"Python {found}; 3.11 or newer is needed")


def _sqlite() -> Check:
    ok = sqlite3.sqlite_version_info >= (3, 35)
    return Check("sqlite", ok, f"SQLite {sqlite3.sqlite_version}; 3.35 or newer is needed")


def _disk(studio: Studio) -> Check:
    free = shutil.disk_usage(studio.workspace.root).free
    return Check("disk", free > _LEAST_FREE_BYTES, f"{free / 1e9:.1f} GB free; 0.5 are needed")


def _protocol(studio: Studio) -> Check:
    protocol = studio.workspace.protocol
    return Check(
        "protocol", True, f"version {protocol.version}, {len(protocol.questions)} questions"
    )


def _sign_in(studio: Studio) -> Check:
    if oidc := studio.workspace.settings.oidc:
        OidcClient(oidc)  # says what it lacks
        return Check("sign-in", True, f"through {oidc.issuer}")
    with studio.store.read() as connection:
        asks = users.has_users(connection)
    return Check("sign-in", True, "by password" if asks else "no accounts: this machine only")


def _images(studio: Studio) -> Check:
    with studio.store.read() as connection:
        creatives = catalogue.list_creatives(connection)
    missing = [
        f"{c.item_id}/{c.creative_id}"
        for c in creatives
        if not studio.workspace.derivatives.exists(c.derivative_sha256)
    ]
    if missing:
        names = ", ".join(missing[:20])
        return Check("images", False, f"{len(missing)} pictures are gone: {names}. Ingest again.")
    return Check("images", True, f"{len(creatives)} creatives, every picture is there")


def _pairs(studio: Studio) -> Check:
    with studio.store.read() as connection:
        counts = pairs.count_pairs(connection)
    if not counts.get("candidate"):  # a new workspace is not a broken one
        return Check("pairs", True, "no candidates yet; creativepair pairs build makes them")
    return Check("pairs", True, f"{counts['candidate']} candidates")


def _releases(studio: Studio) -> Check:
    return Check("releases", True, f"{len(list_releases(studio.workspace))} releases")


_WORKSPACE_CHECKS: dict[str, Callable[[Studio], Check]] = {
    "disk": _disk,
    "protocol": _protocol,
    "sign-in": _sign_in,
    "images": _images,
    "pairs": _pairs,
    "releases": _releases,
}
