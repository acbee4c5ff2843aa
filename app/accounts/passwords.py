"""Passwords: what is good enough, and argon2."""

import threading
import unicodedata
from secrets import token_hex

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from creativepair.errors import InputError

LEAST_CHARACTERS = 10
MOST_CHARACTERS = 200
LEAST_DIFFERENT = 5

_hasher = PasswordHasher()
_NOBODYS_HASH = _hasher.hash(token_hex())
# One hash takes 64 MiB and a tenth of a second: a crowd of them would take the desk's memory.
_slots = threading.BoundedSemaphore(2)


def hash_password(password: str, *, user_id: str) -> str:
    """Return the argon2 hash of a new password.

    Raises:
        InputError: when it is too short, too long, of too few characters, or the person's id.
    """
    text = _normalise(password)
    if not LEAST_CHARACTERS <= len(text) <= MOST_CHARACTERS:
        raise InputError(
            f"a password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters, not {len(text)}",
            hint="Several words in a row make a good one.",
        )
    if len(set(text)) < LEAST_DIFFERENT or text.casefold() == user_id.casefold():
        raise InputError(
            f"a password is not your id and has {LEAST_DIFFERENT} different characters or more",
            hint="Several words in a row make a good one.",
        )
    with _slots:
        return _hasher.hash(text)


def matches(password_hash: str | None, password: str) -> bool:
    """Whether a password is the right one; without a hash it takes as long to say no."""
    with _slots:
        try:
            right = _hasher.verify(password_hash or _NOBODYS_HASH, _normalise(password))
        except (VerificationError, InvalidHashError):
            return False
    return right and password_hash is not None


def _normalise(password: str) -> str:
    # The same keys give other code points on other systems.
    return unicodedata.normalize("NFKC", password)
