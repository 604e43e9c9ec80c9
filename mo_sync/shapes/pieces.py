"""Any input cut into the bytes of single events, as a stream: memory stays flat, and one bad event costs no other.

Taken are NDJSON, one JSON object, a list of them, an object with a list of ``events``, JSON values one after the other
however they are spread over lines (also with record separators), XML, UTF-16 with its mark, and gzip of any of these.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, cast

import msgspec

from mo_sync.errors import EventError
from mo_sync.shapes.opened import expand
from mo_sync.shapes.scan import Span, spans
from mo_sync.shapes.text import is_xml, read_text

__all__ = ["Piece", "pieces"]

_GZIP: Final = b"\x1f\x8b"
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SHOWN: Final = 4096
_NESTED_GZIP: Final = 2
_BUFFER: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of one event, and where they stood ("line 3", "line 1, item 2").

    With an ``error`` they are what could not be understood; of something huge, only its beginning.
    """

    position: str
    raw: bytes
    error: EventError | None = None


def pieces(stream: BinaryIO, *, max_event: int) -> Iterator[Piece]:
    """The events in ``stream``, which is read once from where it stands; ``max_event`` bounds one event, in bytes.

    Raises nothing for any content; an OSError of the stream itself passes through. Something is always said: what
    holds no event at all yields one piece with an error.
    """
    return _pieces(stream, max_event, _NESTED_GZIP)


def _pieces(stream: BinaryIO, max_event: int, nested: int) -> Iterator[Piece]:
    source = _buffered(stream) if isinstance(stream, io.RawIOBase) else stream
    head = _head(source)
    if head[:2] == _GZIP and nested:
        yield from _unzipped(_Rewound(head, source), max_event, nested - 1)
        return
    some = False
    text = _text(head, source)
    beginning = text.peek(_SHOWN).lstrip() if isinstance(text, io.BufferedReader) else b""
    for piece in _xml(text, max_event) if is_xml(beginning) else _json(text, max_event):
        some = True
        yield piece
    if not some:
        yield Piece("byte 0", b"", EventError("no-event", "there is nothing in it", position="byte 0"))


def _text(head: bytes, source: BinaryIO) -> BinaryIO:
    """The whole stream again, in UTF-8 and without a mark at its beginning."""
    if head[:2] in _UTF16:
        return cast(
            BinaryIO, codecs.EncodedFile(_buffered(_Rewound(head, source)), "utf-8", "utf-16", errors="replace")
        )
    return _buffered(_Rewound(head.removeprefix(codecs.BOM_UTF8), source))


def _buffered(stream: io.RawIOBase) -> BinaryIO:
    return io.BufferedReader(stream, _BUFFER)


def _unzipped(stream: io.RawIOBase, max_event: int, nested: int) -> Iterator[Piece]:
    inside = _Unzipped(gzip.GzipFile(fileobj=_buffered(stream)))
    yield from _pieces(_buffered(inside), max_event, nested)
    if inside.trouble is not None:
        error = EventError("gzip-broken", f"the compressed data is broken: {inside.trouble}", position="its end")
        yield Piece("its end", f"(compressed data broke off: {inside.trouble})".encode(), error)


def _json(stream: BinaryIO, max_event: int) -> Iterator[Piece]:
    for span in spans(stream, max_event=max_event):
        if span.error is not None:
            yield Piece(span.position, span.raw[:_SHOWN], span.error)
        else:
            yield from _events_of(span)


def _events_of(span: Span) -> Iterator[Piece]:
    """Usually the span is the event. What wraps several of them is opened here, so that a piece is always one."""
    value = span.value
    if isinstance(value, dict) and "event" in value and "events" not in value:
        yield Piece(span.position, span.raw)
        return
    try:
        found = expand(value, read_text)
    except EventError as error:
        yield Piece(span.position, span.raw, error)
        return
    if len(found) == 1:
        yield Piece(span.position, span.raw)
        return
    for number, opened in enumerate(found, start=1):
        yield Piece(f"{span.position}, event {number}", msgspec.json.encode(_closed(opened)))


def _closed(opened: Any) -> dict[str, Any]:
    """An envelope as bytes of its own again, in the canonical shape."""
    if opened.bare and opened.event_id is None:
        return dict(opened.fields)
    event = {"fld-val-list": opened.fields, "evt-tp": opened.type, "timestamp": opened.timestamp}
    return {"topic": opened.topic, "attempt": opened.attempt, "event": event, "event-id": opened.event_id}


def _xml(stream: BinaryIO, max_event: int) -> Iterator[Piece]:
    body = stream.read(max_event + 1)
    if len(body) > max_event:
        error = EventError("event-too-large", f"XML of more than {max_event} bytes is not read", position="byte 0")
        yield Piece("byte 0", body[:_SHOWN], error)
        return
    try:
        value = read_text(body)
    except EventError as error:
        yield Piece(error.position, body, error)
        return
    for piece in _events_of(Span("line 1", body, value=value)):
        yield replace(piece, raw=body) if piece.error else piece


def _head(source: BinaryIO) -> bytes:
    """Enough of the beginning to see what it is."""
    head = source.read(64)
    while head and not head.strip(b" \t\r\n\x1e") and len(head) < _SHOWN:
        more = source.read(64)
        if not more:
            break
        head += more
    return head or b""


class _Rewound(io.RawIOBase):
    """A stream whose beginning was read and is put back in front."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._head[: len(buffer)] if self._head else self._rest.read(len(buffer))
        self._head = self._head[len(chunk) :] if self._head else b""
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Unzipped(io.RawIOBase):
    """What is compressed, as far as it can be read; ``trouble`` says why no further."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self.trouble: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.trouble is not None:
            return 0
        try:
            chunk = self._source.read1(len(buffer))
        except EOFError:
            self.trouble = "it ends too early"
        except (gzip.BadGzipFile, zlib.error):
            self.trouble = "it is damaged"
        else:
            buffer[: len(chunk)] = chunk
            return len(chunk)
        return 0
