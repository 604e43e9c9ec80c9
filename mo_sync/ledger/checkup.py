"""What ``mo-sync doctor`` wants to know about an open ledger. What it writes, it takes back."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from mo_sync.findings import Finding
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.migrate import revision
from mo_sync.ledger.schema import cursor

__all__ = ["check_up"]

_LEAST_FREE_BYTES: Final = 100_000_000


class _TakenBack(Exception):
    """Ends a transaction without a trace."""


def check_up(ledger: Ledger) -> list[Finding]:
    """Its level, whether it can be written, whether it is sound. Raises LedgerOutOfReach when that cannot be told.

    The look through a SQLite file reads all of it: about a second for each gigabyte.
    """
    with ledger.begin() as connection:
        findings = [Finding("ok", "schema", f"revision {revision(connection)}")]
        if ledger.dialect == "postgresql":
            findings.append(_server(connection))
    if any(finding.level == "failed" for finding in findings):
        return findings
    findings.append(_writing(ledger))
    if ledger.dialect == "postgresql":
        return findings
    with ledger.read() as connection:
        return [*findings, *_sqlite(connection)]


def _writing(ledger: Ledger) -> Finding:
    """A row is written, found, and taken back by the end of its transaction, so that nobody else ever sees it."""
    name = f"doctor:{secrets.token_hex(8)}"
    row = {"name": name, "value": "mo-sync was here", "updated_at": datetime(1970, 1, 1, tzinfo=UTC)}
    found = None
    with contextlib.suppress(_TakenBack), ledger.begin() as connection:
        connection.execute(cursor.insert().values(row))
        found = connection.execute(select(cursor.c.value).where(cursor.c.name == name)).scalar_one_or_none()
        raise _TakenBack
    if found != row["value"]:
        return Finding("failed", "writing", "what is read is not what was written", "check the disk and the memory")
    return Finding("ok", "writing", "a row can be written, read and taken back")


def _sqlite(connection: Connection) -> list[Finding]:
    return [_sound(connection), _journal(connection), *_modes(connection), *_room(connection)]


def _sound(connection: Connection) -> Finding:
    answers = [str(row[0]) for row in connection.exec_driver_sql("pragma quick_check(3)")]
    if answers == ["ok"]:
        return Finding("ok", "integrity", "every page is sound")
    hint = "stop mo-sync, keep the file, and restore a backup; see docs/operations.md"
    return Finding("failed", "integrity", "; ".join(" ".join(answer.split()) for answer in answers), hint)


def _journal(connection: Connection) -> Finding:
    mode = connection.exec_driver_sql("pragma journal_mode").scalar_one()
    if mode == "wal":
        return Finding("ok", "journal", "write-ahead, synced at each commit")
    hint = "keep the ledger on a local disk: write-ahead logging does not work over a network"
    return Finding("warning", "journal", f"its mode is {mode}, not wal: readers and writers wait for each other", hint)


def _modes(connection: Connection) -> list[Finding]:
    """Numbers and messages stand in the file."""
    return [
        Finding("warning", "modes", f"anyone on this machine may read {path} ({mode:04o})", f"chmod o-rwx {path}")
        for path in _files(connection)
        if (mode := stat.S_IMODE(path.stat().st_mode)) & stat.S_IROTH
    ]


def _room(connection: Connection) -> list[Finding]:
    """What is taken back is never written to the disk: so the room on that is asked for."""
    hint = "free space on its disk: without room no event can be recorded"
    return [
        Finding("warning", "room", f"{free / 1e6:.0f} MB are free where {path} lies", hint)
        for path in _files(connection)
        if (free := _free_bytes(path)) < _LEAST_FREE_BYTES
    ]


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _files(connection: Connection) -> list[Path]:
    return [Path(row[2]) for row in connection.exec_driver_sql("pragma database_list") if row[1] == "main"]


def _server(connection: Connection) -> Finding:
    """Asked in a transaction that writes: one that reads is read-only on every server."""
    version = connection.exec_driver_sql("show server_version").scalar_one()
    if connection.exec_driver_sql("show transaction_read_only").scalar_one() == "on":
        return Finding("failed", "server", f"PostgreSQL {version} takes no writes", "see whether it is a standby")
    return Finding("ok", "server", f"PostgreSQL {version} takes writes")
