"""Whose turn it is to file away: one mo-sync at a time looks for free names in ``done/`` and ``rejected/``.

The turn is a lock (flock) on ``processing/``. Whoever holds it may never let go: a neighbour that was stopped, or a
program that may open the folder and locks it for itself. So nobody waits for it for longer than a while, and a stop
ends the wait. What is recorded but not filed away waits in ``processing/`` meanwhile, and intake goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterator

from mo_sync.clock import Clock
from mo_sync.errors import OutOfReach

__all__ = ["PATIENCE_S", "Turn"]

PATIENCE_S = 30.0
"""A neighbour files away a thousand files and makes them durable in less, even on a slow disk."""

_STEP_S = 0.05


class Turn:
    """One process's turns. ``blocked``: the last wait for one was in vain, so the next try does not wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.blocked = False

    @contextlib.contextmanager
    def taken(self, processing: int, stop: Callable[[], bool]) -> Iterator[bool]:
        """Whether it is our turn while the block runs; if not, the wait was in vain or ``stop`` ended it.

        ``processing`` is a descriptor of that folder. Where the filesystem cannot lock it is always our turn: then two
        processes could in theory choose one name at one instant.
        """
        ours = self._wait(processing, stop)
        try:
            yield ours
        finally:
            if ours:
                _unlock(processing)

    def is_free(self, processing: int) -> bool:
        """Whether it would be our turn now."""
        if free := _lock(processing):
            _unlock(processing)
            self.blocked = False
        return free

    def trouble(self, path: str) -> OutOfReach:
        """What to raise of files that wait for a turn that does not come. ``path`` is the drop folder's."""
        return OutOfReach(
            "drop-locked",
            "another process holds the lock on it; what is recorded waits there and is filed away later",
            item=f"{path}/processing",
            hint="fuser -v on that folder says which: a stopped mo-sync, or somebody else's program",
        )

    def _wait(self, processing: int, stop: Callable[[], bool]) -> bool:
        never = threading.Event()
        until_s = self._clock.monotonic() + (0.0 if self.blocked else PATIENCE_S)
        while not _lock(processing):
            if stop():
                return False
            if self._clock.monotonic() >= until_s:
                self.blocked = True
                return False
            self._clock.wait(never, _STEP_S)
        self.blocked = False
        return True


def _lock(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this filesystem has no locks
        return True
    return True


def _unlock(folder: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_UN)
