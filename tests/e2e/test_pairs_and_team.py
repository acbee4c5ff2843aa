"""The pages Pairs and Team in a real browser, and who may not open them."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from creativepair.store import tasks
from tests.desk_server import DeskServer
from tests.e2e.browsing import sign_in

pytestmark = pytest.mark.browser


@pytest.fixture
def desk(staffed_desk: DeskServer) -> DeskServer:
    """The desk of Ana, an annotator, and Lea, a lead."""
    return staffed_desk


def enter(page: Page, desk: DeskServer, user_id: str) -> None:
    sign_in(page, desk, user_id)
    page.get_by_role("link", name="Guidelines").wait_for()


def test_a_lead_puts_open_pairs_into_a_batch_and_is_told_in_words(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    enter(page, desk, "lea")
    page.get_by_role("link", name="Pairs").click()
    expect(page.get_by_text("Page 1").first).to_be_visible()
    page.get_by_label("Verdicts").click()
    page.get_by_role("option", name="open").click()
    expect(page.get_by_text("Page 1, 8 pairs").first).to_be_visible()
    do = page.get_by_role("button", name="Do with the chosen pairs")
    expect(do).to_be_disabled()
    ticks = page.locator("[data-testid=stCheckbox]")
    before = ticks.nth(1).bounding_box()
    ticks.first.click()
    expect(page.get_by_text("1 chosen").first).to_be_visible()
    assert ticks.nth(1).bounding_box() == before  # the next one is where it was
    do.click()
    page.get_by_role("button", name="Put into a batch").click()
    expect(page.get_by_role("alert")).to_contain_text("Type 1 to 200 characters.")
    page.get_by_label("Name of the batch").fill("<b>odd</b> ones")
    page.get_by_role("button", name="Put into a batch").click()
    said = page.locator(".said[role=status]")
    expect(said).to_contain_text("1 pair put into the batch “<b>odd</b> ones”")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("1 pair paused")).to_be_visible()
    with desk.studio.store.read() as connection:
        assert [batch.name for batch in tasks.list_batches(connection)][1:] == ["<b>odd</b> ones"]


def test_team_says_what_to_do_where_nobody_judged_and_lists_people(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    enter(page, desk, "lea")
    page.get_by_role("link", name="Team").click()
    expect(page.get_by_text("Nobody has judged a pair yet.")).to_be_visible()
    expect(page.get_by_role("heading", name="People")).to_be_visible()
