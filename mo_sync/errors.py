"""The errors a person meets, and the exit codes they end in.

Expected failures of the world (a refused download, a cut body) are values, see :mod:`mo_sync.lifecycle`. What is
raised is what a caller cannot go on from, and every such error says four things: a kebab-case code, one sentence,
the item that it is about and what to do next.

    MoSyncError
    ├── UsageError             2   the command line asks for something that does not exist
    ├── ConfigurationError     3   a setting is missing, unknown or out of bounds
    ├── EventError             1   bytes that are no event; raised by the parsers only
    ├── LedgerTooNew           3   the ledger was written by a newer mo-sync
    └── OutOfReach            75   nothing could be done now; trying again later may help
        ├── LedgerOutOfReach       locked, slow, full, read-only, gone, damaged
        └── StoreOutOfReach        the store cannot be written
"""

from __future__ import annotations

import errno
import shlex
import sys
from enum import IntEnum
from typing import ClassVar

__all__ = [
    "ConfigurationError",
    "EventError",
    "ExitCode",
    "LedgerOutOfReach",
    "LedgerTooNew",
    "MoSyncError",
    "OutOfReach",
    "StoreOutOfReach",
    "UsageError",
    "how_to_install",
    "shortage",
]


_NO_THREAD = "can't start new thread"  # the only thing by which this RuntimeError can be told from others


class ExitCode(IntEnum):
    """What a command's exit status tells the program that called it."""

    SETTLED = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 3
    WORK_REMAINS = 4
    NEEDS_A_PERSON = 5
    NOTHING_POSSIBLE_NOW = 75


class MoSyncError(Exception):
    """An error with a code, a sentence, the item it is about and what to do next.

    >>> error = ConfigurationError("key-unknown", "there is no such setting", item="gateway.tokn", hint="use token")
    >>> print(error)
    key-unknown: gateway.tokn: there is no such setting; use token
    """

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED

    def __init__(self, code: str, summary: str, *, item: str | None = None, hint: str | None = None) -> None:
        self.code = code
        self.summary = summary
        self.item = item
        self.hint = hint
        super().__init__(code, summary, item, hint)

    def __str__(self) -> str:
        about = f"{self.item}: " if self.item else ""
        advice = f"; {self.hint}" if self.hint else ""
        return f"{self.code}: {about}{self.summary}{advice}"


class UsageError(MoSyncError):
    """The command line asks for something that does not exist."""

    exit_code = ExitCode.USAGE


class ConfigurationError(MoSyncError):
    """A setting is missing, unknown or out of bounds; ``item`` names the key and the file or variable it stands in."""

    exit_code = ExitCode.CONFIGURATION


class EventError(MoSyncError):
    """Bytes that are no event; ``position`` says where ("line 3", "byte 17", "event.timestamp")."""

    def __init__(self, code: str, summary: str, *, position: str, hint: str | None = None) -> None:
        self.position = position
        super().__init__(code, summary, item=position, hint=hint)


class LedgerTooNew(ConfigurationError):
    """The ledger's schema is newer than this program: an older mo-sync must not touch it."""


class OutOfReach(MoSyncError):
    """Nothing could be done now, and nothing was lost: the same command may succeed later."""

    exit_code = ExitCode.NOTHING_POSSIBLE_NOW


class LedgerOutOfReach(OutOfReach):
    """The ledger is locked, slow, full, read-only, damaged or gone."""


class StoreOutOfReach(OutOfReach):
    """The store cannot be read or written."""


def how_to_install(requirement: str) -> str:
    """The command that installs a library beside this program, however that was installed.

    >>> how_to_install("pyarrow").endswith(" -m pip install pyarrow")
    True
    """
    return f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(requirement)}"


def shortage(error: BaseException) -> OutOfReach | None:
    """Ours for what Python raises when the system gives it no more threads or memory; None for anything else.

    >>> print(shortage(RuntimeError("can't start new thread")))
    machine-exhausted: this machine has no more threads to give; raise its limits, or lower sync.workers
    """
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    what = "memory" if no_memory or isinstance(error, MemoryError) else None
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        what = "threads"
    hint = "raise its limits, or lower sync.workers"
    return OutOfReach("machine-exhausted", f"this machine has no more {what} to give", hint=hint) if what else None
