"""Quarantine: letting a file out that a person judged, and taking one in whose scan became known too late."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.fetch.acceptance import quarantine, refused_status
from mo_sync.ledger import Ledger, scans
from mo_sync.ledger.interventions import By
from mo_sync.ledger.scans import Told
from mo_sync.ledger.verification import Filed, let_out, still
from mo_sync.ledger.whereabouts import erased_by_now
from mo_sync.naming import quarantine_key
from mo_sync.settings import Limits
from mo_sync.store import Store
from mo_sync.upkeep.moving import copied

__all__ = ["release", "take_back", "take_in"]

_log = structlog.get_logger(__name__)

_AT_ONCE: Final = 100
_MOST_TOLD: Final = 10
"""Of one time: where everything resists, thousands of lines would say the same every minute."""


def release(ledger: Ledger, store: Store, item: Filed, by: By, *, clock: Clock, marking: bool = False) -> str | None:
    """Put a copy of the file to its place, tell the ledger, remove the one in quarantine; None, or why it was not done.

    Whoever is stopped in the middle leaves it quarantined, or stored with a copy in quarantine that verify finds.
    Raises LedgerOutOfReach, StoreOutOfReach.
    """
    free = item.location.removeprefix(quarantine_key(""))
    trouble = _moved(
        ledger, store, item, free, tell=lambda: let_out(ledger, item, free, by, now=clock.now(), marking=marking)
    )
    if trouble is None:
        with contextlib.suppress(OSError):  # a copy that nobody needs: verify finds it
            if _is_there(ledger, store, item, free):
                store.remove(item.location)
    return trouble


def _is_there(ledger: Ledger, store: Store, item: Filed, key: str) -> bool:
    """Whether it lies at its place, after all. Until the ledger knew that it is let out, :func:`take_in` could remove
    it from there, and what is in quarantine was the only one: then it is put there again, which now lasts."""
    return store.size(key) is not None or _moved(ledger, store, item, key, tell=lambda: True) is None


def _moved(ledger: Ledger, store: Store, item: Filed, key: str, *, tell: Callable[[], bool]) -> str | None:
    try:
        trouble = copied(store, item, key, look=lambda: still(ledger, item), tell=tell)
        if trouble is not None and erased_by_now(ledger, [item.id]):
            store.purge(key)  # whoever erased it did not find it there yet
            return "it was erased meanwhile"
    except OSError as error:
        return f"its file cannot be moved ({error.strerror or type(error).__name__})"
    return trouble


def take_in(ledger: Ledger, store: Store, limits: Limits, *, clock: Clock, stop: Callable[[], bool]) -> int:
    """Put into quarantine what was stored before its message's scan status was known, and ``limits`` do not let
    through; how many files that were.

    So it is with what the inbox showed first, which tells of no scan. A file on its way is waited for until the next
    time, and so is one that cannot be moved: neither keeps others from their turn. Raises LedgerOutOfReach.
    """
    taken, stuck = 0, 0
    for told in _told_late(ledger):
        if stop():
            break
        reason = _why(told, limits)
        if reason is not None:
            if scans.on_its_way(ledger, told.message_id):
                continue
            aloud = stuck < _MOST_TOLD
            items = scans.stored(ledger, told)
            troubles = [_taken(ledger, store, item, reason, clock, aloud=aloud) for item in items]
            taken += troubles.count(None)
            if any(troubles) or not _left_nothing_behind(ledger, store, told, aloud=aloud):
                stuck += 1
                continue
        scans.judged(ledger, told)
    if stuck > _MOST_TOLD:
        _log.error("attachment.not-quarantined", more=stuck - _MOST_TOLD, hint="see whether the store can be written")
    return taken


def take_back(ledger: Ledger, store: Store, *, stop: Callable[[], bool]) -> None:
    """Remove what lies in the open of what is in quarantine: who let it out was killed before he could tell the ledger.
    Raises LedgerOutOfReach."""
    after, told = "", 0
    while not stop() and (some := scans.condemned(ledger, after=after, count=_AT_ONCE)):
        for _, message_id, key in some:
            told += not _lies_nowhere_else(ledger, store, message_id, key, aloud=told < _MOST_TOLD)
        after = some[-1][0]


def _told_late(ledger: Ledger) -> Iterator[Told]:
    """All of them, once: those that are not done stay among them, and would be the first for ever."""
    after = ""
    while some := scans.told_late(ledger, after=after, count=_AT_ONCE):
        yield from some
        after = some[-1].message_id


def _why(told: Told, limits: Limits) -> str | None:
    refused = refused_status(told.av_status, limits)
    return refused.reason if refused is not None else quarantine(told.av_status, limits)


def _taken(ledger: Ledger, store: Store, item: Filed, reason: str, clock: Clock, *, aloud: bool) -> str | None:
    key = quarantine_key(item.location)
    trouble = _moved(ledger, store, item, key, tell=lambda: scans.take_in(ledger, item, key, reason, now=clock.now()))
    if trouble is None:
        _log.warning("attachment.quarantined", attachment=item.id, reason=reason, after="it was stored")
    elif aloud:
        _log.error("attachment.not-quarantined", attachment=item.id, error=trouble, hint="it is tried again")
    return trouble


def _left_nothing_behind(ledger: Ledger, store: Store, told: Told, *, aloud: bool) -> bool:
    """Also of whoever was killed between the ledger and this: what is in quarantine lies nowhere else."""
    left = False
    for key in scans.quarantined_keys(ledger, told.message_id):
        left = not _lies_nowhere_else(ledger, store, told.message_id, key, aloud=aloud) or left
    return not left


def _lies_nowhere_else(ledger: Ledger, store: Store, message_id: str, key: str, *, aloud: bool) -> bool:
    free = key.removeprefix(quarantine_key(""))
    try:
        if free == key or store.size(free) is None:
            return True
        # The one look that counts: whom a person lets out just now lies there by right, and soon nowhere else.
        with scans.held_in_quarantine(ledger, message_id, key) as held:
            if held:
                store.remove(free)
    except OSError as error:
        if aloud:
            why = error.strerror or type(error).__name__
            hint = "it is in quarantine too; it is tried again"
            _log.warning("attachment.copy-left", file=free, error=why, hint=hint)
        return False
    return True
