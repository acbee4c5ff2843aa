"""Invitations and resets: one link, one password, once."""

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.accounts.links import accept_link, find_invited, make_link
from app.accounts.sessions import SESSION_COOKIE, find_person
from app.bootstrap import Studio
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.store import users
from creativepair.store.users import Purpose, Role
from tests.people import PASSWORD, add_person, make_browser, sign_in

NOW = datetime.now(UTC)


@pytest.fixture
def shop(studio: Studio) -> Studio:
    """A workspace with Ana, who has a password, and Bo, who has none yet."""
    add_person(studio, "ana")
    with studio.store.write() as connection:
        users.add_user(connection, "bo", name="Bo <b>", role=Role.REVIEWER, now=NOW)
    return studio


@pytest.fixture
def browser(shop: Studio) -> Iterator[TestClient]:
    """A browser that nobody has signed in with."""
    with make_browser(shop) as opened:
        yield opened


def link_of(shop: Studio, user_id: str, purpose: Purpose) -> str:
    return make_link(shop.store, user_id, purpose, now=datetime.now(UTC)).path


def fill(browser: TestClient, path: str, password: str, again: str | None = None) -> Any:
    """Open a link and send the form that it shows."""
    page = browser.get(path).text
    [token] = re.findall(r'name="token" value="([^"]+)"', page)
    [action] = re.findall(r'action="([^"]+)"', page)
    body = {"token": token, "password": password, "again": password if again is None else again}
    return browser.post(action, data=body)


def test_an_invited_person_chooses_a_password_and_is_signed_in(
    shop: Studio, browser: TestClient
) -> None:
    path = link_of(shop, "bo", Purpose.INVITE)
    page = browser.get(path)
    assert "Bo &lt;b&gt;, you sign in as <strong>bo</strong>" in page.text
    assert page.headers["cache-control"] == "no-store"
    answer = fill(browser, path, PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/").text == "page of bo"
    assert sign_in(make_browser(shop), "bo").status_code == 303


def test_a_link_works_once(shop: Studio, browser: TestClient) -> None:
    path = link_of(shop, "bo", Purpose.INVITE)
    fill(browser, path, PASSWORD)
    answer = make_browser(shop).get(path)
    assert answer.status_code == 404
    assert "This link is not valid any more." in answer.text


def test_of_two_who_use_a_link_at_once_one_gets_in(shop: Studio) -> None:
    token = make_link(shop.store, "bo", Purpose.INVITE, now=NOW).path.split("=")[1]
    came_in: list[str] = []

    def accept(password: str) -> None:
        with suppress(NotFoundError):
            accept_link(shop.store, token, Purpose.INVITE, password, now=NOW)
            came_in.append(password)

    both = [threading.Thread(target=accept, args=(f"{PASSWORD} {n}",)) for n in range(2)]
    for person in both:
        person.start()
    for person in both:
        person.join()
    [password] = came_in
    assert sign_in(make_browser(shop), "bo", password).status_code == 303


def test_a_password_that_is_refused_leaves_the_link_as_it_was(
    shop: Studio, browser: TestClient
) -> None:
    path = link_of(shop, "bo", Purpose.INVITE)
    short = fill(browser, path, "short")
    assert short.status_code == 422
    assert "A password has 10 to 200 characters, not 5." in short.text
    other = fill(browser, path, PASSWORD, again="correct horse batterz")
    assert other.status_code == 422
    assert "The two passwords differ." in other.text
    assert SESSION_COOKIE not in browser.cookies
    assert fill(browser, path, PASSWORD).status_code == 303


def test_a_reset_changes_the_password_and_ends_every_other_session(
    shop: Studio, browser: TestClient
) -> None:
    elsewhere = make_browser(shop)
    sign_in(elsewhere, "ana")
    path = link_of(shop, "ana", Purpose.RESET)
    assert elsewhere.get("/").status_code == 200  # until the link is used, nothing changes
    assert fill(browser, path, "another horse battery").status_code == 303
    assert elsewhere.get("/").status_code == 303
    assert sign_in(make_browser(shop), "ana").status_code == 401
    assert sign_in(make_browser(shop), "ana", "another horse battery").status_code == 303


@pytest.mark.parametrize("path", ["/join", "/join?token=", "/join?token=forged", "/reset?token=x"])
def test_a_forged_link_opens_nothing(browser: TestClient, path: str) -> None:
    assert browser.get(path).status_code == 404
    answer = browser.post(path.split("?")[0], data={"token": "x", "password": PASSWORD * 2})
    assert answer.status_code == 404
    assert SESSION_COOKIE not in browser.cookies


def test_an_invitation_is_no_reset_and_a_reset_no_invitation(
    shop: Studio, browser: TestClient
) -> None:
    path = link_of(shop, "ana", Purpose.RESET)
    assert browser.get(path.replace("/reset", "/join")).status_code == 404
    assert browser.get(path).status_code == 200


def test_a_link_expires(shop: Studio) -> None:
    for user_id, purpose, days in (("bo", Purpose.INVITE, 7), ("ana", Purpose.RESET, 1)):
        link = make_link(shop.store, user_id, purpose, now=NOW)
        assert link.expires_at == NOW + timedelta(days=days)
        token = link.path.split("=")[1]
        just = link.expires_at - timedelta(seconds=1)
        assert find_invited(shop.store, token, purpose, now=just).user_id == user_id
        with pytest.raises(NotFoundError, match="not valid any more"):
            accept_link(shop.store, token, purpose, PASSWORD, now=link.expires_at)


def test_a_weak_password_is_refused_before_anything_is_stored(shop: Studio) -> None:
    token = make_link(shop.store, "bo", Purpose.INVITE, now=NOW).path.split("=")[1]
    with pytest.raises(InputError):
        accept_link(shop.store, token, Purpose.INVITE, "short", now=NOW)
    session = accept_link(shop.store, token, Purpose.INVITE, PASSWORD, now=NOW)
    found = find_person(shop.store, session, now=NOW)
    assert found is not None
    assert (found.user_id, found.role) == ("bo", Role.REVIEWER)


def test_a_link_is_made_only_where_it_has_a_meaning(shop: Studio) -> None:
    with pytest.raises(StateError, match="ana has a password") as refused:
        make_link(shop.store, "ana", Purpose.INVITE, now=NOW)
    assert "users reset ana" in refused.value.hint
    with pytest.raises(StateError, match="bo has no password") as refused:
        make_link(shop.store, "bo", Purpose.RESET, now=NOW)
    assert "users invite bo" in refused.value.hint
    with pytest.raises(NotFoundError, match="no user eve"):
        make_link(shop.store, "eve", Purpose.INVITE, now=NOW)


def test_a_disabled_person_gets_no_link_and_loses_the_one_they_had(
    shop: Studio, browser: TestClient
) -> None:
    path = link_of(shop, "bo", Purpose.INVITE)
    with shop.store.write() as connection:
        users.disable_user(connection, "bo", now=NOW)
    assert browser.get(path).status_code == 404
    with pytest.raises(StateError, match="bo is disabled") as refused:
        make_link(shop.store, "bo", Purpose.INVITE, now=NOW)
    assert "users disable bo --undo" in refused.value.hint
