"""A browser and a desk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from app.bootstrap import open_studio
from creativepair.store.users import Role
from tests.desk_server import DeskServer
from tests.e2e.browsing import launch_browser
from tests.people import add_person


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with launch_browser() as launched:
        yield launched


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile at the smallest screen that the desk promises to fit."""
    opened = browser.new_context(viewport={"width": 1280, "height": 720})
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def desk(demo_root: Path) -> Iterator[DeskServer]:
    """A running desk on a demo workspace of its own."""
    server = DeskServer(demo_root)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def staffed_desk(demo_root: Path) -> Iterator[DeskServer]:
    """A running desk on which Ana, an annotator, and Lea, a lead, have accounts."""
    studio = open_studio(demo_root)
    add_person(studio, "ana")
    add_person(studio, "lea", Role.LEAD)
    studio.store.close()
    server = DeskServer(demo_root)
    server.start()
    yield server
    server.kill()
