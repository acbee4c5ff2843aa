"""Doing one thing at a time, across processes."""

from sqlalchemy import Connection, text


def take_turn(connection: Connection, what: str) -> None:
    """Wait until no other transaction holds this turn; it ends with the transaction.

    SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": what}
        )
