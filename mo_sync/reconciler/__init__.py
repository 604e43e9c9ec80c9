"""Claim, fetch, place, settle: the loop that keeps the promise."""

from mo_sync.reconciler.loop import Reconciler

__all__ = ["Reconciler"]
