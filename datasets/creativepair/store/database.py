"""Opening the database and its transactions.

SQLite runs in WAL with `synchronous=FULL`: a commit is on the disk before it returns. Writers take
the lock at once (`BEGIN IMMEDIATE`): a deferred transaction that turns into a writer loses races.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from creativepair.errors import StateError

HEAD = "0005"
"""The newest migration; a test holds it against the files."""

_BUSY_TIMEOUT_MS = 10_000
# The 2 MB that SQLite takes by itself do not hold the index of a million pairs: saving a build then
# reads pages back again and again.
_CACHE_KIB = 32_768


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. Connections belong to one transaction and are never shared by threads."""

    engine: Engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing is written."""
        with _named_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and undone when it raises."""
        with (
            _named_errors(),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def create_store(url: str) -> Store:
    """Create the tables, or bring those of an older version up to date.

    Raises:
        StateError: when the database cannot be reached or is newer than this program.
    """
    engine = _engine(url)
    with _named_errors():
        revision = _revision(engine)
        if revision is not None and revision > HEAD:
            raise StateError(
                f"the store has revision {revision}, this program knows {HEAD}",
                hint="Upgrade creativepair.",
            )
        if revision != HEAD:
            _migrate(engine)
    return Store(engine)


def open_store(url: str) -> Store:
    """Open an existing store, migrating it when it is older than this program.

    Raises:
        StateError: as `create_store`.
    """
    return create_store(url)


def _engine(url: str) -> Engine:
    try:
        engine = create_engine(url)
    except (ArgumentError, ModuleNotFoundError) as error:
        # Not the address itself: it may hold a password.
        raise StateError(
            f"the store's address cannot be used: {type(error).__name__}",
            hint="Check CREATIVEPAIR_DATABASE_URL; PostgreSQL needs creativepair[postgres].",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 (a DBAPI connection)
    # pysqlite must not begin transactions by itself: _begin_sqlite does.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        f"cache_size=-{_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(engine: Engine) -> None:
    # Alembic is imported here: it costs more than a whole command that needs no migration.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "creativepair.store:migrations")
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn what the database driver says into an error for users; nothing was written then."""
    try:
        yield
    except DBAPIError as error:
        problem = str(error.orig)
        if "readonly" in problem or "read-only" in problem:
            raise StateError(
                f"the store cannot be written: {problem}",
                hint="Check the permissions of the workspace; nothing was changed.",
            ) from error
        if "full" in problem:
            raise StateError(
                f"the disk of the store is full: {problem}", hint="Free space; nothing was changed."
            ) from error
        if "locked" in problem:
            raise StateError(
                f"another process holds the store: {problem}",
                hint="Wait for it and repeat; nothing was changed.",
            ) from error
        if "not a database" in problem or "malformed" in problem:
            raise StateError(
                f"the store is damaged: {problem}",
                hint="Put studio.db back from a backup of the workspace.",
            ) from error
        if "unable to open" in problem or "could not connect" in problem:
            raise StateError(
                f"the store cannot be opened: {problem}", hint="Check the workspace's path."
            ) from error
        raise
