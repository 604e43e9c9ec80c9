"""Lines of a stream, and the brackets in them: what is needed to see where a JSON value ends without decoding it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO, Final

__all__ = ["BLANKS", "STRING", "Brackets", "Lines"]

BLANKS: Final = b" \t\r\n\x1e\x00"
STRING: Final = rb'"(?:[^"\\\n]++|\\.)*+"'
"""A whole JSON string. One never goes over a line's end: what does is broken."""

_CHUNK: Final = 64 * 1024
_STEP: Final = 8 * 1024
_DEEPEST: Final = 10_000
_UP_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|' + STRING + rb')*+([{}\[\]"])')
_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\\n]++|\\.)*+("?)')
_QUOTE, _BRACE, _BRACKET = b'"{['
_CLOSING: Final = {ord("}"): _BRACE, ord("]"): _BRACKET}


class Lines:
    """Lines, or parts of very long ones; what was taken last can be put back.

    ``number`` is that of the line that comes next, ``fresh`` counts the bytes that the stream gave so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._back = b""
        self._at = 0
        self.number = 1
        self.fresh = 0

    def next(self) -> bytes:
        """The next line or part of one; empty at the end of the stream."""
        if self._at < len(self._back):
            line = self._again()
        else:
            line = self._stream.readline(_CHUNK)
            self.fresh += len(line)
        self.number += line.endswith(b"\n")
        return line

    def _again(self) -> bytes:
        # Short steps: when many values share a line, each step is copied once a value.
        end = self._back.find(b"\n", self._at, self._at + _STEP) + 1 or self._at + _STEP
        line = self._back[self._at : end]
        self._at += len(line)
        return line

    def put_back(self, taken: bytes) -> None:
        """``taken`` must be the bytes that were taken last."""
        if len(taken) <= self._at < len(self._back):
            self._at -= len(taken)  # without a copy of what still waits there, or many of these would cost its square
        else:
            self._back, self._at = taken + self._back[self._at :], 0
        self.number -= taken.count(b"\n")

    def skip_blanks(self) -> None:
        """Leave out blanks and empty lines that lie in a buffer: one at a time, a bomb of them would take minutes."""
        stream = self._stream
        while isinstance(stream, BufferedReader) and self._at >= len(self._back) and (ahead := stream.peek()):
            blanks = stream.read(len(ahead) - len(ahead.lstrip(BLANKS)))
            self.fresh += len(blanks)
            self.number += blanks.count(b"\n")
            if len(blanks) < len(ahead):
                return

    def skip_line(self) -> None:
        """Leave out the rest of a line."""
        while (line := self.next()) and not line.endswith(b"\n"):
            pass


class Brackets:
    """Follows the brackets of a text that comes in parts. ``broken`` as soon as it cannot be JSON any more."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._escaped = False
        self.in_string = False
        self.broken = False

    def follow(self, part: bytes) -> Iterator[tuple[int, int]]:
        """The depth after each bracket of ``part``, and where that bracket stands."""
        at = self._end_of_string(part, 0) if self.in_string else 0
        while token := _UP_TO_BRACKET.match(part, at):
            at = token.end()
            kind = part[at - 1]
            if kind == _QUOTE:
                at = self._end_of_string(part, at)
                continue
            self._turn(kind)
            if self.broken:
                return
            yield len(self._open), at - 1
        self.broken |= self.in_string and part.endswith(b"\n")

    def may_go_on_with(self, line: bytes, before: bytes) -> bool:
        """Whether ``line`` may stand after ``before``: a value needs ``:`` in an object, ``[`` or a comma in a list.

        This tells a value that was cut off from the one on the next line, long before the brackets do.
        """
        if line.lstrip(BLANKS)[:1] not in (b"{", b"["):
            return True
        last = before.rstrip(BLANKS)[-1:]
        return not last or last in (b":" if self._open[-1:] == b"{" else b"[,")

    def _turn(self, kind: int) -> None:
        if kind not in _CLOSING:
            self._open.append(kind)
            self.broken = len(self._open) > _DEEPEST
        elif self._open and self._open[-1] == _CLOSING[kind]:
            self._open.pop()
        else:
            self.broken = True

    def _end_of_string(self, part: bytes, at: int) -> int:
        """Where the string ends in which ``part`` is at ``at``: behind its quote, or with ``part`` itself."""
        rest = _REST_OF_STRING.match(part, at + self._escaped)
        end = rest.end() if rest else len(part)
        self.in_string = not (rest and rest[1])
        self._escaped = self.in_string and part[end:] == b"\\"
        return end if not self.in_string else len(part)
