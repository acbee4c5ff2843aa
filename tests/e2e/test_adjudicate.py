"""The adjudication page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.bootstrap import open_studio
from creativepair.records import Adjudication
from creativepair.store import adjudications
from creativepair.store.users import Role
from tests.desk_server import DeskServer
from tests.disputes import dispute_pair
from tests.e2e.browsing import sign_in
from tests.people import add_person

pytestmark = pytest.mark.browser


@pytest.fixture
def desk(demo_root: Path) -> Iterator[DeskServer]:
    """A running desk with two disputed pairs; nobody has an account."""
    studio = open_studio(demo_root)
    dispute_pair(studio, "A", "B")
    dispute_pair(studio, "A", "B", number=1)
    studio.store.close()
    server = DeskServer(demo_root)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def staffed(demo_root: Path) -> Iterator[DeskServer]:
    """A running desk with a disputed pair, an annotator Ana and a reviewer Rea."""
    studio = open_studio(demo_root)
    dispute_pair(studio, "A", "B")
    add_person(studio, "ana")
    add_person(studio, "rea", Role.REVIEWER)
    studio.store.close()
    server = DeskServer(demo_root)
    server.start()
    yield server
    server.kill()


def settled(desk: DeskServer) -> list[Adjudication]:
    with desk.studio.store.read() as connection:
        return list(adjudications.list_standing(connection, "1").values())


def wait_for_case(page: Page, after: str = "") -> str:
    page.wait_for_selector(f".case[data-shown]:not([data-shown='']):not([data-shown='{after}'])")
    page.wait_for_timeout(450)
    return page.locator(".case").get_attribute("data-shown") or ""


def enter(page: Page, desk: DeskServer, user_id: str) -> None:
    sign_in(page, desk, user_id)
    page.get_by_role("link", name="Guidelines").wait_for()


def test_a_desk_opened_at_this_address_settles_what_waits_until_nothing_does(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    page.goto(f"{desk.url}/adjudicate")
    shown = wait_for_case(page)
    # Not Streamlit's own list of files, which would mean that the page runs without our checks.
    expect(page.get_by_role("link", name="Guidelines", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="streamlit app")).to_have_count(0)
    for side in ("Left", "Right"):
        expect(page.get_by_role("img", name=f"{side} creative")).to_be_visible()
    judged = page.get_by_role("region", name="Judgements")
    expect(judged.get_by_text("Annotator 2")).to_be_visible()
    expect(judged.get_by_text("bob")).to_have_count(0)
    expect(page.get_by_role("region", name="Chains").get_by_text("Draft")).to_be_visible()
    page.get_by_text("Title decides").click()
    page.get_by_label("Note").fill("the <b>title</b> says so")
    page.get_by_role("button", name="Right", exact=True).click()
    wait_for_case(page, shown)
    [first] = settled(desk)
    assert (first.reason_code, first.note) == ("title_decides", "the <b>title</b> says so")
    assert first.verdict == ("B" if first.left_is == "A" else "A")
    expect(page.get_by_label("Note")).to_have_value("")
    page.get_by_text("Both defensible").click()
    page.get_by_role("button", name="Cannot tell").click()
    expect(page.get_by_role("heading", name="Nothing to settle")).to_be_visible()
    expect(page.get_by_text("look here again later")).to_be_visible()
    assert sorted(len(one.pair_id) for one in settled(desk)) == [16, 16]


def test_without_a_reason_or_a_note_nothing_is_stored_and_the_words_stay(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    page.goto(f"{desk.url}/adjudicate")
    wait_for_case(page)
    page.get_by_label("Note").fill("I wonder")
    page.get_by_role("button", name="Left", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("No reason is chosen. Choose why")
    page.get_by_label("Note").fill(" ")
    page.get_by_text("Other", exact=True).click()
    page.get_by_role("button", name="Left", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("the note is empty. Say why in the note.")
    expect(page.get_by_role("radio", name="Other")).to_be_checked()
    assert settled(desk) == []


def test_what_somebody_else_settled_meanwhile_is_told_and_the_words_stay(
    context: BrowserContext, desk: DeskServer
) -> None:
    page, other = context.new_page(), context.new_page()
    for tab in (page, other):
        tab.goto(f"{desk.url}/adjudicate")
        wait_for_case(tab)
        tab.get_by_text("Clear in the images").click()
    page.get_by_label("Note").fill("kept")
    other.get_by_role("button", name="Left", exact=True).click()
    expect(other.get_by_text("1 waiting")).to_be_visible()
    page.get_by_role("button", name="Right", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("settled")
    expect(page.get_by_label("Note")).to_have_value("kept")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("1 waiting")).to_be_visible()
    assert len(settled(desk)) == 1


def test_a_double_click_settles_one_pair(context: BrowserContext, desk: DeskServer) -> None:
    page = context.new_page()
    page.goto(f"{desk.url}/adjudicate")
    wait_for_case(page)
    page.get_by_text("Clear in the images").click()
    page.get_by_role("button", name="Left", exact=True).dblclick()
    expect(page.get_by_text("1 waiting")).to_be_visible()
    page.wait_for_timeout(500)
    assert len(settled(desk)) == 1


def test_a_reviewer_reaches_the_page_by_the_navigation(
    context: BrowserContext, staffed: DeskServer
) -> None:
    page = context.new_page()
    enter(page, staffed, "rea")
    page.get_by_role("link", name="Adjudicate").click()
    wait_for_case(page)
    page.get_by_text("Guideline decides").click()
    page.get_by_role("button", name="Broken image").click()
    expect(page.get_by_role("heading", name="Nothing to settle")).to_be_visible()
    assert [one.reviewer_id for one in settled(staffed)] == ["rea"]
