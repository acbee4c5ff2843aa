"""A browser, and what everybody does in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.desk_server import DeskServer
from tests.people import PASSWORD

DWELL_MS = 450
"""A little more than what the desk wants between showing and verdict."""
_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def launch_browser() -> Iterator[Browser]:
    """Give the system's Chromium; tests skip without one, except in CI, where it must be there."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing in CI")
        pytest.skip("Chromium is not installed")  # where `make test` may not install it
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=_CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


def sign_in(page: Page, desk: DeskServer, user_id: str, password: str = PASSWORD) -> None:
    """Fill the form in; the pages' own tests look at what comes then."""
    page.goto(desk.url)
    expect(page).to_have_url(f"{desk.url}/sign-in")
    page.get_by_label("User id").fill(user_id)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def wait_until_shown(page: Page) -> None:
    """Wait until the step in hand is painted and the dwell time has passed."""
    page.wait_for_selector(".desk[data-shown]:not([data-shown=''])")
    page.wait_for_timeout(DWELL_MS)
