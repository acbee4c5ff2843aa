"""Secret keys of a workspace. They leave it in its backups only."""

import secrets
from datetime import datetime

from sqlalchemy import Connection, insert, select

from creativepair.store.locks import take_turn
from creativepair.store.tables import workspace_keys

_BYTES = 32


def make_key(connection: Connection, name: str, *, now: datetime) -> bytes:
    """Return the key of this name, drawn at its first use; 32 bytes.

    Args:
        connection: of a write transaction.
    """
    take_turn(connection, "keys")
    query = select(workspace_keys.c.secret).where(workspace_keys.c.name == name)
    secret = connection.execute(query).scalar()
    if secret is None:
        secret = secrets.token_hex(_BYTES)
        row = {"name": name, "secret": secret, "created_at": now}
        connection.execute(insert(workspace_keys).values(row))
    return bytes.fromhex(secret)
