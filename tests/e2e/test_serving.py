"""The server that others can reach, over real sockets: names, proxies, what is logged."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.bootstrap import open_studio
from tests.desk_server import DeskServer
from tests.people import PASSWORD, add_person

FORWARDED = {"Host": "desk.example", "X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https"}
Serve = Callable[..., DeskServer]


@pytest.fixture
def serve(demo_root: Path) -> Iterator[Serve]:
    """Starts a desk on every address, for a workspace in which Ana has an account."""
    studio = open_studio(demo_root)
    add_person(studio, "ana")
    studio.store.close()
    started: list[DeskServer] = []

    def start(*options: str) -> DeskServer:
        server = DeskServer(demo_root, ("--host", "0.0.0.0", *options))
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


def sign_in(desk: DeskServer, password: str = PASSWORD, **headers: str) -> httpx.Response:
    body = {"user_id": "ana", "password": password}
    return httpx.post(f"{desk.url}/sign-in", data=body, headers=headers)


def test_a_desk_with_accounts_answers_to_the_names_it_was_told(serve: Serve) -> None:
    desk = serve("--allow-host", "Desk.Example")
    for host in ("desk.example", "DESK.example:80", "localhost"):
        assert httpx.get(f"{desk.url}/sign-in", headers={"Host": host}).status_code == 200
    for host in ("example.com", "0.0.0.0", "10.0.0.5"):
        assert httpx.get(f"{desk.url}/sign-in", headers={"Host": host}).status_code == 403
    assert "the Host header is not a name of this desk" in desk.log.read_text()


def test_without_a_trusted_proxy_nothing_forwarded_is_believed(serve: Serve) -> None:
    desk = serve("--allow-host", "desk.example")
    assert sign_in(desk, **FORWARDED).status_code == 403
    # The scheme alone is no sign of a proxy; it is not believed either.
    answer = sign_in(desk, Host="desk.example", **{"X-Forwarded-Proto": "https"})
    assert answer.status_code == 303
    assert "Secure" not in answer.headers["set-cookie"]


def test_behind_a_trusted_proxy_address_and_scheme_are_the_browsers(serve: Serve) -> None:
    desk = serve("--allow-host", "desk.example", "--trusted-proxy", "127.0.0.1")
    assert sign_in(desk, "wrong", **FORWARDED).status_code == 401
    assert "refused a sign-in of ana from 10.9.8.7: wrong password" in desk.log.read_text()
    answer = sign_in(desk, **FORWARDED)
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]


def test_what_somebody_else_forwards_is_not_believed(serve: Serve) -> None:
    desk = serve("--allow-host", "desk.example", "--trusted-proxy", "10.0.0.1")
    assert sign_in(desk, "wrong", **FORWARDED).status_code == 401
    assert "from 127.0.0.1: wrong password" in desk.log.read_text()


def test_nothing_but_the_sign_in_is_shown_to_strangers(serve: Serve) -> None:
    desk = serve("--allow-host", "desk.example")
    for path in ("/_stcore/health", "/_stcore/host-config", "/static/index.html", "/index.html"):
        assert httpx.get(f"{desk.url}{path}").status_code == 401
    for path in ("/auth/login", "/oauth2callback", "/_stcore/metrics", "/_stcore/agent"):
        assert httpx.get(f"{desk.url}{path}").status_code == 401
    assert httpx.get(f"{desk.url}/healthz").json() == {"status": "ok"}
