"""Ledger against store, and store against ledger: is every file there and whole, and is nothing else there?"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from mo_sync.clock import Clock
from mo_sync.errors import LedgerOutOfReach, StoreOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.verification import (
    Filed,
    filed,
    found_whole,
    known_locations,
    put_undated_first,
    settled_count,
    still,
    unsettled,
)
from mo_sync.store import Readable
from mo_sync.store.base import Odd, Oddity, Resting
from mo_sync.upkeep.bare import looks_empty, nothing_rests
from mo_sync.upkeep.faults import Fault, Found, Verified, too_many
from mo_sync.upkeep.forgotten import lingering

__all__ = ["Stopped", "can_be_known", "id_in", "look", "verify"]

_AT_ONCE: Final = 500
_MOST_KEPT: Final = 100_000
"""What is kept of them takes some 40 MB."""
_NEVER: Final = "ledger-read-only"
_CHUNK: Final = 1024 * 1024
_SETTLED_S: Final = 3_600.0
"""A younger file may be one that the ledger is about to be told of."""
_A_FEW: Final = 2
_GONE: Final = (Fault.MISSING, Fault.UNREADABLE)


def verify(
    ledger: Ledger,
    store: Readable,
    *,
    clock: Clock,
    share: float = 1.0,
    orphans: bool = True,
    force: bool = False,
    insist: bool = False,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[int], object] = lambda _: None,
) -> Verified:
    """Compare them. ``share`` below 1 looks at that part of the files only, the longest unverified first; ``orphans``
    also at what the ledger does not know.

    What is found to be whole gets a new ``verified_at``, if that can be written (``unnoted``; with ``insist`` it is
    LedgerOutOfReach at once, for who can come again sooner than read on for nothing); nothing else is changed.
    ``stop`` is asked for each file and more often, ``told`` is called after each file with its bytes. Raises
    OutOfReach; and, unless ``force``, StoreOutOfReach ``store-looks-empty`` when so much is missing that it may be
    another store, not mounted, or not ours to read.
    """
    verified = Verified()
    began, marks = clock.now(), _Marks(ledger, clock, verified, insist=insist)
    try:
        for item in _chosen(ledger, share, before=began):
            if stop():
                return verified
            fault = look(store, item, stop)
            if fault is None:
                marks.whole(item)
            elif still(ledger, item):
                verified.found.append(fault)
                verified.gone += fault.fault in _GONE
            verified.files += 1
            verified.bytes += max(item.size, 0)
            if not force:
                _refuse_an_empty_store(verified)
            told(item.size)
    except Stopped:
        return verified
    finally:
        marks.write()
    if not force:
        _refuse_a_bare_store(verified, store)
    if orphans:
        for batch in _batches(chain(store.surveyed(), store.left_behind()), stop):
            _survey(ledger, batch, verified, before=clock.now().timestamp() - _SETTLED_S)
        verified.found += lingering(ledger, store, before=clock.now() - timedelta(seconds=_SETTLED_S))
    verified.whole = not stop()
    return verified


def _survey(ledger: Ledger, batch: Sequence[Resting | Oddity], verified: Verified, *, before: float) -> None:
    files = [found for found in batch if isinstance(found, Resting)]
    verified.resting += len(files)
    verified.add_orphans(_orphans(ledger, files, before=before))
    for found in batch:
        match found:
            case Oddity(odd=Odd.UNREADABLE):
                verified.found.append(Found(Fault.UNREADABLE, found.key, found.detail))
            case Oddity(odd=Odd.TEMPORARY):
                verified.found.append(Found(Fault.TEMPORARY, found.key, found.detail))
            case Oddity(odd=Odd.HIDDEN):
                verified.resting += 1
                if found.modified_at < before:
                    detail = f"{found.size:,} bytes in a hidden file, which is never ours"
                    verified.add_orphans([Found(Fault.ORPHAN, found.key, detail)])
            case Oddity(odd=Odd.PASSED_BY):
                verified.pass_by(found)


def _chosen(ledger: Ledger, share: float, *, before: datetime) -> Iterator[Filed]:
    put_undated_first(ledger, now=before)
    left = math.ceil(settled_count(ledger) * share) if share < 1.0 else None
    after: Filed | None = None
    while left != 0:
        count = _AT_ONCE if left is None else min(left, _AT_ONCE)
        items = filed(ledger, before=before, after=after, count=count)
        yield from items
        if len(items) < count:
            return
        after = items[-1]
        left = None if left is None else left - count


class _Marks:
    """Notes what was found whole, many at once. While the ledger cannot be written it is kept, and tried again with the
    next: what was found is told all the same, and what is never noted is merely looked at again first."""

    def __init__(self, ledger: Ledger, clock: Clock, verified: Verified, *, insist: bool) -> None:
        self._ledger = ledger
        self._clock = clock
        self._items: list[Filed] = []
        self._tried = 0
        self._given_up: LedgerOutOfReach | None = None
        self._verified = verified
        self._insist = insist

    def whole(self, item: Filed) -> None:
        if self._given_up is not None:
            return
        self._items.append(item)
        if len(self._items) - self._tried >= _AT_ONCE:
            self.write()

    def write(self) -> None:
        if not self._items:
            return
        try:
            found_whole(self._ledger, self._items, now=self._clock.now())
        except LedgerOutOfReach as error:
            if self._insist:
                self._items.clear()
                raise
            self._verified.unnoted = error
            if error.code == _NEVER or len(self._items) >= _MOST_KEPT:
                self._given_up = error
                self._items.clear()
        else:
            self._verified.unnoted = None
            self._items.clear()
        self._tried = len(self._items)


class Stopped(Exception):
    """Somebody asked for it, perhaps in the middle of a large file."""


def look(store: Readable, item: Filed, stop: Callable[[], bool]) -> Found | None:
    """What is wrong with this file, by its size and all of its bytes. Raises Stopped."""
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


def _sha256(store: Readable, key: str, stop: Callable[[], bool]) -> str:
    """What is read here nobody needs soon: it is not to push out of memory what others read."""
    digest = hashlib.sha256()
    with store.open(key) as file:
        while not stop() and (chunk := file.read(_CHUNK)):
            digest.update(chunk)
        if stop():
            raise Stopped
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def _refuse_an_empty_store(verified: Verified) -> None:
    if too_many(verified.gone, verified.files):
        raise _empty(verified)


def _refuse_a_bare_store(verified: Verified, store: Readable) -> None:
    """Where little was looked at, all of which is gone, the store is suspicious if that was more than a few, or if
    nothing at all rests in it."""
    everything = verified.gone and verified.gone == verified.files
    if everything and (verified.gone > _A_FEW or nothing_rests(store)):
        raise _empty(verified)


def _empty(verified: Verified) -> StoreOutOfReach:
    return looks_empty(verified.gone, verified.files, anyway="--force")


def _orphans(ledger: Ledger, batch: Sequence[Resting], *, before: float) -> list[Found]:
    """Most are known by the attachment id in their name; for the others the ledger is read through."""
    askable = [resting.key for resting in batch if can_be_known(resting.key)]
    known = known_locations(ledger, askable, ids={id_in(key) for key in askable})
    strangers = [resting for resting in batch if resting.key not in known and resting.modified_at < before]
    if not strangers:
        return []
    asked = {resting.key for resting in strangers}.intersection(askable)
    known = known_locations(ledger, list(asked))
    coming = unsettled(ledger, {id_in(key) for key in asked})
    return [
        Found(Fault.ORPHAN, resting.key, f"{resting.size:,} bytes that the ledger knows nothing of")
        for resting in strangers
        if resting.key not in known and id_in(resting.key) not in coming
    ]


def can_be_known(key: str) -> bool:
    """Whether the ledger can be asked for it: a file's name is bytes, and the ledger's texts are UTF-8."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def id_in(key: str) -> str:
    """The attachment id in a file's name, ``0-<id>.jpg``; an odd one stands there as its hash.

    >>> id_in("2026/11/20/M1/0-Mno4X.ayql.jpg")
    'Mno4X.ayql'
    """
    return key.rpartition("/")[2].partition("-")[2].rpartition(".")[0]


def _batches(surveyed: Iterator[Resting | Oddity], stop: Callable[[], bool]) -> Iterator[list[Resting | Oddity]]:
    """Until there are no more, or a stop; what came before that is looked at."""
    batch: list[Resting | Oddity] = []
    for found in surveyed:
        if stop():
            break
        batch.append(found)
        if len(batch) >= _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
