"""Signing in and out, and who a session belongs to.

The cookie holds a random token of 256 bits and nothing else; the store holds its SHA-256, until
when it counts and whether it was ended. So a session can be ended at once, from anywhere, and
nothing that a browser sends is believed. The look-up is by the hash: how long it takes says
nothing about the token.
"""

import logging
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.accounts import passwords
from app.people import Person
from creativepair.errors import CreativePairError
from creativepair.store import Store, users

SESSION_COOKIE = "creativepair_session"
SESSION_TIME = timedelta(hours=12)
ATTEMPT_WINDOW = timedelta(minutes=15)
USER_ATTEMPTS = 10
# More people than one sit behind one address; each of them has a limit of their own.
ADDRESS_ATTEMPTS = 100
_log = logging.getLogger(__name__)


class SignInError(CreativePairError):
    """A sign-in that was refused.

    Args:
        status: the HTTP status that says so.
    """

    code = "refused"

    def __init__(self, message: str, *, hint: str, status: int) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def sign_in(store: Store, user_id: str, password: str, *, address: str, now: datetime) -> str:
    """Check a password and return the token of a new session.

    An attempt is counted before the password is looked at, so that many at once gain nothing. An
    unknown id takes as long as a wrong password and gets the same answer.

    Raises:
        SignInError: when it is refused: wrong, disabled, or too many attempts.
    """
    keys = {f"user {user_id}": USER_ATTEMPTS, f"address {address}": ADDRESS_ATTEMPTS}
    with store.write() as connection:
        too_many = _count_attempts(connection, keys, now)
        user = users.find_user(connection, user_id)
    # Who it was only where there is such a person: people type passwords where the id belongs.
    who = user.user_id if user else "an unknown user"
    if too_many:
        raise _too_many(who, address)
    password_hash = user.password_hash if user else None
    if not passwords.matches(password_hash, password) or user is None or password_hash is None:
        _log.warning("refused a sign-in of %s from %s: wrong password", who, address)
        raise SignInError(
            "the id or the password is wrong",
            hint="Try again, or ask whoever runs this desk for a link to reset it.",
            status=401,
        )
    token = secrets.token_urlsafe(32)
    with store.write() as connection:
        # While argon2 was at work, the account may have been disabled or the password changed.
        current = users.get_user(connection, user_id)
        refused = current.disabled_at is not None or current.password_hash != password_hash
        if not refused:
            users.forget_attempts(connection, f"user {user_id}", now=now, window=ATTEMPT_WINDOW)
            users.add_session(connection, user_id, token, now=now, expires_at=now + SESSION_TIME)
    if refused:
        raise _disabled(who, address)
    return token


def count_visit(store: Store, *, address: str, now: datetime) -> None:
    """Count a sign-in that another service is to answer.

    Raises:
        SignInError: when there were too many from this address.
    """
    with store.write() as connection:
        too_many = _count_attempts(connection, {f"address {address}": ADDRESS_ATTEMPTS}, now)
    if too_many:
        raise _too_many("somebody", address)


def admit(store: Store, user_id: str, *, address: str, now: datetime) -> str:
    """Return the token of a new session for somebody whom another service vouches for.

    Raises:
        SignInError: when there is no such account, or it is disabled.
    """
    token = secrets.token_urlsafe(32)
    with store.write() as connection:
        user = users.find_user(connection, user_id)
        if user and user.disabled_at is None:
            users.add_session(connection, user_id, token, now=now, expires_at=now + SESSION_TIME)
    if user is None:
        _log.warning("refused a sign-in of %.100r from %s: no account", user_id, address)
        raise SignInError(
            f"{user_id} has no account here", hint="Ask whoever runs this desk for one.", status=403
        )
    if user.disabled_at is not None:
        raise _disabled(user_id, address)
    return token


def sign_out(store: Store, token: str, *, now: datetime) -> None:
    """End a session."""
    with store.write() as connection:
        users.end_session(connection, token, now=now)


def find_person(store: Store, token: str | None, *, now: datetime) -> Person | None:
    """Return who a session belongs to; None when it is unknown, over, or its person disabled."""
    if not token:
        return None
    with store.read() as connection:
        user = users.find_session(connection, token, now=now)
    return Person(user.user_id, user.name, user.role) if user else None


def _count_attempts(connection: Connection, keys: Mapping[str, int], now: datetime) -> bool:
    """Count one more of each and say whether any has more than it may."""
    counts = [
        users.count_attempt(connection, key, now=now, window=ATTEMPT_WINDOW) > most
        for key, most in keys.items()
    ]
    return any(counts)


def _too_many(who: str, address: str) -> SignInError:
    _log.warning("refused a sign-in of %s from %s: too many attempts", who, address)
    minutes = int(ATTEMPT_WINDOW.total_seconds() / 60)
    return SignInError(
        "too many attempts", hint=f"Wait {minutes} minutes, then try again.", status=429
    )


def _disabled(who: str, address: str) -> SignInError:
    _log.warning("refused a sign-in of %s from %s: disabled account", who, address)
    return SignInError("this account is disabled", hint="Ask whoever runs this desk.", status=403)
