"""Who comes in: asked of the store on every request and every message of a socket."""

import logging
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts.forms import show_refusal
from app.accounts.sessions import SESSION_COOKIE, find_person
from app.guard import refuse
from app.people import Person
from app.roles import first_part, may_open, roles_of
from creativepair.store import Store

_SIGN_IN_HINT = "Reload the page and sign in; what the desk confirmed is stored."
_log = logging.getLogger(__name__)


class SessionGate:
    """ASGI middleware: sessions and roles. It says who comes in as `scope["person"]`."""

    def __init__(self, app: ASGIApp, *, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, send a browser to the sign-in page, or refuse and log it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        token = HTTPConnection(scope).cookies.get(SESSION_COOKIE)
        person = await self._find(token)
        scope["person"] = person
        if may_open(person.role if person else None, scope["path"]):
            receive = self._watch(receive, scope, token, person) if person else receive
            await self._app(scope, receive, send)
        elif person:
            await _refuse_role(scope, receive, send, person)
        else:
            await _refuse_stranger(scope, receive, send, has_cookie=bool(token))

    async def _find(self, token: str | None) -> Person | None:
        if not token:
            return None
        return await run_in_threadpool(find_person, self._store, token, now=datetime.now(UTC))

    def _watch(self, receive: Receive, scope: Scope, token: str | None, person: Person) -> Receive:
        """Return a `receive` that ends a socket whose session or role is not what it was.

        A socket outlives the request that opened it, and Streamlit runs callbacks before the page
        itself could ask.
        """
        if scope["type"] != "websocket":
            return receive

        async def receive_as_long_as_signed_in() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and await self._find(token) != person:
                _log.warning("closed the socket of %s: signed out or changed", person.user_id)
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        return receive_as_long_as_signed_in


async def _refuse_role(scope: Scope, receive: Receive, send: Send, person: Person) -> None:
    roles = sorted(roles_of(scope["path"]))
    _log.warning(
        "refused %r to %s: it needs %s, not %s",
        scope["path"],
        person.user_id,
        " or ".join(roles) or "a place in the table of roles",
        person.role,
    )
    problem = f"this page is for the role {' or '.join(roles)}" if roles else "no such page"
    if _is_navigation(scope):
        await show_refusal(problem, status=403 if roles else 404)(scope, receive, send)
        return
    hint = "Ask whoever runs this desk."
    await refuse(scope, receive, send, problem, hint=hint, status=403 if roles else 404)


async def _refuse_stranger(scope: Scope, receive: Receive, send: Send, *, has_cookie: bool) -> None:
    navigates = _is_navigation(scope)
    if has_cookie or not navigates:
        why = "its session is over or unknown" if has_cookie else "not signed in"
        client = scope.get("client") or ("an unknown address",)
        _log.warning("refused %s %r to %s: %s", scope["type"], scope["path"], client[0], why)
    if navigates:
        await RedirectResponse("/sign-in", status_code=303)(scope, receive, send)
        return
    await refuse(scope, receive, send, "you are not signed in", hint=_SIGN_IN_HINT, status=401)


def _is_navigation(scope: Scope) -> bool:
    """Whether a browser wants to show this, and not a script or picture to use it."""
    if scope["type"] != "http" or first_part(scope["path"]) in ("desk", "creative"):
        return False
    return "text/html" in HTTPConnection(scope).headers.get("accept", "")
