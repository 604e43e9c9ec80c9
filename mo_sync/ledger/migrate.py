"""Brings a ledger to the schema that this program knows: once, under a lock, and never backwards.

Revisions are numbered (``0001``, ``0002`` …), so that a program can tell a newer ledger from an older one without
knowing what came after it. Looking is cheap; Alembic is imported only when there is something to do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect

from mo_sync.errors import LedgerOutOfReach, LedgerTooNew
from mo_sync.ledger.dialect import lock_for_migration
from mo_sync.ledger.ownfile import missing

__all__ = ["HEAD", "bring_up_to_date", "must_be_one", "revision", "scripts"]

HEAD: Final = "0005"
"""The schema that this program was written for."""

Transaction = Callable[[], AbstractContextManager[Connection]]


def scripts() -> Path:
    """The folder of the migrations. In a checkout it is a link to ``migrations/`` at the top."""
    return Path(__file__).parent / "migrations"


def revision(connection: Connection) -> str | None:
    """The revision that a ledger is at; None for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("select version_num from alembic_version").scalar_one_or_none()


def bring_up_to_date(begin: Transaction, read: Transaction, *, name: str, make: bool, migrate: bool) -> None:
    """Migrate if the ledger is new or older; where ``make`` or ``migrate`` is false, say so instead.

    Raises LedgerTooNew for one that a newer program wrote, LedgerOutOfReach for one that is not there and may not be
    made, or is older and may not be migrated. Many processes may call this at once: one migrates, the others wait and
    find it done.
    """
    with read() as connection:
        found = revision(connection)
    if found == HEAD:
        return
    if found is None and not make:
        raise missing(name)
    _refuse_newer(found, name)
    if not migrate:
        raise LedgerOutOfReach(
            "ledger-outdated",
            f"the ledger is older: it is at revision {found}, and this program wants {HEAD}",
            item=name,
            hint="make a backup (mo-sync ledger backup), then migrate it: mo-sync init does, or mo-sync run",
        )
    with begin() as connection:
        lock_for_migration(connection)
        found = revision(connection)
        _refuse_newer(found, name)
        if found != HEAD:
            _upgrade(connection)


def must_be_one(connection: Connection, *, name: str) -> str:
    """The revision of the ledger that is there, be it older or newer. Raises LedgerOutOfReach where there is none."""
    found = revision(connection)
    if found is None:
        raise missing(name)
    return found


def _refuse_newer(found: str | None, name: str) -> None:
    if found is not None and found > HEAD:
        raise LedgerTooNew(
            "ledger-too-new",
            f"the ledger is at revision {found} and this program knows only {HEAD}",
            item=name,
            hint="upgrade mo-sync; an older program must not write to a newer ledger",
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
