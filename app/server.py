"""The desk's server: Streamlit's ASGI app with our routes and our guard."""

import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import streamlit as st
from starlette.middleware import Middleware

from annotators.batches import fill
from app.bootstrap import Studio, serve_studio
from app.guard import LocalGuard, require_loopback
from app.routes import desk_routes
from creativepair.errors import StateError

_SCRIPT = Path(__file__).resolve().parent / "streamlit_app.py"
_START_LIMIT_S = 60.0

# STREAMLIT_* variables and a config.toml elsewhere must not change the desk: all of it stands here.
_CONFIG = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "logger.hideWelcomeMessage": True,  # standard output belongs to our own line
    "runner.postScriptGC": False,  # a full collection after every run costs 4 times the verdict
    "server.fileWatcherType": "none",
    "server.headless": True,
    "theme.baseFontSize": 15,
    "theme.baseRadius": "6px",
    "theme.buttonRadius": "6px",
    "theme.headingFontSizes": ["1.6rem", "1.25rem", "1.05rem"],
    "theme.paddingTop": "3.75rem",
    "theme.showWidgetBorder": True,
    "theme.light.primaryColor": "#23635d",
    "theme.light.backgroundColor": "#fbfaf8",
    "theme.light.secondaryBackgroundColor": "#f1efea",
    "theme.light.textColor": "#1f2a30",
    "theme.light.borderColor": "#d8d4cb",
    "theme.dark.primaryColor": "#86cdbf",
    "theme.dark.backgroundColor": "#15191b",
    "theme.dark.secondaryBackgroundColor": "#1e2427",
    "theme.dark.textColor": "#e7e4dd",
    "theme.dark.borderColor": "#3a4246",
}


def build_app(studio: Studio) -> st.App:
    """Return the ASGI app that serves one workspace to the local annotator."""
    serve_studio(studio)
    with studio.store.write() as connection:
        # Pairs of a workspace that an older program built have no tasks yet.
        fill(connection, studio.workspace, now=datetime.now(UTC))
    return st.App(_SCRIPT, routes=desk_routes(studio), middleware=[Middleware(LocalGuard)])


def serve(studio: Studio, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the desk until it is stopped; `on_ready` gets its address once it answers.

    Raises:
        InputError: when the host is not a loopback one.
        StateError: when the port is taken.
    """
    require_loopback(host)
    require_free_port(host, port)
    app = build_app(studio)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
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
