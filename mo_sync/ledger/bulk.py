"""One statement for many rows, at the driver's own speed.

SQLAlchemy prepares the parameters of each row by itself, which for a batch of a thousand costs more than the database
does. Here a statement is compiled once, and the rows go straight to the driver; only what the types change on their way
(times) is changed, a column at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Select

from mo_sync.ledger.dialect import VALUES, Insert, as_values
from mo_sync.ledger.schema import UtcTime

__all__ = ["Build", "Look", "chunks", "look_up", "write"]

Build = Callable[[str], Insert]
"""Makes the statement for a dialect's name. It is called once, so it takes nothing from a batch."""
Look = Callable[[str], Select[Any]]
"""The same for a query, with :func:`mo_sync.ledger.dialect.among` in it."""

Row = list[Any]
_MOST_AT_ONCE: Final = 64
_LOOK_UP_AT_ONCE: Final = 500
_NOTHING: Final = object()


def write(connection: Connection, build: Build, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Insert ``rows``, each with its values for ``columns``, as ``build`` says; how many were inserted or changed.

    ``columns`` stand in the table's order. The rows are used up.
    """
    if not rows:
        return 0
    prepared = _prepared(connection.dialect, build, columns)
    for place, change in prepared.changes:
        _change(rows, place, change)
    if prepared.group is None:
        return connection.exec_driver_sql(prepared.sql, prepared.parameters(rows)).rowcount
    return _write_together(connection, prepared, rows)


def look_up(connection: Connection, look: Look, values: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of a query about ``values``, as the driver gives them: for columns of plain text."""
    if not values:
        return []
    sql, positional = _looking(connection.dialect, look)
    given = as_values(connection.dialect.name, values)
    found = connection.exec_driver_sql(sql, (given,) if positional else {VALUES: given})
    return [tuple(row) for row in found]


def chunks(values: list[str]) -> Iterable[list[str]]:
    """The values in pieces that are looked up at once."""
    return (values[start : start + _LOOK_UP_AT_ONCE] for start in range(0, len(values), _LOOK_UP_AT_ONCE))


def _write_together(connection: Connection, prepared: _Prepared, rows: Sequence[Row]) -> int:
    """SQLite steps through a statement for each row; Python lets other threads run at every step, and waits its turn
    again after it. So many rows are one statement, of which there are few sizes, since each is prepared once."""
    done = start = 0
    while start < len(rows):
        size = min(_MOST_AT_ONCE, 1 << (len(rows) - start).bit_length() - 1)
        values = tuple(chain.from_iterable(rows[start : start + size]))
        done += connection.exec_driver_sql(prepared.of(size), values).rowcount
        start += size
    return done


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A compiled statement. ``names`` are its columns in its own order, ``changes`` what the types of some do.

    ``group`` is the parameters of one row as they stand in it, where several rows can be one statement.
    """

    sql: str
    names: tuple[str, ...]
    positional: bool
    changes: tuple[tuple[int, Callable[[Any], Any]], ...]
    group: str | None

    def of(self, rows: int) -> str:
        """The statement for so many rows."""
        return _several(self.sql, self.group, rows) if self.group else self.sql

    def parameters(self, rows: Sequence[Row]) -> Any:
        """One row a time, as the driver wants them."""
        return list(map(tuple, rows)) if self.positional else [dict(zip(self.names, row, strict=True)) for row in rows]


@lru_cache(maxsize=256)
def _several(sql: str, group: str, rows: int) -> str:
    return sql.replace(group, ", ".join([group] * rows), 1)


def _change(rows: Sequence[Row], place: int, change: Callable[[Any], Any]) -> None:
    """Mostly it is the same moment in every row."""
    last, changed = _NOTHING, None
    for row in rows:
        if row[place] is not last:
            last = row[place]
            changed = change(last)
        row[place] = changed


@lru_cache(maxsize=16)
def _moments(dialect: Dialect) -> Callable[[datetime | None], Any]:
    """What the driver wants for a time. With one memory for all columns: an event's own time goes into three."""
    kind = UtcTime()

    @lru_cache(maxsize=1024)
    def changed(value: datetime | None) -> Any:
        return kind.process_bind_param(value, dialect)

    return changed


@lru_cache(maxsize=64)
def _prepared(dialect: Dialect, build: Build, names: tuple[str, ...]) -> _Prepared:
    # Inline: nobody asks for the row numbers that the database hands out.
    compiled = build(dialect.name).inline().compile(dialect=dialect, column_keys=list(names))
    positional = compiled.positiontup is not None
    if positional and tuple(compiled.positiontup or ()) != names:
        raise ValueError(f"columns must stand in the table's order: {compiled.positiontup}")
    types = [compiled.binds[name].type for name in names]
    changes = tuple((place, _moments(dialect)) for place, kind in enumerate(types) if isinstance(kind, UtcTime))
    group = f"({', '.join('?' * len(names))})"
    together = positional and str(compiled).count(group) == 1
    return _Prepared(str(compiled), names, positional, changes, group if together else None)


@lru_cache(maxsize=64)
def _looking(dialect: Dialect, look: Look) -> tuple[str, bool]:
    compiled = look(dialect.name).compile(dialect=dialect)
    return str(compiled), compiled.positiontup is not None
