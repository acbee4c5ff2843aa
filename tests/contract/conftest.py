"""The databases that every store contract is held against."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from creativepair.store.database import Store, create_store

DATABASES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'studio.db'}",
}


@pytest.fixture(params=sorted(DATABASES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database without tables."""
    return DATABASES[request.param](tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return a store with its tables and no rows."""
    made = create_store(url)
    yield made
    made.close()
