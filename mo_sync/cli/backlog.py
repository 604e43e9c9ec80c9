"""What is read faster than somebody takes it waits on the disk, so that no transaction stays open for a slow reader."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Generator, Iterator
from typing import Final

from mo_sync.errors import OutOfReach

__all__ = ["read_ahead"]

_IN_MEMORY: Final = 8 * 1024 * 1024
_AT_ONCE: Final = 64 * 1024


@contextlib.contextmanager
def read_ahead(lines: Generator[str, None, None]) -> Iterator[Iterator[str]]:
    """The lines, some at a time, for a block that takes them as slowly as it likes.

    A thread reads them to their end meanwhile, as fast as it can, and closes the generator: all that this holds open,
    it holds only so long. What it raises is raised where the lines are taken, behind those that came before. Leaving
    the block ends the reading. Raises OutOfReach when what waits cannot be kept.
    """
    backlog = _Backlog()
    reading = threading.Thread(target=backlog.fill, args=[lines], name="read-ahead", daemon=True)
    reading.start()
    try:
        yield backlog.taken()
    finally:
        backlog.stop.set()
        reading.join()
        backlog.close()


class _Backlog:
    """A queue of lines, in memory while it is short, else in a file without a name."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  it is closed with the backlog
        self._changed = threading.Condition()
        self._taken = self._put = 0
        self._ended = False
        self._trouble: BaseException | None = None

    def fill(self, lines: Generator[str, None, None]) -> None:
        """Read them to their end, or to a stop; for one thread."""
        try:
            with contextlib.closing(lines):
                for line in lines:
                    if self.stop.is_set():
                        return
                    self._append(line.encode("utf-8", "surrogatepass"))
        except BaseException as error:  # noqa: BLE001  it is raised where the lines are taken
            self._trouble = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def taken(self) -> Iterator[str]:
        """What was put in, in whole lines, as it comes; for another thread."""
        while (some := self._next()) is not None:
            yield some.decode("utf-8", "surrogatepass")
        if self._trouble is not None:
            raise self._trouble

    def close(self) -> None:
        self._file.close()

    def _append(self, line: bytes) -> None:
        with self._changed:
            try:
                self._file.seek(self._put)
                self._file.write(line)
            except OSError as error:
                hint = "free space there, let TMPDIR name another folder, or name a file with --output"
                summary = f"what nobody took yet cannot be kept ({error.strerror})"
                raise OutOfReach("backlog-not-kept", summary, item=tempfile.gettempdir(), hint=hint) from error
            self._put += len(line)
            self._changed.notify()

    def _next(self) -> bytes | None:
        with self._changed:
            while self._taken == self._put and not self._ended:
                self._changed.wait()
            if self._taken == self._put:
                return None
            self._file.seek(self._taken)
            some = self._file.read(min(_AT_ONCE, self._put - self._taken))
            some += b"" if some.endswith(b"\n") else self._file.readline()
            self._taken += len(some)
            if self._taken == self._put:  # all of it was taken: its room is used again
                self._file.seek(0)
                self._file.truncate()
                self._taken = self._put = 0
            return some
