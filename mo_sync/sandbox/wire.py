"""Bytes on the wire: how an answer is sent, well or badly.

Every sender takes the line and the answer and says whether the connection may live on.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

from mo_sync.sandbox.answers import Answer

__all__ = ["WIRES", "Line", "send"]

_BLOCK: Final = 64 * 1024
_DRIBBLES: Final = 20
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_GARBAGE: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is not HTTP\r\n\r\n"


class Line:
    """The server's end of one connection; its waits hear the gateway's stop."""

    def __init__(self, connection: socket.socket, stop: threading.Event) -> None:
        self._connection = connection
        self._stop = stop

    def say(self, *parts: bytes) -> None:
        self._connection.sendall(b"".join(parts))

    def dawdle(self, seconds: float) -> None:
        if seconds > 0:
            self._stop.wait(seconds)

    def reset(self) -> None:
        """End the connection with RST, not FIN: at once, so that nothing sends a FIN before it."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self._connection.detach())


def send(line: Line, answer: Answer, *, keep: bool) -> bool:
    """Send an answer as its ``wire`` says; whether the connection may serve another request."""
    return WIRES[answer.wire](line, answer, keep) and keep


def _head(answer: Answer, keep: bool, *framing: tuple[str, str]) -> bytes:
    """Status line and headers; ``framing`` says how the end of the body will be known."""
    phrase = _PHRASES.get(answer.status, "Unknown")
    headers: list[tuple[str, str]] = [*framing, *answer.headers]
    if answer.content_type:
        headers.append(("Content-Type", answer.content_type))
    if not keep:
        headers.append(("Connection", "close"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{lines}\r\n".encode("latin-1", "replace")


def _length(size_bytes: int) -> tuple[str, str]:
    return ("Content-Length", str(size_bytes))


_CHUNKED: Final = ("Transfer-Encoding", "chunked")


def _halves(answer: Answer) -> tuple[bytes, bytes]:
    cut = int(len(answer.body) * answer.share)
    return answer.body[:cut], answer.body[cut:]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _padding(body: bytes, size_bytes: int) -> Iterator[bytes]:
    """The body, then zeros up to a size, in blocks: nothing that large is held in memory."""
    yield body
    missing = size_bytes - len(body)
    zeros = bytes(_BLOCK)
    while missing > 0:
        yield zeros[:missing]
        missing -= _BLOCK


def _whole(line: Line, answer: Answer, keep: bool) -> bool:
    framing: Sequence[tuple[str, str]] = () if answer.status == 204 else (_length(len(answer.body)),)
    line.say(_head(answer, keep, *framing), answer.body)
    return True


def _chunked(line: Line, answer: Answer, keep: bool) -> bool:
    first, second = _halves(answer)
    line.say(_head(answer, keep, _CHUNKED), *(_chunk(part) for part in (first, second) if part), _chunk(b""))
    return True


def _chunked_cut(line: Line, answer: Answer, keep: bool) -> bool:
    """One whole chunk, then a second that ends in its middle."""
    first, second = _halves(answer)
    begun = b"%x\r\n%b" % (len(second) + 1, second[: len(second) // 2])
    line.say(_head(answer, keep, _CHUNKED), _chunk(first) if first else b"", begun)
    return False


def _short(line: Line, answer: Answer, keep: bool) -> bool:
    announced = answer.size_bytes or len(answer.body)
    line.say(_head(answer, keep, _length(announced)), _halves(answer)[0])
    return False


def _until_close(line: Line, answer: Answer, keep: bool) -> bool:  # noqa: ARG001 - every sender has this signature
    """No length and no chunks: the end of the connection is the end of the body, as HTTP/1.0 had it."""
    line.say(_head(answer, False), answer.body)
    return False


def _padded(line: Line, answer: Answer, keep: bool) -> bool:
    line.say(_head(answer, keep, _length(max(answer.size_bytes, len(answer.body)))))
    for block in _padding(answer.body, answer.size_bytes):
        line.say(block)
    return True


def _padded_chunked(line: Line, answer: Answer, keep: bool) -> bool:
    line.say(_head(answer, keep, _CHUNKED))
    for block in _padding(answer.body, answer.size_bytes):
        if block:
            line.say(_chunk(block))
    line.say(_chunk(b""))
    return True


def _reset(line: Line, answer: Answer, keep: bool) -> bool:  # noqa: ARG001 - every sender has this signature
    line.reset()
    return False


def _reset_body(line: Line, answer: Answer, keep: bool) -> bool:
    line.say(_head(answer, keep, _length(len(answer.body))), _halves(answer)[0])
    line.reset()
    return False


def _hang_up(line: Line, answer: Answer, keep: bool) -> bool:  # noqa: ARG001 - every sender has this signature
    """Close in good order, without a word: what a client sees when a kept connection has timed out."""
    return False


def _garbage(line: Line, answer: Answer, keep: bool) -> bool:  # noqa: ARG001 - every sender has this signature
    line.say(_GARBAGE)
    return False


def _stall_head(line: Line, answer: Answer, keep: bool) -> bool:
    head = _head(answer, keep, _length(len(answer.body)))
    line.say(head[: len(head) // 2])
    line.dawdle(answer.seconds)
    line.say(head[len(head) // 2 :], answer.body)
    return True


def _stall_body(line: Line, answer: Answer, keep: bool) -> bool:
    first, second = _halves(answer)
    line.say(_head(answer, keep, _length(len(answer.body))), first)
    line.dawdle(answer.seconds)
    line.say(second)
    return True


def _dribble(line: Line, answer: Answer, keep: bool) -> bool:
    line.say(_head(answer, keep, _length(len(answer.body))))
    step = max(1, -(-len(answer.body) // _DRIBBLES))
    for start in range(0, len(answer.body), step):
        line.dawdle(answer.seconds / _DRIBBLES)
        line.say(answer.body[start : start + step])
    return True


WIRES: Final[dict[str, Callable[[Line, Answer, bool], bool]]] = {
    "whole": _whole,
    "chunked": _chunked,
    "chunked-cut": _chunked_cut,
    "short": _short,
    "until-close": _until_close,
    "padded": _padded,
    "padded-chunked": _padded_chunked,
    "reset": _reset,
    "reset-body": _reset_body,
    "hang-up": _hang_up,
    "garbage": _garbage,
    "stall-head": _stall_head,
    "stall-body": _stall_body,
    "dribble": _dribble,
}
"""Every way to send an answer, by the name that a fault's ``wire`` bears."""
