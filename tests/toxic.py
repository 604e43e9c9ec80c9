"""A TCP proxy that makes the line bad: slow, thin, cut, silent, half-open, lossy. As toxiproxy, but ours.

Unlike a gateway that misbehaves it knows nothing of HTTP: it breaks wherever the bytes happen to be.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

__all__ = ["Line", "Toxic", "lossy"]

_TICK_S: Final = 0.05
_PIECE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """How the line is. ``latency_s`` is added to each piece in both directions; ``bits_per_s`` bounds what comes down.

    ``cut_after`` bytes down the connection ends: in order, or with a RST (``reset``). ``swallow`` takes what is sent
    and lets nothing come back, and does not even hang up: a blackhole for new connections, half-open for old ones.
    ``refuse`` ends connections as soon as they are made.
    """

    latency_s: float = 0.0
    bits_per_s: float | None = None
    cut_after: int | None = None
    reset: bool = False
    swallow: bool = False
    refuse: bool = False


class Toxic:
    """Stands before ``base_url``. A context manager; ``line`` may be changed at any time, also for open connections.

    ``mood``, when given, decides for each new connection, by its number, how its line is.
    """

    def __init__(self, base_url: str, *, line: Line = Line(), mood: Callable[[int], Line] | None = None) -> None:
        parts = urlsplit(base_url)
        self._to = (parts.hostname or "", parts.port or 80)
        self.line = line
        self._mood = mood
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10.0)

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                own = self._mood(self.connections) if self._mood else None
                self.connections += 1
                self._spawn(self._serve, near, own)

    def _serve(self, near: socket.socket, own: Line | None) -> None:
        with near, contextlib.suppress(OSError):
            if (own or self.line).refuse:
                _reset(near)
                return
            with socket.create_connection(self._to, timeout=10) as far:
                for sock in (near, far):
                    sock.settimeout(_TICK_S)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                up = threading.Thread(target=self._up, args=(near, far, own), daemon=True)
                up.start()
                self._down(far, near, own)
                _hang_up(far, near)
                up.join(10.0)

    def _up(self, near: socket.socket, far: socket.socket, own: Line | None) -> None:
        with contextlib.suppress(OSError):
            while (data := self._receive(near)) is not None:
                line = own or self.line
                self._over.wait(line.latency_s)
                if not line.swallow:
                    far.sendall(data)
        _hang_up(far)

    def _down(self, far: socket.socket, near: socket.socket, own: Line | None) -> None:
        """Until either side ends, or the line's time is over."""
        passed = 0
        while (data := self._receive(far)) is not None:
            line = own or self.line
            self._over.wait(line.latency_s)
            if line.swallow:
                continue
            left = len(data) if line.cut_after is None else max(0, line.cut_after - passed)
            self._pour(near, data[:left], line)
            passed += len(data)
            if left < len(data):
                if line.reset:
                    _reset(near)
                return

    def _pour(self, near: socket.socket, data: bytes, line: Line) -> None:
        """As fast as the line is: a tenth of a second's worth at a time."""
        step = len(data) if line.bits_per_s is None else max(1, int(line.bits_per_s / 80))
        for start in range(0, len(data), step or 1):
            near.settimeout(10.0)
            near.sendall(data[start : start + step])
            near.settimeout(_TICK_S)
            if line.bits_per_s is not None and self._over.wait(0.1):
                return

    def _receive(self, sock: socket.socket) -> bytes | None:
        """The next bytes; None at the end of the connection, or of the proxy."""
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                return sock.recv(_PIECE) or None
        return None


def lossy(seed: int, *, most: int) -> Callable[[int], Line]:
    """A mood in which each connection dies after up to ``most`` bytes, half of them by a RST, as the dice fall."""

    def mood(number: int) -> Line:
        dice = random.Random(f"{seed} {number}")
        return Line(cut_after=dice.randrange(most), reset=dice.random() < 0.5)

    return mood


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def _hang_up(*socks: socket.socket) -> None:
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
