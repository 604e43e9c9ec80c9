"""One file in a folder that anyone may write to: looked at, opened, or left alone with a reason."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import BinaryIO

from mo_sync.errors import OutOfReach
from mo_sync.feeds.dropready import Observation

__all__ = ["LeftAlone", "Taken", "cannot", "exists", "kind_of", "observed", "open_file"]

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LARGE = 1 << 16
_BUFFER = 1 << 18
_NOT_THE_FILES_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Taken:
    """A file in our own folder, open for reading. ``observation`` is how it looked when it was opened."""

    name: str
    stream: BinaryIO
    observation: Observation


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Something that is not touched, and why: ``reason`` is a sentence, ``kind`` an errno's name or a file type."""

    kind: str
    reason: str


def observed(found: os.stat_result) -> Observation:
    """What ``stat`` said, as far as it matters here."""
    return Observation(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def exists(name: str, folder: int) -> bool:
    """Whether anything has this name, be it a broken link."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def cannot(verb: str, error: OSError) -> LeftAlone:
    """Why one file could not be worked with. Raises OutOfReach when it is not that file's fault but the machine's."""
    if error.errno in _NOT_THE_FILES_FAULT:
        raise OutOfReach(
            "drop-out-of-reach",
            f"cannot {verb} a dropped file: {error.strerror}",
            hint="nothing is lost; it is tried again",
        ) from error
    return LeftAlone(errno.errorcode.get(error.errno or 0, "OSError"), f"cannot {verb} it: {error.strerror}")


def kind_of(mode: int, links: int) -> LeftAlone | None:
    """Why something of this mode and link count is not a file for us; None when it is."""
    if not stat.S_ISREG(mode):
        word = next((word for test, word in _KINDS if test(mode)), "special file")
        return LeftAlone(word, f"this is a {word}; only plain files at the top are taken")
    if links > 1:
        return LeftAlone("hard link", "it has another name elsewhere (hard link); copy or rename it here instead")
    return None


_KINDS = (
    (stat.S_ISLNK, "symbolic link"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def open_file(name: str, folder: int, *, alone: bool = True) -> Taken | LeftAlone:
    """Open a plain file. ``alone``: it must have no second name; a file that is ours already may have got one."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    found = os.fstat(descriptor)
    strange = kind_of(found.st_mode, found.st_nlink if alone else 1)
    if strange is not None:
        os.close(descriptor)
        return strange
    stream = os.fdopen(descriptor, "rb", buffering=_BUFFER if found.st_size > _LARGE else -1)
    return Taken(name, stream, observed(found))
