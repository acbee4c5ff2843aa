"""A browser and a desk."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from app.bootstrap import open_studio
from creativepair.store.users import Role
from tests.desk_server import DeskServer
from tests.people import add_person

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; tests skip without one, except in CI, where it must be there."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing in CI")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=_CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


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
