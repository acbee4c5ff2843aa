"""What stands between the network and the desk.

A desk without accounts answers on loopback only, for a loopback Host, and refuses requests that
came through a proxy: a forwarded request is not local, whatever its address says. A desk with
accounts answers to the names that it was told; who may come in, `app.accounts.gate` says.
"""

import base64
import hashlib
import ipaddress
import logging
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.people import LOCAL_PERSON
from creativepair.errors import InputError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_BODY_BYTES = 2_000_000
DESK_HEADER = "x-desk"
STORE_HINT = "It goes on trying by itself; if it stays so, tell whoever runs this desk."
"""What people at the desk are told to do where the store cannot be used."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_LOCAL_HINT = "Open http://127.0.0.1 on this machine."
_NAME_HINT = "Open the desk under its own name; whoever runs it adds names with --allow-host."
_log = logging.getLogger(__name__)


@cache
def security_headers() -> dict[str, str]:
    """Return the headers of every answer; inline scripts run only where Streamlit ships them."""
    hashes = "".join(f" 'sha256-{digest}'" for digest in _inline_script_digests())
    return {
        "content-security-policy": (
            f"default-src 'self'; script-src 'self' blob:{hashes}; "
            "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            "font-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'; "
            "object-src 'none'; base-uri 'self'; form-action 'self'"
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
    }


def _inline_script_digests() -> list[str]:
    page = Path(streamlit.__file__).parent / "static" / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    return [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]


def require_loopback(host: str) -> None:
    """Refuse to serve on an address that others can reach.

    Raises:
        InputError: when the host is not a loopback one.
    """
    if host not in LOOPBACK_HOSTS:
        raise InputError(
            f"a desk without accounts serves on loopback only, not on {host}",
            hint="Add accounts first: creativepair users add; or use --host 127.0.0.1, and a "
            "tunnel such as ssh -L to reach it.",
        )


class LocalGuard:
    """ASGI middleware: loopback requests only, custom header on writes, security headers on all.

    Whoever comes through is the local person.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse and log it."""
        scope["person"] = LOCAL_PERSON
        await _guard(self._app, scope, receive, send, _local_problem, _LOCAL_HINT)


class HostGuard:
    """ASGI middleware of a desk with accounts: its own names only, no foreign writes.

    Args:
        hosts: names and addresses that it answers to, without port, in lower case.
        behind_proxy: whether forwarded headers are expected; the server believes those of the
            trusted proxy and no others.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], behind_proxy: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._behind_proxy = behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse and log it."""
        await _guard(self._app, scope, receive, send, self._problem, _NAME_HINT)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if not self._behind_proxy and any(name in headers for name in _FORWARDED):
            return "forwarded requests need a trusted proxy"
        host = headers.get("host", "")
        if _hostname(host).lower() not in self._hosts:
            return "the Host header is not a name of this desk"
        # Browsers say where a write and a socket come from; other programs need not.
        origin = headers.get("origin")
        asks = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if origin is not None and not asks and urlsplit(origin).netloc != host:
            return "the request comes from a page elsewhere"
        return _write_problem(scope, headers)


async def _guard(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    find_problem: Callable[[Scope], str | None],
    hint: str,
) -> None:
    if scope["type"] not in ("http", "websocket"):
        await app(scope, receive, send)
        return
    problem = find_problem(scope)
    if problem:
        _log.warning("refused %s %s: %s", scope["type"], scope["path"], problem)
        await refuse(scope, receive, send, problem, hint=hint, status=403)
        return

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in security_headers().items():
                headers.setdefault(name, value)
        await send(message)

    await app(scope, receive, send_with_headers)


def _local_problem(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    if any(name in headers for name in _FORWARDED):
        return "forwarded requests are not local"
    if _hostname(headers.get("host", "")) not in LOOPBACK_HOSTS:
        return "the Host header is not a loopback one"
    client = scope.get("client")
    if client and not _is_loopback(client[0]):
        return "the request does not come from this machine"
    return _write_problem(scope, headers)


def _write_problem(scope: Scope, headers: Headers) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    if scope["path"].startswith(("/desk/", "/adjudication/")) and DESK_HEADER not in headers:
        return "a write needs the desk's own header"
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return "the body is too large, or of no stated length"
    return None


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0] if ":" in host else host


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "testclient"


async def refuse(
    scope: Scope, receive: Receive, send: Send, problem: str, *, hint: str, status: int
) -> None:
    """Answer a refusal: `{code, message, hint}`, or a closed socket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": problem})
        return
    body = {"code": "refused", "message": problem, "hint": hint}
    await JSONResponse(body, status_code=status)(scope, receive, send)
