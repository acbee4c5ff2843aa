"""What logs count for each key, and what holds when several logs count the same key.

A key is known by (item, creative, source, stratum, period). Two counted logs that hold one key
overlap, and adding them up would count the same impressions twice. So they are compared: equal
totals are one thing said twice, others are a conflict, as across two readings of logs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from creativepair.errors import StateError
from creativepair.ingestion.rejects import Reject, RejectList
from creativepair.records import Exposure

Key = tuple[str, str, str, str, str]
_SHOWN_OFFENDERS = 20


@dataclass(slots=True)
class Total:
    """What one log counts for one key.

    Attributes:
        file, row: the first row that counts for it; None where an engine added it up, which can
            be asked for the row.
    """

    file: str
    row: int | None
    experiment_id: str | None
    impressions: int = 0
    clicks: int = 0

    def equals(self, other: "Total") -> bool:
        """Whether both say the same, wherever they stand."""
        return self._numbers() == other._numbers()

    def _numbers(self) -> tuple[int, int, str | None]:
        return self.impressions, self.clicks, self.experiment_id


Locator = Callable[[str, Collection[Key]], Mapping[Key, int]]
"""Returns the first row of each key in a file."""


def merge_totals(
    logs: Sequence[Mapping[Key, Total]], locate: Locator, *, replace: bool
) -> tuple[dict[Key, Total], RejectList]:
    """Take each key once.

    Args:
        logs: the totals of each log that has keys of its own, in the order given.
        locate: finds rows that totals do not know.
        replace: let the later log win where numbers differ.

    Returns:
        The totals, and one rejected row for each key that a later log repeats.

    Raises:
        StateError: when logs differ on a key and `replace` is not set; lists the first twenty.
    """
    merged: dict[Key, Total] = {}
    repeats: list[tuple[Key, Total, Total]] = []
    conflicts = []
    for log in logs:
        for key, total in log.items():
            known = merged.setdefault(key, total)
            if known is total:
                continue
            if known.equals(total):
                repeats.append((key, known, total))
            elif replace:
                merged[key] = total
            else:
                conflicts.append(_describe(key, known, total))
    if conflicts:
        raise StateError(
            f"{len(conflicts)} exposures stand in several logs with other numbers: "
            f"{'; '.join(sorted(conflicts)[:_SHOWN_OFFENDERS])}",
            hint="Cumulative logs overlap: give each file its own days, or pass --replace, "
            "by which the later file wins.",
        )
    return merged, _reject_repeats(repeats, locate)


def _reject_repeats(repeats: Sequence[tuple[Key, Total, Total]], locate: Locator) -> RejectList:
    rejects = RejectList()
    listed = repeats[: rejects.limit]
    wanted: dict[str, set[Key]] = {}
    for key, *both in listed:
        for total in both:
            if total.row is None:
                wanted.setdefault(total.file, set()).add(key)
    rows = {file: locate(file, keys) for file, keys in wanted.items()}
    for key, known, total in listed:
        first, row = (t.row or rows[t.file][key] for t in (known, total))
        reason = f"repeats row {first} of {known.file}"
        rejects.append(Reject(total.file, row, "creative_id", key[1], reason))
    files = list(dict.fromkeys(total.file for _, _, total in listed))
    rejects.kept.sort(key=lambda reject: (files.index(reject.file), reject.row))
    rejects.add_unlisted(len(repeats) - len(listed))
    return rejects


def to_exposures(totals: Mapping[Key, Total]) -> list[Exposure]:
    """Return totals as records."""
    return [
        Exposure(
            item_id=item_id,
            creative_id=creative_id,
            source=source,
            stratum=stratum,
            period=period,
            impressions=total.impressions,
            clicks=total.clicks,
            experiment_id=total.experiment_id,
        )
        for (item_id, creative_id, source, stratum, period), total in totals.items()
    ]


def _describe(key: Key, known: Total, given: Total) -> str:
    def say(total: Total) -> str:
        experiment = f" of experiment {total.experiment_id!r}" if named else ""
        return f"{total.clicks} of {total.impressions}{experiment} in {total.file}"

    named = known.experiment_id != given.experiment_id
    return f"{'/'.join(key).rstrip('/')}: {say(known)}, {say(given)}"
