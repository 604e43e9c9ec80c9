"""Filing away what is recorded: to ``done/``, to ``rejected/``, or deleted; never over something else.

Only after the ledger's commit. If the process dies before, between or after the moves here, the file is read again:
the ledger recognises its events, and a report that is in place already is recognised by its bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from types import TracebackType
from typing import BinaryIO, Literal, Self

from mo_sync.feeds.dropfiles import Taken, exists, observed
from mo_sync.feeds.dropfolder import OpenFolder, open_folder
from mo_sync.feeds.dropnames import ERROR_SUFFIX, numbered, unpacked
from mo_sync.feeds.dropreport import Report

__all__ = ["Filing", "first_free"]

_CHUNK = 1 << 16


class Filing:
    """Files away one batch; at its end the moves are made durable with one fsync a folder.

    A context manager, for the one whose turn it is (:mod:`mo_sync.feeds.dropturn`): no other mo-sync files anything
    away here meanwhile, so looking for a free name before a rename is safe.
    """

    def __init__(self, folder: OpenFolder, keep: Literal["move", "delete"], today: date) -> None:
        self._folder = folder
        self._keep = keep
        self._today = today
        self._day: int | None = None
        self._touched: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for folder in self._touched:
                os.fsync(folder)
        finally:
            if self._day is not None:
                os.close(self._day)

    def unchanged(self, taken: Taken) -> bool:
        """Whether the file is still as it was when it was opened: if not, its writer was not done with it."""
        now = observed(os.stat(taken.name, dir_fd=self._folder.own, follow_symlinks=False))
        then = taken.observation
        return (now.inode, now.size, now.mtime_ns) == (then.inode, then.size, then.mtime_ns)

    def done(self, taken: Taken) -> None:
        """Put the file to ``done/YYYY-MM-DD/``, or delete it, as the setting says. Raises OSError."""
        if self._keep == "delete":
            os.unlink(taken.name, dir_fd=self._folder.own)
            self._touched.add(self._folder.own)
            return
        day = self._day_folder()
        number = first_free(lambda number: exists(numbered(taken.name, number), day))
        self._move(taken.name, day, numbered(taken.name, number))

    def rejected(self, taken: Taken, report: Report, events: int) -> str:
        """Put the report into ``rejected/``, with the whole file if none of its ``events`` was understood (or the bad
        ones cannot be cut out of it); else the file goes to ``done/``. Gives the name in ``rejected/``. Raises OSError,
        and then the file is where it was.

        The text goes first and the file last: a file in ``rejected/`` always has its explanation.
        """
        report.finish(events)
        whole = report.whole_file
        source, wanted = (taken.name, taken.name) if whole else (report.bytes_name, unpacked(taken.name))
        name = numbered(wanted, self._slot(wanted, source, report.text_name))
        self._move(report.text_name, self._folder.rejected, name + ERROR_SUFFIX)
        self._move(source, self._folder.rejected, name)
        if not whole:
            self.done(taken)
        return name

    def _slot(self, wanted: str, source: str, text: str) -> int:
        """The number under which file and text can stand side by side; that of the same two, if they stand there."""

        def occupied(number: int) -> bool:
            name = numbered(wanted, number)
            return exists(name, self._folder.rejected) or exists(name + ERROR_SUFFIX, self._folder.rejected)

        def same(number: int) -> bool:
            name = numbered(wanted, number)
            return self._absent_or_same(name, source) and self._absent_or_same(name + ERROR_SUFFIX, text)

        free = first_free(occupied)
        return free - 1 if free and same(free - 1) else free

    def _absent_or_same(self, name: str, source: str) -> bool:
        if not exists(name, self._folder.rejected):
            return True
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with (
                os.fdopen(os.open(name, flags, dir_fd=self._folder.rejected), "rb") as one,
                os.fdopen(os.open(source, flags, dir_fd=self._folder.own), "rb") as other,
            ):
                return _same_bytes(one, other)
        except OSError:
            return False

    def _day_folder(self) -> int:
        if self._day is None:
            day = self._today.isoformat()
            self._day = open_folder(self._folder.done, day, item=str(self._folder.path / "done" / day))
            self._touched.add(self._folder.done)
        return self._day

    def _move(self, source: str, folder: int, name: str) -> None:
        os.rename(source, name, src_dir_fd=self._folder.own, dst_dir_fd=folder)
        self._touched |= {folder, self._folder.own}


def first_free(occupied: Callable[[int], bool]) -> int:
    """A number that is not occupied: the smallest, unless there are gaps. Asks about log2 of it times.

    >>> first_free(lambda number: number < 1000)
    1000
    """
    if not occupied(0):
        return 0
    high = 1
    while occupied(high):
        high *= 2
    low = high // 2
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if occupied(middle) else (low, middle)
    return high


def _same_bytes(one: BinaryIO, other: BinaryIO) -> bool:
    if os.fstat(one.fileno()).st_size != os.fstat(other.fileno()).st_size:
        return False
    while chunk := one.read(_CHUNK):
        if chunk != other.read(_CHUNK):
            return False
    return True
