"""Ledger against store, and store against ledger: is every file there and whole, and is nothing else there?"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from mo_sync.clock import Clock
from mo_sync.errors import MoSyncError
from mo_sync.ledger import Ledger
from mo_sync.ledger.verification import Filed, filed, known_locations, send_back, still, unsettled
from mo_sync.store import Store
from mo_sync.store.base import Resting

__all__ = ["Fault", "Found", "Verified", "repair", "verify"]

_AT_ONCE: Final = 500
_CHUNK: Final = 1024 * 1024
_SETTLED_S: Final = 3_600.0
"""A younger file may be one that the ledger is about to be told of."""
_SUSPICIOUS: Final = 20
_SUSPICIOUS_SHARE: Final = 0.1
_ALL: Final = 1 << 32


class Fault(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    SIZE = "wrong-size"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Found:
    """One fault. ``filed`` is what the ledger says of it, which of an orphan is nothing; ``mended`` what was done."""

    fault: Fault
    key: str
    detail: str
    filed: Filed | None = None
    mended: str | None = None


@dataclass(slots=True)
class Verified:
    """What was looked at, and what is wrong. ``whole``: all of it was, nobody interrupted it."""

    files: int = 0
    missing: int = 0
    bytes: int = 0
    resting: int = 0
    found: list[Found] = field(default_factory=list)
    whole: bool = False


def verify(
    ledger: Ledger,
    store: Store,
    *,
    clock: Clock,
    share: float = 1.0,
    force: bool = False,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[], object] = lambda: None,
) -> Verified:
    """Compare them. ``share`` below 1 looks at that part of the attachments, another one each day, and at no orphans.

    Nothing is changed. ``stop`` is asked often, ``told`` is called after each file. Raises OutOfReach; and, unless
    ``force``, MoSyncError ``store-looks-empty`` when so much is missing that it may be another store, or not mounted.
    """
    verified = Verified()
    for item in _chosen(ledger, share, day=clock.now().toordinal()):
        try:
            fault = _fault(store, item, stop)
        except _Stopped:
            return verified
        if fault is not None and still(ledger, item):
            verified.found.append(fault)
            verified.missing += fault.fault is Fault.MISSING
        verified.files += 1
        verified.bytes += item.size
        if not force:
            _refuse_an_empty_store(verified)
        told()
    _refuse_an_empty_store(verified, all_seen=not force)
    if share >= 1.0:
        for batch in _batches(store.resting()):
            if stop():
                return verified
            verified.resting += len(batch)
            verified.found += _orphans(ledger, batch, before=clock.now().timestamp() - _SETTLED_S)
    verified.whole = True
    return verified


def repair(ledger: Ledger, store: Store, found: Found, *, clock: Clock, give_up_after_s: float) -> Found:
    """Have a missing or damaged file fetched again, move a damaged or an orphaned one to ``lost+found/``.

    What changed since it was found is left alone. A stop in the middle leaves a file that is missing, which the next
    run finds. Raises LedgerOutOfReach.
    """
    changed = not still(ledger, found.filed) if found.filed is not None else _is_known(ledger, found.key)
    if changed:
        return replace(found, mended="left alone: it changed meanwhile")
    done: list[str] = []
    if found.fault is not Fault.MISSING:
        # First of all: once it may be fetched again, what lies there may be the new one.
        done.append(_moved(store, found.key))
    if found.filed is not None:
        reason = f"{found.fault} in the store: {found.detail}"
        sent_back = send_back(ledger, found.filed, now=clock.now(), give_up_after_s=give_up_after_s, reason=reason)
        done.append("it is fetched again" if sent_back else "it changed meanwhile")
    return replace(found, mended="; ".join(done))


def _is_known(ledger: Ledger, key: str) -> bool:
    return bool(known_locations(ledger, [key]) or unsettled(ledger, [_id_in(key)]))


def _moved(store: Store, key: str) -> str:
    try:
        return f"what lay there is now {store.set_aside(key)}"
    except FileNotFoundError:
        return "nothing lies there any more"
    except OSError as error:
        return f"what lies there cannot be moved away ({error.strerror})"


def _chosen(ledger: Ledger, share: float, *, day: int) -> Iterator[Filed]:
    after = ""
    while items := filed(ledger, after=after, count=_AT_ONCE):
        for item in items:
            if share >= 1.0 or zlib.crc32(f"{day}:{item.id}".encode()) < share * _ALL:
                yield item
        after = items[-1].id


class _Stopped(Exception):
    """Somebody asked for it, perhaps in the middle of a large file."""


def _fault(store: Store, item: Filed, stop: Callable[[], bool]) -> Found | None:
    try:
        size = store.size(item.location)
        if size is None:
            return Found(Fault.MISSING, item.location, "there is no such file", item)
        if size != item.size:
            return Found(Fault.SIZE, item.location, f"{size:,} bytes instead of {item.size:,}", item)
        found = _sha256(store, item.location, stop)
    except FileNotFoundError:
        return Found(Fault.MISSING, item.location, "there is no such file", item)
    except OSError as error:
        return Found(Fault.UNREADABLE, item.location, error.strerror or type(error).__name__, item)
    if found != item.sha256:
        return Found(Fault.DAMAGED, item.location, f"its SHA-256 is {found}", item)
    return None


def _sha256(store: Store, key: str, stop: Callable[[], bool]) -> str:
    """What is read here nobody needs soon: it is not to push out of memory what others read."""
    digest = hashlib.sha256()
    with store.open(key) as file:
        while not stop() and (chunk := file.read(_CHUNK)):
            digest.update(chunk)
        if stop():
            raise _Stopped
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def _refuse_an_empty_store(verified: Verified, *, all_seen: bool = False) -> None:
    missing = verified.missing
    much = missing > _SUSPICIOUS and missing > _SUSPICIOUS_SHARE * verified.files
    if much or (all_seen and verified.files and missing == verified.files):
        summary = f"{missing:,} of {verified.files:,} files are not there"
        hint = "see store.url, and whether the store's disk is mounted; if they are really gone, --force goes on"
        raise MoSyncError("store-looks-empty", summary, item="the store", hint=hint)


def _orphans(ledger: Ledger, batch: Sequence[Resting], *, before: float) -> list[Found]:
    """Most are known by the attachment id in their name; for the others the ledger is read through."""
    ids = {resting.key: _id_in(resting.key) for resting in batch}
    known = known_locations(ledger, list(ids), ids=set(ids.values()))
    strangers = [resting for resting in batch if resting.key not in known and resting.modified_at < before]
    if not strangers:
        return []
    known = known_locations(ledger, [resting.key for resting in strangers])
    coming = unsettled(ledger, {ids[resting.key] for resting in strangers})
    return [
        Found(Fault.ORPHAN, resting.key, f"{resting.size:,} bytes that the ledger knows nothing of")
        for resting in strangers
        if resting.key not in known and ids[resting.key] not in coming
    ]


def _id_in(key: str) -> str:
    """The attachment id in a file's name, ``0-<id>.jpg``; an odd one stands there as its hash.

    >>> _id_in("2026/11/20/M1/0-Mno4X.ayql.jpg")
    'Mno4X.ayql'
    """
    return key.rpartition("/")[2].partition("-")[2].rpartition(".")[0]


def _batches(resting: Iterator[Resting]) -> Iterator[list[Resting]]:
    while batch := list(islice(resting, _AT_ONCE)):
        yield batch
