"""Transactions that several requests share: group commit.

A commit waits for the disk, and twenty decisions in one transaction wait no longer than one. What
arrives while a transaction is on its way runs in the next one, in order of arrival; so nobody waits
for a lock by trying again and again, and nobody is passed over.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from creativepair.store.database import Store

_MOST_AT_ONCE = 32
"""Each of those that share a transaction waits for the last of them."""
_BESIDE_EACH_OTHER = 4
"""Writers of a server; on two cores more of them got in each other's way."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[Connection], Any]
    result: Future[Any] = field(default_factory=Future)


class SharedTransactions:
    """Runs jobs on threads of its own, in order of arrival; those that wait share a transaction.

    Args:
        begin: opens a transaction, such as `Store.write`.
        threads: transactions beside each other.
        most: jobs that share one.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[Connection]],
        *,
        threads: int = 1,
        most: int = _MOST_AT_ONCE,
    ) -> None:
        self._begin = begin
        self._waiting: deque[_Job] = deque()
        self._most = most
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="writer")

    def submit(self, run: Callable[[Connection], Result]) -> Future[Result]:
        """Let a job run; its result comes when its transaction has ended, so is on the disk.

        What the job raises, its future raises, and nothing of it is stored. A job may run twice:
        when one of those that share a transaction raises, all is undone and each runs again in one
        of its own. So it must change nothing but the store.
        """
        job = _Job(run)
        self._waiting.append(job)
        self._threads.submit(self._run_waiting)
        return job.result

    def _run_waiting(self) -> None:
        jobs: list[_Job] = []
        while len(jobs) < self._most:
            try:
                job = self._waiting.popleft()
            except IndexError:  # another transaction has taken the rest along
                break
            if job.result.set_running_or_notify_cancel():
                jobs.append(job)
        if jobs:
            self._run_together(jobs)

    def _run_together(self, jobs: Sequence[_Job]) -> None:
        results: list[Any] = []
        begun = False
        try:
            with self._begin() as connection:
                begun = True
                results += (job.run(connection) for job in jobs)
        except Exception as error:  # noqa: BLE001 (raised again by the futures)
            if begun and len(results) < len(jobs) and len(jobs) > 1:
                for job in jobs:
                    self._run_together([job])
                return
            for job in jobs:
                job.result.set_exception(error)
            return
        for job, result in zip(jobs, results, strict=True):
            job.result.set_result(result)


def share_writes(store: Store) -> SharedTransactions:
    """Return what runs the writes of a desk, each a look-up of few rows.

    SQLite has one writer. A server of PostgreSQL has many and lets their commits share a wait by
    itself; two transactions that each hold several people's tasks could wait for each other.
    """
    begin = partial(store.write, by_index=True)
    if store.engine.dialect.name == "sqlite":
        return SharedTransactions(begin)
    return SharedTransactions(begin, threads=_BESIDE_EACH_OTHER, most=1)
