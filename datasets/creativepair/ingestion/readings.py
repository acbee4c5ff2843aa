"""How a log was read: what decides which counts its rows become.

The same bytes read in two ways become two sets of counts of the same impressions. So each log is
remembered with its reading, and a second reading that could count it again is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from creativepair.errors import StateError
from creativepair.ingestion.logs import Log

_SHOWN_OFFENDERS = 20


class Reading(BaseModel):
    """How one log was read.

    Attributes:
        strata: its columns that made the stratum, sorted; others were summed over.
        timezone: of its times that name none; None rejects those.
        renames: our column name by the file's, as far as the file has such columns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strata: tuple[str, ...]
    timezone: str | None
    renames: Mapping[str, str]

    def counts_like(self, other: "Reading") -> bool:
        """Whether rows read in both ways get the same key.

        Rows that a reading without time zone rejected count for the first time in the other one.
        """
        zones = {self.timezone, other.timezone} - {None}
        return (self.strata, self.renames) == (other.strata, other.renames) and len(zones) < 2

    def after(self, earlier: dict[str, Any] | None) -> "Reading":
        """Return what to remember: a time zone under which rows once counted is not forgotten."""
        return self.model_copy(
            update={"timezone": self.timezone or (earlier or {}).get("timezone")}
        )

    def describe(self) -> str:
        """Return the options that give this reading."""
        options = [f"--strata '{','.join(self.strata)}'"]
        options += [f"--map {new}={old}" for old, new in sorted(self.renames.items())]
        options += [f"--timezone {self.timezone}"] if self.timezone else []
        return " ".join(options)


def refuse_second_readings(
    tables: Sequence[Log],
    readings: Mapping[str, Reading],
    known: Mapping[str, dict[str, Any] | None],
) -> None:
    """Refuse logs that were read before in a way under which they would count again.

    Args:
        tables: the logs to read.
        readings: how each is to be read, by SHA-256.
        known: how logs were read before, by SHA-256, as `Reading` dumps itself; None where a
            log was read before readings were remembered.

    Raises:
        StateError: naming each such log with both ways.
    """
    problems = []
    for table in tables:
        before = known.get(table.sha256)
        if before is None:
            continue
        reading, earlier = readings[table.sha256], Reading.model_validate(before)
        if not reading.counts_like(earlier):
            problems.append(
                f"{table.name} was read with {earlier.describe()}, now with {reading.describe()}"
            )
    if problems:
        raise StateError(
            f"{len(problems)} logs were read before in another way, and their impressions would "
            f"count twice: {'; '.join(problems[:_SHOWN_OFFENDERS])}",
            hint="Read them as before, or read all logs anew in a new workspace.",
        )
