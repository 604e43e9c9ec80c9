"""A copy of a SQLite ledger, made while others go on writing, and checked before it bears its name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from mo_sync.errors import LedgerOutOfReach, OutOfReach, UsageError
from mo_sync.ledger.ledger import Ledger
from mo_sync.settings.paths import BESIDE
from mo_sync.wholefile import sync_folder, written

__all__ = ["BackedUp", "Stopped", "back_up"]

_STEPS: Final = 100_000
"""So many of SQLite's own steps between two looks whether somebody wants it to stop: some milliseconds."""
_PAGES: Final = 2_000
_PATIENCE_S: Final = 1.0
_TABLES: Final = ("event", "message", "attachment", "attempt")


@dataclass(frozen=True, slots=True)
class BackedUp:
    """The copy that lies at ``path``: its size in bytes, and how many rows its tables have."""

    path: Path
    bytes: int
    rows: dict[str, int]


def back_up(
    ledger: Ledger,
    target: Path,
    *,
    replace: bool = False,
    told: Callable[[int, int], object] = lambda _, __: None,
    checking: Callable[[], object] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> BackedUp:
    """Copy the ledger as it is at this moment to ``target``, by SQLite's own online backup.

    The copy is made beside it under a hidden name, read through (integrity and foreign keys), synced, and renamed; what
    goes wrong leaves nothing behind. ``told`` is called with the pages that are done and those there are, ``checking``
    when the copy begins to be read through, ``stop`` is asked all the time. Raises Stopped, and nothing is left;
    UsageError when something is there already (and not to be replaced), and for a ledger on PostgreSQL; OutOfReach when
    the copy cannot be written, or somebody has the one open that it is to replace; LedgerOutOfReach ``backup-damaged``
    when it is not sound: then neither is the ledger.
    """
    if ledger.dialect != "sqlite":
        hint = "pg_dump makes a copy of a ledger on PostgreSQL"
        raise UsageError("backup-not-here", "only a SQLite ledger is backed up by mo-sync", item=ledger.name, hint=hint)
    with ledger.read() as connection:
        _refuse_the_ledger_itself(connection, target)
    try:
        with written(target, replace=replace) as part:
            _clear_beside(target, replace=replace)
            with ledger.read() as connection:
                _copy(connection, part, told, stop)
            checking()
            rows = _checked(part, stop)
            size = part.stat().st_size
            _clear_beside(target, replace=replace)  # somebody may have looked into the old one meanwhile
    except FileExistsError as error:
        hint = "name another file, or a folder; --force replaces it"
        raise UsageError("backup-exists", "something is there already", item=str(target), hint=hint) from error
    except (OSError, sqlite3.OperationalError) as error:
        summary = f"it cannot be written ({error.strerror if isinstance(error, OSError) else error})"
        hint = "see whether the folder is there, may be written and has room"
        raise OutOfReach("backup-not-written", summary, item=str(target), hint=hint) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(str(error), target) from error
    return BackedUp(target, size, rows)


def _refuse_the_ledger_itself(connection: Connection, target: Path) -> None:
    """Nor what SQLite keeps beside it, also where there is none now: the ledger would be damaged by it."""
    [file] = [Path(row[2]) for row in connection.exec_driver_sql("pragma database_list") if row[1] == "main"]
    beside = [file.with_name(file.name + end) for end in BESIDE]
    if target.resolve() in [path.resolve() for path in beside] or (target.exists() and target.samefile(file)):
        raise UsageError("backup-onto-ledger", "this is the ledger itself", item=str(target), hint="name another file")


def _clear_beside(target: Path, *, replace: bool) -> None:
    """Leave nothing beside ``target`` that SQLite would take for a part of the new copy.

    Who had the old one open and was killed left a log or a journal there, and whoever opened the new one next would
    have old pages written over it. It goes before the rename, or a crash between the two would leave just that; and not
    by us as long as there is a file that it belongs to, but by SQLite, which first puts in order what it is about. That
    fails while somebody has the old copy open, who would in the end remove the new one's log.
    """
    if not replace and target.exists():
        return  # it is not to be touched, and is refused
    beside = [target.with_name(target.name + end) for end in BESIDE]
    if not any(path.exists() for path in beside):
        return
    try:
        if target.exists():
            with closing(sqlite3.connect(target, timeout=_PATIENCE_S)) as old:
                old.execute("pragma journal_mode=delete")
        else:
            for path in beside:
                path.unlink(missing_ok=True)
    except sqlite3.Error as error:
        raise _in_use(target, str(error)) from error
    if any(path.exists() for path in beside):
        raise _in_use(target, "something lies beside it")
    sync_folder(target.parent)


def _in_use(target: Path, why: str) -> OutOfReach:
    hint = "end what has it open, move it away with its -wal and -journal, or name another file"
    return OutOfReach("backup-in-use", f"it cannot be replaced ({why})", item=str(target), hint=hint)


class Stopped(Exception):
    """Somebody asked for it."""


def _copy(connection: Connection, part: Path, told: Callable[[int, int], object], stop: Callable[[], bool]) -> None:
    """Inside of the reader's transaction: so that all of it is from one moment, and no writer has it begin again."""
    connection.exec_driver_sql("select count(*) from event").scalar_one()  # from here on the moment stands
    source: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]

    def progress(_: int, left: int, pages: int) -> None:
        if stop():
            raise Stopped
        told(pages - left, pages)

    with closing(sqlite3.connect(part)) as copy:
        source.backup(copy, pages=_PAGES, progress=progress, sleep=0)
        # One file, that can be carried anywhere; mo-sync turns the log on again when it opens it.
        copy.execute("pragma journal_mode=delete")


def _checked(part: Path, stop: Callable[[], bool]) -> dict[str, int]:
    try:
        return _read_through(part, stop)
    except sqlite3.OperationalError as error:
        if stop():
            raise Stopped from error
        raise


def _read_through(part: Path, stop: Callable[[], bool]) -> dict[str, int]:
    with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro", uri=True)) as copy:
        copy.set_progress_handler(lambda: int(stop()), _STEPS)
        answers = [str(row[0]) for row in copy.execute("pragma integrity_check(3)")]
        strangers = copy.execute("pragma foreign_key_check").fetchone()
        if answers != ["ok"] or strangers is not None:
            raise _damaged("; ".join(answers) if answers != ["ok"] else f"a row of {strangers[0]} points nowhere", part)
        # S608: names of our own
        return {name: int(copy.execute(f"select count(*) from {name}").fetchone()[0]) for name in _TABLES}  # noqa: S608


def _damaged(what: str, item: Path) -> LedgerOutOfReach:
    hint = "the ledger is damaged, and so would the copy be: see `mo-sync doctor` and docs/operations.md"
    return LedgerOutOfReach("backup-damaged", " ".join(what.split()), item=str(item), hint=hint)
