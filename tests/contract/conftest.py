"""The databases that every store contract is held against."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from creativepair.store.database import Store, create_store
from tests.postgres_server import PostgresServer, find_binaries, run_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL; tests skip without one, except in CI, where it must be there."""
    binaries = find_binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is missing in CI")
        # On a contributor's machine: `make test` installs it only as root on Debian.
        pytest.skip("PostgreSQL is not installed")
    with run_postgres(binaries) as server:
        yield server


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'studio.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    made = server.make_database()
    yield made
    server.drop_database(made)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return a store with its tables and no rows."""
    made = create_store(url)
    yield made
    made.close()
