"""A real HTTP server on a real socket that misbehaves on demand: the other end of the gateway client's wire tests."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

LIMIT_S = 20.0


@dataclass(frozen=True)
class Asked:
    """One request as it came. ``connection`` counts connections from 0."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Line:
    """The server's end of one connection, for a script to misbehave on. ``over`` is set when the test is done.

    ``said`` counts what was sent on it.
    """

    sock: socket.socket
    over: threading.Event
    ended: bool = False
    said: int = 0

    def send(self, data: bytes) -> None:
        self.said += 1
        self.sock.sendall(data)

    def end(self) -> None:
        """Close the connection in order."""
        self.ended = True

    def reset(self) -> None:
        """Close it with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ended = True

    def silence(self) -> None:
        """Say nothing until the test is over."""
        self.over.wait(LIMIT_S)
        self.ended = True

    def drip(self, data: bytes, every_s: float) -> None:
        """Send a byte at a time until there is none left, the client is gone, or the test is over."""
        for at in range(len(data)):
            if self.over.wait(every_s):
                break
            self.send(data[at : at + 1])
        self.ended = True


Script = Callable[[Line, Asked], None]


def answer(
    status: int = 200,
    body: bytes = b"",
    *,
    kind: str = "application/octet-stream",
    length: int | None = -1,
    **more: str,
) -> bytes:
    """A whole answer; ``length`` lies about the body, None leaves it out. Underscores in names become dashes."""
    headers = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in more.items()}}
    if length is not None:
        headers["Content-Length"] = str(len(body) if length < 0 else length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body


def says(data: bytes) -> Script:
    """A script that sends ``data`` and keeps the connection."""
    return lambda line, _asked: line.send(data)


@dataclass
class WireServer:
    """Plays ``script`` for each request; ``asked`` keeps them all. With a ``context`` it speaks TLS.

    ``greeting`` is said before anything was asked.
    """

    script: Script
    context: ssl.SSLContext | None = None
    greeting: bytes = b""
    asked: list[Asked] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://{self.host}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(0.1)
                self._spawn(self._serve, sock, self.connections)
                self.connections += 1

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            served = self.context.wrap_socket(sock, server_side=True) if self.context else sock
            with served:
                served.sendall(self.greeting)
                self._talk(Line(served, self._over), number)

    def _talk(self, line: Line, number: int) -> None:
        pending = b""
        while not line.ended:
            head, pending = self._until(line, pending, b"\r\n\r\n")
            if head is None:
                return
            first, *rest = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            want = int(headers.get("content-length", "0"))
            while len(pending) < want:
                pending += self._receive(line) or b""
            asked = Asked(number, method, target, headers, pending[:want])
            pending = pending[want:]
            self.asked.append(asked)
            line.sock.settimeout(LIMIT_S)
            self.script(line, asked)
            line.sock.settimeout(0.1)

    def _until(self, line: Line, pending: bytes, mark: bytes) -> tuple[bytes | None, bytes]:
        while mark not in pending:
            data = self._receive(line)
            if not data:
                return None, b""
            pending += data
        head, _, rest = pending.partition(mark)
        return head, rest

    def _receive(self, line: Line) -> bytes | None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                return line.sock.recv(65536)
        return None
