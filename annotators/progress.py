"""How far an annotator is: what is done, what is left, and how quickly it goes."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from annotators.queue import list_running
from creativepair.store import judgements, tasks
from creativepair.workspace import Workspace

_KEPT = timedelta(seconds=5)
_PACE_OVER = 20
_LONGEST_PAUSE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of one annotator.

    Attributes:
        num_done: what they have finished.
        num_open: what is left that they could judge.
        per_hour: pace over the last twenty; None without five in one sitting.
    """

    num_done: int
    num_open: int
    per_hour: int | None


@dataclass(frozen=True, slots=True)
class _Count:
    at: datetime
    num_open: int
    num_done: int


@dataclass(slots=True)
class ProgressMeter:
    """Counts what is open every few seconds, and what an annotator did since then at every look.

    Counting a hundred thousand open tasks takes longer than storing a verdict.
    """

    _counts: dict[str, _Count] = field(default_factory=dict)

    def read(
        self,
        connection: Connection,
        workspace: Workspace,
        annotator_id: str,
        role: str,
        *,
        now: datetime,
    ) -> Progress:
        """Return the counts of one annotator."""
        num_done = judgements.count_finished(connection, annotator_id)
        count = self._counts.get(annotator_id)
        if count is None or not timedelta(0) <= now - count.at < _KEPT:
            running = list_running(connection, workspace, annotator_id, role)
            ids = [batch.batch_id for batch in running]
            num_open = tasks.count_open(connection, ids)
            num_open -= tasks.count_waiting(connection, annotator_id, ids)
            count = self._counts[annotator_id] = _Count(now, num_open, num_done)
        return Progress(
            num_done=num_done,
            num_open=max(0, count.num_open - (num_done - count.num_done)),
            per_hour=_measure_pace(
                judgements.last_finished(connection, annotator_id, limit=_PACE_OVER + 1)
            ),
        )


def _measure_pace(finished: list[datetime]) -> int | None:
    """Return pairs an hour, from times of finishing, newest first."""
    sitting = 1
    while sitting < len(finished) and finished[sitting - 1] - finished[sitting] < _LONGEST_PAUSE:
        sitting += 1
    if sitting <= 5:
        return None
    took = finished[0] - finished[sitting - 1]
    return round((sitting - 1) / (took / timedelta(hours=1))) if took else None
