"""How a command speaks: words and tables for people, one JSON document for programs.

Results go to standard output, everything else to standard error. What came from outside is shown with its control
characters made visible, so that no event can move a cursor or colour a terminal.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, TextIO

from mo_sync.awaited import written
from mo_sync.cli.bar import Bar, can_be_drawn_on
from mo_sync.cli.tables import Lines, laid_out
from mo_sync.errors import MoSyncError
from mo_sync.log import mask_number

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Output",
    "age",
    "bytes_text",
    "counted",
    "forget",
    "local_time",
    "mask_number",
    "plain",
    "printable",
    "unwritable",
]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) != "\n"}
_CONTROLS |= {0x2028: "\\u2028", 0x2029: "\\u2029"}
# What writes right to left, or says that it does, can make a line read as something that it is not.
_CONTROLS |= {
    code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


@dataclass(slots=True)
class Output:
    """Where a command's words go. ``as_json``: only :meth:`json` speaks; ``quiet``: only it and :meth:`warn` do.

    A reader that went away (``mo-sync ledger list | head``) silences standard output and changes nothing else: the
    command still ends with the exit code that it has earned. ``reader_gone`` says so to those who would go on for ever.
    """

    out: TextIO
    err: TextIO
    environ: Mapping[str, str] = field(default_factory=dict)
    as_json: bool = False
    quiet: bool = False
    reader_gone: bool = field(default=False, init=False)

    @property
    def terminal(self) -> bool:
        """Whether a person looks at standard output."""
        return self.out.isatty()

    def say(self, text: str = "") -> None:
        """A line or more for people."""
        if not (self.as_json or self.quiet):
            self._write(printable(text) + "\n")

    def result(self, text: str) -> None:
        """A line that was asked for, such as a path: said even when quiet, but not among JSON."""
        if not self.as_json:
            self._write(printable(text) + "\n")

    def raw(self, text: str, stop: Callable[[], bool] | None = None) -> None:
        """What another program reads, just as it is: in UTF-8, whatever this machine's language is.

        With ``stop`` a reader that does not read is waited for until that says so: then the end of it may be missing.
        """
        number = _number(self.out) if stop is not None else None
        if stop is not None and number is not None:
            encoding = str(self.out.encoding) if self.terminal else "utf-8"
            content = text.encode(encoding, "backslashreplace")
            self._written(lambda: (self.out.flush(), written(number, content, stop)))
            return
        buffer = getattr(self.out, "buffer", None)
        if buffer is None or self.terminal or _is_utf8(self.out):
            self._write(text)
        else:
            self._written(lambda: (self.out.flush(), buffer.write(text.encode()), buffer.flush()))

    def look(self) -> None:
        """Notice that the reader went away, also while there is nothing to tell."""
        with contextlib.suppress(OSError, ValueError):
            end = select.poll()
            end.register(self.out.fileno(), 0)
            self.reader_gone = self.reader_gone or bool(end.poll(0))

    def warn(self, text: str) -> None:
        """A line on standard error: a remark, or what is wrong."""
        with contextlib.suppress(OSError, ValueError):
            self.err.write(printable(text) + "\n")
            self.err.flush()

    def json(self, document: object) -> None:
        """The one JSON document: indented on a terminal, one line elsewhere. Times become ISO-8601 in UTC.

        A lone surrogate, as a file's name may have that is no UTF-8, stands there by its number (``\\udce9``).
        """
        text = json.dumps(document, default=plain, ensure_ascii=False, indent=2 if self.terminal else None)
        self.raw(text.encode("utf-8", "backslashreplace").decode() + "\n")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]], *, narrow: Lines | None = None) -> None:
        """Say :meth:`table_text`, to people who want to hear it."""
        if not (self.as_json or self.quiet):
            self._write(self.table_text(heads, rows, narrow=narrow))

    def table_text(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        right: Collection[str] = (),
        narrow: Lines | None = None,
        headed: bool = True,
    ) -> str:
        """A table for people, ``headed`` with the names of the columns. One of numbers, or one named in ``right``, is
        set to the right. Nothing is cut off: on a terminal that is too ``narrow`` for it each row has some lines.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        right = {head for place, head in enumerate(heads) if head in right or _numeric([row[place] for row in rows])}
        head, body = laid_out(heads, cells, self.columns, narrow, right=right)
        return (self._standing_out(head) if headed else "") + body

    @property
    def shows_progress(self) -> bool:
        """Whether :meth:`progress` draws a bar: somebody looks, at a terminal that can show one."""
        return not (self.as_json or self.quiet) and can_be_drawn_on(self.err, self.environ)

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Bar]:
        """A bar on standard error while the block runs, on a terminal only; without one, it does nothing."""
        bar = Bar(self.err)
        with bar.drawn(printable(label), self.environ) if self.shows_progress else contextlib.nullcontext():
            yield bar

    @property
    def columns(self) -> int | None:
        """How many characters stand in a line of the terminal; None where there is none."""
        return self._console(StringIO()).width if self.terminal else None

    def _standing_out(self, head: str) -> str:
        """On a terminal that can show it."""
        if not self.terminal:
            return head
        from rich.text import Text

        page = StringIO()
        self._console(page).print(Text(head, style="bold"), soft_wrap=True, end="")
        return page.getvalue()

    def _console(self, page: StringIO) -> Console:
        from rich.console import Console

        return Console(file=page, force_terminal=True, highlight=False, _environ=self.environ)

    def _write(self, text: str) -> None:
        if not _is_utf8(self.out):  # letters that this terminal does not have are shown by their numbers
            encoding = str(self.out.encoding)
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        self._written(lambda: (self.out.write(text), self.out.flush()))

    def _written(self, write: Callable[[], object]) -> None:
        if self.reader_gone:
            return
        try:
            write()
        except BrokenPipeError:
            self.reader_gone = True
            forget(self.out)
        except OSError as error:
            raise unwritable(error) from error


def _number(stream: TextIO) -> int | None:
    """The file behind it; None where there is none."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _is_utf8(stream: TextIO) -> bool:
    """What keeps text in memory has no encoding, and takes every letter."""
    encoding = getattr(stream, "encoding", None)
    return encoding is None or encoding.lower().replace("-", "").replace("_", "") == "utf8"


def unwritable(error: OSError) -> MoSyncError:
    """Ours for an output that takes nothing."""
    hint = "free space where it goes, or send it elsewhere; what the command did is done"
    return MoSyncError("output-unwritable", f"the output cannot be written: {error.strerror}", hint=hint)


def printable(text: str) -> str:
    """``text`` with control characters, direction marks and lone surrogates made visible; line breaks stay.

    >>> print(printable("a\\x1b[31mb"))
    a\\x1b[31mb
    """
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def age(seconds: float) -> str:
    """A span for people, in its largest whole unit.

    >>> age(0.2), age(75), age(7300), age(200_000)
    ('0 s', '1 min', '2 h', '2 d')
    """
    for length, unit in _SPANS:
        if abs(seconds) >= length:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds)} s"


def bytes_text(count: int) -> str:
    """A size for people, decimal.

    >>> bytes_text(999), bytes_text(20_480), bytes_text(999_999), bytes_text(3_200_000_000)
    ('999 B', '20.5 kB', '1.0 MB', '3.2 GB')
    """
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """How many of what, for people; ``nouns`` where many of them are not called so with an s.

    >>> counted(1, "event"), counted(1_200, "event"), counted(0, "copy", "copies")
    ('1 event', '1,200 events', '0 copies')
    """
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def local_time(moment: datetime, *, utc: bool = False) -> str:
    """A moment for people: in this machine's time zone with its offset, or in UTC with ``Z``.

    >>> local_time(datetime(2026, 11, 20, 9, 5, 7, tzinfo=UTC), utc=True)
    '2026-11-20 09:05:07Z'
    """
    if utc:
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S%z}"


def _numeric(values: Sequence[object]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local_time(value)
    return printable(f"{value:,}" if _numeric([value]) else str(value)).replace("\n", "\\n")


def plain(value: object) -> object:
    """What JSON has no word for: moments in UTC with ``Z``, everything else as its text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


def forget(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, or the interpreter complains about it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
