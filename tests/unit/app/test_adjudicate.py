"""The routes that the adjudication page calls."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app.bootstrap import LOCAL_ANNOTATOR, Studio
from app.commands.status import count_workspace
from app.guard import LocalGuard
from app.routes import desk_routes
from creativepair.records import HumanVerdict, ReasonCode
from creativepair.store import adjudications
from creativepair.store.users import Role
from tests.disputes import dispute_pair
from tests.people import add_person, make_browser, sign_in

DESK = {"X-Desk": "1"}


@pytest.fixture
def http(studio: Studio) -> TestClient:
    app = Starlette(routes=desk_routes(studio), middleware=[Middleware(LocalGuard)])
    return TestClient(app, base_url="http://127.0.0.1", headers=DESK)


def body_of(case: dict[str, Any], **changes: Any) -> dict[str, Any]:
    said = {"verdict": "left", "reason": ReasonCode.CLEAR, "note": "", "seen_ms": 2000}
    return {"pair": case["pair"], "decision": case["decision"], **said, **changes}


def list_verdicts(studio: Studio) -> dict[str, HumanVerdict]:
    with studio.store.read() as connection:
        return adjudications.list_verdicts(connection, "1")


def test_a_settlement_is_stored_and_answered_with_the_next_case(
    studio: Studio, http: TestClient
) -> None:
    settled = dispute_pair(studio, "A", "B")
    case = http.get("/adjudication/case").json()
    assert (case["pair"], case["num_waiting"]) == (settled, 1)
    answer = http.post("/adjudication/decide", json=body_of(case))
    assert answer.json()["num_waiting"] == 0
    assert set(list_verdicts(studio)) == {settled}
    assert count_workspace(studio)["consensus"] == 1


def test_what_cannot_be_read_or_is_late_is_refused_with_what_to_do(
    studio: Studio, http: TestClient
) -> None:
    dispute_pair(studio, "A", "B")
    case = http.get("/adjudication/case").json()
    for changes in ({"reason": "taste"}, {"verdict": "A"}, {"note": "x" * 2001}, {"note": "\x00"}):
        assert http.post("/adjudication/decide", json=body_of(case, **changes)).status_code == 422
    http.post("/adjudication/decide", json=body_of(case, decision="old"))
    late = http.post("/adjudication/decide", json=body_of(case, decision="old"))
    assert (late.status_code, late.json()["code"]) == (409, "bad_state")
    assert late.json()["hint"]
    assert list_verdicts(studio) == {}


def test_a_settlement_needs_the_desks_own_header(studio: Studio, http: TestClient) -> None:
    dispute_pair(studio, "A", "B")
    body = body_of(http.get("/adjudication/case").json())
    del http.headers["X-Desk"]
    assert http.post("/adjudication/decide", json=body).status_code == 403


@pytest.mark.parametrize("role", list(Role))
def test_reviewers_and_leads_alone_see_and_settle_cases(studio: Studio, role: Role) -> None:
    dispute_pair(studio, "A", "B")
    add_person(studio, "pat", role)
    browser = make_browser(studio, {"Accept": "*/*", **DESK})
    sign_in(browser, "pat")
    allowed = role in (Role.REVIEWER, Role.LEAD)
    answer = browser.get("/adjudication/case")
    assert (answer.status_code == 200) == allowed
    case = answer.json() if allowed else {"pair": "p", "decision": "d"}
    decided = browser.post("/adjudication/decide", json=body_of(case))
    assert decided.status_code == (200 if allowed else 403)


def test_a_pair_of_ones_own_is_said_to_be_one(studio: Studio, http: TestClient) -> None:
    dispute_pair(studio, "A", "B", by=(LOCAL_ANNOTATOR, "bob"))
    assert http.get("/adjudication/case").json()["is_own"]
