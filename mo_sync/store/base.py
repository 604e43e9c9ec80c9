"""What a store promises, whatever it is made of.

A file comes to rest in four steps, each of which may fail without harm to another file::

    stage     a temporary file that no reader can see       worker threads
    harden    the bytes are durable                         one thread, many at once
    place     the final name, and that is durable           the same thread, after it looked at the leases
    (the ledger is told)

The contract, which ``tests/contract/test_store.py`` holds every implementation to:

- A key shows a whole file or nothing. No reader ever sees a part, at no moment, after no crash.
- Until ``place`` answers, nothing is promised; once it answers :class:`Placed`, the file survives a power cut.
- ``place`` gives a name only where nothing is. Where something is already (after a crash, or another worker was
  quicker) it answers :class:`Occupied` and changes nothing: so a worker that was stopped after it looked at its lease,
  and goes on hours later, cannot put its file in the place of its successor's.
- ``exchange`` is for what was answered so. It holds the key's lock, which a dead process lets go, from before the
  caller looks at the lease until the caller has told the ledger. The same bytes are *adopted* (and made durable, which
  whoever died before may not have done), others are replaced at one stroke. Whoever stops inside keeps others of that
  key waiting, and those wait with nothing of that key in the ledger: what is called stored is never replaced later.
- Errors of the disk are ``OSError`` with an ``errno``, told for each file of a batch: one bad file costs no other.
- ``discard``, ``remove`` and ``purge`` may be repeated, ``sweep`` may be run by many at once.
- Whatever a dead process left behind is found and removed by the next ``sweep`` of any process.
- ``stage``, the methods of :class:`Staged`, ``open``, ``size`` and ``free_bytes`` may be called by any thread; one
  staged file belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from mo_sync.findings import Finding

__all__ = [
    "HEAD_BYTES",
    "Exchange",
    "Occupied",
    "Odd",
    "Oddity",
    "Placed",
    "Placement",
    "Readable",
    "Resting",
    "Staged",
    "Store",
]

HEAD_BYTES = 4096
"""How many of a file's first bytes are kept for a look at its type."""


class Staged(Protocol):
    """A file on its way. It belongs to one lease."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    @property
    def head(self) -> bytes:
        """The first :data:`HEAD_BYTES` bytes, or what there is of them."""

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written, lower-case hex."""

    def write(self, data: bytes) -> None:
        """Append all of ``data``. Raises OSError; then the file is worthless and must be discarded."""

    def finish(self) -> None:
        """No more will be written. Raises OSError, as ``write`` does."""

    def open(self) -> BinaryIO:
        """What was written, to be read from the beginning and closed. Raises OSError."""

    def discard(self) -> None:
        """Remove it, unless it was placed. May be repeated; never raises: what resists is swept later."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A staged file and the key under which it shall rest."""

    staged: Staged
    key: str


@dataclass(frozen=True, slots=True)
class Placed:
    """It rests under its key, whole and durable. ``adopted``: the same bytes were there already."""

    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Occupied:
    """Something is under that key already, or it cannot be known whether: see :meth:`Store.exchange`."""


@dataclass(frozen=True, slots=True)
class Resting:
    """A file that rests in the store: its size in bytes, and when it was last written (seconds since 1970)."""

    key: str
    size: int
    modified_at: float


class Odd(StrEnum):
    """What else there may be in a store than the files that rest in it."""

    UNREADABLE = "unreadable"
    """A folder that cannot be listed, or a file that cannot even be looked at; the key of a folder ends with ``/``."""
    HIDDEN = "hidden"
    """A file at the top whose name begins with a dot: no key of ours does."""
    TEMPORARY = "temporary"
    """What a dead worker left of a file on its way: the next sweep removes it."""
    PASSED_BY = "passed-by"
    """A link, a device, or a hidden folder of somebody else: nothing of ours is ever behind it."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """One of them: what it is in words, and of a file its size in bytes and when it was last written."""

    key: str
    odd: Odd
    detail: str
    size: int = 0
    modified_at: float = 0.0


Exchange = Callable[[], Placed | OSError]
"""Puts a file in the place of what is there, or adopts that if it is the same."""


class Readable(Protocol):
    """A store that is only looked into: nothing in it is made or changed, so it may be read-only, or not be there.

    Keys are relative paths with ``/``; no part is empty or begins with a dot.
    """

    def open(self, key: str) -> BinaryIO:
        """The file under ``key``, to be read and closed. Raises FileNotFoundError or another OSError."""

    def size(self, key: str) -> int | None:
        """How many bytes lie under ``key``; None when there is no such file. Raises OSError."""

    def resting(self) -> Iterator[Resting]:
        """Every file that rests there, in the order of the keys; what was set aside is not among them.

        Files that come or go meanwhile may be among them or not. Nobody need have placed them: a name that is no UTF-8
        has surrogates, as ``os.fsdecode`` puts them. Raises StoreOutOfReach.
        """

    def surveyed(self) -> Iterator[Resting | Oddity]:
        """The same, and whatever else is there: a folder that cannot be read ends nothing, but is told as such. Raises
        StoreOutOfReach."""

    def left_behind(self) -> Iterator[Oddity]:
        """What workers that are dead for sure left of files on their way; and what of that cannot be read."""

    def untouched(self) -> bool:
        """Whether nothing rests there and, as far as can be seen, nothing ever did. Raises StoreOutOfReach."""


class Store(Readable, Protocol):
    """Where the files are kept."""

    def stage(self, lease: str) -> Staged:
        """A new empty temporary file. Raises OSError."""

    def harden(self, batch: Sequence[Staged]) -> list[OSError | None]:
        """Make the bytes of finished files durable; for each of ``batch``, in order, what went wrong."""

    def place(self, batch: Sequence[Placement]) -> list[Placed | Occupied | OSError]:
        """Give each its key, durably; for each of ``batch``, in order, what came of it.

        What was not hardened is hardened first. A file whose answer is an error may still have become visible under
        its key (whole), but must not be called stored.
        """

    def exchange(self, item: Placement) -> AbstractContextManager[Exchange | None]:
        """For a key that is occupied: while the block runs nobody else exchanges it. None: somebody else does now.

        What is entered puts the file there, durably, when called: at most once, after a look at the lease. Raises
        OSError.
        """

    def alone(self, key: str) -> AbstractContextManager[bool]:
        """Whether nobody else exchanges or mends what lies there, while the block runs; False: somebody does just now.
        Raises OSError."""

    def remove(self, key: str) -> bool:
        """Remove it, durably; whether it was there. Raises OSError."""

    def set_aside(self, key: str) -> str:
        """Move it, durably, to ``lost+found/``, where nobody looks for it but people; its key there. Any file that
        rests there can be moved, whatever it is called. Raises OSError."""

    def purge(self, key: str) -> int:
        """Remove it, durably, and all others of that name, whatever their ending (which is what a file was taken for),
        also from ``lost+found/``; how many files that were. Raises OSError.
        """

    def free_bytes(self) -> int:
        """How much may still be written. Raises StoreOutOfReach."""

    def sweep(self) -> list[str]:
        """Remove the temporary files of dead workers; the names of those workers, whose claims may be freed.

        Raises StoreOutOfReach.
        """

    def neighbours(self) -> list[str]:
        """The names of the other workers that use this store right now. Raises StoreOutOfReach."""

    def check(self) -> list[Finding]:
        """Try it out and say how it stands; for ``mo-sync doctor``. Never raises for a fault of the store."""

    def close(self) -> None:
        """Remove this worker's temporary files and let go. May be repeated."""
