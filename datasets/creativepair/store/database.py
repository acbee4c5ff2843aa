"""Opening the database and its transactions.

SQLite runs in WAL with `synchronous=FULL`: a commit is on the disk before it returns. Writers take
the lock at once (`BEGIN IMMEDIATE`): a deferred transaction that turns into a writer loses races.

PostgreSQL reads one state (`REPEATABLE READ`); its writers run beside each other, and those that
decide by what they read take turns (`locks`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from creativepair.errors import StateError
from creativepair.store.failures import name_failure
from creativepair.store.locks import take_turn

HEAD = "0013"
"""The newest migration; a test holds it against the files."""

_BUSY_TIMEOUT_MS = 10_000
_ONE_STATE = "REPEATABLE READ"
# The 2 MB that SQLite takes by itself do not hold the index of a million pairs: saving a build then
# reads pages back again and again.
_CACHE_KIB = 32_768
# Each of these takes PostgreSQL through whole tables; `jit` compiles what runs for 0.2 ms.
_BY_INDEX = ";".join(
    f"SET LOCAL {name} = off"
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort", "jit")
)


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. Connections belong to one transaction and are never shared by threads."""

    engine: Engine

    @property
    def never_waits_to_read(self) -> bool:
        """Whether a reader waits neither for a network nor for a writer."""
        return self.engine.dialect.name == "sqlite"

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
    def write(self, *, by_index: bool = False) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and undone when it raises.

        Args:
            by_index: every statement looks up few rows. PostgreSQL is told so: it plans by what it
                knew of the tables, which were empty when a batch was just made.
        """
        with (
            _named_errors(),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            if by_index and self.engine.dialect.name == "postgresql":
                connection.exec_driver_sql(_BY_INDEX)
            yield connection

    def truncate_log(self) -> None:
        """Leave nothing of deleted rows in SQLite's files beside the database.

        PostgreSQL's vacuum and archives are for whoever runs it.
        """
        if self.engine.dialect.name == "sqlite":
            with _named_errors(), self.engine.connect() as connection:
                connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

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
        address = make_url(url)
        # By itself SQLAlchemy takes an older driver for these, which this project does not install.
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        if "@" in (address.host or ""):  # what stands before it is a part of the password
            raise StateError(
                "the store's address cannot be used: more than one @",
                hint="Write an @ of the user or password as %40 in CREATIVEPAIR_DATABASE_URL.",
            )
        engine = create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    except (ArgumentError, ModuleNotFoundError, ValueError) as error:
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
        "secure_delete=ON",  # who asked to be erased is not left in free pages
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
        take_turn(connection, "migrations")  # who comes second finds nothing left to do
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn what the database driver says into an error for users; nothing was written then."""
    try:
        yield
    except DBAPIError as error:
        named = name_failure(error)
        if named is None:
            raise
        raise named from error
