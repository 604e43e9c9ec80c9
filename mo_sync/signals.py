"""Signals, heard on a thread of their own.

Python runs a signal's handler between two steps of the main thread. That one may just then hold the lock inside of an
event or a condition: a handler that sets that event would wait for itself, for ever. Or it waits for a lock, and is not
woken when another thread took the signal, or when it came in the instant before the wait: then the handler runs when
that wait is over, seconds later. So the handlers do nothing. What counts is the byte that Python's own part in C writes
at once, by whichever thread, to a socket (``signal.set_wakeup_fd``); a thread reads it and acts upon it.

A command that a person waits for is asked to stop by the first signal, and ended by the second: it may hang where no
stop is asked for, in a system call that Python repeats when the handler is done, or in a library that never lets Python
have its turn.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, Never

__all__ = ["heard"]

_END = b"\0"  # no signal has the number 0
_GRACE_S: Final = 2.0
"""So long the main thread has to end by itself after the second signal: it may be where no handler of Python's runs."""


@contextmanager
def heard(
    numbers: Sequence[signal.Signals], act: Callable[[int], None], *, second_ends: bool = False
) -> Iterator[None]:
    """While the block runs, ``act`` is called with each of these signals, in order, by another thread.

    ``second_ends``: the second of them is not acted upon, but does what it did before the block, which is to end the
    process; and if that cannot be, the process ends all the same.

    To be entered by the main thread. Afterwards the former handlers are back; what came before then was acted upon.
    """
    line, end = socket.socketpair()
    end.setblocking(False)
    most = 1 if second_ends else None

    def work() -> None:
        """Until the end, also where a signal that came while this was being set up has closed the line."""
        acted = 0
        while (number := _next(line)) not in (_END, b""):
            if number[0] not in numbers:
                continue
            if acted == most:
                _end(line, number[0])
                return
            acted += 1
            act(number[0])

    came = 0

    def handle(number: int, frame: FrameType | None) -> None:
        """Without a handler of Python's no byte would be written."""
        nonlocal came
        del frame
        came += 1
        if most is not None and came > most:
            for known, handler in before.items():
                signal.signal(known, handler)
            signal.raise_signal(number)

    with line, end:
        thread = threading.Thread(target=work, name="signals", daemon=True)
        thread.start()
        wakeup = signal.set_wakeup_fd(end.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            end.setblocking(True)
            end.sendall(_END)
            thread.join()


def _next(line: socket.socket) -> bytes:
    try:
        return line.recv(1)
    except OSError:
        return b""


def _end(line: socket.socket, number: int) -> None:
    """Unless the block ends soon, or another signal comes before that."""
    line.settimeout(_GRACE_S)
    try:
        ended = line.recv(1) in (_END, b"")
    except TimeoutError:
        ended = False
    except OSError:  # it is closed: the block has ended
        ended = True
    if not ended:
        _leave(number)


def _leave(number: int) -> Never:
    """Without any more of Python: it is as safe as being killed, which everything here has to survive anyway."""
    os._exit(128 + number)
