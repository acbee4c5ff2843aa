"""Signing in through a provider: whom it names comes in, on a word that holds."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import ValidationError
from starlette.testclient import TestClient

from app.accounts import sessions
from app.accounts.links import LINK_PATH
from app.accounts.oidc import BEGUN_COOKIE, SECRET_VARIABLE
from app.accounts.sessions import SESSION_COOKIE
from app.bootstrap import Studio
from app.commands.doctor import check_all
from creativepair.store import users
from creativepair.store.users import Role
from creativepair.workspace import SETTINGS_FILE, Oidc
from tests.desk_server import free_port
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, Claims, OidcProvider
from tests.people import make_browser
from tests.unit.app.conftest import Run

ANA = "ana@shop.example"
NOW = datetime.now(UTC)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[OidcProvider]:
    """A provider at which Ana has signed in."""
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    one = OidcProvider({"email": "Ana@Shop.example", "email_verified": True})
    with one.serving():
        yield one


@pytest.fixture
def shop(studio: Studio, provider: OidcProvider) -> Studio:
    """A workspace whose people sign in there; Ana has an account."""
    with studio.store.write() as connection:
        users.add_user(connection, ANA, name="Ana", role=Role.ANNOTATOR, now=datetime.now(UTC))
    return sent_to(studio, provider)


def sent_to(studio: Studio, provider: OidcProvider, **settings: Any) -> Studio:
    oidc = Oidc(issuer=provider.issuer, client_id=CLIENT_ID, name="Shop ID", **settings)
    changed = studio.workspace.settings.model_copy(update={"oidc": oidc})
    return Studio(replace(studio.workspace, settings=changed), studio.store)


def go_to_provider(browser: TestClient) -> str:
    """Begin to sign in, let the provider answer, and return the path that it sends back to."""
    begun = browser.get("/sign-in/oidc")
    assert begun.status_code == 302, begun.text
    answer = httpx.get(begun.headers["location"], trust_env=False)
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


def come_back(browser: TestClient) -> Any:
    return browser.get(go_to_provider(browser))


def test_whom_the_provider_names_is_signed_in_as_their_account(shop: Studio) -> None:
    with make_browser(shop) as browser:
        page = browser.get("/sign-in")
        assert '<a class="button" href="/sign-in/oidc">Sign in with Shop ID</a>' in page.text
        assert "Password" not in page.text
        answer = come_back(browser)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert BEGUN_COOKIE not in browser.cookies
        assert browser.get("/").text == f"page of {ANA}"
        assert browser.post("/sign-out").status_code == 303
        assert browser.get("/").headers["location"] == "/sign-in"


def test_the_provider_is_asked_for_a_code_with_state_nonce_and_challenge(shop: Studio) -> None:
    with make_browser(shop, https=True) as browser:
        answer = browser.get("/sign-in/oidc")
        asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["response_type"] == ["code"]
    assert asked["redirect_uri"] == ["https://desk.example/sign-in/oidc/back"]
    assert asked["code_challenge_method"] == ["S256"]
    assert all(len(asked[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{BEGUN_COOKIE}=")
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=lax", "Max-Age=600"))


def test_an_account_is_needed_and_an_enabled_one(
    shop: Studio, provider: OidcProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with make_browser(shop) as browser:
        with shop.store.write() as connection:
            users.disable_user(connection, ANA, now=datetime.now(UTC))
        answer = come_back(browser)
        assert answer.status_code == 403
        assert "This account is disabled" in answer.text
        provider.claims["email"] = "<b>eve</b>@shop.example"
        answer = come_back(browser)
        assert answer.status_code == 403
        assert "&lt;b&gt;eve&lt;/b&gt;@shop.example has no account here" in answer.text
        assert SESSION_COOKIE not in browser.cookies
    assert "disabled account" in caplog.text
    assert "no account" in caplog.text


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": "true"}, {}])
def test_an_address_that_nobody_verified_names_nobody(
    shop: Studio, provider: OidcProvider, claims: Claims
) -> None:
    provider.claims = {"email": ANA, **claims}
    with make_browser(shop) as browser:
        answer = come_back(browser)
    assert answer.status_code == 403
    assert "email is not verified" in answer.text


def test_letters_that_only_look_like_those_of_an_account_name_nobody(
    shop: Studio, provider: OidcProvider
) -> None:
    with shop.store.write() as connection:
        users.add_user(connection, "kim@shop.example", name="Kim", role=Role.LEAD, now=NOW)
    provider.claims = {"email": "\N{KELVIN SIGN}im@shop.example", "email_verified": True}
    with make_browser(shop) as browser:
        answer = come_back(browser)
    assert answer.status_code == 403
    assert "has no account here" in answer.text


def test_another_claim_can_be_the_user_id(studio: Studio, provider: OidcProvider) -> None:
    with studio.store.write() as connection:
        users.add_user(connection, "ana", name="Ana", role=Role.LEAD, now=datetime.now(UTC))
    named = sent_to(studio, provider, claim="preferred_username", scope="openid profile")
    provider.claims = {"preferred_username": "Ana"}
    with make_browser(named) as browser:
        come_back(browser)
        assert browser.get("/").text == "page of ana"
        provider.claims = {}
        assert "preferred_username is missing" in come_back(browser).text


def test_a_token_for_several_clients_is_taken_when_it_was_made_for_this_one(
    shop: Studio, provider: OidcProvider
) -> None:
    provider.change = lambda claims: claims | {"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID}
    with make_browser(shop) as browser:
        assert come_back(browser).status_code == 303


def past(claims: Claims) -> Claims:
    then = int(time.time()) - int(timedelta(hours=1).total_seconds())
    return claims | {"iat": then, "exp": then + 60}


@pytest.mark.parametrize(
    "change",
    [
        lambda claims: claims | {"iss": "https://elsewhere.example"},
        lambda claims: claims | {"aud": "another desk"},
        lambda claims: claims | {"aud": [CLIENT_ID, "another desk"], "azp": "another desk"},
        lambda claims: claims | {"nonce": "of another sign-in"},
        lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
        lambda claims: {name: value for name, value in claims.items() if name != "aud"},
        past,
    ],
    ids=["issuer", "client", "party", "nonce", "no nonce", "no client", "expired"],
)
def test_a_token_for_others_or_of_another_time_is_refused(
    shop: Studio, provider: OidcProvider, change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider.change = change
    with make_browser(shop) as browser:
        answer = come_back(browser)
        assert answer.status_code == 502
        assert "Signing in through Shop ID failed" in answer.text
        assert SESSION_COOKIE not in browser.cookies
    assert "failed: " in caplog.text
    assert CLIENT_SECRET not in caplog.text


def test_a_token_signed_with_another_key_is_refused(shop: Studio, provider: OidcProvider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "1"})
    with make_browser(shop) as browser:
        assert come_back(browser).status_code == 502
        assert SESSION_COOKIE not in browser.cookies


def test_an_answer_counts_only_in_the_browser_that_asked_and_once(shop: Studio) -> None:
    with make_browser(shop) as browser, make_browser(shop) as other:
        back = go_to_provider(browser)
        assert other.get(back).status_code == 403
        assert "not begun in this browser" in other.get(back).text
        go_to_provider(other)
        assert other.get(back).status_code == 403  # begun, but another sign-in
        assert browser.get(back).status_code == 303
        assert browser.get(back).status_code == 403


def test_a_forged_cookie_begins_nothing(shop: Studio) -> None:
    with make_browser(shop) as browser:
        back = go_to_provider(browser)
        browser.cookies.clear()
        answer = browser.get(back, headers={"Cookie": f"{BEGUN_COOKIE}=forged"})
        assert answer.status_code == 403


def test_what_the_provider_refuses_is_said_without_its_words(
    shop: Studio, provider: OidcProvider
) -> None:
    provider.error = "call 555 1234"
    with make_browser(shop) as browser:
        answer = come_back(browser)
    assert answer.status_code == 403
    assert "Shop ID did not let you in" in answer.text
    assert "555" not in answer.text


def test_a_provider_that_does_not_answer_is_said(shop: Studio, provider: OidcProvider) -> None:
    provider.port = free_port()
    with make_browser(sent_to(shop, provider)) as browser:
        answer = browser.get("/sign-in/oidc")
    assert answer.status_code == 502
    assert "Signing in through Shop ID failed" in answer.text


def test_too_many_sign_ins_from_one_address_wait(
    shop: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ADDRESS_ATTEMPTS", 2)
    with make_browser(shop) as browser:
        statuses = [browser.get("/sign-in/oidc").status_code for _ in range(3)]
    assert statuses == [302, 302, 429]


def test_passwords_and_their_links_are_closed(shop: Studio) -> None:
    with make_browser(shop) as browser:
        assert browser.post("/sign-in", data={"user_id": ANA, "password": "x"}).status_code == 405
        for path in LINK_PATH.values():
            answer = browser.get(f"{path}?token=x")
            assert answer.status_code == 404
            assert "people sign in here with Shop ID" in answer.text.replace("People", "people")


@pytest.fixture
def root(demo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose settings name a provider, and the secret for it."""
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    with (demo_root / SETTINGS_FILE).open("a") as file:
        file.write('\n[oidc]\nissuer = "https://id.example/"\nclient_id = "desk"\n')
    return demo_root


def test_accounts_are_added_and_no_password_is_spoken_of(root: Path, run: Run) -> None:
    added = run("users", "add", ANA, "--workspace", root)
    assert "give them the desk's address" in added.out
    assert "password" not in added.out + run("users", "list", "--workspace", root).out
    for command in ("invite", "reset"):
        refused = run("users", command, ANA, "--workspace", root)
        assert refused.exit_code != 0
        assert "people sign in through https://id.example/" in refused.err


def test_a_desk_that_nobody_could_enter_does_not_open(root: Path, run: Run) -> None:
    assert "nobody has an account" in run("review", "--workspace", root).err


def test_the_secret_is_missed_before_the_desk_opens(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("users", "add", ANA, "--workspace", root)
    checks = {check.name: check for check in check_all(root)}
    assert checks["sign-in"].message == "through https://id.example/"
    monkeypatch.delenv(SECRET_VARIABLE)
    assert SECRET_VARIABLE in run("review", "--workspace", root, "--port", free_port()).err
    assert SECRET_VARIABLE in run("doctor", "--workspace", root).out


@pytest.mark.parametrize(
    "issuer", ["http://id.example", "id.example", "http://localhost.evil.example"]
)
def test_an_issuer_over_plain_http_is_taken_on_this_machine_only(issuer: str) -> None:
    with pytest.raises(ValidationError, match="issuer"):
        Oidc(issuer=issuer, client_id="desk")
    Oidc(issuer="http://localhost:9000/realms/shop", client_id="desk")


def test_without_its_libraries_it_is_said_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "authlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "authlib", None)
    check = next(check for check in check_all(root) if check.name == "sign-in")
    assert not check.ok
    assert 'pip install "creativepair[oidc]"' in check.message
