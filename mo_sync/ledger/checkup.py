"""What ``mo-sync doctor`` wants to know about an open ledger. Nothing is changed by it."""

from __future__ import annotations

import stat
from pathlib import Path

from sqlalchemy import Connection

from mo_sync.findings import Finding
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.migrate import revision

__all__ = ["check_up"]


def check_up(ledger: Ledger) -> list[Finding]:
    """Its level, whether it can be written, whether it is sound. Raises LedgerOutOfReach when that cannot be told.

    The look through a SQLite file reads all of it: about a second for each gigabyte.
    """
    with ledger.begin() as connection:  # takes the lock that every write takes, and writes nothing
        findings = [Finding("ok", "schema", f"revision {revision(connection)}")]
        if ledger.dialect == "postgresql":
            return [*findings, _server(connection)]
    with ledger.read() as connection:
        return [*findings, Finding("ok", "writing", "it takes the write lock"), *_sqlite(connection)]


def _sqlite(connection: Connection) -> list[Finding]:
    return [_sound(connection), _journal(connection), *_modes(connection)]


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
    files = [Path(row[2]) for row in connection.exec_driver_sql("pragma database_list") if row[1] == "main"]
    return [
        Finding("warning", "modes", f"anyone on this machine may read {path} ({mode:04o})", f"chmod o-rwx {path}")
        for path in files
        if (mode := stat.S_IMODE(path.stat().st_mode)) & stat.S_IROTH
    ]


def _server(connection: Connection) -> Finding:
    """Asked in a transaction that writes: one that reads is read-only on every server."""
    version = connection.exec_driver_sql("show server_version").scalar_one()
    if connection.exec_driver_sql("show transaction_read_only").scalar_one() == "on":
        return Finding("failed", "server", f"PostgreSQL {version} takes no writes", "see whether it is a standby")
    return Finding("ok", "server", f"PostgreSQL {version} takes writes")
