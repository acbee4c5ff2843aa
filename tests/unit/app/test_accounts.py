"""A desk with accounts, over HTTP: who gets in, how far, and what is logged."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any
from unittest.mock import Mock

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.accounts import passwords, sessions
from app.accounts.sessions import ADDRESS_ATTEMPTS, SESSION_COOKIE, USER_ATTEMPTS
from app.bootstrap import Studio
from app.roles import PAGES, may_open
from creativepair.errors import StoreError
from creativepair.store import judgements, users
from creativepair.store.users import Role
from tests.people import HOST, PASSWORD, add_person, make_browser, sign_in

NOW = datetime.now(UTC)
Logged = pytest.LogCaptureFixture


@pytest.fixture
def shop(studio: Studio) -> Studio:
    """A workspace with Ana, an annotator, and Lea, a lead."""
    add_person(studio, "ana")
    add_person(studio, "lea", Role.LEAD)
    return studio


@pytest.fixture
def browser(shop: Studio) -> Iterator[TestClient]:
    """A browser that nobody has signed in with."""
    with make_browser(shop) as opened:
        yield opened


def cookie_of(answer: Any) -> Any:
    return SimpleCookie(answer.headers["set-cookie"])[SESSION_COOKIE]


def signed_in(shop: Studio, user_id: str) -> TestClient:
    browser = make_browser(shop, {"X-Desk": "1"})
    assert sign_in(browser, user_id).status_code == 303
    return browser


def test_a_browser_without_a_session_is_sent_to_the_sign_in_page(browser: TestClient) -> None:
    for path in ("/", "/guidelines", "/pairs", "/nowhere"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    page = browser.get("/sign-in")
    assert page.status_code == 200
    assert '<form method="post" action="/sign-in">' in page.text
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/desk/step", f"/creative/{'0' * 64}", "/media/x"])
def test_without_a_session_data_and_pictures_are_refused_and_it_is_logged(
    browser: TestClient, caplog: Logged, path: str
) -> None:
    answer = browser.get(path, headers={"Accept": "*/*"})
    assert answer.status_code == 401
    assert set(answer.json()) == {"code", "message", "hint"}
    assert f"refused http '{path}' to testclient: not signed in" in caplog.text


def test_while_the_store_cannot_be_used_it_is_said_and_nobody_is_signed_out(
    shop: Studio, monkeypatch: pytest.MonkeyPatch, caplog: Logged
) -> None:
    browser = signed_in(shop, "ana")
    with monkeypatch.context() as patched:
        out = StoreError("the store's server cannot be reached", hint="Check that it runs.")
        patched.setattr(users, "find_session", Mock(side_effect=out))
        page = browser.get("/")
        answer = browser.get("/desk/step", headers={"Accept": "*/*"})
    assert (page.status_code, answer.status_code) == (503, 503)
    assert "The store&#39;s server cannot be reached. Reload later" in page.text
    assert "goes on trying by itself" in answer.json()["hint"]
    assert "Check that it runs." in caplog.text
    assert browser.get("/").text == "page of ana"


def test_without_a_session_no_decision_is_stored(shop: Studio, browser: TestClient) -> None:
    for path in ("blind", "final", "undo", "skip", "autosave"):
        answer = browser.post(f"/desk/{path}", json={"lease": "x"}, headers={"X-Desk": "1"})
        assert answer.status_code == 401
    with shop.store.read() as connection:
        assert judgements.list_events(connection) == []


def test_signing_in_opens_the_desk_as_oneself(shop: Studio, browser: TestClient) -> None:
    answer = sign_in(browser, "ana")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/").text == "page of ana"
    step = browser.get("/desk/step").json()
    with shop.store.read() as connection:
        lease = judgements.get_lease(connection, step["lease"])
    assert lease is not None
    assert lease.annotator_id == "ana"


def test_the_id_may_be_typed_with_capitals_and_spaces(browser: TestClient) -> None:
    assert sign_in(browser, " Ana ").status_code == 303


def test_the_cookie_is_hidden_from_scripts_and_other_sites(shop: Studio) -> None:
    for https in (False, True):
        cookie = cookie_of(sign_in(make_browser(shop, https=https), "ana"))
        assert cookie["httponly"]
        assert cookie["samesite"] == "lax"
        assert cookie["path"] == "/"
        assert bool(cookie["secure"]) == https
        assert int(cookie["max-age"]) == sessions.SESSION_TIME.total_seconds()


def test_every_sign_in_gets_a_session_of_its_own_and_ends_the_one_before(shop: Studio) -> None:
    browser = signed_in(shop, "ana")
    first = browser.cookies[SESSION_COOKIE]
    sign_in(browser, "lea")
    assert browser.cookies[SESSION_COOKIE] != first
    assert browser.get("/").text == "page of lea"
    old = make_browser(shop, {"Cookie": f"{SESSION_COOKIE}={first}"})
    assert old.get("/").status_code == 303


@pytest.mark.parametrize("user_id", ["ana", "nobody", "", "x" * 900])
def test_a_wrong_password_and_an_unknown_id_get_the_same_answer(
    browser: TestClient, caplog: Logged, user_id: str
) -> None:
    answer = sign_in(browser, user_id, "wrong horse battery")
    assert answer.status_code == 401
    assert "The id or the password is wrong." in answer.text
    assert SESSION_COOKIE not in browser.cookies
    assert "wrong password" in caplog.text
    assert "wrong horse" not in caplog.text + answer.text


def test_what_was_typed_as_an_id_is_shown_again_but_never_logged(
    browser: TestClient, caplog: Logged
) -> None:
    answer = sign_in(browser, '<b>"correct horse', "x")
    assert "&lt;b&gt;&#34;correct horse" in answer.text
    assert "an unknown user" in caplog.text
    assert "correct horse" not in caplog.text


def test_an_unknown_id_costs_as_many_hashes_as_a_wrong_password(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    direct = passwords.matches

    def count(password_hash: str | None, password: str) -> bool:
        seen.append(password_hash is not None)
        return direct(password_hash, password)

    monkeypatch.setattr(passwords, "matches", count)
    sign_in(browser, "ana", "wrong")
    sign_in(browser, "nobody", "wrong")
    assert seen == [True, False]


def test_a_form_that_is_no_form_of_ours_is_refused_in_words(browser: TestClient) -> None:
    for content in (b"\xff\xfe", b"user_id=ana&more=1", b"&".join([b"a=1"] * 20)):
        answer = browser.post("/sign-in", content=content)
        assert answer.status_code == 422
        assert "The form cannot be read." in answer.text


def test_too_many_attempts_stop_even_the_right_password_for_a_while(
    browser: TestClient, caplog: Logged
) -> None:
    for _ in range(USER_ATTEMPTS):
        assert sign_in(browser, "ana", "wrong").status_code == 401
    answer = sign_in(browser, "ana")
    assert answer.status_code == 429
    assert "Wait 15 minutes" in answer.text
    assert "too many attempts" in caplog.text
    assert sign_in(browser, "lea").status_code == 303


def test_a_sign_in_that_succeeds_starts_the_count_anew(browser: TestClient) -> None:
    for _ in range(2):
        for _ in range(USER_ATTEMPTS - 1):
            sign_in(browser, "ana", "wrong")
        assert sign_in(browser, "ana").status_code == 303


def test_guesses_from_one_address_are_limited_over_all_ids(
    shop: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "matches", lambda *_: False)

    def attempt(user_id: str, address: str) -> int:
        with pytest.raises(sessions.SignInError) as refused:
            sessions.sign_in(shop.store, user_id, "x", address=address, now=NOW)
        return refused.value.status

    statuses = [attempt(f"guess{n}", "10.0.0.5") for n in range(ADDRESS_ATTEMPTS + 1)]
    assert statuses == [401] * ADDRESS_ATTEMPTS + [429]
    assert attempt("guess", "10.0.0.6") == 401


def test_guesses_at_the_same_time_gain_nothing(
    shop: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(_hash: str | None, password: str) -> bool:
        looked.append(password)
        return False

    monkeypatch.setattr(passwords, "matches", look)

    def guess(number: int) -> None:
        with pytest.raises(sessions.SignInError):
            sessions.sign_in(shop.store, "ana", str(number), address="10.0.0.5", now=NOW)

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(USER_ATTEMPTS * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looked) == USER_ATTEMPTS


def test_the_attempts_are_over_when_their_time_is(shop: Studio) -> None:
    for _ in range(USER_ATTEMPTS + 1):
        with pytest.raises(sessions.SignInError):
            sessions.sign_in(shop.store, "ana", "x", address="a", now=NOW)
    later = NOW + sessions.ATTEMPT_WINDOW
    assert sessions.sign_in(shop.store, "ana", PASSWORD, address="a", now=later)


def test_a_disabled_person_is_out_at_once_and_cannot_come_back(
    shop: Studio, caplog: Logged
) -> None:
    browser = signed_in(shop, "ana")
    with shop.store.write() as connection:
        users.disable_user(connection, "ana", now=NOW)
    assert browser.get("/").headers["location"] == "/sign-in"
    assert browser.get("/desk/step").status_code == 401
    answer = sign_in(browser, "ana")
    assert answer.status_code == 403
    assert "This account is disabled." in answer.text
    assert "disabled account" in caplog.text


def test_an_account_without_a_password_cannot_be_entered(shop: Studio) -> None:
    with shop.store.write() as connection:
        users.add_user(connection, "new", name="New", role=Role.LEAD, now=NOW)
    browser = make_browser(shop)
    for password in ("", "None", PASSWORD):
        assert sign_in(browser, "new", password).status_code == 401


def test_an_expired_forged_or_foreign_cookie_is_refused_and_logged(
    shop: Studio, caplog: Logged
) -> None:
    right = signed_in(shop, "ana").cookies[SESSION_COOKIE]
    with shop.store.write() as connection:
        users.add_session(connection, "ana", "old", now=NOW - timedelta(hours=13), expires_at=NOW)
    for cookie in ("old", "forged", right[:-1], users.sha256_of(right), "ana", "%00"):
        caplog.clear()
        browser = make_browser(shop, {"Cookie": f"{SESSION_COOKIE}={cookie}"})
        assert browser.get("/").headers["location"] == "/sign-in"
        assert browser.get("/desk/step").status_code == 401
        assert caplog.text.count("its session is over or unknown") == 2
        assert cookie not in caplog.text.replace("testclient", "") or cookie == "ana"


def test_signing_out_ends_the_session_on_the_server_too(shop: Studio) -> None:
    browser = signed_in(shop, "ana")
    token = browser.cookies[SESSION_COOKIE]
    assert "signed in as <strong>Ana</strong>" in browser.get("/sign-out").text
    assert browser.get("/").status_code == 200  # a link alone signs nobody out
    answer = browser.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert SESSION_COOKIE not in browser.cookies
    kept = make_browser(shop, {"Cookie": f"{SESSION_COOKIE}={token}"})
    assert kept.get("/desk/step").status_code == 401


@pytest.mark.parametrize("role", list(Role))
def test_every_role_gets_its_pages_and_is_refused_and_logged_on_the_others(
    shop: Studio, caplog: Logged, role: Role
) -> None:
    add_person(shop, "rob", role)
    browser = signed_in(shop, "rob")
    for page in PAGES:
        caplog.clear()
        answer = browser.get(f"/{page}")
        if may_open(role, page):
            assert answer.text == "page of rob"
            continue
        assert answer.status_code == 403
        assert "page of" not in answer.text
        assert "This page is for the role" in answer.text
        assert f"refused '/{page}' to rob, who is {role}" in caplog.text
    assert browser.get("/desk/step").status_code == 200
    assert browser.get("/nowhere").status_code == 404
    assert browser.get("/nowhere", headers={"Accept": "*/*"}).json()["code"] == "refused"


def test_a_new_role_counts_from_the_next_request_on(shop: Studio) -> None:
    browser = signed_in(shop, "lea")
    assert browser.get("/pairs").status_code == 200
    with shop.store.write() as connection:
        users.set_role(connection, "lea", Role.ANNOTATOR)
    assert browser.get("/pairs").status_code == 403


def test_another_persons_pair_is_refused_and_logged(shop: Studio, caplog: Logged) -> None:
    ana, lea = signed_in(shop, "ana"), signed_in(shop, "lea")
    lease = ana.get("/desk/step").json()["lease"]
    seen = {"seen_ms": 1500, "active_ms": 1500}
    bodies: dict[str, dict[str, Any]] = {
        "blind": {"decision": f"{lease}-blind-1", "verdict": "left", **seen},
        "final": {"decision": f"{lease}-final-1", "action": "approve", **seen},
        "skip": {},
        "autosave": {"edits": []},
    }
    for path, body in bodies.items():
        answer = lea.post(f"/desk/{path}", json={"lease": lease, **body})
        assert answer.status_code == 404
        assert f"refused /desk/{path} to lea: this pair is not leased to you" in caplog.text
    with shop.store.read() as connection:
        assert judgements.list_events(connection) == []


def test_another_persons_final_cannot_be_reopened(shop: Studio, caplog: Logged) -> None:
    lea = signed_in(shop, "lea")
    answer = lea.post("/desk/undo", json={"decision": "ana's"})
    assert answer.status_code == 409
    assert "refused /desk/undo to lea: there is nothing to undo" in caplog.text


def test_pictures_are_for_people_who_have_signed_in(shop: Studio) -> None:
    ana = signed_in(shop, "ana")
    picture = f"/creative/{ana.get('/desk/step').json()['images'][0]}"
    assert ana.get(picture).status_code == 200
    assert make_browser(shop).get(picture).status_code == 401


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", f"{HOST}.example.com", ""])
def test_a_foreign_host_header_is_refused_and_logged(
    shop: Studio, caplog: Logged, host: str
) -> None:
    browser = signed_in(shop, "ana")
    assert browser.get("/", headers={"Host": host}).status_code == 403
    assert "the Host header is not a name of this desk" in caplog.text


def test_the_desks_name_may_come_with_a_port_and_in_capitals(shop: Studio) -> None:
    browser = signed_in(shop, "ana")
    for host in (f"{HOST}:8501", HOST.upper()):
        assert browser.get("/", headers={"Host": host}).status_code == 200


def test_a_page_elsewhere_can_neither_sign_in_nor_write(shop: Studio, caplog: Logged) -> None:
    browser = signed_in(shop, "ana")
    for origin in ("https://evil.example", "null", f"http://{HOST}.evil.example"):
        for path in ("/sign-in", "/sign-out", "/join", "/desk/skip"):
            answer = browser.post(path, data={}, headers={"Origin": origin})
            assert answer.status_code == 403
    assert "the request comes from a page elsewhere" in caplog.text
    assert browser.post("/sign-out", headers={"Origin": f"http://{HOST}"}).status_code == 303


def test_forwarded_headers_are_refused_unless_a_proxy_is_trusted(shop: Studio) -> None:
    headers = {"X-Forwarded-For": "10.0.0.9"}
    assert make_browser(shop).get("/sign-in", headers=headers).status_code == 403
    proxied = make_browser(shop, behind_proxy=True)
    assert proxied.get("/sign-in", headers=headers).status_code == 200


def test_a_socket_needs_a_session(shop: Studio, caplog: Logged) -> None:
    address = f"ws://{HOST}/_stcore/stream"
    for browser in (make_browser(shop), make_browser(shop, {"Cookie": f"{SESSION_COOKIE}=forged"})):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            browser.websocket_connect(address),
        ):
            pass
        assert refused.value.code == 1008
    assert caplog.text.count("refused websocket '/_stcore/stream'") == 2


@pytest.mark.parametrize("change", ["disable", "role", "sign out"])
def test_an_open_socket_ends_with_the_session_or_the_role(
    shop: Studio, caplog: Logged, change: str
) -> None:
    browser = signed_in(shop, "ana")
    token = browser.cookies[SESSION_COOKIE]
    with browser.websocket_connect(
        f"ws://{HOST}/_stcore/stream", headers={"Cookie": f"{SESSION_COOKIE}={token}"}
    ) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        with shop.store.write() as connection:
            if change == "disable":
                users.disable_user(connection, "ana", now=NOW)
            elif change == "role":
                users.set_role(connection, "ana", Role.LEAD)
            else:
                users.end_session(connection, token, now=NOW)
        socket.send_text("still there?")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert "closed the socket of ana" in caplog.text


def test_nothing_secret_is_logged(shop: Studio, caplog: Logged) -> None:
    caplog.set_level(logging.DEBUG, logger="app")
    browser = signed_in(shop, "ana")
    token = browser.cookies[SESSION_COOKIE]
    browser.get("/pairs")
    browser.get("/join?token=hidden")
    browser.post("/sign-out")
    browser.get("/desk/step")
    assert PASSWORD not in caplog.text
    assert token not in caplog.text
    assert "hidden" not in "".join(r.getMessage() for r in caplog.records if "app" in r.name)
