"""Connections to the ledger's database, set up so that what is committed stays committed."""

from __future__ import annotations

import re
import sqlite3
import threading
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy import exc as sa
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

from mo_sync.errors import ConfigurationError, LedgerOutOfReach, how_to_install
from mo_sync.ledger.dialect import ALONE, driver_code, trouble_of
from mo_sync.ledger.obstacles import obstacle
from mo_sync.ledger.ownfile import watch
from mo_sync.settings import Ledger as LedgerSettings

__all__ = ["FOREIGN_ERRORS", "WRITE", "connect", "shown", "translated"]

WRITE: Final = "mo_sync_write"
"""The execution option that makes a transaction take the write lock at its beginning."""

_DRIVERS: Final = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
_HINTS: Final = {
    "ledger-locked": "another program writes to it for long; it is tried again, or raise ledger.busy_timeout",
    "ledger-slow": "see how busy its server is; or raise ledger.busy_timeout, four times of which it may take",
    "ledger-full": "free space on its disk",
    "ledger-read-only": "see who may write the file, its -wal and -shm, and their folder; or is the disk read-only?",
    "ledger-damaged": "stop mo-sync, keep the file, and restore a backup; see docs/operations.md",
    "ledger-gone": "see ledger.url, and whether the folder or the server is there",
    "ledger-unreadable": "see the disk's health and the kernel's log",
    "ledger-starved": "see memory and connection limits",
    "ledger-refused": "see the credentials in ledger.url",
}
_SENTENCES: Final = {
    "ledger-locked": "the ledger is locked",
    "ledger-slow": "the ledger's database broke off what took it too long",
    "ledger-full": "the ledger's disk is full",
    "ledger-read-only": "the ledger cannot be written",
    "ledger-damaged": "the ledger is damaged, or is no ledger",
    "ledger-gone": "the ledger cannot be opened",
    "ledger-unreadable": "the ledger's disk does not do as it is told",
    "ledger-starved": "the ledger's database lacks memory or connections",
    "ledger-refused": "the ledger's database refuses our credentials",
}

FOREIGN_ERRORS: Final[dict[type[sa.SQLAlchemyError], str | None]] = {
    sa.OperationalError: "ledger-gone",
    sa.InterfaceError: "ledger-gone",
    sa.InternalError: "ledger-damaged",
    sa.DatabaseError: "ledger-damaged",
    sa.TimeoutError: "ledger-locked",
    sa.DisconnectionError: "ledger-gone",
    sa.InvalidatePoolError: "ledger-gone",
    # These are about one statement or one value: a bug of ours, or one event that cannot be recorded.
    sa.DataError: None,
    sa.IntegrityError: None,
    sa.NotSupportedError: None,
    sa.ProgrammingError: None,
    sa.DBAPIError: None,
}
"""What SQLAlchemy's errors mean when the driver's own code says no more; None: not the ledger's trouble."""

_SET_BY_US: Final = {
    "lock_timeout": "it is ledger.busy_timeout",
    "statement_timeout": "it is four times ledger.busy_timeout, or 10 s if that is more",
    "timezone": "times in the ledger are UTC",
    "synchronous_commit": "what is committed must be on the disk",
}
"""Settings of a server's connection, and what to know of those who would have them otherwise."""
_SHORTEST_STATEMENT_S: Final = 10.0
_TRY_AGAIN_S: Final = 0.05


def connect(settings: LedgerSettings, *, make: bool = True) -> Engine:
    """An engine for ``settings.url``; it connects when first used. Raises ConfigurationError.

    Unless it may ``make`` SQLite's file, connecting raises LedgerOutOfReach ``ledger-missing`` where there is none.
    """
    url = _url(settings.url)
    try:
        if url.get_backend_name() == "postgresql":
            return _postgresql(url, settings)
        return _sqlite(url, settings, make=make)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "ledger-driver-missing",
            f"its driver is not installed ({error.name})",
            item="ledger.url",
            hint=how_to_install("psycopg[binary]"),
        ) from error


def shown(url: URL) -> str:
    """The URL without its passwords, for people."""
    hidden = {name: "***" for name in url.query if "password" in name.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def translated(error: sa.SQLAlchemyError, item: str, *, file: Path | None = None) -> LedgerOutOfReach | None:
    """Our error for one of SQLAlchemy's, if it means that the ledger is out of reach; None for all others. SQLite's
    ``file`` is looked at to say more.

    The driver's code decides, where there is one: drivers also call a wrong statement, or a value that is too long for
    an index, "operational", and one such event must not pass for a ledger that is gone.
    """
    original = error.orig if isinstance(error, sa.DBAPIError) else None
    code = trouble_of(original)
    if code is None and driver_code(original) is None:
        kind = next((cls for cls in type(error).__mro__ if cls in FOREIGN_ERRORS), None)
        code = FOREIGN_ERRORS[kind] if kind is not None else None
    if code is None:
        return None
    seen = obstacle(code, file) if file is not None else None
    if seen is not None:
        return LedgerOutOfReach(seen.code, seen.summary, item=item, hint=seen.hint)
    return LedgerOutOfReach(code, _SENTENCES[code], item=item, hint=_HINTS[code])


def _url(text: str) -> URL:
    hint = "sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        url = make_url(text)
    except (sa.ArgumentError, ValueError):
        # Not kept as the cause: what could not be parsed may hold a password.
        raise ConfigurationError(
            "ledger-url-invalid", "this is no database URL", item="ledger.url", hint=hint
        ) from None
    if url.drivername not in _DRIVERS:
        raise ConfigurationError(
            "ledger-url-invalid", f"{url.drivername} is not supported", item="ledger.url", hint=hint
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("ledger-url-invalid", "a ledger in memory would forget", item="ledger.url", hint=hint)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url


def _postgresql(url: URL, settings: LedgerSettings) -> Engine:
    from mo_sync.ledger.patience import PatientConnection  # the driver is an extra

    # 0 means "for ever" to PostgreSQL.
    wait_ms = max(1, int(settings.busy_timeout * 1000))
    # What is committed is on the disk, also on a server that is set up to be faster than safe. No statement of ours is
    # long: one that takes so long hangs, and is better tried again.
    longest_s = max(_SHORTEST_STATEMENT_S, 4 * settings.busy_timeout)
    limits = f"-c lock_timeout={wait_ms} -c statement_timeout={int(longest_s * 1000)}"
    ours = {
        "application_name": "mo-sync",
        "connect_timeout": max(2, int(settings.busy_timeout)),
        # A server that vanished without a word is noticed also while nobody waits for it.
        "keepalives": 1,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    arguments = {name: value for name, value in ours.items() if name not in url.query}
    arguments["options"] = f"{_options(url)} {limits} -c timezone=UTC -c synchronous_commit=on".strip()
    engine = create_engine(
        url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=arguments, hide_parameters=True
    )

    @event.listens_for(engine, "do_connect")
    def connect_patiently(_: Any, __: Any, given: list[Any], named: dict[str, Any]) -> PatientConnection:
        return PatientConnection.connect(*given, **named)

    @event.listens_for(engine, "connect")
    @event.listens_for(engine, "checkin")
    def be_patient(connection: Any, _: Any) -> None:
        # Longer than the server's own limit, so that the server is the one to say so as long as it can.
        if connection is not None:
            connection.patience_s = longest_s * 1.25

    return engine


def _options(url: URL) -> str:
    """What the URL itself would have the server set for our connections. Raises ConfigurationError for what we set."""
    options = " ".join(url.normalized_query.get("options", ()))
    named = {name.lower().replace("-", "_") for name in re.findall(r"(?:-c\s*|--)([\w.-]+)\s*=", options)}
    for name in sorted(named & _SET_BY_US.keys()):
        raise ConfigurationError(
            "ledger-url-invalid",
            f"mo-sync sets {name} itself",
            item="ledger.url",
            hint=f"take it out of the URL's options: {_SET_BY_US[name]}",
        )
    return options


def _sqlite(url: URL, settings: LedgerSettings, *, make: bool) -> Engine:
    # Parameters are bodies and phone numbers: no error may quote them.
    engine = create_engine(url, connect_args={"timeout": settings.busy_timeout}, hide_parameters=True)
    engine.dialect.statement_compiler = _Compiler
    watch(engine, Path(str(url.database)), make=make)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        # SQLAlchemy begins transactions below, so the driver must not begin any of its own.
        connection.isolation_level = None
        cursor = connection.cursor()
        _use_write_ahead_log(cursor, settings.busy_timeout)
        # What is erased is overwritten, here and in the free pages.
        for pragma in ("synchronous=full", "foreign_keys=on", "secure_delete=on"):
            cursor.execute(f"pragma {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A write lock taken at the beginning waits its turn; one asked for in the middle of a read fails at once.
        options = connection.get_execution_options()
        if not options.get(ALONE):
            connection.exec_driver_sql("begin immediate" if options.get(WRITE) else "begin")

    return engine


class _Compiler(SQLiteCompiler):
    """Knows what SQLAlchemy's own leaves out: "indexed by", as a hint on a table."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:  # noqa: ARG002  its signature
        return text


def _use_write_ahead_log(cursor: Any, patience_s: float) -> None:
    """Where several open a new file at once, SQLite does not wait for who changes its mode but says at once that it is
    locked: so the waiting is done here."""
    tries = max(1, int(patience_s / _TRY_AGAIN_S))
    cursor.execute("pragma busy_timeout=0")
    for left in reversed(range(tries)):
        try:
            cursor.execute("pragma journal_mode=wal")
        except sqlite3.OperationalError as error:
            if not left or trouble_of(error) != "ledger-locked":
                raise
            threading.Event().wait(_TRY_AGAIN_S)
        else:
            break
    cursor.execute(f"pragma busy_timeout={int(patience_s * 1000)}")
