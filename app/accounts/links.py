"""Links that set a password: an invitation for the first one, a reset for another.

A link works once, until it expires; of its token only the SHA-256 is stored. Links are shown to
whoever made them and never logged.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.accounts import passwords
from app.accounts.sessions import SESSION_TIME
from creativepair.errors import NotFoundError, StateError
from creativepair.store import Store, users
from creativepair.store.users import Purpose, User

LINK_TIME = {Purpose.INVITE: timedelta(days=7), Purpose.RESET: timedelta(hours=24)}
LINK_PATH = {Purpose.INVITE: "/join", Purpose.RESET: "/reset"}


@dataclass(frozen=True, slots=True)
class Link:
    """A link for one person: `path` with its token, to be put behind the desk's address."""

    user: User
    path: str
    expires_at: datetime


def make_link(store: Store, user_id: str, purpose: Purpose, *, now: datetime) -> Link:
    """Make a link; earlier ones of this person stop working.

    Raises:
        NotFoundError: when there is no such account.
        StateError: when it is disabled, has a password (invite) or has none (reset).
    """
    token = secrets.token_urlsafe(32)
    expires_at = now + LINK_TIME[purpose]
    with store.write() as connection:
        user = users.get_user(connection, user_id)
        if user.disabled_at is not None:
            raise StateError(
                f"the account {user_id} is disabled",
                hint=f"Let them in first: creativepair users disable {user_id} --undo.",
            )
        if (user.password_hash is None) != (purpose is Purpose.INVITE):
            has, other = ("a", Purpose.RESET) if user.password_hash else ("no", Purpose.INVITE)
            raise StateError(
                f"{user_id} has {has} password", hint=f"Run creativepair users {other} {user_id}."
            )
        users.add_link(connection, user_id, purpose, token, now=now, expires_at=expires_at)
    return Link(user, f"{LINK_PATH[purpose]}?token={token}", expires_at)


def find_invited(store: Store, token: str, purpose: Purpose, *, now: datetime) -> User:
    """Return whose password a link sets.

    Raises:
        NotFoundError: when the link is unknown, used, or expired.
    """
    with store.read() as connection:
        return _require(users.find_link(connection, token, purpose, now=now))


def accept_link(store: Store, token: str, purpose: Purpose, password: str, *, now: datetime) -> str:
    """Set the password, end the person's other sessions, return the token of a new one.

    Raises:
        NotFoundError: when the link is unknown, used, or expired.
        InputError: when the password is not good enough; the link can be used again.
    """
    user = find_invited(store, token, purpose, now=now)
    password_hash = passwords.hash_password(password, user_id=user.user_id)
    session = secrets.token_urlsafe(32)
    with store.write() as connection:
        _require(users.use_link(connection, token, purpose, now=now))
        users.set_password(connection, user.user_id, password_hash, now=now)
        users.add_session(connection, user.user_id, session, now=now, expires_at=now + SESSION_TIME)
    return session


def _require(user: User | None) -> User:
    if user is None:
        raise NotFoundError(
            "this link is not valid any more", hint="Ask whoever runs this desk for a new one."
        )
    return user
