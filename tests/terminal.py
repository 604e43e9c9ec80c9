"""A terminal: runs a program in one, and shows what would stand on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

__all__ = ["Told", "in_terminal", "screen"]

_PIECE = re.compile(r"\x1b\[(?P<count>\d*)(?P<verb>[A-Za-z])|\x1b\[\?[\d;]*[A-Za-z]|\x1b\[[\d;]*m|(?P<text>[^\x1b]+)")


@dataclass(frozen=True, slots=True)
class Told:
    """What a program wrote to its terminal, and how it ended."""

    raw: str
    returncode: int

    @property
    def lines(self) -> list[str]:
        """What stands on the screen in the end."""
        return screen(self.raw)


def in_terminal(
    start: Callable[..., Popen[str]], *arguments: str, columns: int = 100, typed: str = "", **environ: str
) -> Told:
    """Start a program by ``start`` (:meth:`tests.site.Site.start`) in a terminal of its own, to its end.

    What is ``typed`` there it finds on its standard input.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    more: dict[str, Any] = {"environ": {"TERM": "xterm-256color", "NO_COLOR": "", **environ}}
    if typed:
        more["stdin"] = theirs
        os.write(ours, typed.encode())
    with start(*arguments, stdout=theirs, stderr=theirs, **more) as process:
        os.close(theirs)
        heard = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # EIO: the last one on the other side has closed it
                break
            heard += piece
    os.close(ours)
    return Told(heard.decode(), process.returncode)


def screen(raw: str) -> list[str]:
    """The lines that stand there after ``raw`` was written; trailing blanks and blank lines are left out.

    Knows what programs of ours and rich's bars write: text, line ends, carriage returns, cursor up and down, the
    clearing of a line; colours are passed over. The screen is as wide and as high as it must be.
    """
    rows: list[list[str]] = [[]]
    at, column = 0, 0
    for found in _PIECE.finditer(raw):
        steps = int(found["count"] or 1)
        match found["verb"]:
            case "A":
                at = max(0, at - steps)
            case "B":
                at += steps
            case "K":
                rows[at].clear()
        for letter in found["text"] or "":
            if letter == "\r":
                column = 0
                continue
            if letter == "\n":
                at, column = at + 1, 0
            while len(rows) <= at:
                rows.append([])
            if letter != "\n":
                rows[at] += " " * (column + 1 - len(rows[at]))
                rows[at][column] = letter
                column += 1
    return [line for row in rows if (line := "".join(row).rstrip())]
