"""Statements that every step of the desk runs, prepared once.

SQLAlchemy takes four times as long over each execution as SQLite does: it looks the statement up,
builds a context, a result and row objects. Here it says once for each dialect how a statement
reads and how its values are turned; after that the driver runs it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

Turn = Callable[[Any], Any] | None
_GIVEN = object()


class Prepared:
    """A statement with its parameters by name and its rows as dicts.

    Args:
        statement: without lists of variable length in its parameters.
        columns: those that an insert writes.
    """

    def __init__(
        self,
        statement: Select[Any] | Insert | Update | Delete,
        *,
        columns: Sequence[str] | None = None,
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run it in the transaction of a connection; returns its rows, none where it has none.

        Raises:
            KeyError: when a parameter is missing.
            DBAPIError: what the driver says, as SQLAlchemy raises it.
        """
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _compile(self._statement, self._columns, dialect)
            self._compiled[dialect.name] = compiled
        cursor = connection.connection.cursor()
        try:
            cursor.execute(compiled.sql, compiled.bind(given))
            if not compiled.columns:
                return []
            if compiled.turns is None:
                compiled.turns = _find_turns(compiled.columns, cursor.description, dialect)
            return [compiled.read(row) for row in cursor.fetchall()]
        except dialect.loaded_dbapi.Error as error:
            is_lost = dialect.is_disconnect(error, connection.connection, cursor)
            if is_lost:
                connection.invalidate(error)
            raise _name(error, compiled.sql, dialect, is_lost) from error
        finally:
            cursor.close()

    def find(self, connection: Connection, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Run it for at most one row."""
        rows = self.run(connection, given)
        return rows[0] if rows else None


@dataclass(slots=True)
class _Compiled:
    """A statement in one dialect.

    Attributes:
        binds: of each parameter its name, its value, and how a value is turned; `_GIVEN` stands for
            one that comes with each execution.
        positional: whether the driver takes parameters by place.
        columns: of the result.
        turns: how each of them is turned; known once the driver has said what it gives.
    """

    sql: str
    binds: tuple[tuple[str, Any, Turn], ...]
    positional: bool
    columns: tuple[ColumnElement[Any], ...]
    turns: tuple[tuple[str, Turn], ...] | None = None

    def bind(self, given: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
        values = []
        for name, fixed, turn in self.binds:
            value = given[name] if fixed is _GIVEN else fixed
            values.append(turn(value) if turn else value)
        if self.positional:
            return values
        return {bind[0]: value for bind, value in zip(self.binds, values, strict=True)}

    def read(self, row: Sequence[Any]) -> dict[str, Any]:
        return {
            key: turn(value) if turn else value
            for (key, turn), value in zip(self.turns or (), row, strict=True)
        }


def _compile(
    statement: Select[Any] | Insert | Update | Delete,
    columns: Sequence[str] | None,
    dialect: Dialect,
) -> _Compiled:
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    names = compiled.positiontup if compiled.positional else list(compiled.binds)
    binds = [(name, compiled.binds[name]) for name in names or ()]
    columns_read = statement.selected_columns if isinstance(statement, Select) else ()
    return _Compiled(
        sql=compiled.string,
        binds=tuple(
            (
                name,
                _GIVEN if bind.required else bind.value,
                _of_dialect(bind.type, dialect).bind_processor(dialect),
            )
            for name, bind in binds
        ),
        positional=compiled.positional,
        columns=tuple(columns_read),
    )


def _find_turns(
    columns: Sequence[ColumnElement[Any]], description: Sequence[Sequence[Any]], dialect: Dialect
) -> tuple[tuple[str, Turn], ...]:
    return tuple(
        (str(column.key), _of_dialect(column.type, dialect).result_processor(dialect, said[1]))
        for column, said in zip(columns, description, strict=True)
    )


def _of_dialect(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)


def _name(error: Exception, sql: str, dialect: Dialect, is_lost: bool) -> BaseException:
    return DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
