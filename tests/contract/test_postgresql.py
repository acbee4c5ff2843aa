"""What PostgreSQL alone can do to the store, and what a user reads then."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from creativepair.errors import CreativePairError, InputError, StateError
from creativepair.records import Item
from creativepair.store import Store, catalogue, create_store, open_store
from tests.contract.test_store import NOW
from tests.postgres_server import PostgresServer


@pytest.fixture
def address(postgres: PostgresServer) -> Iterator[str]:
    made = postgres.make_database()
    yield made
    postgres.drop_database(made)


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    made = create_store(address)
    yield made
    made.close()


def put_item(connection: Connection, **content: str) -> None:
    catalogue.put_items(connection, [Item(item_id="i1", **content)], now=NOW)


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement))


def test_a_connection_that_was_cut_is_named_and_the_next_transaction_gets_another(
    store: Store,
) -> None:
    with pytest.raises(StateError, match="server cannot be reached") as caught, store.read() as c:
        run(c, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert "CREATIVEPAIR_DATABASE_URL" in caught.value.hint
    with store.write() as connection:
        put_item(connection)


def test_a_pooled_connection_that_died_between_transactions_is_not_noticed(
    store: Store, address: str
) -> None:
    with store.read() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = open_store(address)
    with other.read() as connection:
        run(connection, f"SELECT pg_terminate_backend({pid}, 5000)")
    other.close()
    with store.read() as connection:
        assert catalogue.list_items(connection) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://tests:hunter2@127.0.0.1:{port}/nowhere", "does not exist"),
        ("postgres://nobody:hunter2@127.0.0.1:{port}/postgres", "does not exist"),
        ("postgresql://tests:hunter2@127.0.0.1:1/studio", "Connection refused"),
        ("postgresql://tests:hunter2@127.0.0.1:{port}/postgres?wrong=hunter2", "wrong"),
        ("postgresql://tests:a@hunter2@127.0.0.1:{port}/postgres", "more than one @"),
        ("postgresql://tests:hunter2@127.0.0.1:port/postgres", "address cannot be used"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_without_its_password(
    postgres: PostgresServer, url: str, said: str
) -> None:
    with pytest.raises(StateError, match=said) as caught:
        open_store(url.format(port=postgres.port))
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert "CREATIVEPAIR_DATABASE_URL" in caught.value.hint


def test_an_address_without_a_driver_takes_the_one_that_is_installed(address: str) -> None:
    plain = address.replace("+psycopg", "")
    for one in (plain, plain.replace("postgresql", "postgres")):
        store = open_store(one)
        assert store.engine.dialect.driver == "psycopg"
        store.close()


def read_only(connection: Connection) -> None:
    run(connection, "SET TRANSACTION READ ONLY")
    put_item(connection)


def without_rights(connection: Connection) -> None:
    run(connection, "DROP ROLE IF EXISTS guest", "CREATE ROLE guest", "SET LOCAL ROLE guest")
    put_item(connection)


def too_slow(connection: Connection) -> None:
    run(connection, "SET LOCAL statement_timeout = 10", "SELECT pg_sleep(9)")


def disk_full(connection: Connection) -> None:
    run(connection, "DO $$ BEGIN RAISE EXCEPTION 'Gerät voll' USING ERRCODE = '53100'; END $$")


def deadlock(connection: Connection) -> None:
    run(connection, "DO $$ BEGIN RAISE EXCEPTION 'Verklemmung' USING ERRCODE = '40P01'; END $$")


def too_many_values(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT " + ",".join(["%s"] * 70_000), tuple(range(70_000)))


def text_with_nul(connection: Connection) -> None:
    connection.execute(text("SELECT :typed"), {"typed": "a\x00b"})


@pytest.mark.parametrize(
    ("broken", "kind", "said"),
    [
        (read_only, StateError, "cannot be written: cannot execute INSERT"),
        (without_rights, StateError, "cannot be written: permission denied"),
        (too_slow, StateError, "server refuses"),
        (disk_full, StateError, "disk of the store is full"),
        (deadlock, StateError, "two changes of the store met"),
        (too_many_values, InputError, "cannot hold this"),
        (text_with_nul, InputError, "cannot hold this"),
    ],
)
def test_what_the_server_refuses_is_named_and_nothing_is_changed(
    store: Store,
    broken: Callable[[Connection], None],
    kind: type[CreativePairError],
    said: str,
) -> None:
    def write() -> None:
        with store.write() as connection:
            catalogue.put_items(connection, [Item(item_id="before")], now=NOW)
            broken(connection)

    with pytest.raises(kind, match=said) as caught:
        write()
    assert "nothing was changed" in caught.value.hint
    with store.read() as connection:
        assert catalogue.list_items(connection) == []


def test_a_table_that_another_process_holds_says_so(store: Store, address: str) -> None:
    def write() -> None:
        with store.write() as connection:
            run(connection, "SET LOCAL lock_timeout = 10")
            put_item(connection)

    other = open_store(address)
    with other.write() as holder:
        run(holder, "LOCK TABLE items")
        with pytest.raises(StateError, match="another process holds"):
            write()
    other.close()


def test_words_of_a_row_are_not_taken_for_a_failure_of_the_disk(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as connection:
        run(connection, "INSERT INTO items VALUES ('full, locked and readonly', 1)")


def test_programs_that_make_the_tables_at_once_all_get_them(address: str) -> None:
    program = "import sys; from creativepair.store import create_store; create_store(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, "-c", program, address], env=environment)
        for _ in range(3)
    ]
    assert [one.wait(timeout=60) for one in started] == [0, 0, 0]
