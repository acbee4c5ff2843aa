"""What each role may open: the one table, for pages and routes, asked on every request.

A path is known by its first part. What the table does not name is open to nobody.
"""

from collections.abc import Mapping

from creativepair.store.users import Role

ANYONE = frozenset({"healthz", "sign-in", "join", "reset"})
"""Open without a session."""

_EVERYBODY = frozenset(Role)
_REVIEWERS = frozenset({Role.REVIEWER, Role.LEAD})
_ANALYSTS = frozenset({Role.LEAD, Role.RESEARCHER})
_LEADS = frozenset({Role.LEAD})

PAGES: Mapping[str, frozenset[Role]] = {
    "": _EVERYBODY,
    "review": _EVERYBODY,
    "guidelines": _EVERYBODY,
    "help": _EVERYBODY,
    "account": _EVERYBODY,
    "adjudicate": _REVIEWERS,
    "team": _ANALYSTS,
    "pairs": _ANALYSTS,
    "releases": _ANALYSTS,
    "models": _ANALYSTS,
    "loop": _ANALYSTS,
    "import": _LEADS,
    "settings": _LEADS,
}
"""Who may open a page, by its address."""

ROUTES: Mapping[str, frozenset[Role]] = {
    "desk": _EVERYBODY,
    "adjudication": _REVIEWERS,
    "creative": _EVERYBODY,
    "release": _ANALYSTS,
    "sign-out": _EVERYBODY,
    # Streamlit's own: its shell, its files and the socket on which `streamlit_app` asks again.
    **dict.fromkeys(("_stcore", "static", "media", "component", "favicon.png"), _EVERYBODY),
}
"""Who may call a route, by the first part of its path."""


def first_part(path: str) -> str:
    """Return what the table knows a path by."""
    return path.lstrip("/").split("/", 1)[0]


def may_open(role: Role | None, path: str) -> bool:
    """Whether somebody of this role, or without a session (None), may open a path."""
    return first_part(path) in ANYONE or role in roles_of(path)


def roles_of(path: str) -> frozenset[Role]:
    """Return the roles that may open a page or route."""
    part = first_part(path)
    return PAGES.get(part) or ROUTES.get(part) or frozenset()
