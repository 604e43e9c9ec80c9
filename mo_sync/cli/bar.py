"""A bar on a terminal, with the log above it.

with output.progress("attachments") as bar:
    bar.expect(120)        # so many are left
    bar.advance(1)
    bar.write("a line\\n")  # stands above the bar, on a line of its own
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "can_be_drawn_on"]

_NO_CURSOR = ("dumb", "unknown")


def can_be_drawn_on(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is a terminal whose cursor can be moved."""
    return stream.isatty() and environ.get("TERM", "").lower() not in _NO_CURSOR


class Bar:
    """How much is done, of how much; nothing is drawn unless :meth:`drawn` is entered. Safe to use from many threads.

    It is also a stream for a log: what is written to it stands above the bar, and goes to ``stream`` as it is when
    there is no bar.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._done = 0

    @contextlib.contextmanager
    def drawn(self, label: str, environ: Mapping[str, str]) -> Iterator[None]:
        """Draw it while the block runs, then remove it."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TextColumn("{task.fields[rate]}"), TimeRemainingColumn(elapsed_when_finished=True)),
        )
        console = Console(file=self._stream, highlight=False, _environ=environ)
        with Progress(*columns, console=console, transient=True) as progress:
            self._task = progress.add_task(label, total=None, rate="")
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)
            speed = self._progress.tasks[0].speed
            self._progress.update(self._task, rate=f"{speed:,.0f}/s" if speed else "")

    def expect(self, left: int) -> None:
        """So many are left, besides those that are done: the total follows, as it becomes known."""
        total = self._done + left
        if self._progress is not None and self._task is not None and total:
            self._progress.update(self._task, total=total)

    def begin(self, label: str) -> None:
        """Something else from here on, of which it is not known how much there is."""
        self._done = 0
        if self._progress is not None and self._task is not None:
            self._progress.reset(self._task, description=label, total=None)

    def write(self, text: str) -> None:
        """Whole lines, for the log."""
        if self._progress is None:
            self._stream.write(text)
            return
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)

    def flush(self) -> None:
        """A terminal gets each line at once; any other stream when this is called."""
        self._stream.flush()
