"""One statement for many rows, at the driver's own speed.

SQLAlchemy prepares the parameters of each row by itself, which for a batch of a thousand costs more than the database
does. Here a statement is compiled once, and the rows go straight to the driver; only what the types change on their way
(times) is changed, a column at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Select

from mo_sync.ledger.dialect import VALUES, Insert, as_values

__all__ = ["Build", "Look", "look_up", "write"]

Build = Callable[[str], Insert]
"""Makes the statement for a dialect's name. It is called once, so it takes nothing from a batch."""
Look = Callable[[str], Select[Any]]
"""The same for a query, with :func:`mo_sync.ledger.dialect.among` in it."""

Row = dict[str, Any]
_MOST_AT_ONCE: Final = 64
_NOTHING: Final = object()


def write(connection: Connection, build: Build, rows: Sequence[Row]) -> int:
    """Insert ``rows``, which all have the same columns, as ``build`` says; how many were inserted or changed."""
    if not rows:
        return 0
    prepared = _prepared(connection.dialect, build, tuple(rows[0]))
    values = prepared.parameters(rows)
    if prepared.group is None:
        return connection.exec_driver_sql(prepared.sql, values).rowcount
    return _write_together(connection, prepared, values)


def look_up(connection: Connection, look: Look, values: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of a query about ``values``, as the driver gives them: for columns of plain text."""
    if not values:
        return []
    sql, positional = _looking(connection.dialect, look)
    given = as_values(connection.dialect.name, values)
    found = connection.exec_driver_sql(sql, (given,) if positional else {VALUES: given})
    return [tuple(row) for row in found]


def _write_together(connection: Connection, prepared: _Prepared, values: Sequence[tuple[Any, ...]]) -> int:
    """SQLite steps through a statement for each row; Python lets other threads run at every step, and waits its turn
    again after it. So many rows are one statement, of which there are few sizes, since each is prepared once."""
    done = start = 0
    while start < len(values):
        size = min(_MOST_AT_ONCE, 1 << (len(values) - start).bit_length() - 1)
        some = values[start : start + size]
        sql = prepared.of(size)
        done += connection.exec_driver_sql(sql, tuple(value for row in some for value in row)).rowcount
        start += size
    return done


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A compiled statement. ``names`` are its columns in its own order, ``changes`` what the type of each does.

    ``group`` is the parameters of one row as they stand in it, where several rows can be one statement.
    """

    sql: str
    names: tuple[str, ...]
    positional: bool
    changes: tuple[Callable[[Any], Any] | None, ...]
    group: str | None

    def of(self, rows: int) -> str:
        """The statement for so many rows."""
        return self.sql.replace(self.group, ", ".join([self.group] * rows), 1) if self.group else self.sql

    def parameters(self, rows: Sequence[Row]) -> Any:
        columns = [
            [row[name] for row in rows] if change is None else _changed([row[name] for row in rows], change)
            for name, change in zip(self.names, self.changes, strict=True)
        ]
        values = list(zip(*columns, strict=True))
        return values if self.positional else [dict(zip(self.names, row, strict=True)) for row in values]


def _changed(values: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    """Mostly it is the same moment in every row."""
    last, changed = _NOTHING, None
    found: list[Any] = []
    for value in values:
        if value is not last:
            last, changed = value, change(value)
        found.append(changed)
    return found


@lru_cache(maxsize=64)
def _prepared(dialect: Dialect, build: Build, names: tuple[str, ...]) -> _Prepared:
    # Inline: nobody asks for the row numbers that the database hands out.
    compiled = build(dialect.name).inline().compile(dialect=dialect, column_keys=list(names))
    positional = compiled.positiontup is not None
    ordered = tuple(compiled.positiontup or names)
    changes = tuple(compiled.binds[name].type.bind_processor(dialect) for name in ordered)
    group = f"({', '.join('?' * len(ordered))})"
    together = positional and str(compiled).count(group) == 1
    return _Prepared(str(compiled), ordered, positional, changes, group if together else None)


@lru_cache(maxsize=64)
def _looking(dialect: Dialect, look: Look) -> tuple[str, bool]:
    compiled = look(dialect.name).compile(dialect=dialect)
    return str(compiled), compiled.positiontup is not None
