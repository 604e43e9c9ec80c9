"""What was fetched is read to ``clamd`` before anybody may see it; what it says, and what its silence means."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO, Final

from clamav_client.clamd import BufferTooLongError, ClamdError, CommunicationError, ResponseError

from mo_sync.readings import plain
from mo_sync.scan.answers import Answer, Clean, Found, NotScanned, ScannerOut, TooLarge
from mo_sync.scan.line import CONNECT_S, Line

__all__ = ["Scanner"]

_LONGEST_NAME: Final = 200
_REMEMBERED: Final = 1_000
_LIMIT_WORDS: Final = "size limit exceeded"


class _Stopped(Exception):
    """We are asked to stop. Never leaves this module."""


class _Unread(Exception):
    """The file could not be read; carries the error. Never leaves this module."""

    def __init__(self, error: OSError) -> None:
        self.error = error
        super().__init__()


class _Read:
    """A file as the library reads it, until we are asked to stop."""

    def __init__(self, file: BinaryIO, stop: Callable[[], bool]) -> None:
        self._file = file
        self._stop = stop

    def read(self, count: int) -> bytes:
        if self._stop():
            raise _Stopped
        try:
            return self._file.read(count)
        except OSError as error:
            raise _Unread(error) from error


class Scanner:
    """Asks one clamd. Any number of threads may call :meth:`scan` at once; clamd has a queue of its own.

    ``address`` is ``unix:/run/clamav/clamd.ctl`` or ``tcp://host:3310``; ``timeout_s`` is how long one answer may take;
    files larger than ``max_bytes`` are not sent.
    """

    def __init__(self, address: str, *, timeout_s: float, max_bytes: int) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._lines: set[Line] = set()
        self._closed = False
        self._out = False
        self._broken_off: OrderedDict[str, int] = OrderedDict()

    def scan(self, name: str, file: BinaryIO, size: int, *, stop: Callable[[], bool]) -> Answer:
        """What clamd says about ``file``, which has ``size`` bytes and is known as ``name``.

        When clamd dies over a file it is taken for out of reach the first time, and for unable to scan that file the
        next: one file that it cannot stand must not hold up all others for ever. Raises OSError when ``file`` cannot be
        read.
        """
        if size > self._max_bytes:
            return TooLarge(f"{size:,} bytes are not scanned, scan.max_bytes is {self._max_bytes:,}")
        line = self._line()
        try:
            answer = self._asked(line, name, _Read(file, stop), size)
        except _Stopped:
            return ScannerOut("stopped", stopped=True)
        except _Unread as unread:
            raise unread.error from None
        finally:
            with self._lock:
                self._lines.discard(line)
            line.let_go()
        if self._closed:
            return ScannerOut("stopped", stopped=True)
        self._out = isinstance(answer, ScannerOut)
        return answer

    def trouble(self) -> ScannerOut | None:
        """Whether it is out of reach still, if it was when it was last asked: so nothing is fetched in vain."""
        if not self._out:
            return None
        silent = self._silent()
        self._out = silent is not None
        return ScannerOut(silent) if silent is not None else None

    def version(self) -> str:
        """What clamd calls itself, with the number and date of its signatures. Raises OSError with what went wrong."""
        return self._told("VERSION")

    def close(self) -> None:
        """Break off what is being scanned; for the end."""
        self._closed = True
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.hang_up()

    def _line(self) -> Line:
        line = Line(self.address, self._timeout_s)
        with self._lock:
            self._lines.add(line)
        return line

    def _asked(self, line: Line, name: str, file: _Read, size: int) -> Answer:
        try:
            answers = line.instream(file)  # type: ignore[arg-type]  # of a file it uses read() only
        except BufferTooLongError:
            return _too_long(size)
        except ResponseError as error:
            return NotScanned(f"it answered {_shown(str(error))!r}")
        except (CommunicationError, OSError) as error:
            return self._cut(line, name, size, error)
        if not answers:
            return self._broke_off(name, "it hung up without an answer")
        return _told_by(*next(iter(answers.values())))

    def _cut(self, line: Line, name: str, size: int, error: CommunicationError | OSError) -> Answer:
        """Who sends more than clamd takes may be cut off before its answer is read: it is there all the same."""
        if not line.made:
            return ScannerOut(self._words(error))
        if isinstance(error, OSError) and _LIMIT_WORDS in line.last_words():
            return _too_long(size)
        return self._broke_off(name, str(error))

    def _broke_off(self, name: str, how: str) -> Answer:
        """Was it this file, or is clamd gone?"""
        if self._closed:
            return ScannerOut("stopped", stopped=True)
        silent = self._silent()
        if silent is None:
            return NotScanned(f"it broke off amid this file: {_shown(how)}")
        with self._lock:
            times = self._broken_off[name] = self._broken_off.pop(name, 0) + 1
            while len(self._broken_off) > _REMEMBERED:
                self._broken_off.popitem(last=False)
        if times > 1:
            return NotScanned(f"the scanner went away amid this file, {times} times")
        return ScannerOut(silent)

    def _silent(self) -> str | None:
        """Why clamd is out of reach; None when it answers."""
        try:
            self._told("PING")
        except OSError as error:
            return str(error)
        return None

    def _told(self, command: str) -> str:
        line = Line(self.address, min(self._timeout_s, CONNECT_S))
        try:
            answer = line.ping() if command == "PING" else line.version()
        except (ClamdError, OSError) as error:
            raise OSError(self._words(error)) from error
        finally:
            line.let_go()
        if not answer:
            raise OSError(f"the scanner at {self.address} hung up without an answer")
        return plain(answer)

    def _words(self, error: BaseException) -> str:
        return f"the scanner at {self.address} is out of reach: {_shown(str(error))}"


def _too_long(size: int) -> TooLarge:
    return TooLarge(f"{size:,} bytes are more than the scanner takes: see StreamMaxLength in clamd.conf")


def _told_by(status: str, words: str | None) -> Answer:
    match status:
        case "OK":
            return Clean()
        case "FOUND":
            return Found(_shown(words or "something without a name"))
        case _:
            return NotScanned(f"it answered {_shown(words or status)!r}")


def _shown(words: str) -> str:
    """Somebody else's words as they can be written anywhere."""
    return "".join(char if char.isprintable() else "\ufffd" for char in plain(words))[:_LONGEST_NAME].strip()
