"""Whether a ledger may be begun: not beside a store that has files, whose ledger is then somewhere else."""

from __future__ import annotations

from mo_sync.errors import StoreOutOfReach
from mo_sync.settings import Settings
from mo_sync.settings.paths import ledger_file
from mo_sync.store import open_for_reading

__all__ = ["may_begin"]


def may_begin(settings: Settings) -> bool:
    """False where a SQLite ledger is missing and the store has files: its disk is probably not mounted, and what was
    recorded in a new one would be hidden later. ``mo-sync init`` begins one all the same."""
    file = ledger_file(settings)
    try:
        if file is None or file.stat().st_size:
            return True
    except OSError:  # there is none, or it cannot be looked at, of which more is said when it is opened
        pass
    try:
        return open_for_reading(settings.store).untouched()
    except StoreOutOfReach:
        return True
