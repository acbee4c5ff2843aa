import json
import threading
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from annotators import decisions
from annotators.decisions import DWELL
from app.bootstrap import LOCAL_ANNOTATOR, Studio
from app.guard import LocalGuard
from app.routes import desk_routes
from creativepair.records import JudgementEvent, Step
from creativepair.store import catalogue, judgements

View = dict[str, Any]
SEEN = {"seen_ms": 1500.0, "active_ms": 1200.0}


class DeskClient:
    """A browser at the desk: posts with the desk's header, after a look long enough."""

    def __init__(self, studio: Studio) -> None:
        app = Starlette(routes=desk_routes(studio), middleware=[Middleware(LocalGuard)])
        self.http = TestClient(app, base_url="http://127.0.0.1", headers={"X-Desk": "1"})
        self.studio = studio

    def step(self) -> View:
        answer = self.http.get("/desk/step")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        return dict(answer.json())

    def post(self, path: str, body: Any) -> tuple[int, View]:
        answer = self.http.post(f"/desk/{path}", json=body)
        return answer.status_code, answer.json()

    def blind(self, view: View, verdict: str = "left", **more: Any) -> tuple[int, View]:
        body = {"lease": view["lease"], "decision": view["decision"], "verdict": verdict}
        return self.post("blind", body | SEEN | more)

    def final(self, view: View, action: str = "approve", **more: Any) -> tuple[int, View]:
        body = {"lease": view["lease"], "decision": view["decision"], "action": action}
        return self.post("final", body | SEEN | more)

    def events(self) -> list[JudgementEvent]:
        with self.studio.store.read() as connection:
            return judgements.list_events(connection)


@pytest.fixture
def desk(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> DeskClient:
    # The server's half of the dwell time would make every test wait; test_decisions tests it.
    monkeypatch.setattr(decisions, "DWELL", DWELL * 0)
    return DeskClient(studio)


def fitting(view: View) -> str:
    """The action that fits a revealed pair while keeping one's own verdict."""
    return "keep_mine" if view["reveal"]["case"] == "differ" else "approve"


def is_error(answer: tuple[int, View], status: int, code: str) -> bool:
    assert set(answer[1]) == {"code", "message", "hint"}
    assert all(answer[1].values())
    return answer[0] == status and answer[1]["code"] == code


def test_health_is_said_without_touching_the_store(desk: DeskClient) -> None:
    desk.studio.store.close()
    answer = desk.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_whole_workspace_is_judged_by_requests_alone(desk: DeskClient) -> None:
    view = desk.step()
    verdicts = ["left", "right", "cannot_tell", "broken"]
    for number in range(8):
        assert (view["step"], view["reveal"]) == ("blind", None)
        assert (view["num_done"], view["num_open"]) == (number, 8 - number)
        verdict = verdicts[number % 4]
        status, view = desk.blind(view, verdict, reason="too alike")
        assert status == 200
        if verdict in ("left", "right"):
            assert (view["step"], view["reveal"]["own"]) == ("final", verdict)
            status, view = desk.final(view, fitting(view))
            assert status == 200
    assert (view["step"], view["num_done"], view["num_open"]) == ("empty", 8, 0)
    events = desk.events()
    assert len(events) == 16
    assert len({e.pair_id for e in events}) == 8
    assert {e.annotator_id for e in events} == {LOCAL_ANNOTATOR}


def test_a_decision_is_stored_by_identity_with_the_browsers_times(desk: DeskClient) -> None:
    view = desk.step()
    desk.blind(view, "right", active_ms=9000.0)
    [stored] = desk.events()
    assert stored.verdict == ("B" if stored.left_is == "A" else "A")
    assert (stored.decided_at - stored.shown_at).total_seconds() == pytest.approx(1.5)
    assert stored.active_s == 1.5  # nobody is active for longer than the step was shown


def test_before_the_blind_verdict_the_answer_holds_nothing_of_the_reveal(desk: DeskClient) -> None:
    text = desk.http.get("/desk/step").text
    for word in ("mpressions", "ationale", "CTR evidence", "winner", "drafted", "prob"):
        assert word not in text


def test_reloading_gives_the_same_step(desk: DeskClient) -> None:
    first = desk.step()
    assert desk.step() == first
    desk.blind(first)
    assert desk.step() == desk.step()


def test_a_decision_sent_twice_is_stored_once(desk: DeskClient) -> None:
    view = desk.step()
    first = desk.blind(view)
    assert desk.blind(view) == first
    assert len(desk.events()) == 1


def test_two_tabs_that_decide_at_once_store_one_verdict(desk: DeskClient) -> None:
    view = desk.step()
    statuses: list[int] = []

    def decide(verdict: str) -> None:
        statuses.append(desk.blind(view, verdict)[0])

    verdicts = ("left", "right", "left", "right")
    tabs = [threading.Thread(target=decide, args=(verdict,)) for verdict in verdicts]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert sorted(statuses) == [200, 200, 409, 409]
    assert len(desk.events()) == 1


def test_another_verdict_for_a_decided_step_is_a_conflict(desk: DeskClient) -> None:
    view = desk.step()
    desk.blind(view, "left")
    assert is_error(desk.blind(view, "right"), 409, "bad_state")


def test_undo_reopens_the_last_final_and_skip_puts_a_pair_aside(desk: DeskClient) -> None:
    _, view = desk.blind(desk.step())
    judged = view["pair"]
    _, view = desk.final(view, fitting(view))
    status, view = desk.post("undo", {"decision": view["undo"]})
    assert (status, view["step"], view["pair"]) == (200, "final", judged)
    _, view = desk.final(view, fitting(view))
    aside = view["pair"]
    status, view = desk.post("skip", {"lease": view["lease"]})
    assert status == 200
    assert view["pair"] not in (aside, judged)


def test_typed_words_are_kept_and_shown_as_they_will_be_stored(desk: DeskClient) -> None:
    _, view = desk.blind(desk.step())
    edit = {
        "question": "layout",
        "verdict": "left",
        "typed": "the left image is calm ",
        "action": "edit",
    }
    status, answer = desk.post("autosave", {"lease": view["lease"], "edits": [edit]})
    assert status == 200
    left = desk.events()[0].left_is
    assert answer == {"stored": {"layout": f"{{{left}}} is calm"}}
    findings = {f["question"]: f for f in desk.step()["reveal"]["findings"]}
    assert findings["layout"]["text"] == "the left image is calm "


def test_words_that_cannot_be_stored_are_refused_and_kept(desk: DeskClient) -> None:
    _, view = desk.blind(desk.step())
    edit = {"question": "layout", "verdict": "left", "typed": "the former", "action": "edit"}
    desk.post("autosave", {"lease": view["lease"], "edits": [edit]})
    answer = desk.final(view, fitting(view), edits=[edit])
    assert is_error(answer, 422, "bad_chain")
    assert "Layout" in answer[1]["message"]
    findings = {f["question"]: f for f in desk.step()["reveal"]["findings"]}
    assert findings["layout"]["text"] == "the former"
    assert [e.step for e in desk.events()] == [Step.BLIND]


@pytest.mark.parametrize("path", ["blind", "final", "skip", "autosave"])
def test_a_forged_lease_is_not_found(desk: DeskClient, path: str) -> None:
    bodies: dict[str, View] = {
        "blind": {"decision": "x", "verdict": "left", **SEEN},
        "final": {"decision": "x", "action": "approve", **SEEN},
        "skip": {},
        "autosave": {"edits": []},
    }
    answer = desk.post(path, {"lease": "f" * 32, **bodies[path]})
    assert is_error(answer, 404, "not_found")


def test_there_is_nothing_to_undo_before_the_first_final(desk: DeskClient) -> None:
    assert is_error(desk.post("undo", {"decision": "x"}), 409, "bad_state")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("skip", b"not json"),
        ("skip", b"\xff\xfe"),
        ("skip", b""),
        ("skip", b"[]"),
        ("skip", b"{}"),
        ("skip", b"[" * 100_000),
        ("skip", b'{"lease": "x", "more": 1}'),
        ("skip", b'{"lease": ""}'),
        ("skip", json.dumps({"lease": "x" * 201}).encode()),
        ("undo", b'{"decision": null}'),
        ("blind", b'{"lease":"x","decision":"x","verdict":"A","seen_ms":1,"active_ms":1}'),
        ("blind", b'{"lease":"x","decision":"x","verdict":"left","seen_ms":NaN,"active_ms":1}'),
        ("blind", b'{"lease":"x","decision":"x","verdict":"left","seen_ms":-1,"active_ms":1}'),
        ("final", b'{"lease":"x","decision":"x","action":"win","seen_ms":1,"active_ms":1}'),
        ("autosave", b'{"lease":"x","edits":[{"question":"layout"}]}'),
        ("autosave", b'{"lease":"x"}'),
        # Half of a surrogate pair: JSON may hold it, UTF-8 and so the store cannot.
        ("skip", rb'{"lease": "\ud800"}'),
    ],
)
def test_a_body_that_is_not_the_contracts_is_refused_in_words(
    desk: DeskClient, path: str, body: bytes
) -> None:
    answer = desk.http.post(f"/desk/{path}", content=body)
    assert is_error((answer.status_code, answer.json()), 422, "bad_input")
    assert desk.events() == []


def test_the_guard_stands_before_every_route(desk: DeskClient) -> None:
    view = desk.step()
    body = {"lease": view["lease"]}
    bare = TestClient(desk.http.app, base_url="http://127.0.0.1")
    assert bare.post("/desk/skip", json=body).status_code == 403
    for headers in ({"Host": "example.com"}, {"X-Forwarded-For": "127.0.0.1"}):
        assert desk.http.post("/desk/skip", json=body, headers=headers).status_code == 403
        assert desk.http.get("/desk/step", headers=headers).status_code == 403
        assert desk.http.get(f"/creative/{view['images'][0]}", headers=headers).status_code == 403
    huge = json.dumps({"lease": view["lease"], "edits": [], "x": "x" * 2_000_000})
    assert desk.http.post("/desk/autosave", content=huge).status_code == 403
    assert desk.step() == view


def test_a_decision_cannot_be_made_by_following_a_link(desk: DeskClient) -> None:
    for path in ("blind", "final", "undo", "skip", "autosave"):
        assert desk.http.get(f"/desk/{path}").status_code == 405


def test_a_picture_is_served_for_ever_under_the_hash_of_its_bytes(desk: DeskClient) -> None:
    view = desk.step()
    for sha256 in (*view["images"], *view["coming"]):
        answer = desk.http.get(f"/creative/{sha256}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith("image/")
        assert answer.content == desk.studio.workspace.derivatives.get(sha256)
        with Image.open(BytesIO(answer.content)) as image:
            assert image.getexif() == {}


def test_an_original_is_never_served(desk: DeskClient) -> None:
    with desk.studio.store.read() as connection:
        creatives = catalogue.list_creatives(connection)
    for creative in creatives[:3]:
        assert desk.studio.workspace.originals.exists(creative.image_sha256)
        answer = desk.http.get(f"/creative/{creative.image_sha256}")
        assert is_error((answer.status_code, answer.json()), 404, "not_found")


@pytest.mark.parametrize(
    "name", ["0" * 64, "x", "..%2F..%2Fstudio.db", "F" * 64, "0" * 63, "%00" * 64]
)
def test_nothing_but_a_known_hash_names_a_picture(desk: DeskClient, name: str) -> None:
    assert desk.http.get(f"/creative/{name}").status_code == 404


def test_a_store_that_cannot_be_written_says_so_and_loses_nothing(desk: DeskClient) -> None:
    _, view = desk.blind(desk.step())
    before = desk.events()
    engine = desk.studio.store.engine

    def refuse_writes(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA query_only=ON")

    event.listen(engine, "checkout", refuse_writes)
    answer = desk.final(view, fitting(view))
    assert is_error(answer, 503, "bad_state")
    assert "cannot be written" in answer[1]["message"]
    assert "goes on trying by itself" in answer[1]["hint"]
    event.remove(engine, "checkout", refuse_writes)
    engine.dispose()
    assert desk.events() == before
    assert desk.final(view, fitting(view))[0] == 200
