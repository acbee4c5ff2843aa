"""Guidelines, reports, Help and Settings in a real browser."""

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from app.commands.problems import read_problems
from tests.desk_server import DeskServer
from tests.people import PASSWORD

pytestmark = pytest.mark.browser
DWELL_MS = 450


@pytest.fixture
def desk(staffed_desk: DeskServer) -> DeskServer:
    """The desk of Ana, an annotator, and Lea, a lead."""
    return staffed_desk


def open_as(context: BrowserContext, desk: DeskServer, user_id: str) -> Page:
    page = context.new_page()
    page.goto(desk.url)
    page.get_by_label("User id").fill(user_id)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(".desk[data-shown]:not([data-shown=''])")
    page.wait_for_timeout(DWELL_MS)
    return page


def test_g_opens_and_closes_the_guidelines_and_the_keys_of_the_desk_are_dead_meanwhile(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_as(context, desk, "ana")
    dialog = page.get_by_role("dialog", name="Guidelines")
    page.keyboard.press("g")
    expect(dialog.get_by_text("which one a user is more likely to click")).to_be_visible()
    expect(dialog.get_by_text("Version 1")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("s")
    page.keyboard.press("g")
    expect(dialog).not_to_be_visible()
    page.keyboard.press("g")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    assert desk.events() == []
    page.keyboard.press("1")
    page.get_by_role("region", name="CTR evidence").wait_for()


def test_a_reported_problem_is_stored_before_the_desk_says_so_and_the_pair_stays(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_as(context, desk, "ana")
    shown = page.locator(".desk").get_attribute("data-shown")
    tries: list[str | None] = []

    def lose_the_first(route: Route) -> None:
        tries.append(route.request.post_data)
        if len(tries) == 1:
            route.abort()
        else:
            route.continue_()

    page.route("**/desk/report", lose_the_first)
    page.keyboard.press("p")
    page.get_by_label("Wrong product").check()
    page.get_by_label("Note").fill("1 p g s <b>not a mug</b>")
    page.get_by_role("button", name="Send report").click()
    expect(page.get_by_text("Not stored yet: trying again")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("1 p g s <b>not a mug</b>")
    expect(page.get_by_text("Reported", exact=True)).to_be_visible()
    [stored] = read_problems(desk.studio)
    assert (stored.annotator_id, stored.kind) == ("ana", "wrong product")
    assert stored.note == "1 p g s <b>not a mug</b>"
    assert len(tries) == 2
    assert tries[0] == tries[1]
    assert page.locator(".desk").get_attribute("data-shown") == shown
    assert desk.events() == []


def test_a_lead_publishes_a_version_and_a_text_that_tells_what_is_hidden_is_refused(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_as(context, desk, "lea")
    page.goto(f"{desk.url}/guidelines")
    box = page.get_by_label("Text, in Markdown")
    box.fill("Look at the impressions.")
    page.get_by_role("button", name="Publish version 2").click()
    expect(page.get_by_role("alert")).to_contain_text("hidden until the verdict")
    expect(box).to_have_value("Look at the impressions.")
    box.fill("Look <b>twice</b>.")
    page.get_by_role("button", name="Publish version 2").click()
    expect(page.get_by_text("Version 2, 2")).to_be_visible()
    expect(page.get_by_text("Look <b>twice</b>.").first).to_be_visible()
    expect(page.get_by_text("Version 1, as it comes with CreativePair")).to_be_visible()


def test_settings_show_counts_and_make_gold_for_a_lead(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_as(context, desk, "lea")
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("Pairs that would be candidates")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Make 30 gold pairs").click()
    expect(page.get_by_text("gold pairs now")).to_be_visible(timeout=30_000)


def test_an_annotator_reads_the_guidelines_and_cannot_change_them(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_as(context, desk, "ana")
    page.goto(f"{desk.url}/guidelines")
    expect(page.get_by_role("heading", name="Guidelines")).to_be_visible()
    expect(page.get_by_label("Text, in Markdown")).to_have_count(0)
