"""uvicorn's HTTP, with the bounds that it lacks: of time for headers and bodies, of headers' size, of connections.

Nothing is done per request but to note the time: one look around every half second finds who is too slow. A small POST
that is here whole is answered by a short way, without a task and the application's cycle of messages: nearly all events
are such, and the way would cost as much as all else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mo_sync.feeds.relay.answers import Answer

__all__ = ["BoundedProtocol", "Bounds", "ShortWay"]

ShortWay: TypeAlias = Callable[[MutableMapping[str, Any], bytes, Callable[[Answer], None]], bool]
"""Given a POST (its ASGI scope and body) and whom to tell the answer, once. False when it must go the long way."""

_MOST_AT_ONCE: Final = 16 * 1024
_MOST_HEADER_BYTES: Final = 32 * 1024
_LOOK_EVERY_S: Final = 0.5
_END: Final = b"content-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _END
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\n" + _END
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n" + _END


@dataclass(slots=True)
class Bounds:
    """The bounds of one server, and who is inside of them. Durations in seconds."""

    header_timeout_s: float
    body_timeout_s: float
    most_connections: int
    short_way: ShortWay
    reading: dict[BoundedProtocol, float] = field(default_factory=dict)
    """Since when (the loop's time) each connection has been reading the headers or the body of a request."""

    def protocol(self) -> type[BoundedProtocol]:
        """The protocol with these bounds, for uvicorn."""
        return type("Bounded", (BoundedProtocol,), {"bounds": self})

    @contextlib.contextmanager
    def watched(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """While the block runs, who takes too long is sent away. On the loop's thread."""
        handle = loop.call_later(_LOOK_EVERY_S, lambda: None)

        def look() -> None:
            nonlocal handle
            now = loop.time()
            for connection, since in list(self.reading.items()):
                connection.look(now - since)
            handle = loop.call_later(_LOOK_EVERY_S, look)

        look()
        try:
            yield
        finally:
            handle.cancel()


class _Whole:
    """A transport on which an answer goes out at once: uvicorn writes its head and its body one after the other, and
    each would be a packet and a system call of its own."""

    __slots__ = ("_loop", "_parts", "_transport", "get_extra_info", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """It is sent before the loop looks at any socket again."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """As a transport's: what was written before is still sent."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    bounds: Bounds

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaits_body: RequestResponseCycle | None = None
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's; the clock of the first request runs."""
        super().connection_made(_Whole(transport, self.loop))  # type: ignore[arg-type]  # all of it that uvicorn uses
        if len(self.connections) > self.bounds.most_connections:
            self._end(_BUSY)
        else:
            self.bounds.reading[self] = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self.bounds.reading.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, while the headers are not too large."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEADER_BYTES and b"\r\n\r\n" not in data:
                self._end(_TOO_LARGE)
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self.bounds.reading.setdefault(self, self.loop.time())

    def on_headers_complete(self) -> None:
        """Its last header."""
        self._in_head = False
        self._head_bytes = 0
        self.bounds.reading[self] = self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The last byte of its body."""
        self.bounds.reading.pop(self, None)
        super().on_message_complete()
        cycle, self._awaits_body = self._awaits_body, None
        if cycle is not None:
            self._answer_at_once(cycle)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Its turn has come: its headers are here. One that is here whole already has waited behind another.

        What follows an answer that ends the connection is not looked at.
        """
        if self.transport.is_closing():
            return
        if app is self.app and cycle.more_body and self._is_plain(cycle):
            self._awaits_body = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _is_plain(self, cycle: RequestResponseCycle) -> bool:
        """Whether it is small, and nothing needs to be said before its body is here."""
        scope = cycle.scope
        if scope["method"] != "POST" or cycle.waiting_for_100_continue or not cycle.keep_alive:
            return False
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        return length.isdigit() and int(length) <= _MOST_AT_ONCE and not self.flow.write_paused

    def _answer_at_once(self, cycle: RequestResponseCycle) -> None:
        if self.transport.is_closing():
            return
        scope = cast("MutableMapping[str, Any]", cycle.scope)
        if not self.bounds.short_way(scope, bytes(cycle.body), lambda answer: self._say(cycle, answer)):
            super()._start_asgi_task(cycle, self.app)

    def _say(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        """As the cycle's own way to send, at once."""
        if cycle.disconnected or self.transport.is_closing():
            return
        ends = answer.ends or not cycle.keep_alive
        whole = answer.whole
        if ends and not answer.ends:  # the server stops: uvicorn said so to the cycle
            whole = whole.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(whole)
        if ends:
            self.transport.close()
        self.on_response_complete()

    def look(self, reading_s: float) -> None:
        """Whether it has been reading for too long."""
        if reading_s > (self.bounds.header_timeout_s if self._in_head else self.bounds.body_timeout_s):
            self.bounds.reading.pop(self, None)
            if not self.transport.is_closing():
                self._end(_TOO_SLOW)

    def _end(self, words: bytes) -> None:
        self.transport.write(words)
        self.transport.close()
