"""The server: a thread a connection, kept alive, with a hand on every byte.

Built on :mod:`socketserver`, not on :mod:`http.server`, whose own reading and writing of headers every fault would have
to get round.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any, Final

from mo_sync.sandbox.answers import Answer, as_json
from mo_sync.sandbox.requests_in import Malformed, Request, read_request
from mo_sync.sandbox.wire import Line, send

__all__ = ["Server", "address"]

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOIN_S: Final = 5.0


def address(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``; ValueError when it is neither.

    >>> address("127.0.0.1:0"), address("[::1]:8080")
    (('127.0.0.1', 0), ('::1', 8080))
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"listen is {listen!r}; it must be host:port, as in 127.0.0.1:0")
    return host.strip("[]"), int(port)


class _Connection(socketserver.StreamRequestHandler):
    """Answers one request after another until either side has had enough."""

    server: Server
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024

    def handle(self) -> None:
        line = Line(self.connection, self.server.stopping)
        with contextlib.suppress(OSError):  # the client has gone, or stop() has closed the line
            while not self.server.stopping.is_set() and self._serve(line):
                pass

    def _serve(self, line: Line) -> bool:
        try:
            request = read_request(self.rfile, lambda: line.say(_CONTINUE))
        except Malformed as error:
            return send(line, as_json({"error": str(error)}, error.status), keep=False)
        if request is None:
            return False
        answer = self.server.answer(request)
        line.dawdle(answer.delay_s)
        return send(line, answer, keep=request.keep and request.method != "HEAD")


class Server(socketserver.TCPServer):
    """``answer`` turns requests into answers, on many threads at once. Binds when made, serves from ``start`` on."""

    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, listen: str, answer: Callable[[Request], Answer]) -> None:
        host, port = address(listen)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answer = answer
        self.stopping = threading.Event()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._loop = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox", daemon=True
        )
        super().__init__((host, port), _Connection)

    @property
    def base_url(self) -> str:
        host, port = self.server_address[:2]
        name = host if isinstance(host, str) else host.decode()
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Take no more connections, close those that are open, and wait for their threads."""
        self.stopping.set()
        if self._loop.is_alive():
            self.shutdown()
            self._loop.join(_JOIN_S)
        self.server_close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in open_now:
            thread.join(_JOIN_S)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection on a thread of its own, which :meth:`stop` joins."""
        thread = threading.Thread(
            target=self._converse, args=(request, client_address), name="sandbox-connection", daemon=True
        )
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def _converse(self, request: Any, client_address: Any) -> None:
        try:
            with contextlib.suppress(OSError):
                self.finish_request(request, client_address)
        finally:
            with contextlib.suppress(OSError):
                self.shutdown_request(request)
            with self._lock:
                self._connections.pop(threading.current_thread(), None)
