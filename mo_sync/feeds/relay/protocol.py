"""uvicorn's HTTP, with the bounds that it lacks: how long and how large a request's headers may be."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedProtocol", "bounded"]

_MOST_HEADER_BYTES: Final = 32 * 1024
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """One connection. ``header_timeout_s`` and ``most_connections`` are set by :func:`bounded`."""

    header_timeout_s: float
    most_connections: int

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        self._slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's; the clock of the first request runs."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._end(_BUSY)
            return
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, while the headers are within their bounds."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEADER_BYTES and self._still_in_head(data):
                self._end(_TOO_LARGE)
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if not self._in_head:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Its last header."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_clock()
        super().on_headers_complete()

    def _still_in_head(self, data: bytes) -> bool:
        """A large body may come together with its headers."""
        return b"\r\n\r\n" not in data[-_MOST_HEADER_BYTES:] and b"\r\n\r\n" not in data

    def _begin_head(self) -> None:
        self._in_head = True
        self._stop_clock()
        self._slow = self.loop.call_later(self.header_timeout_s, self._too_slow)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._end(_TOO_SLOW)

    def _stop_clock(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _end(self, words: bytes) -> None:
        self.transport.write(words)
        self.transport.close()


def bounded(*, header_timeout_s: float, most_connections: int) -> type[BoundedProtocol]:
    """The protocol with these bounds."""
    bounds = {"header_timeout_s": header_timeout_s, "most_connections": most_connections}
    return type("Bounded", (BoundedProtocol,), bounds)
