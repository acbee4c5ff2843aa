"""People with accounts, their sessions, the links that set a password, and sign-in attempts.

Of a token only its SHA-256 is stored. A token has 256 random bits, so a plain hash is enough; a
password has not, and is stored as argon2 makes it. Every function takes the connection of a
transaction of `Store`.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from creativepair.errors import NotFoundError, StateError
from creativepair.store.prepared import Prepared
from creativepair.store.tables import (
    UtcDateTime,
    password_links,
    sessions,
    sign_in_attempts,
    users,
)


class Role(StrEnum):
    """What a person is there for."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    LEAD = "lead"
    RESEARCHER = "researcher"


class Purpose(StrEnum):
    """Why a link sets a password: the first one, or another."""

    INVITE = "invite"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account.

    Attributes:
        user_id: what they sign in with; their `annotator_id`.
        name: what others see.
        password_hash: as argon2 makes it; None before the first password.
    """

    user_id: str
    name: str
    role: Role
    password_hash: str | None
    disabled_at: datetime | None
    created_at: datetime


def sha256_of(token: str) -> str:
    """Return what of a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def add_user(connection: Connection, user_id: str, *, name: str, role: Role, now: datetime) -> User:
    """Add a person without a password.

    Raises:
        StateError: when the id is taken.
    """
    if find_user(connection, user_id) is not None:
        raise StateError(f"the user {user_id} exists", hint="Choose another id.")
    connection.execute(
        insert(users).values(user_id=user_id, name=name, role=role.value, created_at=now)
    )
    return get_user(connection, user_id)


def find_user(connection: Connection, user_id: str) -> User | None:
    """Return a person, or None when there is no such account."""
    row = connection.execute(select(users).where(users.c.user_id == user_id)).one_or_none()
    return _user(row._asdict()) if row else None


def get_user(connection: Connection, user_id: str) -> User:
    """Return a person.

    Raises:
        NotFoundError: when there is no such account.
    """
    user = find_user(connection, user_id)
    if user is None:
        raise NotFoundError(f"no user {user_id}", hint="List them: creativepair users list.")
    return user


def list_users(connection: Connection) -> list[User]:
    """List everybody by id, the disabled too."""
    return [
        _user(row._asdict()) for row in connection.execute(select(users).order_by(users.c.user_id))
    ]


def has_users(connection: Connection) -> bool:
    """Whether there is any account, also a disabled one: then the desk asks who one is."""
    return connection.execute(select(users.c.user_id).limit(1)).first() is not None


def set_role(connection: Connection, user_id: str, role: Role) -> User:
    """Give a person another role; it counts from their next request on.

    Raises:
        NotFoundError: when there is no such account.
    """
    get_user(connection, user_id)
    connection.execute(update(users).where(users.c.user_id == user_id).values(role=role.value))
    return get_user(connection, user_id)


def disable_user(connection: Connection, user_id: str, *, now: datetime) -> User:
    """Shut a person out, at once and on every machine; what they judged stays.

    Raises:
        NotFoundError: when there is no such account.
    """
    get_user(connection, user_id)
    connection.execute(update(users).where(users.c.user_id == user_id).values(disabled_at=now))
    end_sessions(connection, user_id, now=now)
    _spend_links(connection, user_id, now=now)
    return get_user(connection, user_id)


def enable_user(connection: Connection, user_id: str) -> User:
    """Let a disabled person sign in again, with the password they had.

    Raises:
        NotFoundError: when there is no such account.
    """
    get_user(connection, user_id)
    connection.execute(update(users).where(users.c.user_id == user_id).values(disabled_at=None))
    return get_user(connection, user_id)


def set_password(
    connection: Connection, user_id: str, password_hash: str, *, now: datetime
) -> None:
    """Store a password's hash; sessions and links that were given out before end."""
    connection.execute(
        update(users).where(users.c.user_id == user_id).values(password_hash=password_hash)
    )
    end_sessions(connection, user_id, now=now)
    _spend_links(connection, user_id, now=now)


def add_link(
    connection: Connection,
    user_id: str,
    purpose: Purpose,
    token: str,
    *,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keep a link that sets a password once; earlier ones of this person stop working."""
    _spend_links(connection, user_id, now=now)
    connection.execute(
        insert(password_links).values(
            token_sha256=sha256_of(token),
            user_id=user_id,
            purpose=purpose.value,
            created_at=now,
            expires_at=expires_at,
        )
    )


def find_link(
    connection: Connection, token: str, purpose: Purpose, *, now: datetime
) -> User | None:
    """Return whose password a link sets; None when it is unknown, used, expired or for another."""
    row = connection.execute(_usable_link(token, purpose, now)).one_or_none()
    return _user(row._asdict()) if row else None


def use_link(connection: Connection, token: str, purpose: Purpose, *, now: datetime) -> User | None:
    """Use a link up and return whose it is; None as `find_link`. Of two at once, one gets it."""
    user = find_link(connection, token, purpose, now=now)
    if user is None:
        return None
    unused = (password_links.c.token_sha256 == sha256_of(token)) & password_links.c.used_at.is_(
        None
    )
    used = connection.execute(update(password_links).where(unused).values(used_at=now))
    return user if used.rowcount else None


def add_session(
    connection: Connection, user_id: str, token: str, *, now: datetime, expires_at: datetime
) -> None:
    """Keep a session; ones that have expired are forgotten."""
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    connection.execute(
        insert(sessions).values(
            token_sha256=sha256_of(token), user_id=user_id, created_at=now, expires_at=expires_at
        )
    )


def find_session(connection: Connection, token: str, *, now: datetime) -> User | None:
    """Return who a session belongs to; None when it is unknown, over, or its person disabled."""
    wanted = {"token": sha256_of(token), "now": now}
    row = _FIND_SESSION.find(connection, wanted)
    return _user(row) if row else None


# Every request asks this, so it stands ready: building it takes longer than running it.
_FIND_SESSION = Prepared(
    select(users)
    .join(sessions, sessions.c.user_id == users.c.user_id)
    .where(
        sessions.c.token_sha256 == bindparam("token"),
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > bindparam("now", type_=UtcDateTime),
        users.c.disabled_at.is_(None),
    )
)


def end_session(connection: Connection, token: str, *, now: datetime) -> None:
    """End one session; an unknown one is no error."""
    _revoke(connection, sessions.c.token_sha256 == sha256_of(token), now)


def end_sessions(connection: Connection, user_id: str, *, now: datetime) -> None:
    """End every session of a person."""
    _revoke(connection, sessions.c.user_id == user_id, now)


def count_attempt(connection: Connection, key: str, *, now: datetime, window: timedelta) -> int:
    """Count one more sign-in attempt and return how many the open window holds with it.

    A window opens with the first attempt and lasts `window`. The row is locked until the
    transaction ends, so that attempts at the same time are counted one after another.
    """
    over = sign_in_attempts.c.since <= now - window
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    first = dialect.insert(sign_in_attempts).values(key_sha256=sha256_of(key), num=1, since=now)
    counted = first.on_conflict_do_update(
        index_elements=["key_sha256"],
        set_={
            "num": case((over, 1), else_=sign_in_attempts.c.num + 1),
            "since": case((over, first.excluded.since), else_=sign_in_attempts.c.since),
        },
    )
    return int(connection.execute(counted.returning(sign_in_attempts.c.num)).scalar_one())


def forget_attempts(connection: Connection, key: str, *, now: datetime, window: timedelta) -> None:
    """Forget the attempts of one key, since it signed in, and those whose window is over."""
    done = sign_in_attempts.c.key_sha256 == sha256_of(key)
    over = sign_in_attempts.c.since <= now - window
    connection.execute(delete(sign_in_attempts).where(done | over))


def _usable_link(token: str, purpose: Purpose, now: datetime) -> Select[Any]:
    return (
        select(users)
        .join(password_links, password_links.c.user_id == users.c.user_id)
        .where(
            password_links.c.token_sha256 == sha256_of(token),
            password_links.c.purpose == purpose.value,
            password_links.c.used_at.is_(None),
            password_links.c.expires_at > now,
            users.c.disabled_at.is_(None),
        )
    )


def _spend_links(connection: Connection, user_id: str, *, now: datetime) -> None:
    unused = (password_links.c.user_id == user_id) & password_links.c.used_at.is_(None)
    connection.execute(update(password_links).where(unused).values(used_at=now))


def _revoke(connection: Connection, condition: ColumnElement[bool], now: datetime) -> None:
    live = condition & sessions.c.revoked_at.is_(None)
    connection.execute(update(sessions).where(live).values(revoked_at=now))


def _user(row: dict[str, Any]) -> User:
    return User(**row | {"role": Role(row["role"])})
