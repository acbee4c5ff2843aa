from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.guard import MAX_BODY_BYTES, LocalGuard, require_loopback, security_headers
from creativepair.errors import InputError


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def own_referrer(request: Request) -> Response:
    return PlainTextResponse("hello", headers={"Referrer-Policy": "no-referrer"})


async def greet(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def make_client(address: str = "127.0.0.1") -> TestClient:
    app = Starlette(
        routes=[
            Route("/", hello),
            Route("/own", own_referrer),
            Route("/desk/blind", hello, methods=["POST"]),
            WebSocketRoute("/socket", greet),
        ],
        middleware=[Middleware(LocalGuard)],
    )
    return TestClient(app, base_url="http://127.0.0.1", client=(address, 50_000))


@pytest.fixture
def client() -> Iterator[TestClient]:
    with make_client() as client:
        yield client


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8501", "localhost", "localhost:1", "[::1]", "[::1]:8501"]
)
def test_a_loopback_host_is_served(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "127.0.0.1.example.com",
        "localhost.example.com:8501",
        "[2001:db8::1]:8501",
        "10.0.0.5",
        "",
    ],
)
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    # A page elsewhere that lets its own name point here (DNS rebinding) comes with that name.
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert set(answer.json()) == {"code", "message", "hint"}
    assert "Host" in answer.json()["message"]


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_a_forwarded_request_is_refused(client: TestClient, name: str) -> None:
    answer = client.get("/", headers={name: "127.0.0.1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "refused")


@pytest.mark.parametrize("address", ["10.0.0.5", "2001:db8::1", "somewhere"])
def test_a_request_from_another_machine_is_refused(address: str) -> None:
    assert make_client(address).get("/").status_code == 403


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_a_request_from_this_machine_is_served(address: str) -> None:
    assert make_client(address).get("/").text == "hello"


def test_a_write_needs_the_desks_header_which_no_foreign_form_can_send(client: TestClient) -> None:
    assert client.post("/desk/blind", json={}).status_code == 403
    assert client.post("/desk/blind", json={}, headers={"X-Desk": "1"}).status_code == 200


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(client: TestClient) -> None:
    headers = {"X-Desk": "1"}
    within = client.post("/desk/blind", content=b"x" * MAX_BODY_BYTES, headers=headers)
    beyond = client.post("/desk/blind", content=b"x" * (MAX_BODY_BYTES + 1), headers=headers)
    assert (within.status_code, beyond.status_code) == (200, 403)
    assert "too large" in beyond.json()["message"]


def test_a_body_of_no_stated_length_is_refused(client: TestClient) -> None:
    headers = {"X-Desk": "1"}
    streamed = client.post("/desk/blind", content=iter([b"{}"]), headers=headers)
    assert streamed.status_code == 403
    for length in ("", "many", "-1", "1e3"):
        claimed = client.post(
            "/desk/blind", content=b"{}", headers={**headers, "Content-Length": length}
        )
        assert claimed.status_code == 403


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/", "/nowhere"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"


def test_a_route_may_set_a_stricter_header_of_its_own(client: TestClient) -> None:
    assert client.get("/own").headers["referrer-policy"] == "no-referrer"


def test_scripts_run_only_from_here_or_where_streamlit_ships_them() -> None:
    policy = dict(
        part.strip().split(" ", 1)
        for part in security_headers()["content-security-policy"].split(";")
    )
    sources = policy["script-src"].split()
    assert sources[:2] == ["'self'", "blob:"]
    assert all(source.startswith("'sha256-") for source in sources[2:])
    assert "unsafe" not in policy["script-src"]
    assert policy["default-src"] == "'self'"


def test_a_socket_is_held_to_the_same_rules(client: TestClient) -> None:
    local = {"Host": "127.0.0.1"}
    with client.websocket_connect("/socket", headers=local) as socket:
        assert socket.receive_text() == "hello"
    for headers in ({"Host": "example.com"}, local | {"X-Forwarded-For": "127.0.0.1"}):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            client.websocket_connect("/socket", headers=headers),
        ):
            pass
        assert refused.value.code == 1008


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_serving_on_loopback_is_allowed(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_serving_where_others_can_reach_the_desk_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="loopback only") as refused:
        require_loopback(host)
    assert "127.0.0.1" in refused.value.hint
