"""Signals, heard on a thread of their own.

Python runs a signal's handler between two steps of the main thread. That one may just then hold the lock inside of an
event or a condition: a handler that sets that event would wait for itself, for ever. Or it waits for a lock, and is not
woken when another thread took the signal, or when it came in the instant before the wait: then the handler runs when
that wait is over, seconds later. So the handlers do nothing. What counts is the byte that Python's own part in C writes
at once, by whichever thread, to a socket (``signal.set_wakeup_fd``); a thread reads it and acts upon it.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["heard"]

_END = b"\0"  # no signal has the number 0


@contextmanager
def heard(numbers: Sequence[signal.Signals], act: Callable[[int], None]) -> Iterator[None]:
    """While the block runs, ``act`` is called with each of these signals, in order, by another thread.

    To be entered by the main thread. Afterwards the former handlers are back; what came before then was acted upon.
    """
    line, end = socket.socketpair()
    end.setblocking(False)

    def work() -> None:
        while (number := line.recv(1)) != _END:
            if number[0] in numbers:
                act(number[0])

    with line, end:
        thread = threading.Thread(target=work, name="signals", daemon=True)
        thread.start()
        wakeup = signal.set_wakeup_fd(end.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, _nothing) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            end.setblocking(True)
            end.sendall(_END)
            thread.join()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Without a handler of Python's no byte would be written."""
    del number, frame
