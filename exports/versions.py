"""Version numbers of releases: what a change asks for.

Below 1.0.0 every number is free. From 1.0.0 on, somebody may rely on a release: MAJOR says that
what they rely on changed (a pair or configuration is gone, a label, split or picture differs, the
labels mean something else), MINOR that there is more (pairs, chains, configurations), PATCH that
only words or evidence differ.

Source: Semantic Versioning 2.0.0, read for data.
"""

import re
from dataclasses import dataclass
from typing import Literal

from creativepair.errors import InputError
from exports.changes import Changes

Step = Literal["MAJOR", "MINOR", "PATCH"]
_VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
_LONGEST = 40
_STEP_OF: dict[str, Step] = {
    "removed": "MAJOR",
    "relabelled": "MAJOR",
    "moved": "MAJOR",
    "repainted": "MAJOR",
    "added": "MINOR",
    "rechained": "MINOR",
    "reworded": "PATCH",
    "recounted": "PATCH",
}


@dataclass(frozen=True, slots=True)
class NextVersion:
    """The number that a release has to carry, and why.

    Attributes:
        after: the number that it comes after.
    """

    after: str
    version: str
    step: Step
    reasons: tuple[str, ...]


def is_version(text: str) -> bool:
    """Tell whether a text is MAJOR.MINOR.PATCH without leading zeros."""
    return len(text) <= _LONGEST and bool(_VERSION.fullmatch(text))


def check_version(version: str) -> None:
    """Hold a version to MAJOR.MINOR.PATCH without leading zeros.

    Raises:
        InputError: when it is anything else.
    """
    if not is_version(version):
        raise InputError(
            f"{version!r} is not a version of the form MAJOR.MINOR.PATCH",
            hint="Use three numbers without leading zeros, such as 1.0.0.",
        )


def precedence(version: str) -> tuple[int, ...]:
    """Return what versions are sorted by."""
    return tuple(int(number) for number in version.split("."))


def is_free(version: str) -> bool:
    """Tell whether a version is below 1.0.0."""
    return precedence(version) < (1, 0, 0)


def next_version(
    after: str, changes: Changes, structural: tuple[tuple[Step, str], ...] = ()
) -> NextVersion:
    """Return the version after another that the changes ask for.

    Args:
        structural: changes that are no pair's, each with the step it asks for.
    """
    asked: list[tuple[Step, str]] = list(structural)
    asked += [
        (_STEP_OF[kind], f"{len(pair_ids):,} {'pair' if len(pair_ids) == 1 else 'pairs'} {kind}")
        for kind, pair_ids in changes.items()
        if pair_ids
    ]
    steps: tuple[Step, ...] = ("MAJOR", "MINOR", "PATCH")
    step: Step = min((step for step, _ in asked), key=steps.index, default="PATCH")
    major, minor, patch = precedence(after)
    numbers = {
        "MAJOR": (major + 1, 0, 0),
        "MINOR": (major, minor + 1, 0),
        "PATCH": (major, minor, patch + 1),
    }
    reasons = tuple(reason for of, reason in asked if of == step)
    version = ".".join(map(str, numbers[step]))
    return NextVersion(after, version, step, reasons or ("nothing changed",))
