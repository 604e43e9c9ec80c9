"""A process's own folder, locked for its life, so that others can tell at once that it died.

A worker keeps what it is busy with in ``root/<worker>/`` and holds an advisory lock (flock) on that folder's ``.lock``.
The kernel drops the lock with the process, however it ends, so a folder whose lock is free belongs to a dead worker and
may be taken over: its half-written files swept, its claims made due again, long before a lease runs out.

Somebody may remove the lock of a worker that lives (a cleaner, a person). So a folder with something in it but without
a lock is left alone for :data:`LOCKLESS_S`, in which its worker, if it lives, finds out and makes the lock anew
(:meth:`Presence.keep`); and nobody takes its own folder for that of a dead one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LOCK", "LOCKLESS_S", "Presence", "abandoned", "dead", "present", "worker_name"]

LOCK = ".lock"
"""The name of the lock in a worker's folder."""
LOCKLESS_S = 3600.0
"""How long, in seconds, a folder that is not empty and has no lock is left alone. A worker that lives looks after its
own much more often: before each file that it fetches, at each rescue, at each scan of the drop folder."""

_LOCK_MODE = 0o600  # nobody else can hold it, and so keep what a dead worker left from being rescued
_ENTERING = ".entering-"
_ENTER_TRIES = 100
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW


def worker_name() -> str:
    """A name for this process that no other process has or had: host, process id and chance."""
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname())[:32].strip("-") or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


class Presence:
    """This process's folder below ``root``. Use :meth:`enter`, and :meth:`leave` when done."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.worker = folder.name
        self._lock = lock

    @classmethod
    def enter(cls, root: Path, worker: str) -> Presence:
        """Make and lock ``root/worker``. Raises OSError when that cannot be done.

        The folder is made under another name, locked, then renamed: nobody ever sees it unlocked.
        """
        # A rescuer may take the nameless folder for a dead one in the instant before its lock: then make another.
        for _ in range(_ENTER_TRIES):
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                return cls._enter(root, worker)
        raise OSError(f"no folder of its own could be kept in {root}")

    @classmethod
    def _enter(cls, root: Path, worker: str) -> Presence:
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        entering = root / f"{_ENTERING}{worker}-{secrets.token_hex(4)}"
        entering.mkdir(mode=0o750)
        lock = -1
        try:
            lock = os.open(entering / LOCK, os.O_RDWR | os.O_CREAT | _OPEN, _LOCK_MODE)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = root / worker
            entering.rename(folder)
        except BaseException as error:
            if not isinstance(error, BlockingIOError):  # else a rescuer has the folder now, and removes it
                _remove_if_empty(entering)
            if lock >= 0:
                os.close(lock)
            raise
        return cls(folder, lock)

    def keep(self) -> bool:
        """To be called now and then: make the lock anew if it was removed. Whether that was needed, and done.

        Raises FileNotFoundError when the folder itself is gone. Where the lock cannot be made now (a full disk), the
        next call tries again.
        """
        if self._lock < 0 or _lies_in(self.folder, self._lock):
            return False
        if not self.folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
        with contextlib.suppress(OSError):
            lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | _OPEN, _LOCK_MODE)
            if _locked(self.folder, lock):
                before, self._lock = self._lock, lock
                os.close(before)
                return True
            os.close(lock)
        return False

    def leave(self) -> None:
        """Remove the folder if nothing is left in it but the lock, and unlock. A second call does nothing."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        _remove_if_empty(self.folder)
        os.close(lock)


@contextlib.contextmanager
def abandoned(root: Path, *, own: str | None = None, lockless_s: float = LOCKLESS_S) -> Iterator[list[Path]]:
    """The folders below ``root`` whose workers are dead, locked for the caller while the block runs.

    Two rescuers never get the same folder, and none gets that of ``own``, the caller's worker. Folders that are empty
    afterwards are removed. A folder that this user may not open is left to its owner, and one without a lock waits for
    ``lockless_s`` since it changed. Raises OSError when ``root`` itself cannot be listed.
    """
    with contextlib.ExitStack() as locks:
        taken: list[Path] = []
        for folder in _folders(root):
            lock = _try_lock(folder, lockless_s) if folder.name != own else None
            if lock is not None:
                locks.callback(os.close, lock)
                locks.callback(_remove_if_empty, folder)
                taken.append(folder)
        yield [folder for folder in taken if not folder.name.startswith(_ENTERING)]


def present(root: Path) -> list[str]:
    """The names of the workers below ``root`` that live, this process's own among them."""
    return [folder.name for folder in _folders(root) if not folder.name.startswith(".") and _is_locked(folder)]


def dead(root: Path) -> list[Path]:
    """The folders below ``root`` whose workers are dead for sure, for who only looks: nothing is taken over or made.

    Of a folder without a lock, or with one that this user may not open, that is not known. Raises OSError when ``root``
    cannot be listed.
    """
    return [folder for folder in _folders(root) if _is_free(folder)]


def _is_free(folder: Path) -> bool:
    return (folder / LOCK).is_file() and os.access(folder / LOCK, os.R_OK) and not _is_locked(folder)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _try_lock(folder: Path, lockless_s: float) -> int | None:
    """The lock of ``folder`` if its worker is dead and nobody else rescues it, else None."""
    try:
        lock = _open_lock(folder, lockless_s)
    except OSError:  # gone meanwhile, or not this user's to open, or too young
        return None
    if _locked(folder, lock):
        return lock
    os.close(lock)
    return None


def _locked(folder: Path, lock: int) -> bool:
    """Whether ``lock`` is ours now, and still the one that lies in ``folder``.

    A rescuer may have removed the folder since it was opened, and even another worker have made it anew.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # BlockingIOError: somebody else has it
        return False
    return _lies_in(folder, lock)


def _lies_in(folder: Path, lock: int) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.lstat(folder / LOCK))
    except OSError:
        return False


def _open_lock(folder: Path, lockless_s: float) -> int:
    """Raises OSError. A folder without a lock is being entered or left, or was tampered with."""
    try:
        return os.open(folder / LOCK, os.O_RDWR | _OPEN)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            folder.rmdir()  # succeeds only if it is empty; who was about to enter it makes another
        if _unchanged_s(folder) < lockless_s:
            raise
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | _OPEN, _LOCK_MODE)


def _unchanged_s(folder: Path) -> float:
    """How long nothing was made or removed in ``folder``, by the clock of its own filesystem. Raises OSError.

    By its ctime: cleaners put the mtime back to what it was.
    """
    os.utime(folder.parent)
    return (folder.parent.stat().st_mtime_ns - folder.stat().st_ctime_ns) / 1e9


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | _OPEN)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _remove_if_empty(folder: Path) -> None:
    """Never raises: what cannot be removed now is found again by the next rescuer."""
    with contextlib.suppress(OSError):
        if any(name != LOCK for name in os.listdir(folder)):  # noqa: PTH208  names alone, without a stat each
            return
        with contextlib.suppress(FileNotFoundError):
            (folder / LOCK).unlink()
        folder.rmdir()
