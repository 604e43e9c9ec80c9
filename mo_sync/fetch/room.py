"""Room on the disk for what is being downloaded, promised before the first byte: many at once leave ``min_free``."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from mo_sync.errors import StoreOutOfReach
from mo_sync.fetch.troubles import DISK_REST_S, no_store
from mo_sync.lifecycle import Interrupted
from mo_sync.store import Store

__all__ = ["Promise", "Room"]

_SMALL_BYTES: Final = 1024 * 1024
"""Less than this is not worth a look at the disk: ``limits.min_free`` has room for it."""


class Room:
    """What the downloads of this process may still write. Any thread may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._promised = 0

    def promise(self, announced: int | None, min_free: int) -> Promise | Interrupted:
        """Room for ``announced`` bytes that leaves ``min_free`` and what was promised to others.

        Interrupted, with the numbers, when there is none. A size that is not announced is promised nothing: whoever
        writes on and on asks :meth:`enough` now and then.
        """
        if announced is None or announced < _SMALL_BYTES:
            return Promise(self, 0)
        free = self._free()
        if isinstance(free, Interrupted):
            return free
        with self._lock:
            promised = self._promised
            if free - promised - announced >= min_free:
                self._promised += announced
                return Promise(self, announced)
        others = f", {promised:,} of them for other downloads" if promised else ""
        reason = (
            f"{announced:,} bytes are announced; the store has {free:,} free{others}, "
            f"and limits.min_free asks for {min_free:,}"
        )
        return Interrupted(reason, delay_s=DISK_REST_S, everybody=free < min_free)

    def enough(self, min_free: int) -> Interrupted | None:
        """None while ``min_free`` bytes are free; else why not to write on."""
        free = self._free()
        if isinstance(free, Interrupted):
            return free
        if free >= min_free:
            return None
        reason = f"the store has {free:,} bytes free and limits.min_free asks for {min_free:,}"
        return Interrupted(reason, delay_s=DISK_REST_S, everybody=True)

    def give_back(self, size: int) -> None:
        """``size`` bytes that were promised are written, or will not be."""
        with self._lock:
            self._promised -= size

    def _free(self) -> int | Interrupted:
        """Asked outside the lock: a disk that does not answer holds up nobody else."""
        try:
            return self._store.free_bytes()
        except StoreOutOfReach as error:
            return no_store(error)


class Promise:
    """Room for one download, which shrinks as it is written. A context manager: what is left is given back."""

    def __init__(self, room: Room, size: int) -> None:
        self._room = room
        self._left = size

    def written(self, size: int) -> None:
        """``size`` more bytes are on the disk now, and so no longer free."""
        used = min(size, self._left)
        if used:
            self._left -= used
            self._room.give_back(used)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.written(self._left)
