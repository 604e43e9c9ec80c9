"""Signals, heard on a thread of their own.

Python runs a signal's handler between two steps of the main thread, which may just then hold the lock inside of an
event or a condition: a handler that sets that event would wait for itself, for ever. So the handler only puts the
number into a queue that allows that (``SimpleQueue.put`` is reentrant), and a thread acts upon it.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["heard"]


@contextmanager
def heard(numbers: Sequence[signal.Signals], act: Callable[[int], None]) -> Iterator[None]:
    """While the block runs, ``act`` is called with each of these signals, in order, by another thread.

    To be entered by the main thread. Afterwards the former handlers are back; what came before then was acted upon.
    """
    line: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def put(number: int, frame: FrameType | None) -> None:
        del frame
        line.put(number)

    def work() -> None:
        while (number := line.get()) is not None:
            act(number)

    thread = threading.Thread(target=work, name="signals", daemon=True)
    thread.start()
    before = {number: signal.signal(number, put) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        line.put(None)
        thread.join()
