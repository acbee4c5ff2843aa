"""Signing in and out, and who a session belongs to.

The cookie holds a random token of 256 bits and nothing else; the store holds its SHA-256, until
when it counts and whether it was ended. So a session can be ended at once, from anywhere, and
nothing that a browser sends is believed. The look-up is by the hash: how long it takes says
nothing about the token.
"""

import logging
import secrets
from datetime import datetime, timedelta

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
        counts = [
            users.count_attempt(connection, key, now=now, window=ATTEMPT_WINDOW) > most
            for key, most in keys.items()
        ]
        user = users.find_user(connection, user_id)
    # Who it was only where there is such a person: people type passwords where the id belongs.
    who = user.user_id if user else "an unknown user"
    if any(counts):
        _log.warning("refused a sign-in of %s from %s: too many attempts", who, address)
        minutes = int(ATTEMPT_WINDOW.total_seconds() / 60)
        raise SignInError(
            "too many attempts", hint=f"Wait {minutes} minutes, then try again.", status=429
        )
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
        _log.warning("refused a sign-in of %s from %s: disabled account", who, address)
        raise SignInError(
            "this account is disabled", hint="Ask whoever runs this desk.", status=403
        )
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
