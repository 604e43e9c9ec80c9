"""Files that are there still, of what was erased or kept long enough: found by verify, removed by a repair.

A daemon removes them within a minute, and so does a pass. They stay where neither comes, or where the file resists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from mo_sync.ledger import Ledger
from mo_sync.ledger.whereabouts import unfinished
from mo_sync.naming import quarantine_key
from mo_sync.store import Readable, Store
from mo_sync.upkeep.erase import finish
from mo_sync.upkeep.faults import Fault, Found, Mended

__all__ = ["forget", "lingering"]

_DETAIL: Final = "it was erased, and is not removed yet"


def lingering(ledger: Ledger, store: Readable, *, before: datetime) -> Iterator[Found]:
    """Those that the ledger has been forgetting since ``before``. Raises LedgerOutOfReach."""
    after = ""
    while places := unfinished(ledger, after=after, before=before):
        for place in places.values():
            plain = place.removeprefix(quarantine_key(""))
            yield from (Found(Fault.ERASED, key, _DETAIL) for key in (plain, quarantine_key(plain)) if _is(store, key))
        after = max(places)


def forget(
    ledger: Ledger, store: Store, found: Sequence[Found], *, stop: Callable[[], bool], force: bool = False
) -> list[Found]:
    """Remove all of them, however long that has been due; what came of those that were ``found``. ``force``: also in a
    store that looks empty. Raises OutOfReach."""
    finish(ledger, store, stop=stop, force=force)
    return [_forgotten(store, one) if one.fault is Fault.ERASED else one for one in found]


def _forgotten(store: Readable, found: Found) -> Found:
    if _is(store, found.key):
        return replace(found, mended=Mended.LEFT, remark="it cannot be removed, or was not yet")
    return replace(found, mended=Mended.DONE, remark="it is removed")


def _is(store: Readable, key: str) -> bool:
    """What cannot be looked at is told elsewhere."""
    try:
        return store.size(key) is not None
    except OSError:
        return False
