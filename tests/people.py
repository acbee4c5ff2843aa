"""People with accounts for the tests, and browsers that they sit at."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from app.accounts.forms import account_routes
from app.accounts.gate import SessionGate
from app.accounts.passwords import hash_password
from app.bootstrap import Studio
from app.guard import HostGuard
from app.people import identify
from app.routes import desk_routes
from creativepair.store import users
from creativepair.store.users import Role

PASSWORD = "correct horse battery"
HOST = "desk.example"
_HASHES: dict[str, str] = {}


def add_person(studio: Studio, user_id: str, role: Role = Role.ANNOTATOR) -> None:
    """Add an account whose password is `PASSWORD`."""
    if PASSWORD not in _HASHES:
        _HASHES[PASSWORD] = hash_password(PASSWORD, user_id="")
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        users.add_user(connection, user_id, name=user_id.title(), role=role, now=now)
        users.set_password(connection, user_id, _HASHES[PASSWORD], now=now)


async def say_who(request: Request) -> Response:
    return PlainTextResponse(f"page of {identify(request).user_id}")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


def make_browser(
    studio: Studio,
    headers: Mapping[str, str] | None = None,
    *,
    https: bool = False,
    behind_proxy: bool = False,
) -> TestClient:
    """Return a browser at a desk with accounts; pages stand for Streamlit's."""
    app = Starlette(
        routes=[
            *account_routes(studio),
            *desk_routes(studio),
            WebSocketRoute("/_stcore/stream", echo),
            Route("/{page:path}", say_who),
        ],
        middleware=[
            Middleware(HostGuard, hosts=frozenset({HOST}), behind_proxy=behind_proxy),
            Middleware(SessionGate, store=studio.store),
        ],
    )
    scheme = "https" if https else "http"
    wanted = {"Accept": "text/html", **(headers or {})}
    return TestClient(app, base_url=f"{scheme}://{HOST}", headers=wanted, follow_redirects=False)


def sign_in(browser: TestClient, user_id: str, password: str = PASSWORD) -> Any:
    return browser.post("/sign-in", data={"user_id": user_id, "password": password})
