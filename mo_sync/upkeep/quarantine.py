"""Letting a file out of quarantine: a person judged it, and it goes to where it would have been."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from typing import Final

from mo_sync.clock import Clock
from mo_sync.ledger import Ledger
from mo_sync.ledger.erasure import erased_by_now
from mo_sync.ledger.interventions import By
from mo_sync.ledger.verification import Filed, let_out, still
from mo_sync.naming import quarantine_key
from mo_sync.store import Placed, Placement, Store
from mo_sync.store.base import Occupied

__all__ = ["release"]

_CHUNK: Final = 1024 * 1024
_CHANGED: Final = "it changed meanwhile"


def release(ledger: Ledger, store: Store, item: Filed, by: By, *, clock: Clock) -> str | None:
    """Put a copy of the file to its place, tell the ledger, remove the one in quarantine; None, or why it was not done.

    Whoever is stopped in the middle leaves it quarantined, or stored with a copy in quarantine that verify finds.
    Raises LedgerOutOfReach, StoreOutOfReach.
    """
    free = item.location.removeprefix(quarantine_key(""))

    def tell() -> bool:
        return let_out(ledger, item, free, by, now=clock.now())

    try:
        staged = store.stage(secrets.token_hex(16))
        try:
            with store.open(item.location) as file:
                while chunk := file.read(_CHUNK):
                    staged.write(chunk)
            staged.finish()
            if staged.sha256 != item.sha256:
                return "its bytes are not those that were judged: see mo-sync ledger verify"
            trouble = _place(store, Placement(staged, free), look=lambda: still(ledger, item), tell=tell)
        finally:
            staged.discard()
        if trouble is not None and erased_by_now(ledger, [item.id]):
            store.purge(free)  # whoever erased it did not find it there yet
            return "it was erased meanwhile"
    except OSError as error:
        return f"its file cannot be moved ({error.strerror or type(error).__name__})"
    if trouble is None:
        with contextlib.suppress(OSError):  # a copy that nobody needs: verify finds it
            store.remove(item.location)
    return trouble


def _place(store: Store, item: Placement, *, look: Callable[[], bool], tell: Callable[[], bool]) -> str | None:
    """As the finisher does. What lies there may be called stored by now: so it is looked, and told, under its lock."""
    [answer] = store.place([item])
    if not isinstance(answer, Occupied):
        return _told(answer, tell)
    with store.exchange(item) as exchange:
        if exchange is None:
            return "somebody else does the same just now"
        return _told(exchange(), tell) if look() else _CHANGED


def _told(answer: Placed | OSError, tell: Callable[[], bool]) -> str | None:
    if isinstance(answer, OSError):
        return f"its file cannot be moved ({answer.strerror or type(answer).__name__})"
    return None if tell() else _CHANGED
