"""Work on every core, results in the order of the tasks.

Processes, not threads: Pillow decodes under a lock of its process (`creativepair.images`), and most
of a hash is Python. They are spawned, not forked: a fork would copy locks that other threads of
this process hold. Nothing is held back: tasks are handed out a few at a time, so that the first
results can be written while the last tasks are not even made.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from threadpoolctl import threadpool_limits

from creativepair.errors import StateError

PROCESSES_VARIABLE = "CREATIVEPAIR_PROCESSES"
_AHEAD = 4
"""Tasks handed out for each process: enough that none waits, few enough to stop soon."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def count_processes() -> int:
    """Return how many processes to work in: the environment's wish, else a process per core.

    Raises:
        StateError: when the environment asks for something that is not a number from 1.
    """
    wish = os.environ.get(PROCESSES_VARIABLE)
    if wish is None:
        # Containers often allow fewer cores than the machine has.
        allowed = getattr(os, "sched_getaffinity", None)
        return len(allowed(0)) if allowed else os.cpu_count() or 1
    if not wish.isascii() or not wish.isdigit() or int(wish) < 1:
        raise StateError(
            f"{PROCESSES_VARIABLE} is {wish!r}", hint="Set it to a number from 1, or unset it."
        )
    return int(wish)


def map_in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], *, processes: int
) -> Generator[Result, None, None]:
    """Yield `work(task)` for each task, in the order of the tasks.

    Args:
        work: a function of a module, which spawned processes can import.
        tasks: read only as far ahead as there is work to hand out.
        processes: 1 works in this process.

    Raises:
        StateError: when a process ends without an answer (killed, out of memory, or unable to
            start). What `work` raises is raised here, and the rest is not begun.
    """
    if processes == 1:
        yield from map(work, tasks)
        return
    # KeyboardInterrupt included: what is not begun is dropped, and what is begun is waited for.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_obey_parent)
    try:
        yield from _take_turns(pool, work, tasks, processes * _AHEAD)
    except BrokenProcessPool as error:
        raise StateError(
            "a process that was reading pictures ended before it was done, as when memory runs out",
            hint=f"Nothing of this reading is kept. Read fewer at once: {PROCESSES_VARIABLE}=1.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take_turns(
    pool: ProcessPoolExecutor,
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    num_ahead: int,
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(pool.submit(work, task))
        if len(waiting) == num_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _obey_parent() -> None:
    """Let the process that started this one decide when it ends, and end when that is gone."""
    # Ctrl+C reaches every process of a terminal; here it would only add tracebacks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Each process would start a thread per core for its matrix products, and these would wait for
    # each other: with two processes on two cores that took four times as long as one process.
    threadpool_limits(limits=1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent cannot say so, and its queue stays open: the other workers hold it too.
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
