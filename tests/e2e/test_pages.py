"""Every page for every role in a real browser: it opens without a fault and can be used by all.

axe-core looks for what keeps people out: no serious or critical finding, but for those inside
Streamlit's own widgets that `NOT_OURS` names.
"""

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.bootstrap import open_studio
from app.commands.add_gold import add_gold
from app.roles import PAGES, may_open
from creativepair.store.users import Role
from tests.desk_server import DeskServer
from tests.disputes import dispute_pair
from tests.e2e.browsing import sign_in, wait_until_shown
from tests.people import add_person

pytestmark = pytest.mark.browser

PEOPLE = {
    Role.ANNOTATOR: "ana",
    Role.REVIEWER: "rea",
    Role.LEAD: "lea",
    Role.RESEARCHER: "rob",
}
SHOWS = {
    "": "Which image is a user more likely to click?",
    "guidelines": "Questions",
    "help": "What happens to a verdict",
    "account": "You are signed in as",
    "adjudicate": "Judgements",
    "team": "People",
    "pairs": "Page 1",
    "releases": "Pairs it would hold",
    "import": "Pairs come from everything",
    "settings": "Pairs that would be candidates",
}
"""Pages that are there, with words that show that one is painted."""
NOT_OURS: dict[str, tuple[str, ...]] = {}
"""Rule, and selectors inside Streamlit's own widgets where it fails."""
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def desk(demo_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskServer]:
    """A running desk with everybody on it and a disputed pair, which no test here changes."""

    root = Path(shutil.copytree(demo_template, tmp_path_factory.mktemp("pages") / "workspace"))
    studio = open_studio(root)
    dispute_pair(studio, "A", "B")
    add_gold(studio, number=4, seed=1)
    for role, user_id in PEOPLE.items():
        add_person(studio, user_id, role)
    studio.store.close()
    server = DeskServer(root)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def cookies(browser: Browser, desk: DeskServer) -> dict[Role, list[Any]]:
    """The cookies of everybody, signed in once."""
    found = {}
    for role, user_id in PEOPLE.items():
        context = browser.new_context()
        page = context.new_page()
        sign_in(page, desk, user_id)
        page.get_by_role("link", name="Guidelines").wait_for()
        found[role] = context.cookies()
        context.close()
    return found


def open_as(
    browser: Browser, cookies: list[Any], scheme: Literal["light", "dark"] = "light"
) -> BrowserContext:
    context = browser.new_context(
        viewport={"width": 1280, "height": 720}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    context.add_cookies(cookies)
    return context


def find_faults(page: Page) -> list[str]:
    """Return serious and critical findings of axe: rule, and where."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {json.dumps(node['target'])} {node['html'][:160]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
        if not any(
            part in json.dumps(node["target"]) + node["html"]
            for part in NOT_OURS.get(violation["id"], ())
        )
    ]


def look_at(page: Page, desk: DeskServer, path: str) -> list[str]:
    """Open a page; return what is wrong with it."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: (
            said.append(f"console: {message.text} {message.location}")
            # Streamlit looks for its health beside a page first, then at the root.
            if message.type == "error" and "/_stcore/" not in message.location["url"]
            else None
        ),
    )
    answer = page.goto(f"{desk.url}/{path}")
    assert answer is not None
    assert answer.status == 200
    expect(page.get_by_text(SHOWS[path]).first).to_be_visible(timeout=30_000)
    page.wait_for_selector("[data-testid=stStatusWidget]", state="detached")
    said += [f"exception: {text}" for text in page.get_by_test_id("stException").all_inner_texts()]
    return said + find_faults(page)


@pytest.mark.parametrize("role", Role)
def test_every_page_of_a_role_opens_without_a_fault_and_no_other_opens_at_all(
    browser: Browser, desk: DeskServer, cookies: dict[Role, list[Any]], role: Role
) -> None:
    context = open_as(browser, cookies[role])
    faults = {}
    for path in PAGES:
        page = context.new_page()
        if not may_open(role, path):
            answer = page.goto(f"{desk.url}/{path}")
            assert answer is not None
            assert answer.status == 403
            expect(page.get_by_text("This page is for the role")).to_be_visible()
        elif path in SHOWS:
            if said := look_at(page, desk, path):
                faults[path] = said
            shown = page.get_by_role("navigation").or_(page.get_by_test_id("stHeader")).first
            for other in set(SHOWS) - {""}:
                wanted = 1 if may_open(role, other) else 0
                expect(shown.get_by_role("link", name=other.title(), exact=True)).to_have_count(
                    wanted
                )
        page.close()
    context.close()
    assert faults == {}


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in SHOWS if path])
def test_a_page_can_be_used_in_dark(
    browser: Browser, desk: DeskServer, cookies: dict[Role, list[Any]], path: str
) -> None:
    context = open_as(browser, cookies[Role.LEAD], "dark")
    page = context.new_page()
    assert look_at(page, desk, path) == []
    context.close()


def test_both_steps_of_the_desk_and_what_opens_over_it_can_be_used(
    browser: Browser, desk: DeskServer, cookies: dict[Role, list[Any]]
) -> None:
    context = open_as(browser, cookies[Role.ANNOTATOR])
    page = context.new_page()
    page.goto(desk.url)
    wait_until_shown(page)
    faults = {}
    for key, name in (("g", "Guidelines"), ("p", "Report a problem")):
        page.keyboard.press(key)
        page.get_by_role("dialog", name=name).wait_for()
        faults[name] = find_faults(page)
        page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.get_by_role("region", name="CTR evidence").wait_for()
    faults["reveal"] = find_faults(page)
    context.close()
    assert faults == {"Guidelines": [], "Report a problem": [], "reveal": []}
