"""Letting a file out of quarantine: a person judged it, and it goes to where it would have been."""

from __future__ import annotations

import contextlib
import secrets
from typing import Final

from mo_sync.clock import Clock
from mo_sync.ledger import Ledger
from mo_sync.ledger.interventions import By
from mo_sync.ledger.verification import Filed, let_out
from mo_sync.naming import quarantine_key
from mo_sync.store import Placed, Placement, Store
from mo_sync.store.base import Occupied

__all__ = ["release"]

_CHUNK: Final = 1024 * 1024


def release(ledger: Ledger, store: Store, item: Filed, by: By, *, clock: Clock) -> str | None:
    """Put a copy of the file to its place, tell the ledger, remove the one in quarantine; None, or why it was not done.

    Whoever is stopped in the middle leaves it quarantined, or stored with a copy in quarantine that verify finds.
    Raises LedgerOutOfReach, StoreOutOfReach.
    """
    free = item.location.removeprefix(quarantine_key(""))
    try:
        staged = store.stage(secrets.token_hex(16))
        try:
            with store.open(item.location) as file:
                while chunk := file.read(_CHUNK):
                    staged.write(chunk)
            staged.finish()
            if staged.sha256 != item.sha256:
                return "its bytes are not those that were judged: see mo-sync ledger verify"
            trouble = _place(store, Placement(staged, free))
        finally:
            staged.discard()
    except OSError as error:
        return f"its file cannot be moved ({error.strerror or type(error).__name__})"
    if trouble is not None:
        return trouble
    if not let_out(ledger, item, free, by, now=clock.now()):
        return "it changed meanwhile"
    with contextlib.suppress(OSError):  # a copy that nobody needs: verify finds it
        store.remove(item.location)
    return None


def _place(store: Store, item: Placement) -> str | None:
    [answer] = store.place([item])
    if isinstance(answer, Occupied):
        with store.exchange(item) as exchange:
            if exchange is None:
                return "somebody else does the same just now"
            answer = exchange()
    if isinstance(answer, Placed):
        return None
    return f"its file cannot be moved ({answer.strerror or type(answer).__name__})"
