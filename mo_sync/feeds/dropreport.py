"""What is kept of events that could not be understood: their bytes, and a text that says what, where and what to do.

A report is written under hidden names in our own folder, made durable there, and put in place by
:mod:`mo_sync.feeds.dropfiling`. Nothing in it depends on the time or on chance: a report that is written twice, because
the process died in between, is the same twice, and is recognised by that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import BinaryIO

from mo_sync.feeds.dropnames import shown

__all__ = ["Report"]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_ADVICE = """
What to do: mend the events in the file beside this text and drop that file again. Events that are recorded already are
recognised, never doubled. The ledger keeps the bad ones, too, each under the key in brackets: mo-sync ledger show KEY

Where and why:
"""


class Report:
    """The rejected events of one file, in the order of the file. ``folder`` is a descriptor of our own folder.

    They are held in memory until :meth:`spill` or :meth:`finish`. Both raise OSError when the disk is full or broken.
    """

    def __init__(self, name: str, folder: int, *, inode: int) -> None:
        self.count = 0
        self.whole_file = False
        """Whether the file itself must be kept, since what was cut out of it is not all that was bad."""
        self.bytes_name = f".{inode}.rejected"
        self.text_name = f".{inode}.error"
        self._list_name = f".{inode}.list"
        self._name = name
        self._folder = folder
        self._held: list[tuple[str, bytes]] = []
        self._spilled = False
        self._ends_a_line = True

    def add(self, line: str, body: bytes) -> None:
        """One event: where and why in one line of text, and its bytes."""
        self.count += 1
        self._held.append((line, body))

    def spill(self) -> None:
        """Write out what is held in memory. Needed only for a file whose events do not fit into one batch."""
        if not self._held:
            return
        with self._open(self._list_name) as lines, self._open(self.bytes_name) as pieces:
            for line, body in self._held:
                lines.write(_text(line))
                self._write_piece(pieces, body)
        self._held = []
        self._spilled = True

    def finish(self, events: int) -> None:
        """Write what is to be kept and make it durable. ``events`` is how many the file held in all.

        When none of them was understood the file itself will be kept: then only the text is needed.
        """
        self.whole_file = self.whole_file or self.count >= events
        if not self.whole_file:
            self.spill()
            self._sync(self.bytes_name)
        with self._open(self.text_name, fresh=True) as text:
            text.write(_text(self._headline(events)) + _ADVICE.encode())
            self._write_list(text)
        self._sync(self.text_name)
        self._unlink(self._list_name)

    def discard(self) -> None:
        """Remove what was written and not put in place."""
        for name in (self._list_name, self.bytes_name, self.text_name):
            self._unlink(name)

    def _headline(self, events: int) -> str:
        others = "; the others are recorded" if self.count < events else ""
        return f"{shown(self._name)}: {self.count} of {events} events could not be understood{others}."

    def _write_list(self, text: BinaryIO) -> None:
        if self._spilled:
            with self._open(self._list_name) as lines:
                lines.seek(0)
                shutil.copyfileobj(lines, text)
        text.writelines(_text(line) for line, _ in self._held)

    def _write_piece(self, pieces: BinaryIO, body: bytes) -> None:
        """One event a line, as far as it is itself one: a newline is added only where two events would touch."""
        pieces.write(body if self._ends_a_line else b"\n" + body)
        self._ends_a_line = body.endswith(b"\n")

    def _open(self, name: str, *, fresh: bool = False) -> BinaryIO:
        flags = _CREATE if fresh else _CREATE & ~os.O_TRUNC
        stream = os.fdopen(os.open(name, flags, 0o640, dir_fd=self._folder), "r+b")
        stream.seek(0, os.SEEK_END)
        return stream

    def _sync(self, name: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder)


def _text(line: str) -> bytes:
    """One line for people: a reason may quote bytes from outside, so it is escaped as names are."""
    return f"{shown(line)}\n".encode()
