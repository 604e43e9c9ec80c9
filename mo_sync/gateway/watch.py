"""Time limits that hold for every byte, and a stop that is heard while waiting for one.

A socket's own timeout starts anew with every byte, and a library's large read hides the bytes in between: a server that
drips can hold a thread for ever. So each wait for bytes is made here, in short slices, and each slice looks at the
silence so far, at the deadline of the whole call and at the stop. This holds for headers, chunk sizes, trailers and
body alike, since all of them are read through the one file object that ``http.client`` makes of a socket.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from mo_sync.clock import Clock

__all__ = ["POOL_CLASSES", "Stopped", "TotalTimeout", "Watch"]

SLICE_S: Final = 0.5
"""How long, in seconds, a stop may go unheard."""


class Stopped(Exception):
    """A stop was asked for. Not an OSError, so that it passes through the libraries untranslated."""


class TotalTimeout(Exception):
    """The deadline of the whole call passed."""


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class Watch:
    """The limits of one call: ``deadline`` on the clock's monotonic scale, ``idle_s`` of silence, the stops to hear.

    ``connected`` says that a connection was made for this call, rather than one used again. ``at_end`` asks to look,
    when the body is over, for bytes that nobody announced; ``excess`` says that some were there.
    """

    clock: Clock
    deadline: float
    idle_s: float
    aborted: Callable[[], bool] = _never
    stop: Callable[[], bool] = _never
    connected: bool = False
    at_end: bool = False
    excess: bool = False

    def check(self) -> float:
        """Seconds left until the deadline. Raises Stopped or TotalTimeout."""
        if self.aborted() or self.stop():
            raise Stopped
        left_s = self.deadline - self.clock.monotonic()
        if left_s <= 0:
            raise TotalTimeout
        return left_s

    def patience(self, silent_since: float) -> float:
        """How long to wait for bytes now, in seconds. Raises Stopped, TotalTimeout, or TimeoutError for silence."""
        left_s = self.check()
        silence_left_s = silent_since + self.idle_s - self.clock.monotonic()
        if silence_left_s <= 0:
            raise TimeoutError("silent for too long")
        return min(left_s, silence_left_s, SLICE_S)

    @contextlib.contextmanager
    def on_this_thread(self) -> Iterator[None]:
        """Within the block, connections made or used by this thread wait under this watch."""
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)


_current: ContextVar[Watch | None] = ContextVar("watch", default=None)


class _Patient(io.RawIOBase):
    """What ``http.client`` reads from: a socket whose every wait is watched."""

    def __init__(self, inner: io.RawIOBase, sock: socket.socket, watch: Watch) -> None:
        self._inner = inner
        self._sock = sock
        self._watch = watch
        self._timeout_s: float | None = None
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        silent_since = self._watch.clock.monotonic()
        while not self.ended:
            self._set_timeout(self._watch.patience(silent_since))
            with contextlib.suppress(TimeoutError):
                return self._sock.recv_into(buffer)
        return 0

    def _set_timeout(self, seconds: float) -> None:
        if seconds != self._timeout_s:
            self._sock.settimeout(seconds)
            self._timeout_s = seconds

    def leftovers(self) -> bytes:
        """What lies in the socket right now, without waiting."""
        with contextlib.suppress(OSError):
            self._sock.settimeout(0.0)
            return self._sock.recv(64)
        return b""

    def hang_up(self) -> None:
        """End the connection, so that a pool takes it for dropped."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):
                self._sock.settimeout(self._watch.idle_s)
            self._inner.close()
        super().close()


class _Reader(io.BufferedReader):
    """Looks, when a body with a Content-Length is over, whether more came than was announced.

    A Content-Length that is too small (a proxy that unpacked what it passed on, and kept the old one) would make us
    keep half a file as a whole one. Stray line ends are forgiven: some servers add one.
    """

    def __init__(self, raw: _Patient, watch: Watch) -> None:
        super().__init__(raw)
        self._patient = raw
        self._watch = watch

    def close(self) -> None:
        if not self.closed and self._watch.at_end:
            self._watch.at_end = False
            self._watch.excess = bool(self._unread().strip(b"\r\n"))
            if self._watch.excess:
                self._patient.hang_up()  # what else comes would be taken for the next answer
        super().close()

    def _unread(self) -> bytes:
        # peek() reads when nothing is buffered: let it find an end there, and look into the socket without waiting.
        self._patient.ended = True
        return self.peek() or self._patient.leftovers()


class _Response(http.client.HTTPResponse):
    """``http.client``'s answer, read under the watch of the thread that asked."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        watch = _current.get()
        if watch is not None:
            self.fp = _Reader(_Patient(self.fp.detach(), sock, watch), watch)


class _Connection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        _connected()


class _TlsConnection(HTTPSConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        _connected()


def _connected() -> None:
    watch = _current.get()
    if watch is not None:
        watch.connected = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOL_CLASSES: Final = {"http": _Pool, "https": _TlsPool}
"""What a urllib3 PoolManager needs to make connections that wait under a watch."""
