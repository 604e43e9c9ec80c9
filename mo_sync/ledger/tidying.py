"""A ledger of which no unused part holds what was overwritten or deleted, on either database."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ["tidy"]

_PERSONAL: Final = ("event", "message", "attachment", "attempt", "intervention", "notification")
"""The tables in which something of a person may stand."""
_STEPS: Final = 10_000
_ASK_AGAIN_S: Final = 0.1
_PATIENCE_S: Final = 5.0


def tidy(connection: Connection, *, compact: bool, stop: Callable[[], bool]) -> bool:
    """Empty the write-ahead log of a SQLite ledger into it, and have the database written anew before, if ``compact``;
    whether that could be done while others read. For a connection outside of any transaction.

    ``stop`` breaks the writing anew off, which leaves everything as it was: then it could not be done.
    """
    if connection.dialect.name == "postgresql":
        return _unless_stopped(_written_by_postgresql, connection, stop) if compact else True
    if compact and not _unless_stopped(_written_by_sqlite, connection, stop):
        return False
    busy, _, _ = connection.exec_driver_sql("pragma wal_checkpoint(truncate)").one()
    return not busy


_Writing = Callable[[Connection, Callable[[], bool]], bool]


def _unless_stopped(write: _Writing, connection: Connection, stop: Callable[[], bool]) -> bool:
    try:
        return write(connection, stop)
    except DBAPIError:
        if stop():
            return False
        raise


def _written_by_sqlite(connection: Connection, stop: Callable[[], bool]) -> bool:
    driver: Any = connection.connection.dbapi_connection
    driver.set_progress_handler(lambda: int(stop()), _STEPS)
    try:
        connection.exec_driver_sql("vacuum")
    finally:
        driver.set_progress_handler(None, 0)
    return True


def _written_by_postgresql(connection: Connection, stop: Callable[[], bool]) -> bool:
    """A plain VACUUM only marks room as free, where what was deleted can still be read; and the planner keeps samples.

    What a transaction that is still open may see is taken along. The server tells how much that was, in each language
    as the first number of a detail.
    """
    driver: Any = connection.connection.dbapi_connection
    taken_along: list[str] = []

    def note(notice: Any) -> None:
        taken_along.extend(re.findall(r"\d+", notice.message_detail or "")[:1])

    driver.patience_s = None  # see patience.py
    driver.add_notice_handler(note)
    connection.exec_driver_sql("set statement_timeout = 0")
    try:
        with _cancelled(driver, stop):
            connection.exec_driver_sql(f"vacuum (full, analyze, verbose) {', '.join(_PERSONAL)}")
    finally:
        connection.exec_driver_sql("reset statement_timeout")
        driver.remove_notice_handler(note)
    return not any(map(int, taken_along))


@contextlib.contextmanager
def _cancelled(driver: Any, stop: Callable[[], bool]) -> Iterator[None]:
    """While the block runs, the server is told to give up what it does as soon as ``stop`` says so."""
    import psycopg  # there is none where the ledger is SQLite's

    done = threading.Event()

    def watch() -> None:
        while not done.wait(_ASK_AGAIN_S):
            if stop():
                # Who cannot be told now is told again.
                with contextlib.suppress(psycopg.Error):
                    driver.cancel_safe(timeout=_PATIENCE_S)

    thread = threading.Thread(target=watch, name="cancelling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
