"""What stands between the network and the desk.

A desk without accounts answers on loopback only, for a loopback Host, and refuses requests that
came through a proxy: a forwarded request is not local, whatever its address says.
"""

import base64
import hashlib
import ipaddress
import logging
import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from creativepair.errors import InputError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_BODY_BYTES = 2_000_000
DESK_HEADER = "x-desk"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
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
            "object-src 'none'; base-uri 'self'"
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
            hint="Use --host 127.0.0.1, and a tunnel such as ssh -L to reach it.",
        )


class LocalGuard:
    """ASGI middleware: loopback requests only, custom header on writes, security headers on all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse and log it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = _problem(scope)
        if problem:
            _log.warning("refused %s %s: %s", scope["type"], scope["path"], problem)
            await _refuse(scope, receive, send, problem)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in security_headers().items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _problem(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    if any(name in headers for name in _FORWARDED):
        return "forwarded requests are not local"
    if _hostname(headers.get("host", "")) not in LOOPBACK_HOSTS:
        return "the Host header is not a loopback one"
    client = scope.get("client")
    if client and not _is_loopback(client[0]):
        return "the request does not come from this machine"
    if scope["type"] == "http" and scope["path"].startswith("/desk/") and scope["method"] == "POST":
        if DESK_HEADER not in headers:
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


async def _refuse(scope: Scope, receive: Receive, send: Send, problem: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": problem})
        return
    body = {"code": "refused", "message": problem, "hint": "Open http://127.0.0.1 on this machine."}
    await JSONResponse(body, status_code=403)(scope, receive, send)
