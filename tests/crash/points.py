"""Where a process is killed: each point is a seam of the program, patched in the child that shall die there.

Nothing of this is in the program itself. A seam that is gone is an error here, never a point that is silently missed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

__all__ = ["POINTS", "Point", "end_at"]

Passing = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Point:
    """A moment in the life of an event or a file. ``often``: how often one pass comes by with a few files to do.

    ``meaning`` says what was done and what was not. ``intake``: it is passed only when there are new events.
    """

    name: str
    meaning: str
    install: Callable[[Passing], None]
    often: int = 1
    intake: bool = False


def end_at(point: str, passing: int, number: signal.Signals = signal.SIGKILL) -> None:
    """From now on this process sends itself this signal when it comes by ``point`` for the ``passing``-th time."""
    POINTS[point].install(_Countdown(passing, number))


class _Countdown:
    def __init__(self, left: int, number: signal.Signals) -> None:
        self._left = left
        self._number = number
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._send()

    def _send(self) -> None:
        """A signal that one thread sends to its own process may be taken by that thread; a stop comes from outside."""
        if self._number in (signal.SIGKILL, signal.SIGSTOP):
            os.kill(os.getpid(), self._number)
            return
        command = ["sh", "-c", f"kill -{self._number.value} {os.getpid()}"]
        os.waitpid(os.posix_spawn("/bin/sh", command, os.environ), 0)


def _after(owner: Any, name: str) -> Callable[[Passing], None]:
    """Die when ``owner.name`` has returned something, before its caller hears of it."""

    def install(passing: Passing) -> None:
        original = getattr(owner(), name)

        def wrapped(*arguments: Any, **more: Any) -> Any:
            result = original(*arguments, **more)
            if result is None or not hasattr(result, "verdict"):  # a failure is not the moment that was meant
                passing()
            return result

        setattr(owner(), name, wrapped)

    return install


def _transaction(verb: str, moment: str) -> Callable[[Passing], None]:
    """Die in the ledger's transaction that the function ``verb`` opened: before its commit, or right after it."""

    def install(passing: Passing) -> None:
        from mo_sync.ledger import Ledger

        original = Ledger.begin

        @contextlib.contextmanager
        def begin(self: Ledger) -> Iterator[Any]:
            mine = _opened_by(verb)
            with original(self) as connection:
                yield connection
                if mine and moment == "before":
                    passing()
            if mine and moment == "after":
                passing()

        Ledger.begin = begin  # type: ignore[method-assign]

    return install


def _opened_by(verb: str) -> bool:
    """Whether ``verb``, a function of the ledger's rooms, is on the stack."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if "/mo_sync/ledger/" in code.co_filename and code.co_name == verb:
            return True
        frame = frame.f_back
    return False


def _half_written(passing: Passing) -> None:
    """Die when half of a piece of a body is in the temporary file."""
    from mo_sync.store.incoming import LocalStaged

    original = LocalStaged.write

    def write(self: LocalStaged, data: bytes) -> None:
        middle = len(data) // 2
        original(self, data[:middle])
        passing()
        original(self, data[middle:])

    LocalStaged.write = write  # type: ignore[method-assign]


def _each_statement_of_a_migration(passing: Passing) -> None:
    from sqlalchemy import Engine, event

    from mo_sync.ledger import migrate

    original = migrate._upgrade

    def upgrade(connection: Any) -> None:
        event.listen(Engine, "after_cursor_execute", lambda *_: passing())
        original(connection)

    migrate._upgrade = upgrade


def _gateway() -> Any:
    from mo_sync.gateway import Gateway

    return Gateway


def _staged() -> Any:
    from mo_sync.store.incoming import LocalStaged

    return LocalStaged


def _incoming() -> Any:
    from mo_sync.store.incoming import Incoming

    return Incoming


def _store() -> Any:
    from mo_sync.store import LocalStore

    return LocalStore


def _recording() -> Any:
    from mo_sync.ledger import bulk

    return bulk


def _drop_folder() -> Any:
    from mo_sync.feeds.dropfolder import OpenFolder

    return OpenFolder


def _filing() -> Any:
    from mo_sync.feeds.dropfiling import Filing

    return Filing


POINTS: Final[dict[str, Point]] = {
    point.name: point
    for point in (
        Point("drop-taken", "a file is in processing/, unread", _after(_drop_folder, "take"), 2, intake=True),
        Point(
            "intake-writing", "some rows of a batch are written", _after(_recording, "_write_together"), 3, intake=True
        ),
        Point("intake-committing", "all rows, not committed", _transaction("record", "before"), intake=True),
        Point("intake-committed", "committed, the file not moved", _transaction("record", "after"), intake=True),
        Point("drop-filed", "a file in done/, not durable there", _after(_filing, "done"), 2, intake=True),
        Point("claiming", "lent, not committed", _transaction("claim", "before")),
        Point("claimed", "lent, nothing fetched", _transaction("claim", "after")),
        Point("minted", "a content token, nothing fetched", _after(_gateway, "mint"), 3),
        Point("opened", "the answer began, no byte of it kept", _after(_gateway, "open_content"), 3),
        Point("mid-body", "half of a piece is in the temporary file", _half_written, 3),
        Point("received", "the whole body, not durable", _after(_staged, "finish"), 3),
        Point("hardened", "bytes durable, no name", _after(_store, "harden")),
        Point("renamed", "the name, not durable; others not named yet", _after(_incoming, "move_where_nothing_is"), 3),
        Point("placed", "names durable, the ledger not told", _after(_store, "place")),
        Point("settling", "the ledger told, not committed", _transaction("settle", "before")),
        Point("settled", "committed, nobody told", _transaction("settle", "after")),
        Point("swept", "files of the dead removed, claims still theirs", _after(_store, "sweep")),
        Point("rescuing", "claims of the dead freed, not committed", _transaction("rescue", "before")),
        Point("migrating", "some tables of a new ledger are made", _each_statement_of_a_migration, 40),
        Point("migrated", "all tables made, not committed", _transaction("bring_up_to_date", "before")),
    )
}
"""Every point by its name, in the order in which an event's life comes by."""
