"""The JSON values in a stream, one after the other, with the places where they stand.

Most files have an event a line, and that path is short: read the line, decode it, hand it on. Everything else is cut by
its brackets: a value begins with ``{`` and ends where that is closed again. Lists are only a frame around values:
they are counted, not kept. What is broken ends where a line begins as a value does, and the scan goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import msgspec

from mo_sync.errors import EventError
from mo_sync.shapes.lines import BLANKS, STRING, Brackets, Lines
from mo_sync.shapes.text import read_text

__all__ = ["SHOWN", "Scan", "Span"]

SHOWN: Final = 4096
"""How many bytes are kept of what is broken."""

_BETWEEN: Final = BLANKS + b","
_LIST_KEY: Final = re.compile(rb'"events"\s*+:\s*+\Z')
# Not over line ends: from each of many empty lines it would search all the others.
_NEXT_VALUE: Final = re.compile(rb"\n(?=[ \t\r\x1e\x00,]*+[{\[])")
_NEXT_VALUE_UNINDENTED: Final = re.compile(rb"\n[{\[]")
_SCALARS: Final = re.compile(rb"(?:(?:" + STRING + rb"|[-+.\w:}]++)[ \t\r\n,]*+)++(?=[\[\]{]|\Z)")
_BROKEN: Final = "it is no JSON: a string or a bracket is broken"
_CUT: Final = "it ends in the middle"


@dataclass(frozen=True, slots=True)
class Span:
    """A JSON object: its place, its bytes and what they mean; or, with an ``error``, what could not be one."""

    position: str
    raw: bytes
    value: Any = None
    error: EventError | None = None


class _Taken:
    """The bytes of a value so far. Of one that is ``too_large`` only the beginning is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first = 0
        self.kept = bytearray()
        self.last = b""
        self.at_line_end = False
        self.too_large = False

    def add(self, part: bytes) -> None:
        self._first = self._first or len(part)
        self.kept += part[:SHOWN] if self.too_large else part
        self.too_large |= len(self.kept) > self._limit
        if self.too_large:
            del self.kept[SHOWN:]
        self.at_line_end = part.endswith(b"\n")
        if not part.isspace():
            self.last = part

    def cut(self) -> bytes:
        """Cut off, and return, what begins with a line that begins as a value does; never the first line."""
        found = None if self.too_large else _NEXT_VALUE.search(self.kept, self._first - 1)
        if found is None:
            return b""
        rest = bytes(self.kept[found.end() :])
        del self.kept[found.end() :]
        return rest


class Scan:
    """Iterates over the values in ``stream``. Lists at the top, and ``{"events": [``, are opened.

    ``again`` counts the bytes that were read a second time after something broken.
    """

    def __init__(self, stream: BinaryIO, *, max_event: int) -> None:
        self._lines = Lines(stream)
        self._max_event = max_event
        self._too_large = f"it has more than {max_event} bytes"
        self._depth = 0
        self._count = 0
        self._in_object = False
        self._line_by_line = False
        self._cut_off = False
        self.again = 0

    def __iter__(self) -> Iterator[Span]:
        while line := self._lines.next():
            text = line.lstrip(_BETWEEN)
            if not text:
                self._lines.skip_blanks()
                continue
            number = self._lines.number - line.endswith(b"\n")
            span = self._whole_line(text, number) or self._value(text, number)
            if span is not None:
                yield span
        if self._depth and not self._cut_off:
            missing = b"(the end of a list that is not closed)"
            yield _broken(f"line {self._lines.number}", missing, "json-truncated", "the list ends in the middle")

    @property
    def fresh(self) -> int:
        """How many bytes the stream gave so far."""
        return self._lines.fresh

    def _whole_line(self, text: bytes, number: int) -> Span | None:
        """The short path: a line that is one object."""
        raw = text.rstrip(_BETWEEN)
        if raw[-1:] != b"}" or raw[:1] != b"{" or text[-1:] != b"\n" or len(raw) > self._max_event:
            return None
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            return None
        return None if "events" in value else Span(self._place(number), raw, value)

    def _value(self, text: bytes, number: int) -> Span | None:
        """What begins with ``text``; None for brackets of lists, which only stand around values."""
        match text[:1]:
            case b"{":
                return self._object(text, self._place(number))
            case b"[":
                self._open_lists(text)
                return None
            case b"]" if self._depth:
                return self._close_list(text, number)
            case _:
                return self._no_value(text, number)

    def _open_lists(self, text: bytes) -> None:
        inside = text.lstrip(b"[" + _BETWEEN)
        if not self._depth:
            self._count = 0
        self._depth += text[: len(text) - len(inside)].count(b"[")
        self._lines.put_back(inside)

    def _close_list(self, text: bytes, number: int) -> Span | None:
        self._depth -= 1
        if self._depth or not self._in_object:
            self._lines.put_back(text[1:])
            return None
        # The rest of the object around the list says nothing of events, but it has to end.
        self._in_object = False
        rest = self._object(b"{" + text[1:].lstrip(b" \t\r,"), self._place(number))
        return rest if rest and rest.error else None

    def _object(self, text: bytes, place: str) -> Span | None:
        """The object that begins with ``text``; None if it turned out to be a frame around a list of events."""
        brackets, taken = Brackets(), _Taken(self._max_event)
        while text:
            if taken.at_line_end and not brackets.may_go_on_with(text, taken.last[-256:]):
                taken.add(text)
                return self._give_up(taken, place, "json-invalid", _BROKEN)
            for depth, at in brackets.follow(text):
                if depth == 0:
                    return self._closed(taken, text, at + 1, place)
                if depth == 2 and self._is_list_of_events(taken, text, at):
                    self._lines.put_back(text[at + 1 :])
                    self._depth, self._count, self._in_object = 1, 0, True
                    return None
            taken.add(text)
            if taken.too_large and text.isspace():
                self._lines.skip_blanks()
            if brackets.broken or (self._line_by_line and taken.at_line_end):
                return self._give_up(taken, place, "json-invalid", _BROKEN)
            text = self._lines.next()
        self._cut_off = True
        return self._give_up(taken, place, "json-truncated", _CUT)

    def _closed(self, taken: _Taken, text: bytes, end: int, place: str) -> Span:
        """The value ends in ``text``. If it is none, but may have swallowed others, those are looked at again."""
        raw = bytes(taken.kept) + text[:end]
        if taken.too_large or len(raw) > self._max_event:
            self._lines.put_back(text[end:])
            return _broken(place, raw, "event-too-large", self._too_large)
        try:
            span = Span(place, raw, read_text(raw))
        except EventError as error:
            if _NEXT_VALUE_UNINDENTED.search(raw):
                taken.add(text)
                return self._give_up(taken, place, error.code, error.summary)
            span = Span(place, raw[:SHOWN], error=error)
        self._lines.put_back(text[end:])
        return span

    def _is_list_of_events(self, taken: _Taken, text: bytes, at: int) -> bool:
        """Only at the top: a list within a list is not unpacked further."""
        if self._depth or text[at : at + 1] != b"[":
            return False
        before = text[max(0, at - 64) : at]
        return _LIST_KEY.search(before if at >= 64 else bytes(taken.kept[-64:]) + before) is not None

    def _give_up(self, taken: _Taken, place: str, code: str, words: str) -> Span:
        """Say what is broken, up to a line that may begin another value.

        What has to be read again is bounded by what was read: beyond that a value must stand on a line of its own,
        or hostile input would cost its square.
        """
        if taken.too_large:
            code, words = "event-too-large", self._too_large
        if rest := taken.cut():
            self._lines.put_back(rest)
            self.again += len(rest)
            self._line_by_line |= self.again > self.fresh + self._max_event
            self._cut_off = False
            return _broken(place, bytes(taken.kept), code, words)
        return _broken(place, bytes(taken.kept) + self._skip(taken.at_line_end), code, words)

    def _no_value(self, text: bytes, number: int) -> Span:
        """Whatever this is, no event begins so; nor do the lines after it, up to one that may."""
        scalars = _SCALARS.match(text) if self._depth else None
        if scalars:
            self._lines.put_back(text[scalars.end() :])
            return _broken(self._place(number), scalars[0], "not-json", "this item of the list is no object")
        shown = text + self._skip(text.endswith(b"\n"))
        words = "here begins no JSON object or list, and no XML"
        return _broken(f"line {number}", shown, "not-json", words)

    def _skip(self, at_line_end: bool) -> bytes:
        """Go on to a line that begins as a value does (or ends the list); the beginning of what was left out."""
        shown = b""
        if not at_line_end:
            self._lines.skip_line()
        while line := self._lines.next():
            if line.isspace():
                self._lines.skip_blanks()
            first = line.lstrip(_BETWEEN)[:1]
            if first in (b"{", b"[") or (first == b"]" and self._depth):
                self._lines.put_back(line)
                break
            shown += line[: SHOWN - len(shown)]
            if not line.endswith(b"\n"):
                self._lines.skip_line()
        return shown

    def _place(self, number: int) -> str:
        if not self._depth:
            return f"line {number}"
        self._count += 1
        return f"line {number}, item {self._count}"


def _broken(position: str, raw: bytes, code: str, words: str) -> Span:
    return Span(position, raw[:SHOWN].strip(BLANKS), error=EventError(code, words, position=position))
