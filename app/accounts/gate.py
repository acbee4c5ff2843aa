"""Who comes in: asked of the store on every request and every message of a socket."""

import logging
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts.forms import show_refusal
from app.accounts.sessions import SESSION_COOKIE, find_person
from app.guard import STORE_HINT, refuse
from app.people import Person
from app.roles import first_part, may_open, roles_of
from creativepair.errors import StoreError
from creativepair.store import Store

_SIGN_IN_HINT = "Reload the page and sign in."
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
        try:
            person = await self._find(token)
        except StoreError as error:
            await _refuse_now(scope, receive, send, error)
            return
        scope["person"] = person
        if may_open(person.role if person else None, scope["path"]):
            if person and scope["type"] == "websocket":
                receive, send = self._watch(receive, send, token, person)
            await self._app(scope, receive, send)
        elif person:
            await _refuse_role(scope, receive, send, person)
        else:
            await _refuse_stranger(scope, receive, send, has_cookie=bool(token))

    async def _find(self, token: str | None) -> Person | None:
        if not token:
            return None
        if self._store.never_waits_to_read:  # it takes less time than handing it to a thread
            return find_person(self._store, token, now=datetime.now(UTC))
        return await run_in_threadpool(find_person, self._store, token, now=datetime.now(UTC))

    def _watch(
        self, receive: Receive, send: Send, token: str | None, person: Person
    ) -> tuple[Receive, Send]:
        """Return a `receive` and a `send` that end a socket when its session or role has changed.

        A socket outlives the request that opened it, and Streamlit runs callbacks before the page
        itself could ask.
        """
        closed = False

        async def receive_while_signed_in() -> Message:
            nonlocal closed
            message = await receive()
            if message["type"] == "websocket.receive" and await self._find(token) != person:
                closed = True
                _log.warning("closed the socket of %s: signed out or changed", person.user_id)
                await send({"type": "websocket.close", "code": 1008, "reason": "signed out"})
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        async def send_until_closed(message: Message) -> None:
            if not closed:
                await send(message)

        return receive_while_signed_in, send_until_closed


async def _refuse_now(scope: Scope, receive: Receive, send: Send, error: StoreError) -> None:
    _log.warning("refused %r: %s. %s", scope["path"], error.message, error.hint)
    if _is_navigation(scope):
        page = show_refusal(f"{error.message}. Reload later", title="Not now", status=503)
        await page(scope, receive, send)
        return
    await refuse(scope, receive, send, error.message, hint=STORE_HINT, status=503)


async def _refuse_role(scope: Scope, receive: Receive, send: Send, person: Person) -> None:
    roles = " or ".join(sorted(roles_of(scope["path"])))
    if roles:
        who = f"{person.user_id}, who is {person.role}"
        _log.warning("refused %r to %s: it is for %s", scope["path"], who, roles)
    problem = f"this page is for the role {roles}" if roles else "there is no such page"
    status = 403 if roles else 404
    if _is_navigation(scope):
        await show_refusal(problem, status=status)(scope, receive, send)
        return
    hint = "Ask whoever runs this desk."
    await refuse(scope, receive, send, problem, hint=hint, status=status)


async def _refuse_stranger(scope: Scope, receive: Receive, send: Send, *, has_cookie: bool) -> None:
    if _is_navigation(scope):
        if has_cookie:
            _log_stranger(scope, "its session is over or unknown")
        await RedirectResponse("/sign-in", status_code=303)(scope, receive, send)
        return
    # Streamlit asks every second whether the server is back, and shows the answer.
    if scope["type"] == "websocket" or first_part(scope["path"]) != "_stcore":
        _log_stranger(scope, "its session is over or unknown" if has_cookie else "not signed in")
    await refuse(scope, receive, send, "you are not signed in", hint=_SIGN_IN_HINT, status=401)


def _log_stranger(scope: Scope, why: str) -> None:
    address = (scope.get("client") or ("an unknown address",))[0]
    _log.warning("refused %s %r to %s: %s", scope["type"], scope["path"], address, why)


def _is_navigation(scope: Scope) -> bool:
    """Whether a browser wants to show this, and not a script or picture to use it."""
    if scope["type"] != "http" or first_part(scope["path"]) in ("desk", "creative"):
        return False
    return "text/html" in HTTPConnection(scope).headers.get("accept", "")
