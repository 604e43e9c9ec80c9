"""Folders below a root, found and made one step at a time, so that no link ever leads out of it.

Every step is an ``openat`` that refuses links; what was opened stays open, so nobody can exchange it under our feet.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mo_sync.store.durable import SyncCrew

__all__ = ["FOLDER_MODE", "Folders", "Parts", "parts_found", "parts_of"]

FOLDER_MODE: Final = 0o750
_LONGEST_PART: Final = 255
_MOST_KNOWN: Final = 10_000
_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Parts = tuple[str, ...]


def parts_of(key: str) -> Parts:
    """The parts of a key. Raises OSError (EINVAL) for what is no key: absolute, dotted, empty or unprintable parts.

    >>> parts_of("2026/11/20/m1/0-a1.jpg")
    ('2026', '11', '20', 'm1', '0-a1.jpg')
    """
    parts = tuple(key.split("/"))
    for part in parts:
        if not part or part.startswith(".") or not part.isprintable() or len(os.fsencode(part)) > _LONGEST_PART:
            raise OSError(errno.EINVAL, f"{key!r} cannot be a name in the store")
    return parts


def parts_found(key: str) -> Parts:
    """The same for a key that a walk through the store came by: whatever a file may be called, but no way out of it.

    >>> parts_found("2026/caf\\udce9.jpg") == ("2026", "caf\\udce9.jpg")
    True
    """
    parts = tuple(key.split("/"))
    hidden_folder = len(parts) > 1 and parts[0].startswith(".")
    if not {"", ".", ".."}.isdisjoint(parts) or hidden_folder or "\0" in key:
        raise OSError(errno.EINVAL, f"{key!r} cannot be a file of the store")
    return parts


class Folders:
    """The folders that one batch touches, each opened once. A context manager that closes them.

    ``known`` remembers, over batches, which folders were seen to have a durable name: one that was merely found may
    have been made a moment ago by a process that died before it was durable.
    """

    def __init__(self, root: Path, known: set[tuple[Parts, int]]) -> None:
        """Raises OSError when ``root`` cannot be opened. The root itself may be a link: the operator chose it."""
        self._open: dict[Parts, int] = {(): os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)}
        self._known = known
        self._unsure: dict[Parts, set[tuple[Parts, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in self._open.values():
            os.close(folder)
        self._open.clear()

    def find(self, parts: Parts) -> int:
        """A descriptor of this folder. Raises FileNotFoundError or another OSError."""
        if parts not in self._open:
            self._open[parts] = _step(self.find(parts[:-1]), parts)
        return self._open[parts]

    def make(self, parts: Parts) -> int:
        """The same, and what is missing on the way is made. Raises OSError."""
        if parts in self._open:
            return self._open[parts]
        parent = self.make(parts[:-1])
        made = False
        try:
            folder = _step(parent, parts)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(parts[-1], FOLDER_MODE, dir_fd=parent)
                made = True
            folder = _step(parent, parts)
        self._open[parts] = folder
        identity = (parts, os.fstat(folder).st_ino)
        if made or identity not in self._known:
            self._unsure.setdefault(parts[:-1], set()).add(identity)
        return folder

    def settle(self, touched: Iterable[Parts], crew: SyncCrew) -> dict[Parts, OSError]:
        """Make durable what was renamed into the ``touched`` folders, and those folders' own names on the way up.

        One fsync a folder. Answers the folders that resisted.
        """
        wanted = sorted({*touched, *self._unsure}, key=len, reverse=True)
        answers = dict(zip(wanted, crew.sync([self._open[parts] for parts in wanted]), strict=True))
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        for parent, children in self._unsure.items():
            if answers[parent] is None:
                self._known.update(children)
        self._unsure.clear()
        return {parts: error for parts, error in answers.items() if error is not None}


def _step(parent: int, parts: Parts) -> int:
    try:
        return os.open(parts[-1], _STEP, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise OSError(error.errno, f"{'/'.join(parts)} in the store is a link or a file, not a folder") from None
        raise
