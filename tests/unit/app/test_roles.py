"""Every role on every page and route, against the table as the design writes it."""

from pathlib import Path

import pytest
from starlette.routing import Route

import app
from app.accounts.forms import account_routes
from app.bootstrap import Studio
from app.roles import ANYONE, PAGES, ROUTES, first_part, may_open
from app.routes import desk_routes
from creativepair.store.users import Role

EVERYBODY = {Role.ANNOTATOR, Role.REVIEWER, Role.LEAD, Role.RESEARCHER}
WANTED = {
    "/": EVERYBODY,
    "/review": EVERYBODY,
    "/guidelines": EVERYBODY,
    "/help": EVERYBODY,
    "/account": EVERYBODY,
    "/adjudicate": {Role.REVIEWER, Role.LEAD},
    "/team": {Role.LEAD, Role.RESEARCHER},
    "/pairs": {Role.LEAD, Role.RESEARCHER},
    "/releases": {Role.LEAD, Role.RESEARCHER},
    "/models": {Role.LEAD, Role.RESEARCHER},
    "/loop": {Role.LEAD, Role.RESEARCHER},
    "/import": {Role.LEAD},
    "/settings": {Role.LEAD},
    "/desk/step": EVERYBODY,
    "/desk/blind": EVERYBODY,
    "/adjudication/case": {Role.REVIEWER, Role.LEAD},
    "/desk/guidelines": EVERYBODY,
    "/desk/report": EVERYBODY,
    "/creative/0": EVERYBODY,
    "/release/1.0.0.tar": {Role.LEAD, Role.RESEARCHER},
    "/sign-out": EVERYBODY,
    "/_stcore/stream": EVERYBODY,
    "/static/js/index.js": EVERYBODY,
    "/media/x": EVERYBODY,
    "/component/x": EVERYBODY,
    "/favicon.png": EVERYBODY,
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("path", sorted(WANTED))
def test_a_role_opens_what_the_design_gives_it_and_nothing_else(role: Role, path: str) -> None:
    assert may_open(role, path) == (role in WANTED[path])


def test_the_table_names_nothing_that_is_not_tested_here() -> None:
    assert {first_part(path) for path in WANTED} == {*PAGES, *ROUTES}


@pytest.mark.parametrize("path", sorted(WANTED))
def test_without_a_session_no_page_or_route_opens(path: str) -> None:
    assert not may_open(None, path)


def test_only_signing_in_and_health_are_open_to_strangers() -> None:
    assert {"healthz", "sign-in", "join", "reset"} == ANYONE
    assert all(may_open(None, f"/{part}") for part in ANYONE)


@pytest.mark.parametrize(
    "path", ["/pairs/", "//pairs", "/pairs/x", "/pairs/_stcore/stream", "///pairs"]
)
def test_a_page_above_a_role_stays_shut_however_it_is_written(path: str) -> None:
    assert not may_open(Role.ANNOTATOR, path)


@pytest.mark.parametrize("path", ["/nowhere", "/.", "/../pairs", "/PAIRS", "/sign-in2", "/desk2"])
@pytest.mark.parametrize("role", [None, *Role])
def test_what_the_table_does_not_name_is_open_to_nobody(role: Role | None, path: str) -> None:
    assert not may_open(role, path)


def test_every_route_and_every_page_stands_in_the_table(studio: Studio) -> None:
    routes: list[Route] = [*desk_routes(studio), *account_routes(studio)]
    assert {first_part(route.path) for route in routes} <= {*ROUTES, *ANYONE}
    scripts = (Path(app.__file__).parent / "pages").glob("*.py")
    assert {script.stem for script in scripts} <= set(PAGES)
