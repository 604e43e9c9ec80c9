"""One statement for many rows, at the driver's own speed.

SQLAlchemy prepares the parameters of each row by itself, which for a batch of a thousand costs more than the database
does. Here a statement is compiled once, and the rows go straight to the driver; only what the types change on their way
(times) is changed, a column at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect

from mo_sync.ledger.dialect import Insert

__all__ = ["Build", "write"]

Build = Callable[[str], Insert]
"""Makes the statement for a dialect's name. It is called once, so it takes nothing from a batch."""

Row = dict[str, Any]


def write(connection: Connection, build: Build, rows: Sequence[Row]) -> None:
    """Insert ``rows``, which all have the same columns, as ``build`` says. Does nothing when there are none."""
    if not rows:
        return
    prepared = _prepared(connection.dialect, build, tuple(rows[0]))
    connection.exec_driver_sql(prepared.sql, prepared.parameters(rows))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A compiled statement. ``names`` are its columns in its own order, ``changes`` what the type of each does."""

    sql: str
    names: tuple[str, ...]
    positional: bool
    changes: tuple[Callable[[Any], Any] | None, ...]

    def parameters(self, rows: Sequence[Row]) -> Any:
        columns = [
            [row[name] for row in rows] if change is None else [change(row[name]) for row in rows]
            for name, change in zip(self.names, self.changes, strict=True)
        ]
        values = list(zip(*columns, strict=True))
        return values if self.positional else [dict(zip(self.names, row, strict=True)) for row in values]


@lru_cache(maxsize=64)
def _prepared(dialect: Dialect, build: Build, names: tuple[str, ...]) -> _Prepared:
    # Inline: nobody asks for the row numbers that the database hands out.
    compiled = build(dialect.name).inline().compile(dialect=dialect, column_keys=list(names))
    positional = compiled.positiontup is not None
    ordered = tuple(compiled.positiontup or names)
    changes = tuple(compiled.binds[name].type.bind_processor(dialect) for name in ordered)
    return _Prepared(str(compiled), ordered, positional, changes)
