"""Where files are before they are whole: ``.incoming/<worker>/<lease>.part`` below the store's root.

The folder is locked for the life of its process (:mod:`mo_sync.presence`), so what a dead one left is found at once. It
lies in the store's own file system, so that a file gets its final name by a rename.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from mo_sync.presence import LOCK, Presence, abandoned, dead, present
from mo_sync.store.base import HEAD_BYTES, Odd, Oddity
from mo_sync.store.durable import start_writing
from mo_sync.store.folders import FOLDER_MODE

__all__ = ["FOLDER", "Incoming", "LocalStaged", "dead_workers", "left_behind", "live_workers"]

_log = structlog.get_logger(__name__)

FOLDER: Final = ".incoming"
FILE_MODE: Final = 0o640
_SUFFIX: Final = ".part"
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_SO: Final = frozenset(
    {
        errno.EEXIST,
        # No second names here, or not one more: a rename may still go.
        errno.EPERM,
        errno.EOPNOTSUPP,
        errno.ENOTSUP,
        errno.ENOSYS,
        errno.EMLINK,
        errno.ENOSPC,
        errno.EDQUOT,
    }
)
_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_START_WRITING_BYTES: Final = 8 * 1024 * 1024
_LARGE_BYTES: Final = 1024 * 1024


class Incoming:
    """This process's folder of temporary files. Any thread may call :meth:`stage`. Raises OSError when it cannot be."""

    def __init__(self, root: Path, worker: str) -> None:
        self._root = root
        self._worker = worker
        self._lock = threading.Lock()
        self._closed = False
        self._retired: list[int] = []
        self._presence, self._folder = self._enter()

    def stage(self, lease: str) -> LocalStaged:
        """A new empty file. Raises OSError."""
        name = f"{lease}{_SUFFIX}"
        if "/" in name or name.startswith(".") or not name.isprintable():
            raise OSError(errno.EINVAL, "a lease that cannot be a file's name")
        self.keep()
        try:
            return LocalStaged(self, name, self.create(name))
        except FileNotFoundError:
            self._enter_again()
            return LocalStaged(self, name, self.create(name))

    def create(self, name: str) -> int:
        """The descriptor of a new file. Raises OSError."""
        return os.open(name, _NEW, FILE_MODE, dir_fd=self._folder)

    def open(self, name: str) -> BinaryIO:
        """One of them, to be read. Raises OSError."""
        return os.fdopen(os.open(name, _READ, dir_fd=self._folder), "rb")

    def unlink(self, name: str) -> None:
        """Raises OSError."""
        os.unlink(name, dir_fd=self._folder)

    def move(self, name: str, folder: int, new_name: str) -> None:
        """At one stroke, replacing what is there. Raises OSError."""
        os.rename(name, new_name, src_dir_fd=self._folder, dst_dir_fd=folder)

    def keep(self) -> None:
        """See to it that nobody takes us for dead. To be called now and then."""
        with self._lock, contextlib.suppress(FileNotFoundError):  # then the next stage enters again
            if self._presence.keep():
                _log.warning("store.locked-again", folder=str(self._presence.folder), hint="who removed its .lock?")

    def move_where_nothing_is(self, name: str, folder: int, new_name: str) -> bool:
        """Whether it could; not where something is, nor where the file system knows no second names. Raises OSError."""
        try:
            os.link(name, new_name, src_dir_fd=self._folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_SO:
                return False
            raise
        try:
            self.unlink(name)
        except OSError as error:  # its other name is swept when this worker is gone
            _log.warning("staged.not-removed", file=name, error=error.strerror)
        return True

    def close(self) -> None:
        """Remove what is left and the folder. A thread that was left behind then writes to a file without a name."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            _clear(self._presence.folder)
            self._presence.leave()
            folders = [*self._retired, self._folder]
            self._folder = -1
            for folder in folders:
                os.close(folder)

    def _enter(self) -> tuple[Presence, int]:
        """Neither ``.incoming`` nor the folder in it may be a link."""
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(FOLDER, FOLDER_MODE, dir_fd=root)
            os.close(os.open(FOLDER, _STEP, dir_fd=root))
            presence = Presence.enter(self._root / FOLDER, self._worker)
            try:
                return presence, os.open(f"{FOLDER}/{self._worker}", _STEP, dir_fd=root)
            except OSError:
                presence.leave()
                raise
        finally:
            os.close(root)

    def _enter_again(self) -> None:
        """Somebody removed the folder, or the whole store, while we ran: begin anew."""
        with self._lock:
            if self._closed or self._presence.folder.exists():
                return
            self._presence.leave()
            self._retired.append(self._folder)  # not closed yet: another thread may be about to use it
            self._presence, self._folder = self._enter()
            _log.warning("store.entered-again", folder=str(self._presence.folder), hint="who removed it?")


class LocalStaged:
    """A temporary file, hashed as it is written. Its descriptor stays open until it is placed or discarded.

    That is so because an error of writing it back is told only to descriptors that were open when it happened.
    """

    def __init__(self, incoming: Incoming, name: str, file: int) -> None:
        self._incoming = incoming
        self._name = name
        self._file = file
        self._digest = hashlib.sha256()
        self._sha256: str | None = None
        self._size = 0
        self._being_written = 0
        self._head = b""
        self.hardened = False
        self.trouble: OSError | None = None
        """Why it could not be hardened. It stays: a second fsync may say that all is well when the bytes are lost."""

    @property
    def size(self) -> int:
        return self._size

    @property
    def head(self) -> bytes:
        return self._head

    @property
    def sha256(self) -> str:
        return self._sha256 or self._digest.hexdigest()

    @property
    def file(self) -> int:
        """The open descriptor; -1 once placed or discarded."""
        return self._file

    def write(self, data: bytes) -> None:
        if self._sha256 is not None:
            raise ValueError("a finished file takes no more")
        self._digest.update(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        self._size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        if self._size - self._being_written >= _START_WRITING_BYTES:
            start_writing(self._file, self._being_written)
            self._being_written = self._size

    def finish(self) -> None:
        """The writing to the disk begins here, by this file's own thread, so that who hardens many finds it under way.

        A large file is made durable here altogether: nobody else should have to wait for it.
        """
        self._sha256 = self._digest.hexdigest()
        if self._size >= _LARGE_BYTES:
            os.fsync(self._file)
            self.hardened = True
        else:
            start_writing(self._file)

    def open(self) -> BinaryIO:
        return self._incoming.open(self._name)

    def name_it(self, folder: int, name: str) -> bool:
        """Give it its final name, if that is free; whether it was. Raises OSError."""
        if not self._incoming.move_where_nothing_is(self._name, folder, name):
            return False
        self._close()
        return True

    def replace(self, folder: int, name: str) -> None:
        """Give it its final name, whatever had it before. Raises OSError."""
        self._incoming.move(self._name, folder, name)
        self._close()

    def discard(self) -> None:
        if self._file < 0:
            return
        self._close()
        self.hardened = False
        self.trouble = OSError(errno.EBADF, "the staged file was discarded")
        try:
            self._incoming.unlink(self._name)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("staged.not-removed", file=self._name, error=error.strerror)

    def _close(self) -> None:
        file, self._file = self._file, -1
        with contextlib.suppress(OSError):  # an error of the disk was told by fsync; or it no longer matters
            os.close(file)


def dead_workers(root: Path, *, own: str) -> list[str]:
    """Remove what dead workers left below ``root``; their names, never ``own``. Raises OSError."""
    incoming = root / FOLDER
    with abandoned(incoming, own=own) as folders:
        for folder in folders:
            _clear(folder)
        names = [folder.name for folder in folders]
    _clear(incoming)
    return names


def left_behind(root: Path) -> Iterator[Oddity]:
    """What dead workers left below ``root``, to be looked at only: nothing is changed, nor any lock kept."""
    incoming = root / FOLDER
    try:
        folders = [incoming, *dead(incoming)]
    except OSError as error:
        yield Oddity(f"{FOLDER}/", Odd.UNREADABLE, f"the folder cannot be read ({error.strerror})")
        return
    for folder in folders:
        key = f"{folder.relative_to(root)}/"
        try:
            with os.scandir(folder) as found:
                entries = sorted((one for one in found if one.name != LOCK), key=lambda entry: entry.name)
            for entry in entries:
                known = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(known.st_mode):
                    what = f"{known.st_size:,} bytes that a dead worker left"
                    yield Oddity(f"{key}{entry.name}", Odd.TEMPORARY, what, known.st_size, known.st_mtime)
        except FileNotFoundError:  # it was swept meanwhile
            continue
        except OSError as error:
            yield Oddity(key, Odd.UNREADABLE, f"the folder cannot be read ({error.strerror})")


def live_workers(root: Path) -> list[str]:
    """The names of the workers that live. Raises OSError."""
    return present(root / FOLDER)


def _clear(folder: Path) -> None:
    """Remove the temporary files in ``folder``. What resists is left for the next who comes."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):  # noqa: PTH208  names alone, without a stat each
            if name.endswith(_SUFFIX):
                _remove(folder / name)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("staged.not-removed", file=path.name, error=error.strerror)
