"""What the page Releases shows of them."""

import re
from dataclasses import dataclass
from datetime import datetime

from app.bootstrap import Studio
from creativepair.errors import StateError
from exports.card import read_card as read_text
from exports.listing import ReleaseSummary, find_release, list_releases, read_manifest
from exports.manifest import MANIFEST_FILE, Manifest
from exports.plots import FOLDER
from exports.withdrawal import read_withdrawal

_HEADING = re.compile(r"^(#+ )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release in the list.

    Attributes:
        state: `stands`, or what is wrong with it.
        num_bytes: of all files; None where that is not known.
    """

    version: str
    built_at: datetime | None
    num_pairs: int | None
    num_bytes: int | None
    state: str
    stands: bool


def read_rows(studio: Studio) -> list[ReleaseRow]:
    """List the releases, the highest number first."""
    return [_row(one) for one in reversed(list_releases(studio.workspace))]


def read_card(studio: Studio, version: str) -> str:
    """Return the card without what only machines read, its headings below those of a page.

    Plots are named by the address that the desk serves them at.

    Raises:
        NotFoundError: when there is no such release.
        StateError: when the card cannot be read.
    """
    try:
        text = read_text(find_release(studio.workspace, version))
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(
            f"the card of release {version} cannot be read",
            hint=f"See what is wrong: creativepair release verify {version}",
        ) from error
    text = _HEADING.sub(r"#\1", text)
    return text.replace(f"]({FOLDER}/", f"](release/{version}/{FOLDER}/")


def read_standing(studio: Studio, version: str) -> Manifest:
    """Return the manifest of a release that was not withdrawn.

    Raises:
        NotFoundError: when there is no such release.
        StateError: when it was withdrawn, or its manifest is damaged.
    """
    if withdrawal := read_withdrawal(find_release(studio.workspace, version)):
        raise StateError(f"release {version} was {withdrawal}", hint="Use a release that stands.")
    return read_manifest(studio.workspace, version)


def list_files(manifest: Manifest) -> list[tuple[str, int | None]]:
    """List the files of a release with their bytes, the manifest last."""
    listed = [(path, entry.bytes) for path, entry in sorted(manifest.files.items())]
    return [*listed, (MANIFEST_FILE, None)]


def _row(release: ReleaseSummary) -> ReleaseRow:
    manifest = release.manifest
    wrong = str(release.withdrawal) if release.withdrawal else release.problem
    return ReleaseRow(
        version=release.version,
        built_at=manifest.created if manifest else None,
        num_pairs=manifest.counts.rows if manifest else None,
        num_bytes=sum(file.bytes for file in manifest.files.values()) if manifest else None,
        state=wrong or "stands",
        stands=wrong is None,
    )
