"""`users`: who may open the desk, and as what."""

import re
from datetime import UTC, datetime

from app.accounts.links import Link, make_link
from app.bootstrap import LOCAL_ANNOTATOR, Studio
from creativepair.errors import InputError, StateError
from creativepair.store import users
from creativepair.store.users import Purpose, Role, User

_USER_ID = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
_MAX_NAME_CHARACTERS = 200


def add_user(studio: Studio, user_id: str, *, role: str, name: str | None = None) -> User:
    """Add an account without a password. The id is also the `annotator_id` of what is judged.

    Raises:
        InputError: when id, name or role cannot be used.
        StateError: when the id is taken.
    """
    if not _USER_ID.fullmatch(user_id) or user_id == LOCAL_ANNOTATOR:
        raise InputError(
            f"{user_id!r} cannot be a user id",
            hint="Use 1 to 100 of a-z, 0-9 and . _ @ + -, such as ana or ana@shop.example; "
            f'"{LOCAL_ANNOTATOR}" is who judges without accounts.',
        )
    shown = (name or user_id).strip()
    if not shown.isprintable() or not 0 < len(shown) <= _MAX_NAME_CHARACTERS:
        raise InputError(
            f"{shown!r} cannot be a name",
            hint=f"Use 1 to {_MAX_NAME_CHARACTERS} characters on one line.",
        )
    chosen = _role(role)
    with studio.store.write() as connection:
        return users.add_user(connection, user_id, name=shown, role=chosen, now=datetime.now(UTC))


def list_users(studio: Studio) -> list[User]:
    """List the accounts by id, the disabled too."""
    with studio.store.read() as connection:
        return users.list_users(connection)


def change_role(studio: Studio, user_id: str, role: str) -> User:
    """Give a person another role; it counts from their next request on.

    Raises:
        InputError: when there is no such role.
        NotFoundError: when there is no such account.
    """
    chosen = _role(role)
    with studio.store.write() as connection:
        return users.set_role(connection, user_id, chosen)


def disable_user(studio: Studio, user_id: str) -> User:
    """Shut a person out at once; what they judged stays.

    Raises:
        NotFoundError: when there is no such account.
    """
    with studio.store.write() as connection:
        return users.disable_user(connection, user_id, now=datetime.now(UTC))


def enable_user(studio: Studio, user_id: str) -> User:
    """Let a disabled person in again, with the password they had.

    Raises:
        NotFoundError: when there is no such account.
    """
    with studio.store.write() as connection:
        return users.enable_user(connection, user_id)


def invite_user(studio: Studio, user_id: str) -> Link:
    """Make the link on which a person sets the first password.

    Raises:
        NotFoundError, StateError: as `app.accounts.links.make_link`; when no passwords are used.
    """
    return _make_link(studio, user_id, Purpose.INVITE)


def reset_user(studio: Studio, user_id: str) -> Link:
    """Make the link on which a person sets another password; the old one works until then.

    Raises:
        NotFoundError, StateError: as `app.accounts.links.make_link`; when no passwords are used.
    """
    return _make_link(studio, user_id, Purpose.RESET)


def _make_link(studio: Studio, user_id: str, purpose: Purpose) -> Link:
    if oidc := studio.workspace.settings.oidc:
        raise StateError(
            f"people sign in through {oidc.issuer}, without a password of the desk's own",
            hint="Give them the desk's address.",
        )
    return make_link(studio.store, user_id, purpose, now=datetime.now(UTC))


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as error:
        raise InputError(
            f"{name!r} is no role", hint=f"Choose one of {', '.join(Role)}."
        ) from error
