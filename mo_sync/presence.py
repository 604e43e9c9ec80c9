"""A process's own folder, locked for its life, so that others can tell at once that it died.

A worker keeps what it is busy with in ``root/<worker>/`` and holds an advisory lock (flock) on that folder's ``.lock``.
The kernel drops the lock with the process, however it ends, so a folder whose lock is free belongs to a dead worker and
may be taken over: its half-written files swept, its claims made due again, long before a lease runs out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Presence", "abandoned", "present", "worker_name"]

_LOCK = ".lock"
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
            lock = os.open(entering / _LOCK, os.O_RDWR | os.O_CREAT | _OPEN, 0o640)
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

    def leave(self) -> None:
        """Remove the folder if nothing is left in it but the lock, and unlock. A second call does nothing."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        _remove_if_empty(self.folder)
        os.close(lock)


@contextlib.contextmanager
def abandoned(root: Path) -> Iterator[list[Path]]:
    """The folders below ``root`` whose workers are dead, locked for the caller while the block runs.

    Two rescuers never get the same folder. Folders that are empty afterwards are removed. A folder that this user may
    not open is left to its owner. Raises OSError when ``root`` itself cannot be listed.
    """
    with contextlib.ExitStack() as locks:
        taken: list[Path] = []
        for folder in _folders(root):
            lock = _try_lock(folder)
            if lock is not None:
                locks.callback(os.close, lock)
                locks.callback(_remove_if_empty, folder)
                taken.append(folder)
        yield [folder for folder in taken if not folder.name.startswith(_ENTERING)]


def present(root: Path) -> list[str]:
    """The names of the workers below ``root`` that live, this process's own among them."""
    return [folder.name for folder in _folders(root) if not folder.name.startswith(".") and _is_locked(folder)]


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _try_lock(folder: Path) -> int | None:
    """The lock of ``folder`` if its worker is dead and nobody else rescues it, else None."""
    try:
        lock = _open_lock(folder)
    except OSError:  # gone meanwhile, or not this user's to open
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another rescuer may have removed the folder since, and even another worker have made it anew: only the lock
        # that still lies there counts.
        if os.path.samestat(os.fstat(lock), os.lstat(folder / _LOCK)):
            return lock
    except OSError:  # BlockingIOError: its worker lives
        pass
    os.close(lock)
    return None


def _open_lock(folder: Path) -> int:
    """Raises OSError. A folder without a lock is being entered or left, or was tampered with."""
    try:
        return os.open(folder / _LOCK, os.O_RDWR | _OPEN)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            folder.rmdir()  # succeeds only if it is empty; who was about to enter it makes another
        return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | _OPEN, 0o640)


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | _OPEN)
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
        if any(name != _LOCK for name in os.listdir(folder)):  # noqa: PTH208  names alone, without a stat each
            return
        with contextlib.suppress(FileNotFoundError):
            (folder / _LOCK).unlink()
        folder.rmdir()
