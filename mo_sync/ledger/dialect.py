"""What differs between SQLite and PostgreSQL, in one place; how each is tidied is beside it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, Text, and_, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import dml as postgresql_dml
from sqlalchemy.dialects.sqlite import dml as sqlite_dml
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = [
    "ALONE",
    "VALUES",
    "Insert",
    "among",
    "as_values",
    "begins_with",
    "day_of",
    "driver_code",
    "folded",
    "insert",
    "last_number",
    "lock_for_migration",
    "locks_rows",
    "outside",
    "random_token",
    "reading",
    "second_of",
    "shell_word",
    "take_turns_recording",
    "trouble_of",
]

Insert = postgresql_dml.Insert | sqlite_dml.Insert

_MIGRATION_LOCK: Final = 0x6D6F2D73796E63  # "mo-sync", as a number for pg_advisory_xact_lock
_RECORDING_LOCK: Final = _MIGRATION_LOCK + 1
_QUOTE: Final = "''''"  # a single quote, as SQL writes it

_SQLITE_TROUBLE: Final = {
    "SQLITE_BUSY": "ledger-locked",
    "SQLITE_LOCKED": "ledger-locked",
    "SQLITE_PROTOCOL": "ledger-locked",
    "SQLITE_FULL": "ledger-full",
    "SQLITE_READONLY": "ledger-read-only",
    "SQLITE_PERM": "ledger-read-only",
    "SQLITE_AUTH": "ledger-read-only",
    "SQLITE_CORRUPT": "ledger-damaged",
    "SQLITE_NOTADB": "ledger-damaged",
    "SQLITE_CANTOPEN": "ledger-gone",
    "SQLITE_IOERR": "ledger-unreadable",
    "SQLITE_NOMEM": "ledger-starved",
}
_POSTGRES_TROUBLE: Final = {
    "53100": "ledger-full",
    "53200": "ledger-starved",
    "53": "ledger-starved",
    "25006": "ledger-read-only",
    "25P03": "ledger-gone",
    "25P04": "ledger-gone",
    "42501": "ledger-read-only",
    "55P03": "ledger-locked",
    "57014": "ledger-slow",
    "40": "ledger-locked",
    "28": "ledger-refused",
    "3D": "ledger-gone",
    "08": "ledger-gone",
    "57": "ledger-gone",
    "58": "ledger-unreadable",
    "XX": "ledger-damaged",
}


def insert(dialect: str, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT; both dialects spell it alike but have a class each."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


VALUES: Final = "values"
"""The parameter of :func:`among`."""


def among(dialect: str, column: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether ``column`` is one of the texts in the parameter :data:`VALUES`, however many: see :func:`as_values`."""
    if dialect == "postgresql":
        return column == func.any(bindparam(VALUES, type_=postgresql.ARRAY(Text)))
    each = func.json_each(bindparam(VALUES, type_=Text)).table_valued("value")
    return column.in_(select(each.c.value))


def as_values(dialect: str, values: Sequence[str]) -> list[str] | str:
    """The parameter for :func:`among`."""
    return list(values) if dialect == "postgresql" else json.dumps(values)


def begins_with(dialect: str, column: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    """Whether a text begins so, letter by letter: LIKE takes upper and lower case for the same in SQLite alone.

    In SQLite, whose indexes are in the order of the bytes, it is a range of one; PostgreSQL's may have another order.
    """
    if dialect == "postgresql" or not beginning:
        return func.substr(column, 1, len(beginning)) == beginning
    return and_(column >= beginning, column < beginning + chr(0x10FFFF))


class folded(FunctionElement[str]):  # noqa: N801  it stands in statements like a function
    """A text with A to Z in lower case, and no other letters: SQLite knows no others, and PostgreSQL's own LOWER knows
    those of the database's language."""

    inherit_cache = True
    type = Text()


@compiles(folded)
def _folded(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(folded, "postgresql")
def _folded_there(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower(({compiler.process(element.clauses, **options)}) collate "C")'


def last_number(connection: Connection, table: Table) -> int:
    """The highest row number that the database says it gave, though its row may be gone; 0 if it does not count."""
    if connection.dialect.name == "postgresql":
        query = "select coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')), 0)"
    elif table.dialect_options["sqlite"]["autoincrement"]:
        query = "select coalesce(max(seq), 0) from sqlite_sequence where name = ?"
    else:
        return 0
    return int(connection.exec_driver_sql(query, (table.name,)).scalar_one())


def locks_rows(dialect: str) -> bool:
    """Whether several write at a time and lock rows, which claimers pass; in SQLite there is only one writer."""
    return dialect == "postgresql"


def random_token(dialect: str) -> ColumnElement[str]:
    """SQL for 128 random bits in hexadecimal, drawn anew for each row of a statement."""
    if dialect == "postgresql":
        return func.replace(cast(func.gen_random_uuid(), Text), "-", "")
    return func.lower(func.hex(func.randomblob(16)))


def day_of(dialect: str, column: str) -> str:
    """SQL for the UTC day of a time, as ``2026-11-20``."""
    if dialect == "postgresql":
        return f"to_char({column} at time zone 'UTC', 'YYYY-MM-DD')"
    return f"substr({column}, 1, 10)"


def second_of(dialect: str, column: str) -> str:
    """SQL for a time in whole seconds, as people hand it to a command: ``2026-11-20T12:00:00Z``."""
    if dialect == "postgresql":
        return f"""to_char({column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
    return f"substr({column}, 1, 19) || 'Z'"


def shell_word(dialect: str, column: str) -> str:
    """SQL for an id as one word of a shell's command line, in quotes if it needs them: ids come from outside."""
    odd = f"{column} ~ '[^A-Za-z0-9_.:@+-]'" if dialect == "postgresql" else f"{column} glob '*[^A-Za-z0-9_.:@+-]*'"
    quoted = f"{_QUOTE} || replace({column}, {_QUOTE}, {_QUOTE} || '\"' || {_QUOTE} || '\"' || {_QUOTE}) || {_QUOTE}"
    return f"case when {odd} then {quoted} when substr({column}, 1, 1) = '-' then '-- ' || {column} else {column} end"


def reading(dialect: str) -> dict[str, Any]:
    """Execution options under which all that a transaction reads is from one moment. In SQLite that is so anyway."""
    if dialect == "postgresql":
        return {"isolation_level": "REPEATABLE READ"}
    return {}


ALONE: Final = "mo_sync_alone"


def outside(dialect: str) -> dict[str, Any]:
    """Execution options for statements outside of any transaction."""
    # SQLAlchemy's own AUTOCOMMIT would leave SQLite's driver beginning transactions of its own afterwards.
    return {"isolation_level": "AUTOCOMMIT"} if dialect == "postgresql" else {ALONE: True}


def lock_for_migration(connection: Connection) -> None:
    """Keep other migrations out until this transaction ends. SQLite's write lock is held already."""
    if connection.dialect.name == "postgresql":
        # A large ledger may take its time, and those who come meanwhile wait for it.
        connection.exec_driver_sql("set local lock_timeout = '15min'")
        connection.exec_driver_sql("set local statement_timeout = 0")
        connection.connection.dbapi_connection.patience_s = None  # type: ignore[union-attr]  # see patience.py
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_MIGRATION_LOCK})")


def take_turns_recording(connection: Connection) -> None:
    """One recorder at a time, so that what it finds unknown stays so until it commits. So it is in SQLite anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_RECORDING_LOCK})")


def driver_code(original: BaseException | None) -> str | None:
    """The driver's own code for an error: SQLite's name for it, or PostgreSQL's five characters; None without one.

    A PostgreSQL error without a code is a connection that could not be made or kept.
    """
    found: str | None = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return found


def trouble_of(original: BaseException | None) -> str | None:
    """The kebab-case code of a driver's error that means "not now"; None when it means something else.

    SQLite's extended codes (``SQLITE_IOERR_WRITE``) count as their first two words. Of PostgreSQL's five characters the
    first two are the class.
    """
    code = driver_code(original) or ""
    if isinstance(original, sqlite3.Error):
        if code == "SQLITE_ERROR" and str(original).startswith("no such table"):
            return "ledger-gone"  # an empty file in its place
        return _SQLITE_TROUBLE.get("_".join(code.split("_")[:2]))
    return _POSTGRES_TROUBLE.get(code) or _POSTGRES_TROUBLE.get(code[:2])
