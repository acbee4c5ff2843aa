"""A desk with accounts in a real browser: in, out, and as far as a role reaches."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from app.accounts.links import make_link
from app.accounts.oidc import SECRET_VARIABLE
from app.accounts.sessions import SESSION_COOKIE
from app.bootstrap import open_studio
from creativepair.records import Step
from creativepair.store import users
from creativepair.store.users import Purpose, Role
from creativepair.workspace import SETTINGS_FILE
from tests.desk_server import DeskServer
from tests.e2e.browsing import sign_in, wait_until_shown
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider
from tests.people import PASSWORD, add_person

pytestmark = pytest.mark.browser


@pytest.fixture
def desk(staffed_desk: DeskServer) -> DeskServer:
    """The desk of Ana, an annotator, and Lea, a lead."""
    return staffed_desk


def test_a_person_signs_in_judges_as_themselves_and_signs_out(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, desk, "ana")
    wait_until_shown(page)
    page.keyboard.press("1")
    page.get_by_role("region", name="CTR evidence").wait_for()
    assert {event.annotator_id for event in desk.events(Step.BLIND)} == {"ana"}
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_text("You are signed in as Ana")).to_be_visible()
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{desk.url}/sign-in")
    page.goto(desk.url)
    expect(page).to_have_url(f"{desk.url}/sign-in")


def test_a_page_can_be_opened_by_its_address_and_reloaded(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, desk, "ana")
    wait_until_shown(page)
    page.goto(f"{desk.url}/guidelines")
    expect(page.get_by_role("heading", name="Guidelines")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Guidelines")).to_be_visible()


def test_an_invited_person_chooses_a_password_and_lands_on_the_first_pair(
    context: BrowserContext, desk: DeskServer
) -> None:
    with desk.studio.store.write() as connection:
        users.add_user(connection, "bo", name="Bo", role=Role.ANNOTATOR, now=datetime.now(UTC))
    link = make_link(desk.studio.store, "bo", Purpose.INVITE, now=datetime.now(UTC))
    page = context.new_page()
    page.goto(desk.url + link.path)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    wait_until_shown(page)


def test_a_wrong_password_is_said_and_the_id_is_kept(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, desk, "ana", password="wrong horse battery")
    expect(page.get_by_role("alert")).to_contain_text("The id or the password is wrong.")
    expect(page.get_by_label("User id")).to_have_value("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    wait_until_shown(page)


def test_a_person_disabled_while_at_work_stores_nothing_more_and_is_told(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, desk, "ana")
    wait_until_shown(page)
    with desk.studio.store.write() as connection:
        users.disable_user(connection, "ana", now=datetime.now(UTC))
    page.keyboard.press("1")
    expect(page.get_by_text("you are not signed in")).to_be_visible()
    assert desk.events() == []
    page.get_by_role("link", name="Guidelines").click()  # over the socket that was open
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("you are not signed in", timeout=20_000)
    expect(page.get_by_role("heading", name="Guidelines")).not_to_be_visible()
    page.reload()
    expect(page).to_have_url(f"{desk.url}/sign-in")


def test_an_expired_session_leads_to_the_sign_in_page(
    context: BrowserContext, desk: DeskServer
) -> None:
    now = datetime.now(UTC)
    with desk.studio.store.write() as connection:
        users.add_session(connection, "ana", "old", now=now - timedelta(hours=13), expires_at=now)
    context.add_cookies([{"name": SESSION_COOKIE, "value": "old", "url": desk.url}])
    page = context.new_page()
    page.goto(desk.url)
    expect(page).to_have_url(f"{desk.url}/sign-in")
    assert httpx.get(f"{desk.url}/desk/step", cookies={SESSION_COOKIE: "old"}).status_code == 401


def test_a_page_above_ones_role_says_for_whom_it_is(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, desk, "ana")
    wait_until_shown(page)
    answer = page.goto(f"{desk.url}/releases")
    assert answer is not None
    assert answer.status == 403
    expect(page.get_by_text("This page is for the role lead or researcher")).to_be_visible()
    page.get_by_role("link", name="To the desk").click()
    wait_until_shown(page)


def test_the_next_person_at_the_same_browser_gets_pairs_of_their_own(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, desk, "ana")
    wait_until_shown(page)
    page.keyboard.press("1")
    page.get_by_role("region", name="CTR evidence").wait_for()
    # In another tab the browser changes hands; the socket of the first tab then comes back.
    other = context.new_page()
    other.goto(f"{desk.url}/sign-out")
    other.get_by_role("button", name="Sign out").click()
    sign_in(other, desk, "lea")
    wait_until_shown(other)
    expect(other.get_by_role("region", name="CTR evidence")).to_have_count(0)
    page.get_by_role("link", name="Guidelines").click()  # the socket was Ana's: it ends
    page.wait_for_timeout(2_000)
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_text("You are signed in as Lea")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sign_in_page_needs_no_script_and_can_be_read_in_light_and_dark(
    desk: DeskServer, context: BrowserContext, scheme: Literal["light", "dark"]
) -> None:
    browser = context.browser
    assert browser is not None
    bare = browser.new_context(java_script_enabled=False, color_scheme=scheme)
    page = bare.new_page()
    sign_in(page, desk, "ana", password="wrong horse battery")
    expect(page.get_by_role("alert")).to_be_visible()
    bare.close()


def test_a_person_signs_in_through_the_provider_of_the_organisation(
    context: BrowserContext, demo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    provider = OidcProvider({"email": "ana@shop.example", "email_verified": True})
    with (demo_root / SETTINGS_FILE).open("a") as file:
        file.write(f'\n[oidc]\nissuer = "{provider.issuer}"\nclient_id = "{CLIENT_ID}"\n')
    studio = open_studio(demo_root)
    add_person(studio, "ana@shop.example")
    studio.store.close()
    desk = DeskServer(demo_root)
    with provider.serving():
        desk.start()
        try:
            page = context.new_page()
            page.goto(desk.url)
            page.get_by_role("link", name="Sign in with your organisation").click()
            wait_until_shown(page)
            page.keyboard.press("1")
            page.get_by_role("region", name="CTR evidence").wait_for()
            (event,) = desk.events(Step.BLIND)
            assert event.annotator_id == "ana@shop.example"
        finally:
            desk.kill()
