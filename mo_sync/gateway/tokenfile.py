"""A token's file, replaced so that a new token is on the disk before anybody uses it.

What is refreshed is irreplaceable: the old token is dead as soon as the new one is made. So the room for the new one is
made first, with everything that can go wrong on a disk, and only then is the gateway asked::

    with room_beside(path) as room:     # raises OSError: nothing was asked yet
        token = …                       # the gateway is asked
        room.put(token)                 # written, fsynced, renamed over path, folder fsynced

A process that is killed in between leaves ``.<name>.<chance>.new`` beside the file. When the token had reached it,
:func:`take_left_behind` puts it in its place.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["Room", "room_beside", "take_left_behind"]

_ROOM_BYTES: Final = 4096
_MODE: Final = 0o600
_NEW: Final = ".new"
_LARGEST: Final = 64 * 1024


class Room:
    """A file beside ``path`` that has room for a token and is to take its place."""

    def __init__(self, path: Path, temporary: Path, file: int) -> None:
        self._path = path
        self._temporary = temporary
        self._file = file

    def put(self, token: str) -> None:
        """Write ``token`` and put it in the place of ``path``, both durably. Raises OSError."""
        data = f"{token}\n".encode("latin-1")
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))
        os.fsync(self._file)
        _into_place(self._temporary, self._path)


@contextlib.contextmanager
def room_beside(path: Path) -> Iterator[Room]:
    """Room for a token beside ``path``: mode 0600, its owner where that may be kept. Raises OSError.

    Where ``path`` is a link, the file that it leads to is the one replaced. What is left of it at the end is removed.
    """
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f".{real.name}.{secrets.token_hex(8)}{_NEW}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(temporary, flags, _MODE)
    try:
        _like(real, file)
        os.pwrite(file, b" " * _ROOM_BYTES, 0)
        os.fsync(file)
        yield Room(real, temporary, file)
    finally:
        os.close(file)
        with contextlib.suppress(OSError):
            temporary.unlink()


def take_left_behind(path: Path) -> bool:
    """Put a token in place that a killed process left beside ``path``; whether there was one. Raises OSError.

    Rests without a token are removed, and those that are older than the file: somebody wrote it anew since. Only for
    who may replace the file now: nobody else does so at the same time.
    """
    real = Path(os.path.realpath(path))
    old = real.stat()
    for rest in sorted(real.parent.glob(f".{_literal(real.name)}.*{_NEW}")):
        if _holds_newer(rest, old):
            _into_place(rest, real)
            return True
        with contextlib.suppress(OSError):
            rest.unlink()
    return False


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _holds_newer(rest: Path, old: os.stat_result) -> bool:
    """Whether a whole token was written into it, alone on a line that was ended, by us and after ``old``."""
    with contextlib.suppress(OSError):
        file = os.open(rest, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(file)
            ours = stat.S_ISREG(found.st_mode) and found.st_uid in (os.geteuid(), old.st_uid)
            content = os.read(file, _LARGEST) if ours and found.st_mtime_ns >= old.st_mtime_ns else b""
        finally:
            os.close(file)
        # Before it was cut to its length, blanks followed the line's end.
        return content.rstrip(b" ").endswith(b"\n") and len(content.split()) == 1
    return False


def _like(real: Path, file: int) -> None:
    """The owner and group of the file that is replaced, as far as this user may give them."""
    try:
        old = real.stat()
    except FileNotFoundError:
        return
    with contextlib.suppress(PermissionError):
        os.fchown(file, old.st_uid, old.st_gid)


def _into_place(temporary: Path, real: Path) -> None:
    temporary.replace(real)
    folder = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
