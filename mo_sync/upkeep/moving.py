"""A file that rests is given another place: in quarantine, or out of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from mo_sync.ledger.verification import Filed
from mo_sync.store import Placed, Placement, Store
from mo_sync.store.base import Occupied

__all__ = ["CHANGED", "copied"]

_CHUNK: Final = 1024 * 1024
CHANGED: Final = "it changed meanwhile"


def copied(store: Store, item: Filed, key: str, *, look: Callable[[], bool], tell: Callable[[], bool]) -> str | None:
    """Put a copy of ``item`` under ``key`` and ``tell`` of it; None, or why that was not done.

    What is under ``key`` already is exchanged only after a ``look`` whether it is still to be. That look, and what is
    told then, are under the lock of the place. ``tell`` answers whether the ledger took it. Raises OSError.
    """
    staged = store.stage(secrets.token_hex(16))
    try:
        with store.open(item.location) as file:
            while chunk := file.read(_CHUNK):
                staged.write(chunk)
        staged.finish()
        if staged.sha256 != item.sha256:
            return "its bytes are not those that were judged: see mo-sync ledger verify"
        return _placed(store, Placement(staged, key), look=look, tell=tell)
    finally:
        staged.discard()


def _placed(store: Store, item: Placement, *, look: Callable[[], bool], tell: Callable[[], bool]) -> str | None:
    """As the finisher does. What lies there may be called stored by now: so it is looked, and told, under its lock."""
    [answer] = store.place([item])
    if not isinstance(answer, Occupied):
        return _told(answer, tell)
    with store.exchange(item) as exchange:
        if exchange is None:
            return "somebody else does the same just now"
        return _told(exchange(), tell) if look() else CHANGED


def _told(answer: Placed | OSError, tell: Callable[[], bool]) -> str | None:
    if isinstance(answer, OSError):
        return f"its file cannot be moved ({answer.strerror or type(answer).__name__})"
    return None if tell() else CHANGED
