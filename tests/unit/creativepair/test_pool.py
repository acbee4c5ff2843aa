import math
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from creativepair.errors import StateError
from creativepair.ingestion.pool import PROCESSES_VARIABLE, count_processes, map_in_order

# Spawned processes import what they run, and tests cannot be imported: functions of others here.


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes: int) -> None:
    # Early tasks take longest.
    found = list(map_in_order(math.factorial, [20_000, 10_000, 3, 2, 1], processes=processes))
    assert found == [math.factorial(n) for n in (20_000, 10_000, 3, 2, 1)]


def test_no_tasks_have_no_results() -> None:
    assert list(map_in_order(operator.neg, [], processes=2)) == []


def test_tasks_are_read_only_a_little_ahead() -> None:
    read = count()
    endless: Iterator[int] = (next(read) for _ in count())
    results = map_in_order(operator.neg, endless, processes=2)
    assert [next(results) for _ in range(3)] == [0, -1, -2]
    results.close()
    assert next(read) < 20


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="'x'"):
        list(map_in_order(int, ["1", "x", "2"], processes=2))


def test_a_process_that_dies_is_told_with_what_to_do() -> None:
    with pytest.raises(StateError, match="ended before it was done") as caught:
        list(map_in_order(os._exit, [3], processes=2))
    assert f"{PROCESSES_VARIABLE}=1" in caught.value.hint


def test_the_number_of_processes_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROCESSES_VARIABLE, raising=False)
    assert count_processes() >= 1
    monkeypatch.setenv(PROCESSES_VARIABLE, "7")
    assert count_processes() == 7


@pytest.mark.parametrize("wish", ["0", "-1", "two", "", "1.5", "²"])
def test_a_number_of_processes_that_is_none_is_refused(
    wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, wish)
    with pytest.raises(StateError, match=PROCESSES_VARIABLE):
        count_processes()


SCRIPT = """
import os, time
from creativepair.ingestion.pool import map_in_order

if __name__ == "__main__":
    print(os.getpid(), flush=True)
    for done in map_in_order(time.sleep, [0.1] * 2 + [1] * 1000, processes=2):
        print("done", flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    script = folder / "endless.py"
    script.write_text(SCRIPT, encoding="utf-8")
    started = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert started.stdout
    assert started.stdout.readline().strip() == str(started.pid)
    assert started.stdout.readline() == "done\n"  # the workers run
    return started


def is_gone(group: int) -> bool:
    """Tell whether no process of a group is left, within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow  # three interpreters start in turn: on a busy machine that takes half a minute
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_work_and_every_process(tmp_path: Path) -> None:
    started = start(tmp_path)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal sends it: to all
    _, complaints = started.communicate(timeout=120)
    assert started.returncode == -signal.SIGINT
    # Not how often: on a busy machine a worker may not yet leave it to the parent.
    assert "KeyboardInterrupt" in complaints
    assert is_gone(started.pid)


@pytest.mark.slow  # three interpreters start in turn: on a busy machine that takes half a minute
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_parent_leaves_no_process_behind(tmp_path: Path) -> None:
    started = start(tmp_path)
    started.kill()
    started.communicate(timeout=120)
    assert is_gone(started.pid)
