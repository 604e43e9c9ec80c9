"""Claim, fetch, place, settle: the loop that keeps the promise."""

from mo_sync.reconciler.loop import Reconciler, Worked

__all__ = ["Reconciler", "Worked"]
