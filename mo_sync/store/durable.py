"""Making many files durable at once.

One fsync is a wait for the disk, so a file at a time costs a wait each. Two things make many cost little more than one:
the writing of each is started before the first is waited for, and several waits go on at the same time, which the
file system and the disk answer together (one journal commit, one flush). ``benchmarks/finisher.py`` shows both.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

__all__ = ["SyncCrew", "start_writing"]

_HANDS = 8


def start_writing(file: int, offset: int = 0) -> None:
    """Let the kernel begin to write what it holds of ``file`` from ``offset`` on, without waiting for it.

    Linux starts writing dirty pages that it is told to forget, as ``sync_file_range`` does, which Python lacks. It is
    advice: a file system that does not take it loses speed only, and trouble with the file is told by its fsync.
    """
    with contextlib.suppress(OSError):
        os.posix_fadvise(file, offset, 0, os.POSIX_FADV_DONTNEED)


class SyncCrew:
    """A few threads that wait for the disk together; started when first needed. For one caller at a time."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def sync(self, files: Sequence[int]) -> list[OSError | None]:
        """fsync each of these descriptors (files or folders); what went wrong with each, in order."""
        if len(files) < 2:
            return [_sync(file) for file in files]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_HANDS, thread_name_prefix="store-sync")
        shares = [files[hand::_HANDS] for hand in range(min(_HANDS, len(files)))]
        answers: list[OSError | None] = [None] * len(files)
        try:
            for hand, share in enumerate(self._pool.map(_sync_share, shares)):
                answers[hand::_HANDS] = share
        except RuntimeError:  # the machine gives no more threads: alone it takes longer
            return [_sync(file) for file in files]
        return answers

    def close(self) -> None:
        """End the threads. May be repeated."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def _sync_share(files: Sequence[int]) -> list[OSError | None]:
    return [_sync(file) for file in files]


def _sync(file: int) -> OSError | None:
    try:
        os.fsync(file)
    except OSError as error:
        return error
    return None
