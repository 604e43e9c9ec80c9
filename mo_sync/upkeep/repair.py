"""What is done about a fault that verify found: the file is fetched again, what lies in its place moved away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from mo_sync.clock import Clock
from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger import Ledger, claims
from mo_sync.ledger.verification import Filed, known_locations, send_back, still, unsettled
from mo_sync.ledger.whereabouts import erased_by_now, erased_filed_as
from mo_sync.store import Store
from mo_sync.upkeep.faults import Fault, Found, Mended, Verified, too_many
from mo_sync.upkeep.verify import Stopped, can_be_known, id_in, look

__all__ = ["refuse_many_orphans", "repair", "sweep"]

_PATIENCE_S: Final = 5.0
_ASK_AGAIN_S: Final = 0.1
_FETCHED: Final = "it is fetched again"


def refuse_many_orphans(verified: Verified) -> None:
    """Before a repair: so many files that the ledger does not know mean that this is not the store's ledger, or an
    older copy of it, and to move them away would take from the store what is to be found again. Raises
    LedgerOutOfReach."""
    if too_many(verified.orphans, verified.resting):
        summary = f"it does not know {verified.orphans:,} of {verified.resting:,} files"
        hint = "see ledger.url, and whether it is an old copy (then its events come in first); --force goes on"
        raise LedgerOutOfReach("ledger-looks-old", summary, item="the ledger", hint=hint)


def repair(
    ledger: Ledger,
    store: Store,
    found: Found,
    *,
    clock: Clock,
    give_up_after_s: float,
    who: str,
    stop: Callable[[], bool] = lambda: False,
) -> Found:
    """Have a missing or damaged file fetched again, move a damaged or an orphaned one to ``lost+found/``, and remove
    one that was erased.

    It may have been found hours ago, and others mend too: so it is looked at once more, and what changed since is left
    alone. A ``stop`` during that look leaves ``found`` as it was; a kill after it leaves a file that is missing, which
    the next run finds. Raises LedgerOutOfReach.
    """
    if found.filed is None:
        return _of_nobody(ledger, store, found, clock)
    filed = found.filed
    try:
        again = look(store, filed, stop)
    except Stopped:
        return found
    if again is None:
        return _left_alone(found)
    now = clock.now()
    send = partial(send_back, ledger, filed, now=now, give_up_after_s=give_up_after_s, reason=_reason(found), who=who)
    return _alone(store, found, clock, lambda: _mended(ledger, store, found, again, send))


def _mended(ledger: Ledger, store: Store, found: Found, again: Found, send: Callable[..., bool]) -> Found:
    # The ledger is asked after the look, which takes its time: who mended it meanwhile has told it so.
    if found.filed is None or not still(ledger, found.filed):
        return _left_alone(found)
    if again.fault is not found.fault:
        return replace(found, mended=Mended.LEFT, remark=f"left alone: it is {again.fault} by now")
    if found.fault is Fault.MISSING:
        return replace(found, mended=Mended.DONE, remark=_FETCHED) if send() else _left_alone(found)
    return _exchanged(ledger, store, found, found.filed, send)


def _alone(store: Store, found: Found, clock: Clock, mend: Callable[[], Found]) -> Found:
    """From the question to the ledger on until it is told: else the file that somebody else put there meanwhile would
    be moved away."""
    until_s = clock.monotonic() + _PATIENCE_S
    if not found.key:  # of a row that somebody wrote by hand
        return mend()
    try:
        while clock.monotonic() < until_s:
            with store.alone(found.key) as alone:
                if alone:
                    return mend()
            clock.wait(threading.Event(), _ASK_AGAIN_S)
    except OSError as error:
        return replace(found, mended=Mended.LEFT, remark=f"left alone: {error.strerror or type(error).__name__}")
    return replace(found, mended=Mended.LEFT, remark="left alone: somebody else is at it")


def _of_nobody(ledger: Ledger, store: Store, found: Found, clock: Clock) -> Found:
    match found.fault:
        case Fault.TEMPORARY | Fault.ERASED:  # see sweep and forget, which are for all of them at once
            return found
        case Fault.UNREADABLE:
            return replace(found, mended=Mended.LEFT, remark="left alone: see its rights, and the disk")
        case _:
            return _alone(store, found, clock, lambda: _moved_away(ledger, store, found))


def sweep(ledger: Ledger, store: Store, found: Sequence[Found], *, clock: Clock) -> list[Found]:
    """Remove the temporary files of dead workers, and make due what they held; what came of those that were ``found``.

    The daemon does the same, sooner or later. What is not called as ours are stays where it is. Raises OutOfReach.
    """
    temporary = [one.key for one in found if one.fault is Fault.TEMPORARY]
    if not temporary:
        return list(found)
    if dead := store.sweep():
        claims.rescue(ledger, dead, now=clock.now())
    left = {one.key for one in store.left_behind()}
    return [_swept(one, still_there=one.key in left) if one.fault is Fault.TEMPORARY else one for one in found]


def _swept(found: Found, *, still_there: bool) -> Found:
    if still_there:
        return replace(found, mended=Mended.LEFT, remark="it cannot be removed, or is not named as ours are")
    return replace(found, mended=Mended.DONE, remark="it is removed")


def _exchanged(ledger: Ledger, store: Store, found: Found, filed: Filed, send: Callable[..., bool]) -> Found:
    # Moved first of all: once it may be fetched again, what lies there may be the new one.
    mended, moved = _moved(store, found.key)
    if send(moved=mended is Mended.DONE):
        return replace(found, mended=Mended.DONE, remark=f"{moved}; {_FETCHED}")
    if erased_by_now(ledger, [filed.id]):  # who erased it did perhaps not find it, neither here nor there
        mended, remark = _removed(store, found.key)
        return replace(found, mended=mended, remark=remark)
    if mended is Mended.CHANGED:
        return _left_alone(found)
    return replace(found, mended=Mended.LEFT, remark=f"{moved}; it changed meanwhile")


def _reason(found: Found) -> str:
    return f"{found.fault} in the store: {found.detail}"


def _moved_away(ledger: Ledger, store: Store, found: Found) -> Found:
    if _is_known(ledger, found.key):
        return _left_alone(found)
    # What was erased is kept nowhere, also if a process that was killed put it there afterwards.
    erased = can_be_known(found.key) and erased_filed_as(ledger, id_in(found.key))
    mended, remark = _removed(store, found.key) if erased else _moved(store, found.key)
    return replace(found, mended=mended, remark=remark)


def _is_known(ledger: Ledger, key: str) -> bool:
    return can_be_known(key) and bool(known_locations(ledger, [key]) or unsettled(ledger, [id_in(key)]))


def _left_alone(found: Found) -> Found:
    return replace(found, mended=Mended.CHANGED, remark="left alone: it changed meanwhile")


def _removed(store: Store, key: str) -> tuple[Mended, str]:
    try:
        store.purge(key)
    except OSError as error:
        return Mended.LEFT, f"it was erased, and cannot be removed ({error.strerror})"
    return Mended.DONE, "it was erased, and is removed again"


def _moved(store: Store, key: str) -> tuple[Mended, str]:
    try:
        return Mended.DONE, f"what lay there is now {store.set_aside(key)}"
    except FileNotFoundError:
        return Mended.CHANGED, "nothing lies there any more"
    except OSError as error:
        return Mended.LEFT, f"what lies there cannot be moved away ({error.strerror})"
