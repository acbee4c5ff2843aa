"""How far an annotator is: what is done, what is left, and how quickly it goes."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from annotators.queue import list_running
from creativepair.store import judgements, tasks
from creativepair.workspace import Workspace

_KEPT = timedelta(seconds=5)
_KEPT_A_TASK = timedelta(milliseconds=1)
_PACE_OVER = 20
_LONGEST_PAUSE = timedelta(minutes=10)


WhyEmpty = Literal["nothing_built", "none_open", "with_others", "all_judged"]
"""Why somebody gets no pair: there are none; what is left is paused or given to others; the rest
waits for other people; every pair has all its answers."""


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
class _Counted:
    """Open tasks of some batches."""

    at: datetime
    num_open: int

    def is_fresh(self, now: datetime) -> bool:
        """Whether it still counts: the more there are, the longer a few do not matter."""
        kept = max(_KEPT, self.num_open * _KEPT_A_TASK)
        return timedelta(0) <= now - self.at < kept


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found out about one annotator.

    Attributes:
        of: what was open then, in these batches.
        total: what they had done then and could still do, together.
    """

    at: datetime
    per_hour: int | None
    batch_ids: tuple[int, ...]
    of: _Counted
    total: int


@dataclass(slots=True)
class ProgressMeter:
    """Counts what is open, and measures the pace, now and then.

    Counting a hundred thousand open tasks takes longer than storing a verdict.
    """

    _seen: dict[str, _Seen] = field(default_factory=dict)
    _open: dict[tuple[int, ...], _Counted] = field(default_factory=dict)

    def read(
        self,
        connection: Connection,
        workspace: Workspace,
        annotator_id: str,
        role: str,
        num_done: int,
        *,
        now: datetime,
    ) -> Progress:
        """Return the counts of one annotator, who has finished so many."""
        seen = self._seen.get(annotator_id)
        if seen is None or not timedelta(0) <= now - seen.at < _KEPT:
            running = list_running(connection, workspace, annotator_id, role)
            ids = tuple(batch.batch_id for batch in running)
            of = self._count_open(connection, ids, now)
            if seen and (seen.batch_ids, seen.of) == (ids, of):
                total = seen.total
            else:
                waiting = tasks.count_waiting(connection, annotator_id, ids)
                total = num_done + max(0, of.num_open - waiting)
            finished = judgements.last_finished(connection, annotator_id, limit=_PACE_OVER + 1)
            seen = _Seen(now, _measure_pace(finished), ids, of, total)
            self._seen[annotator_id] = seen
        return Progress(num_done, max(0, seen.total - num_done), seen.per_hour)

    def _count_open(self, connection: Connection, ids: tuple[int, ...], now: datetime) -> _Counted:
        """Count for all who work on the same batches."""
        counted = self._open.get(ids)
        if counted is None or not counted.is_fresh(now):
            counted = _Counted(now, tasks.count_open(connection, ids))
            self._open[ids] = counted
        return counted


def why_empty(
    connection: Connection, workspace: Workspace, annotator_id: str, role: str
) -> WhyEmpty:
    """Return why an annotator, who has no pair in hand, gets none."""
    protocol = workspace.protocol.version
    running = list_running(connection, workspace, annotator_id, role)
    if tasks.count_open(connection, [batch.batch_id for batch in running]):
        return "with_others"
    if tasks.has_withheld(connection, protocol):
        return "none_open"
    return "all_judged" if tasks.has_tasks(connection, protocol) else "nothing_built"


def _measure_pace(finished: list[datetime]) -> int | None:
    """Return pairs an hour, from times of finishing, newest first."""
    sitting = 1
    while sitting < len(finished) and finished[sitting - 1] - finished[sitting] < _LONGEST_PAUSE:
        sitting += 1
    if sitting <= 5:
        return None
    took = finished[0] - finished[sitting - 1]
    return round((sitting - 1) / (took / timedelta(hours=1))) if took else None
