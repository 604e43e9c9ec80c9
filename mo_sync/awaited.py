"""Streams that may keep one waiting for ever, a silent pipe or a reader that does not read: until a stop is asked for.

Python repeats a call that a signal interrupted. So nothing here is called before it can be done at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["opened", "readable", "written"]

_ASK_AGAIN_S: Final = 0.2


def opened(path: Path, stop: Callable[[], bool]) -> BinaryIO | io.RawIOBase:
    """The file, to be read and closed; a named pipe ends when ``stop`` says so, also while nobody writes to it. Raises
    OSError."""
    if not path.is_fifo():
        return path.open("rb")
    return _Awaited(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), stop, closes=True)


def readable(stream: BinaryIO, stop: Callable[[], bool]) -> BinaryIO | io.RawIOBase:
    """``stream``, of which nothing was read yet, but it ends when ``stop`` says so. What is no file stays as it is."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return stream
    return _Awaited(number, stop, closes=False)


def written(number: int, content: bytes, stop: Callable[[], bool]) -> bool:
    """Write it to this file, piece by piece, as its reader takes it; False if ``stop`` came before the end. Raises
    OSError."""
    left = memoryview(content)
    while left:
        if stop():
            return False
        if select.select([], [number], [], _ASK_AGAIN_S)[1]:
            with contextlib.suppress(BlockingIOError):  # so much at least fits into a pipe that takes anything
                left = left[os.write(number, left[: select.PIPE_BUF]) :]
    return True


class _Awaited(io.RawIOBase):
    def __init__(self, number: int, stop: Callable[[], bool], *, closes: bool) -> None:
        self._number = number
        self._stop = stop
        self._closes = closes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        place = memoryview(buffer).cast("B")
        while not self._stop():
            if select.select([self._number], [], [], _ASK_AGAIN_S)[0]:
                with contextlib.suppress(BlockingIOError):  # another reader of the same pipe was quicker
                    found = os.read(self._number, len(place))
                    place[: len(found)] = found
                    return len(found)
        return 0

    def close(self) -> None:
        if self._closes and not self.closed:
            os.close(self._number)
        super().close()
