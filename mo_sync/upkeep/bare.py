"""A store in which nothing lies: its files may be gone, or its disk is not mounted, and they are all there."""

from __future__ import annotations

from typing import Final

from mo_sync.errors import StoreOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.verification import settled_count
from mo_sync.store import Readable

__all__ = ["is_another", "looks_empty", "nothing_rests"]

_HINT: Final = "see store.url, whether its disk is mounted, and whose files they are; if they are really gone: "


def nothing_rests(store: Readable) -> bool:
    """Whether no file at all rests there. Raises StoreOutOfReach."""
    return next(store.resting(), None) is None


def is_another(ledger: Ledger, store: Readable) -> bool:
    """Whether this is hardly the store that the ledger tells of: it has no file while the ledger knows of some, or not
    even a folder, which the last file leaves behind. Raises OutOfReach."""
    return store.untouched() or bool(settled_count(ledger) and nothing_rests(store))


def looks_empty(gone: int, files: int, *, anyway: str) -> StoreOutOfReach:
    """The error that says so; ``anyway`` is what helps if the files are really gone."""
    summary = f"{gone:,} of {files:,} files are not there, or may not be read"
    return StoreOutOfReach("store-looks-empty", summary, item="the store", hint=_HINT + anyway)
