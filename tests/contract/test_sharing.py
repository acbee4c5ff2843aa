"""Transactions that several jobs share, on each store."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from creativepair.errors import StateError
from creativepair.store import Store, users
from creativepair.store.sharing import SharedTransactions
from creativepair.store.users import Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def add(name: str, *, fails: bool = False) -> Callable[[Connection], str]:
    """Return a job that adds a user, and maybe fails after it."""

    def run(connection: Connection) -> str:
        users.add_user(connection, name, name=name, role=Role.ANNOTATOR, now=NOW)
        if fails:
            raise StateError(f"{name} is refused", hint="-")
        return name

    return run


def note(words: list[str], word: str) -> Callable[[Connection], None]:
    """Return a job that only says that it ran."""
    return lambda _connection: words.append(word)


class Counted:
    """Transactions of a store, counted, whose first can be held up."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.begun = 0
        self.go = threading.Event()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open one."""
        self.begun += 1
        with self.store.write() as connection:
            yield connection
        if self.begun == 1:
            self.go.wait(timeout=30)


def names(store: Store) -> set[str]:
    """Return who is in the store."""
    with store.read() as connection:
        return {user.user_id for user in users.list_users(connection)}


def test_what_waits_shares_one_transaction_and_runs_in_order(store: Store) -> None:
    counted = Counted(store)
    shared = SharedTransactions(counted.write)
    order: list[str] = []
    first = shared.submit(add("first"))
    rest = [shared.submit(note(order, str(n))) for n in range(20)]
    counted.go.set()
    assert first.result(30) == "first"
    for job in rest:
        job.result(30)
    assert order == [str(n) for n in range(20)]
    assert counted.begun <= 3  # the first may take some of the others along


def test_a_result_comes_only_when_its_transaction_has_ended(store: Store) -> None:
    shared = SharedTransactions(store.write)
    jobs = [shared.submit(add(f"u{n}")) for n in range(10)]
    for n, job in enumerate(jobs):
        job.result(30)
        assert f"u{n}" in names(store)


def test_one_that_fails_is_undone_alone(store: Store) -> None:
    counted = Counted(store)
    shared = SharedTransactions(counted.write)
    first = shared.submit(add("first"))
    good = [shared.submit(add(f"good-{n}")) for n in range(3)]
    bad = shared.submit(add("bad", fails=True))
    twice = shared.submit(add("good-1"))
    late = shared.submit(add("late"))
    counted.go.set()
    first.result(30)
    assert [job.result(30) for job in good] == ["good-0", "good-1", "good-2"]
    with pytest.raises(StateError, match="bad is refused"):
        bad.result(30)
    with pytest.raises(StateError, match="good-1 exists"):
        twice.result(30)
    assert late.result(30) == "late"
    assert names(store) == {"first", "good-0", "good-1", "good-2", "late"}


def test_a_transaction_that_cannot_end_fails_for_all_of_it_and_runs_once(store: Store) -> None:
    ran: list[str] = []
    held = threading.Event()

    @contextmanager
    def write() -> Iterator[Connection]:
        with store.write() as connection:
            yield connection
            held.wait(timeout=30)
            raise StateError("the disk is full", hint="-")

    shared = SharedTransactions(write)
    jobs = [shared.submit(note(ran, name)) for name in "abc"]
    held.set()
    for job in jobs:
        with pytest.raises(StateError, match="disk is full"):
            job.result(30)
    assert sorted(ran) == ["a", "b", "c"]
    assert names(store) == set()


def test_a_job_that_nobody_waits_for_any_more_does_not_run(store: Store) -> None:
    counted = Counted(store)
    shared = SharedTransactions(counted.write)
    first = shared.submit(add("first"))
    while not counted.begun:
        threading.Event().wait(0.001)
    gone = shared.submit(add("gone"))
    cancelled = gone.cancel()
    counted.go.set()
    first.result(30)
    shared.submit(add("last")).result(30)
    assert cancelled
    assert names(store) == {"first", "last"}
