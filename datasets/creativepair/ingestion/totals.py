"""What logs count for each key, and what holds when several logs count the same key.

A key is known by (item, creative, source, stratum, period). Two counted logs that hold one key
overlap, and adding them up would count the same impressions twice. So they are compared: equal
totals are one thing said twice, others are a conflict, as across two readings of logs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from creativepair.errors import StateError
from creativepair.ingestion.files import RawRow
from creativepair.ingestion.rejects import Reject, reject_row
from creativepair.records import Exposure

Key = tuple[str, str, str, str, str]
_SHOWN_OFFENDERS = 20


@dataclass(slots=True)
class Total:
    """What one log counts for one key.

    Attributes:
        first: the first row that counts for it, to name it by.
    """

    first: RawRow
    experiment_id: str | None
    impressions: int = 0
    clicks: int = 0

    def equals(self, other: "Total") -> bool:
        """Whether both say the same, wherever they stand."""
        return self._numbers() == other._numbers()

    def _numbers(self) -> tuple[int, int, str | None]:
        return self.impressions, self.clicks, self.experiment_id


def merge_totals(
    logs: Sequence[Mapping[Key, Total]], *, replace: bool
) -> tuple[dict[Key, Total], list[Reject]]:
    """Take each key once.

    Args:
        logs: the totals of each log that has keys of its own, in the order given.
        replace: let the later log win where numbers differ.

    Returns:
        The totals, and one rejected row for each key that a later log repeats.

    Raises:
        StateError: when logs differ on a key and `replace` is not set; lists the first twenty.
    """
    merged: dict[Key, Total] = {}
    rejects, conflicts = [], []
    for log in logs:
        for key, total in log.items():
            known = merged.setdefault(key, total)
            if known is total:
                continue
            if known.equals(total):
                reason = f"repeats row {known.first.row} of {known.first.file}"
                rejects.append(reject_row(total.first, reason, column="creative_id"))
            elif replace:
                merged[key] = total
            else:
                conflicts.append(_describe(key, known, total))
    if conflicts:
        raise StateError(
            f"{len(conflicts)} exposures stand in several logs with other numbers: "
            f"{'; '.join(conflicts[:_SHOWN_OFFENDERS])}",
            hint="Cumulative logs overlap: give each file its own days, or pass --replace, "
            "by which the later file wins.",
        )
    return merged, rejects


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
        return f"{total.clicks} of {total.impressions}{experiment} in {total.first.file}"

    named = known.experiment_id != given.experiment_id
    return f"{'/'.join(key).rstrip('/')}: {say(known)}, {say(given)}"
