"""Any input cut into the bytes of single events, as a stream: memory stays flat, and one bad event costs no other.

Taken are NDJSON, one JSON object, a list of them, an object with a list of ``events``, JSON values one after the other
however they are spread over lines (also with record separators), XML, UTF-16 with its mark, and gzip of any of these.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from mo_sync.errors import EventError
from mo_sync.shapes.opened import Opened, Unread, search
from mo_sync.shapes.scan import SHOWN, Scan, Span
from mo_sync.shapes.text import UTF16, is_xml, read_text

__all__ = ["Piece", "pieces"]

_GZIP: Final = b"\x1f\x8b"
_BLANKS: Final = b" \t\r\n\x1e"
_NESTED_GZIP: Final = 2
_BUFFER: Final = 64 * 1024
_LOOK_EVERY: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of one event, and where they stood ("line 3", "line 1, item 2").

    With an ``error`` they are what could not be understood: the first 4 KiB of what is broken or too large, and the
    whole of what is sound but no event. In parentheses stands what is missing where there are no bytes at all.
    """

    position: str
    raw: bytes
    error: EventError | None = None


def _go_on() -> None:
    """Nobody wants to know."""


def pieces(stream: BinaryIO, *, max_event: int, look: Callable[[], object] = _go_on) -> Iterator[Piece]:
    """The events in ``stream``, which is read once from where it stands; ``max_event`` bounds one event, in bytes.

    Each piece is one event: what wraps several is opened, and each of them is then JSON of its own. Raises nothing
    for any content; an OSError of the stream itself passes through. Something is always said: what holds no event at
    all yields one piece with an error.

    ``look`` is called after every 16 MiB that were read or unpacked, since between two pieces may lie any number of
    blanks (a file with holes, a bomb). What it raises ends the reading and passes through.
    """
    some = False
    odometer = _Odometer(look)
    source = _Source(stream, odometer=odometer)
    for piece in _pieces(source, max_event, _NESTED_GZIP, odometer):
        some = True
        yield piece
    if not some:
        what = "there is nothing in it" if source.first.isspace() or not source.first else "there is no event in it"
        yield Piece("byte 0", source.first, EventError("no-event", what, position="byte 0"))


def _pieces(stream: io.RawIOBase, max_event: int, nested: int, odometer: _Odometer) -> Iterator[Piece]:
    source = io.BufferedReader(stream, _BUFFER)
    head = source.read(SHOWN)
    whole = io.BufferedReader(_Source(source, head.removeprefix(codecs.BOM_UTF8)), _BUFFER)
    if head.startswith(_GZIP) and nested:
        return _unzipped(whole, max_event, nested - 1, odometer)
    if is_xml(_beginning(head)):
        return _xml(whole, max_event)
    if head.startswith(UTF16):
        return _json(io.BufferedReader(_Recoded(whole), _BUFFER), max_event)
    return _json(whole, max_event)


def _beginning(head: bytes) -> bytes:
    """What stands first behind marks and blanks."""
    if head.startswith(UTF16):
        head = head[: len(head) & ~1].decode("utf-16", "replace").encode()
    return head.removeprefix(codecs.BOM_UTF8).lstrip(_BLANKS)


def _unzipped(source: BinaryIO, max_event: int, nested: int, odometer: _Odometer) -> Iterator[Piece]:
    inside = _Unzipped(gzip.GzipFile(fileobj=source), odometer)
    yield from _pieces(inside, max_event, nested, odometer)
    if inside.trouble is not None:
        error = EventError("gzip-broken", f"the compressed data is broken: {inside.trouble}", position="its end")
        yield Piece("its end", f"(compressed data broke off: {inside.trouble})".encode(), error)


def _json(stream: BinaryIO, max_event: int) -> Iterator[Piece]:
    for span in Scan(stream, max_event=max_event):
        if span.error is None:
            yield from _events_of(span)
        else:
            yield Piece(span.position, span.raw, span.error)


def _events_of(span: Span) -> Iterator[Piece]:
    """Usually the span is the event. What wraps several of them is opened here, so that a piece is always one."""
    found = search(span.value, read_text)
    if len(found) == 1:
        yield Piece(span.position, span.raw, found[0].error if isinstance(found[0], Unread) else None)
        return
    for number, one in enumerate(found, start=1):
        place = f"{span.position}, event {number}"
        yield Piece(place, one.raw, one.error) if isinstance(one, Unread) else _piece(place, one)


def _piece(place: str, opened: Opened) -> Piece:
    try:
        return Piece(place, json.dumps(_closed(opened)).encode())
    except RecursionError:
        error = EventError("json-too-deep", "it is nested too deeply", position=place)
        return Piece(place, b"(an event that is nested too deeply)", error)


def _closed(opened: Opened) -> dict[str, Any]:
    """An envelope as a value of its own again, in the canonical shape."""
    if opened.bare and opened.event_id is None:
        return dict(opened.fields)
    event = {"fld-val-list": opened.fields, "evt-tp": opened.type, "timestamp": opened.timestamp}
    return {"topic": opened.topic, "attempt": opened.attempt, "event": event, "event-id": opened.event_id}


def _xml(stream: BinaryIO, max_event: int) -> Iterator[Piece]:
    body = stream.read(max_event + 1)
    try:
        if len(body) > max_event:
            raise EventError("event-too-large", f"XML of more than {max_event} bytes is not read", position="byte 0")
        value = read_text(body)
    except EventError as error:
        yield Piece(error.position, body[:SHOWN], error)
        yield from _behind_no_xml(_Source(stream, body), max_event)
        return
    yield from _events_of(Span("line 1", body, value=value))


def _behind_no_xml(stream: io.RawIOBase, max_event: int) -> Iterator[Piece]:
    """A first line that looks like XML must not cost the events behind it; what precedes them was told already."""
    found = _json(io.BufferedReader(stream, _BUFFER), max_event)
    first = next(found, None)
    if first is not None and (first.error is None or first.error.code != "not-json"):
        yield first
    yield from found


class _Odometer:
    """Calls ``look`` now and then on a long way."""

    def __init__(self, look: Callable[[], object] = _go_on) -> None:
        self._look = look
        self._left = _LOOK_EVERY

    def add(self, count: int) -> None:
        """So many bytes further on."""
        self._left -= count
        if self._left <= 0:
            self._left = _LOOK_EVERY
            self._look()


class _Source(io.RawIOBase):
    """Any binary stream as a raw one, with what was read of it already put back in front; ``first`` is its start."""

    def __init__(self, rest: BinaryIO, head: bytes = b"", odometer: _Odometer | None = None) -> None:
        self._head = head
        self._rest = rest
        self._odometer = odometer or _Odometer()
        self.first = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._head[: len(buffer)] if self._head else self._rest.read(len(buffer))
        self._head = self._head[len(chunk) :]
        if len(self.first) < SHOWN:
            self.first += chunk[: SHOWN - len(self.first)]
        self._odometer.add(len(chunk))
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Recoded(io.RawIOBase):
    """UTF-16 as UTF-8."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and (chunk := self._source.read(_BUFFER)):
            self._ready = self._decoder.decode(chunk).encode("utf-8", "replace")
        given, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)


class _Unzipped(io.RawIOBase):
    """What is compressed, as far as it can be read; ``trouble`` says why no further."""

    def __init__(self, source: gzip.GzipFile, odometer: _Odometer) -> None:
        self._source = source
        self._odometer = odometer
        self.trouble: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = b"" if self.trouble else self._source.read1(len(buffer))
        except EOFError:
            self.trouble, chunk = "it ends too early", b""
        except (gzip.BadGzipFile, zlib.error):
            self.trouble, chunk = "it is damaged", b""
        self._odometer.add(len(chunk))
        buffer[: len(chunk)] = chunk
        return len(chunk)
