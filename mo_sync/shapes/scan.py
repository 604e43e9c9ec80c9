"""The JSON values in a stream, one after the other, with the places where they stand.

Most files have an event a line, and that path is short: read the line, decode it, hand it on. Everything else is cut by
its brackets: a value begins with ``{`` or ``[`` and ends where they are closed again. JSON's strings never go over a
line's end, so each line can be looked at alone, and a string that is still open there shows that the value is broken.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import msgspec

from mo_sync.errors import EventError
from mo_sync.shapes.text import read_text

__all__ = ["Span", "spans"]

_BLANKS: Final = b" \t\r\n\x1e\x00"
_BETWEEN: Final = _BLANKS + b","
_CHUNK: Final = 64 * 1024
_SHOWN: Final = 4096
_TOKEN: Final = re.compile(rb'"(?:[^"\\\n]++|\\.)*+"|[{}\[\]"]')
_LIST: Final = re.compile(rb'\s*+(?:\[|\{\s*+"events"\s*+:\s*+\[)')
_BROKEN: Final = "it is no JSON: a string or a bracket is broken"
_END: Final = "it ends in the middle"


@dataclass(frozen=True, slots=True)
class Span:
    """A JSON value: its place, its bytes and what they mean; or, with an ``error``, what could not be one."""

    position: str
    raw: bytes
    value: Any = None
    error: EventError | None = None


def spans(stream: BinaryIO, *, max_event: int) -> Iterator[Span]:
    """Every value in ``stream``. Lists at the top (and ``{"events": [``) are opened: their items are the values."""
    return _Scan(stream, max_event).run()


class _Lines:
    """Lines, or parts of very long ones; some can be put back. ``number`` is that of the line that comes next."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._back: deque[bytes] = deque()
        self.number = 1

    def next(self) -> bytes:
        line = self._back.popleft() if self._back else self._stream.readline(_CHUNK)
        self.number += line.endswith(b"\n")
        return line

    def put_back(self, *lines: bytes) -> None:
        for line in reversed(lines):
            if line:
                self._back.appendleft(line)
                self.number -= line.endswith(b"\n")

    def skip_line(self) -> None:
        while (line := self.next()) and not line.endswith(b"\n"):
            pass


@dataclass(slots=True)
class _Brackets:
    """Follows the brackets of a text that comes in parts. ``open_string`` is where one begins that does not end."""

    depth: int = 0
    open_string: int | None = None

    def follow(self, part: bytes) -> Iterator[tuple[int, int, int]]:
        """The depth after each bracket of ``part``, and where that bracket begins and ends."""
        self.open_string = None
        for token in _TOKEN.finditer(part):
            match part[token.start()]:
                case 0x7B | 0x5B:
                    self.depth += 1
                case 0x7D | 0x5D:
                    self.depth -= 1
                case _ if token.end() - token.start() > 1:
                    continue
                case _:
                    self.open_string = token.start()
                    return
            yield self.depth, token.start(), token.end()


class _Scan:
    def __init__(self, stream: BinaryIO, max_event: int) -> None:
        self._lines = _Lines(stream)
        self._max_event = max_event
        # How much may be read a second time after a broken value: without a bound, hostile input costs its square.
        self._patience = 4 * max_event

    def run(self) -> Iterator[Span]:
        while line := self._lines.next():
            text = line.strip(_BETWEEN)
            if not text:
                continue
            number = self._lines.number - line.endswith(b"\n")
            value = _decoded(text) if line.endswith(b"\n") and text.startswith(b"{") else None
            if isinstance(value, dict) and "events" not in value:
                yield Span(f"line {number}", text, value)
            else:
                yield from self._value(line.lstrip(_BETWEEN), number)

    def _value(self, line: bytes, number: int) -> Iterator[Span]:
        if line[:1] not in (b"{", b"["):
            yield self._no_value(line, number)
        elif _LIST.match(line):
            yield from self._list(line, number)
        else:
            yield self._object(line, number)

    def _no_value(self, line: bytes, number: int) -> Span:
        """Whatever this is, no event begins so; nor do the lines after it, up to one that may."""
        shown = b""
        while line:
            shown += line[: _SHOWN - len(shown)]
            if not line.endswith(b"\n"):
                self._lines.skip_line()
            line = self._lines.next()
            if line.lstrip(_BETWEEN)[:1] in (b"{", b"["):
                self._lines.put_back(line)
                break
        words = "here begins no JSON object or list, and no XML"
        return _broken(f"line {number}", shown.strip(_BLANKS), "not-json", words)

    def _object(self, line: bytes, number: int) -> Span:
        """An object that begins with ``line``. If it is broken only this line is, and the next ones are looked at."""
        brackets, taken, size = _Brackets(), list[bytes](), 0
        while line:
            for depth, _, end in brackets.follow(line):
                if depth == 0:
                    self._lines.put_back(line[end:])
                    return _span(f"line {number}", b"".join(taken) + line[:end])
            size += len(line)
            if size > self._max_event:
                too_large = f"it has more than {self._max_event} bytes"
                return self._give_up([*taken, line], number, "event-too-large", too_large)
            if brackets.open_string is not None:
                if line.endswith(b"\n"):
                    return self._give_up([*taken, line], number, "json-invalid", _BROKEN)
                line, held = line[: brackets.open_string], line[brackets.open_string :]
                more = self._lines.next()
                if not more:
                    return self._give_up([*taken, line + held], number, "json-truncated", _END)
                self._lines.put_back(held + more)
            taken.append(line)
            line = self._lines.next()
        return self._give_up(taken, number, "json-truncated", _END)

    def _give_up(self, taken: list[bytes], number: int, code: str, words: str) -> Span:
        first, rest = taken[0], taken[1:]
        spent = sum(map(len, rest))
        if first.endswith(b"\n") and spent <= self._patience:
            self._patience -= spent
            self._lines.put_back(*rest)
            shown = first
        else:
            shown = b"".join(taken)
            if not shown.endswith(b"\n"):
                self._lines.skip_line()
        return _broken(f"line {number}", shown[:_SHOWN].strip(_BLANKS), code, words)

    def _list(self, line: bytes, number: int) -> Iterator[Span]:
        """The items of a list that begins with ``line``, one at a time, however long the list is."""
        opening = _LIST.match(line)
        outer = 2 if line.startswith(b"{") else 1
        part = line[opening.end() :] if opening else line
        brackets, item, count = _Brackets(outer), _Item(self._max_event), 0
        while part:
            start = 0
            for depth, begins, end in brackets.follow(part):
                if depth == outer + 1 and not item.open:
                    start = begins
                    item.begin(number)
                elif depth == outer and item.open:
                    count += 1
                    yield item.end(part[start:end], count)
                elif depth <= 0:
                    self._lines.put_back(part[end:])
                    return
            string = brackets.open_string
            if string is not None and part.endswith(b"\n"):
                count += 1
                yield item.broken(part[start:], count)
                brackets = _Brackets(outer)
            elif item.open:
                item.add(part[start:string])
            held = b"" if string is None or part.endswith(b"\n") else part[string:]
            number = self._lines.number
            more = self._lines.next()
            if len(held) > self._max_event or (held and not more):
                count += 1
                yield item.broken(held, count)
                self._lines.skip_line()
                brackets, held = _Brackets(outer), b""
            part = held + more if more else b""
        yield item.unfinished(number, count + 1)


class _Item:
    """One item of a list while it is read. Of one that is too large only the beginning is kept."""

    def __init__(self, max_event: int) -> None:
        self._max_event = max_event
        self._parts: list[bytes] = []
        self._size = 0
        self._line = 1
        self.open = False

    def begin(self, line: int) -> None:
        self._parts, self._size, self._line, self.open = [], 0, line, True

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._max_event:
            self._parts.append(part)
        elif not self._parts:
            self._parts.append(part[:_SHOWN])

    def end(self, part: bytes, count: int) -> Span:
        self.add(part)
        self.open = False
        if self._size > self._max_event:
            shown = b"".join(self._parts)[:_SHOWN]
            return _broken(self._at(count), shown, "event-too-large", f"it has more than {self._max_event} bytes")
        return _span(self._at(count), b"".join(self._parts))

    def broken(self, part: bytes, count: int) -> Span:
        self.add(part)
        self.open = False
        return _broken(self._at(count), b"".join(self._parts)[:_SHOWN].strip(_BLANKS), "json-invalid", _BROKEN)

    def unfinished(self, line: int, count: int) -> Span:
        shown = b"".join(self._parts)[:_SHOWN] if self.open else b"(the end of a list that is not closed)"
        return _broken(f"line {line}, item {count}", shown, "json-truncated", "the list ends in the middle")

    def _at(self, count: int) -> str:
        return f"line {self._line}, item {count}"


def _span(position: str, raw: bytes) -> Span:
    try:
        return Span(position, raw, read_text(raw))
    except EventError as error:
        return Span(position, raw, error=error)


def _broken(position: str, raw: bytes, code: str, words: str) -> Span:
    return Span(position, raw, error=EventError(code, words, position=position))


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return None
