"""Doing one thing at a time, across processes."""

from sqlalchemy import Connection, bindparam, func, select

from creativepair.store.prepared import Prepared


def take_turn(connection: Connection, what: str) -> None:
    """Wait until no other transaction holds this turn; it ends with the transaction.

    SQLite has one writer anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    transaction = connection.get_transaction()
    of, held = connection.info.get("turns", (None, set()))
    if of is not transaction:
        held = set()
        connection.info["turns"] = transaction, held
    if what not in held:
        _TAKE_TURN.run(connection, {"what": what})
        held.add(what)


_TAKE_TURN = Prepared(
    select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("what"), 0)))
)
