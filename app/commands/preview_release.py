"""What the page Releases says of the next one, without what it would hold pair by pair."""

from dataclasses import dataclass

from app.bootstrap import Studio
from creativepair.store import releases
from exports.gates import Refusal
from exports.listing import list_releases
from exports.outlook import preview_release
from exports.plan import Plan


@dataclass(frozen=True, slots=True)
class Preview:
    """A release as it would be.

    Attributes:
        splits: pairs by split.
        left_out: pairs by reason.
        after, next_version, reasons: the number that the changes since another ask for, and why;
            None and none where any will do.
    """

    rows: int
    splits: dict[str, int]
    left_out: dict[str, int]
    refusals: tuple[Refusal, ...]
    after: str | None
    next_version: str | None
    reasons: tuple[str, ...]


def preview(studio: Studio, plan: Plan, version: str | None) -> Preview:
    """Look at all gates.

    Args:
        version: the number it would carry; the next one from 1.0.0 on when not given.

    Raises:
        InputError, StateError: as `preview_release`.
    """
    outlook = preview_release(studio.workspace, studio.store, plan, version)
    wanted = outlook.next_version
    return Preview(
        rows=len(outlook.selection.released),
        splits={str(split): number for split, number in outlook.selection.splits.items()},
        left_out={why: number for why, number in outlook.selection.left_out.items() if number},
        refusals=outlook.refusals,
        after=wanted.after if wanted else None,
        next_version=wanted.version if wanted else None,
        reasons=wanted.reasons if wanted else (),
    )


def read_state(studio: Studio) -> tuple[object, ...]:
    """Return what differs after whatever changes a preview: till then it still holds."""
    with studio.store.read() as connection:
        numbers = releases.read_state(connection)
    known = tuple((one.version, one.withdrawal) for one in list_releases(studio.workspace))
    return (*numbers, *known)
