"""How far an annotator is: what is done, what is left, and how quickly it goes."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from annotators.queue import list_running
from creativepair.store import judgements, tasks
from creativepair.workspace import Workspace

_KEPT = timedelta(seconds=5)
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
class _Seen:
    """What was counted of one annotator, and when."""

    counted_at: datetime
    progress: Progress


@dataclass(slots=True)
class ProgressMeter:
    """Counts what is open, and measures the pace, every few seconds.

    Counting a hundred thousand open tasks takes longer than storing a verdict.
    """

    _seen: dict[str, _Seen] = field(default_factory=dict)
    _open: dict[tuple[int, ...], tuple[datetime, int]] = field(default_factory=dict)

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
        if seen and _is_recent(seen.counted_at, now):
            since = num_done - seen.progress.num_done
            num_open = max(0, seen.progress.num_open - since)
            return replace(seen.progress, num_done=num_done, num_open=num_open)
        running = list_running(connection, workspace, annotator_id, role)
        ids = tuple(batch.batch_id for batch in running)
        waiting = tasks.count_waiting(connection, annotator_id, ids)
        num_open = max(0, self._count_open(connection, ids, now) - waiting)
        finished = judgements.last_finished(connection, annotator_id, limit=_PACE_OVER + 1)
        progress = Progress(num_done, num_open, _measure_pace(finished))
        self._seen[annotator_id] = _Seen(now, progress)
        return progress

    def _count_open(self, connection: Connection, ids: tuple[int, ...], now: datetime) -> int:
        """Count for all who work on the same batches."""
        counted_at, count = self._open.get(ids, (None, 0))
        if counted_at is None or not _is_recent(counted_at, now):
            count = tasks.count_open(connection, ids)
            self._open[ids] = now, count
        return count


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


def _is_recent(counted_at: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - counted_at < _KEPT


def _measure_pace(finished: list[datetime]) -> int | None:
    """Return pairs an hour, from times of finishing, newest first."""
    sitting = 1
    while sitting < len(finished) and finished[sitting - 1] - finished[sitting] < _LONGEST_PAUSE:
        sitting += 1
    if sitting <= 5:
        return None
    took = finished[0] - finished[sitting - 1]
    return round((sitting - 1) / (took / timedelta(hours=1))) if took else None
