"""SQLite's file, watched: whoever has a file open goes on writing to it after it was moved away, removed or replaced.

What is committed there nobody will find again, and an event that was acknowledged for it would be lost. So each use of
a connection begins with a look whether its file is still the one that the name leads to, and each commit ends with one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger.obstacles import obstacle

__all__ = ["missing", "still_there", "watch"]

_FILE: Final = "mo-sync-file"
_MODE: Final = 0o640


def missing(item: str) -> LedgerOutOfReach:
    """Said by whoever wants the ledger that is there, and finds none."""
    hint = "see ledger.url, and whether its disk is mounted; a new one is made by mo-sync init"
    return LedgerOutOfReach("ledger-missing", "there is no ledger", item=item, hint=hint)


def watch(engine: Engine, path: Path, *, make: bool) -> None:
    """Let ``engine`` make its file, if it is to ``make`` one, and connect to that one only.

    Not to another one that took its place either: when the connections to the old file are closed, SQLite removes the
    write-ahead log by its name, and that would then be the new one's ("How To Corrupt", sqlite.org, 2.4).
    """
    first: tuple[int, int] | None = None

    @event.listens_for(engine, "do_connect")
    def find(*_: Any) -> None:
        """The file, made by us rather than by SQLite, is never readable by everybody.

        One that is there is never opened: closing it again would drop every lock that this process has on it, and
        another one would then remove the write-ahead log from under us (the same, 2.2). One that is gone is not made
        anew: an empty file would be taken for a ledger.
        """
        if first is not None:
            _look(path, first)
            return
        if not make:
            _refuse_nothing(path)
            return
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))

    @event.listens_for(engine, "connect")
    def remember(_: Any, record: Any) -> None:
        nonlocal first
        first = first or _identity(path)
        record.info[_FILE] = path, first


def still_there(connection: Connection) -> None:
    """Raises LedgerOutOfReach when no name leads to this connection's file any more. PostgreSQL has no such file."""
    path, known = connection.info.get(_FILE, (None, None))
    if path is not None:
        _look(path, known)


def _refuse_nothing(path: Path) -> None:
    """SQLite would take a name that leads nowhere, and a file of no bytes, for a database with nothing in it."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        size = 0
    except OSError:  # of this SQLite knows to say more
        return
    if not size:
        raise missing(str(path))


def _look(path: Path, known: tuple[int, int] | None) -> None:
    found = _identity(path)
    seen = obstacle("ledger-gone", path) if found is None else None
    if seen is not None and seen.code == "ledger-forbidden":
        raise LedgerOutOfReach(seen.code, seen.summary, item=str(path), hint=seen.hint)
    if found != known:
        hint = "stop mo-sync before its ledger is moved or restored; put it back, or start mo-sync anew"
        summary = "its file was moved, removed or replaced while it was open"
        raise LedgerOutOfReach("ledger-gone", summary, item=str(path), hint=hint)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
