"""The desk's server: Streamlit's ASGI app with our routes and our guard."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.pages_manager import PagesManager

from annotators.batches import fill
from app.accounts.forms import account_routes
from app.accounts.gate import SessionGate
from app.bootstrap import Studio, serve_studio
from app.downloads import download_routes
from app.guard import LOOPBACK_HOSTS, HostGuard, LocalGuard, require_loopback
from app.routes import ShortCut, desk_routes
from creativepair.errors import StateError
from creativepair.store import users

_SCRIPT = Path(__file__).resolve().parent / "streamlit_app.py"
_START_LIMIT_S = 60.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (with accounts only)

# STREAMLIT_* variables and a config.toml elsewhere must not change the desk: all of it stands here.
_CONFIG = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "logger.hideWelcomeMessage": True,  # standard output belongs to our own line
    "runner.postScriptGC": False,  # a full collection after every run costs 4 times the verdict
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": 1_000,  # MB, which stand in memory; more goes by `creativepair ingest`
    "theme.baseFontSize": 15,
    "theme.baseRadius": "6px",
    "theme.buttonRadius": "6px",
    "theme.headingFontSizes": ["1.6rem", "1.25rem", "1.05rem"],
    "theme.paddingTop": "1.25rem",
    "theme.showWidgetBorder": True,
    "theme.light.primaryColor": "#23635d",
    "theme.light.backgroundColor": "#fbfaf8",
    "theme.light.secondaryBackgroundColor": "#f1efea",
    "theme.light.textColor": "#0c1519",  # captions are at 60 % of it, and have to be read too
    "theme.light.borderColor": "#d8d4cb",
    "theme.dark.primaryColor": "#86cdbf",
    "theme.dark.backgroundColor": "#15191b",
    "theme.dark.secondaryBackgroundColor": "#1e2427",
    "theme.dark.textColor": "#e7e4dd",
    "theme.dark.borderColor": "#3a4246",
}


def has_accounts(studio: Studio) -> bool:
    """Whether the desk asks who one is: there is an account, also a disabled one."""
    with studio.store.read() as connection:
        return users.has_users(connection)


def build_app(
    studio: Studio, *, hosts: Iterable[str] = (), trusted_proxy: str | None = None
) -> st.App:
    """Return the ASGI app that serves one workspace: to its people, without any to this machine.

    Args:
        hosts: names that a desk with accounts answers to, beside the loopback ones.
        trusted_proxy: address of the proxy whose forwarded headers count; the server below this
            app has to be told too, as `serve` does.
    """
    # Else Streamlit takes app/pages for pages of its own until `streamlit_app` has run once, and
    # runs one by its address without asking who comes.
    PagesManager.uses_pages_directory = False
    asks = has_accounts(studio)
    serve_studio(studio, has_accounts=asks)
    with studio.store.write() as connection:
        # Pairs of a workspace that an older program built have no tasks yet.
        fill(connection, studio.workspace, now=datetime.now(UTC))
    routes = [*desk_routes(studio), *download_routes(studio)]
    short_cut = Middleware(ShortCut, routes=routes)
    if not asks:
        return st.App(_SCRIPT, routes=routes, middleware=[Middleware(LocalGuard), short_cut])
    names = LOOPBACK_HOSTS | {host.lower() for host in hosts}
    return st.App(
        _SCRIPT,
        routes=[*account_routes(studio), *routes],
        middleware=[
            Middleware(HostGuard, hosts=names, behind_proxy=trusted_proxy is not None),
            Middleware(SessionGate, store=studio.store),
            short_cut,
        ],
    )


def serve(
    studio: Studio,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    allowed_hosts: Iterable[str] = (),
    trusted_proxy: str | None = None,
) -> None:
    """Serve the desk until it is stopped; `on_ready` gets its address once it answers.

    Raises:
        InputError: when there are no accounts and the host is not a loopback one.
        StateError: when the port is taken, or people sign in elsewhere and none can.
    """
    if not has_accounts(studio):
        if oidc := studio.workspace.settings.oidc:
            raise StateError(
                f"people sign in through {oidc.issuer}, but nobody has an account",
                hint="Add yourself first: creativepair users add ID --role lead",
            )
        require_loopback(host)
    require_free_port(host, port)
    # The server rewrites client and scheme from what this proxy forwards, and from nobody else.
    os.environ["FORWARDED_ALLOW_IPS"] = trusted_proxy or ""
    reached = _EVERY_ADDRESS.get(host, host)
    app = build_app(studio, hosts=[*allowed_hosts, reached], trusted_proxy=trusted_proxy)
    url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
    threading.Thread(target=_announce, args=(url, on_ready), daemon=True).start()
    app.run(config=_CONFIG | {"server.address": host, "server.port": port})


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that another server has: its answers would be taken for ours.

    Raises:
        StateError: when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StateError(
                f"port {port} is taken: {error.strerror}", hint=f"Pass --port {port + 1}."
            ) from error


def _announce(url: str, on_ready: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/healthz", timeout=1.0, trust_env=False).status_code == 200:
                on_ready(url)
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    sys.stderr.write(f"the desk at {url} does not answer\n")
