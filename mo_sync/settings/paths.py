"""Where the settings put things on this machine's disk."""

from __future__ import annotations

from pathlib import Path

from mo_sync.settings.model import Settings

__all__ = ["ledger_file"]


def ledger_file(settings: Settings) -> Path | None:
    """The ledger's file, or None when a server keeps it.

    >>> ledger_file(Settings.model_validate({"ledger": {"url": "sqlite:////srv/ledger.db"}}))
    PosixPath('/srv/ledger.db')
    """
    scheme, _, path = settings.ledger.url.partition(":///")
    return Path(path.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" and path else None
