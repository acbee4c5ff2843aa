"""The report about a build in a real browser: it asks for nothing, says no error, and fits."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request

from app.bootstrap import open_studio
from app.commands.report_pairs import report_pairs
from creativepair.store import catalogue

pytestmark = pytest.mark.browser

# What sticks out of the page sideways, but for what scrolls in a frame of its own.
STICKS_OUT = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.wide, svg') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 200))"""
UNLOADED = "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).length"


@pytest.fixture
def report(demo_root: Path) -> Path:
    """A report whose items have long titles without a blank."""
    studio = open_studio(demo_root)
    with studio.store.write() as connection:
        items = catalogue.list_items(connection)
        long = [item.model_copy(update={"title": "<b>" + "W" * 300}) for item in items]
        catalogue.put_items(connection, long, now=datetime(2025, 3, 1, tzinfo=UTC))
    return report_pairs(studio)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 500, 360])
def test_the_report_fits_asks_for_nothing_and_shows_its_pictures(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []

    def note_request(request: Request) -> None:
        if not request.url.startswith("data:"):
            asked.append(request.url)

    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", note_request)
    page.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert said == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate(STICKS_OUT) == []
    assert page.evaluate("() => document.images.length") > 0
    assert page.evaluate(UNLOADED) == 0
    assert page.locator("svg[role=img]").count() >= 2
    page.get_by_text("All settings", exact=True).click()
    assert page.get_by_text("min_shared_share").is_visible()
    context.close()


def test_the_settings_are_printed_though_they_are_folded(browser: Browser, report: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.get_by_text("min_shared_share").is_visible()
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    context.close()
