"""Opening the database and its transactions.

SQLite runs in WAL with `synchronous=FULL`: a commit is on the disk before it returns. Writers take
the lock at once (`BEGIN IMMEDIATE`): a deferred transaction that turns into a writer loses races.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError

from creativepair.errors import CreativePairError, InputError, StateError

HEAD = "0007"
"""The newest migration; a test holds it against the files."""

_BUSY_TIMEOUT_MS = 10_000
_ONE_STATE = "REPEATABLE READ"
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
        # SQLite's transactions see one state anyway, and know no other level.
        seen = {} if self.engine.dialect.name == "sqlite" else {"isolation_level": _ONE_STATE}
        with (
            _named_errors(),
            self.engine.connect().execution_options(**seen) as connection,
            connection.begin(),
        ):
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
    # By itself SQLAlchemy takes the older driver for these, which this project does not install.
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        url = f"postgresql+psycopg{separator}{rest}"
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
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
        named = _name_error(error)
        if named is None:
            raise
        raise named from error


def _name_error(error: DBAPIError) -> CreativePairError | None:
    """Say what went wrong for a user; None where it is a fault of this program."""
    problem = str(error.orig).partition("\n")[0]
    state = getattr(error.orig, "sqlstate", None) or ""
    unchanged = "nothing was changed."
    if "readonly" in problem or "read-only" in problem or state == "25006":
        return StateError(
            f"the store cannot be written: {problem}",
            hint=f"Check the permissions of the workspace; {unchanged}",
        )
    if "full" in problem or state == "53100":
        return StateError(
            f"the disk of the store is full: {problem}", hint=f"Free space; {unchanged}"
        )
    if "locked" in problem:
        return StateError(
            f"another process holds the store: {problem}",
            hint=f"Wait for it and repeat; {unchanged}",
        )
    if "not a database" in problem or "malformed" in problem:
        return StateError(
            f"the store is damaged: {problem}",
            hint="Put studio.db back from a backup of the workspace.",
        )
    if "unable to open" in problem:
        return StateError(
            f"the store cannot be opened: {problem}", hint="Check the workspace's path."
        )
    if state in ("40001", "40P01"):
        return StateError(
            f"two changes of the store met: {problem}", hint=f"Repeat it; {unchanged}"
        )
    # psycopg has no SQLSTATE where there was no server to give one.
    if isinstance(error, OperationalError) and (not state or state[:2] in ("08", "28", "53", "57")):
        return StateError(
            f"the store's server cannot be reached: {problem}",
            hint="Check that it runs and that CREATIVEPAIR_DATABASE_URL is right.",
        )
    if isinstance(error, DataError):
        return InputError(
            f"the store cannot hold this: {problem}", hint="Take out odd characters and repeat."
        )
    return None
