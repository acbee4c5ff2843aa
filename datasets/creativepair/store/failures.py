"""What the database driver says, as errors for users.

PostgreSQL is read by SQLSTATE and never by its words, which come in the server's language and quote
what was written. Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from sqlalchemy.exc import DataError, DBAPIError

from creativepair.errors import CreativePairError, InputError, StoreError

_UNCHANGED = "nothing was changed."


def name_failure(error: DBAPIError) -> CreativePairError | None:
    """Say what went wrong for a user; None where it is a fault of this program."""
    # What follows the first line quotes rows, or repeats it for each address of a host.
    problem = str(error.orig).partition("\n")[0]
    if type(error.orig).__module__.startswith("sqlite3"):
        return _name_sqlite(problem)
    return _name_postgresql(error, problem)


def _name_sqlite(problem: str) -> CreativePairError | None:
    if "readonly" in problem or "read-only" in problem:
        return StoreError(
            f"the store cannot be written: {problem}",
            hint=f"Check the permissions of the workspace; {_UNCHANGED}",
        )
    if "full" in problem:
        return _full(problem)
    if "disk I/O" in problem:
        return StoreError(
            f"the disk of the store fails: {problem}",
            hint=f"Check the disk and the space on it; {_UNCHANGED}",
        )
    if "locked" in problem:
        return _held(problem)
    if "not a database" in problem or "malformed" in problem:
        return StoreError(
            f"the store is damaged: {problem}",
            hint="Put studio.db back from a backup of the workspace.",
        )
    if "unable to open" in problem:
        return StoreError(
            f"the store cannot be opened: {problem}", hint="Check the workspace's path."
        )
    return None


def _name_postgresql(error: DBAPIError, problem: str) -> CreativePairError | None:
    state: str = getattr(error.orig, "sqlstate", None) or ""
    # Without a statement it failed while connecting; then there may be no server to give a state.
    if error.connection_invalidated or state[:2] in ("08", "28") or not (state or error.statement):
        return StoreError(
            f"the store's server cannot be reached: {problem}",
            hint="Check that it runs and what CREATIVEPAIR_DATABASE_URL says, then repeat.",
        )
    if state in ("25006", "42501"):  # a standby or a read-only transaction; missing rights
        return StoreError(
            f"the store cannot be written: {problem}",
            hint=f"Name a server and a user that may write and make tables; {_UNCHANGED}",
        )
    if state == "53100":
        return _full(problem)
    if state[:2] in ("53", "57"):  # too many connections, no memory, a timeout, a shutdown
        return StoreError(
            f"the store's server refuses: {problem}", hint=f"Repeat it later; {_UNCHANGED}"
        )
    if state == "55P03":
        return _held(problem)
    if state in ("40001", "40P01"):
        return StoreError(
            f"two changes of the store met: {problem}", hint=f"Repeat it; {_UNCHANGED}"
        )
    # 54: too long for an index or a statement, which psycopg may find before the server does.
    too_big = state[:2] == "54" or "number of parameters" in problem
    if isinstance(error, DataError) or too_big:
        return InputError(
            f"the store cannot hold this: {problem}",
            hint=f"Shorten it, or take out odd characters; {_UNCHANGED}",
        )
    return None


def _full(problem: str) -> StoreError:
    return StoreError(f"the disk of the store is full: {problem}", hint=f"Free space; {_UNCHANGED}")


def _held(problem: str) -> StoreError:
    return StoreError(
        f"another process holds the store: {problem}", hint=f"Wait for it and repeat; {_UNCHANGED}"
    )
