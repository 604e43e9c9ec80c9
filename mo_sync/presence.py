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

__all__ = ["Presence", "abandoned", "worker_name"]

_LOCK = ".lock"
_ENTERING = ".entering-"


def worker_name() -> str:
    """A name for this process that no other process has or had: host, process id and chance."""
    host = "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:32] or "host"
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
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        while True:
            # A rescuer may take the nameless folder for a dead one in the instant before its lock: then make another.
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                return cls._enter(root, worker)

    @classmethod
    def _enter(cls, root: Path, worker: str) -> Presence:
        entering = root / f"{_ENTERING}{worker}-{secrets.token_hex(4)}"
        entering.mkdir(mode=0o750)
        lock = os.open(entering / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = root / worker
            entering.rename(folder)
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, lock)

    def leave(self) -> None:
        """Remove the folder if nothing is left in it but the lock, and unlock. A second call does nothing."""
        if self._lock < 0:
            return
        _remove_if_empty(self.folder)
        os.close(self._lock)
        self._lock = -1


@contextlib.contextmanager
def abandoned(root: Path) -> Iterator[list[Path]]:
    """The folders below ``root`` whose workers are dead, locked for the caller while the block runs.

    Two rescuers never get the same folder. Folders that are empty afterwards are removed.
    """
    taken: list[tuple[Path, int]] = []
    try:
        for folder in _folders(root):
            lock = _try_lock(folder)
            if lock is not None:
                taken.append((folder, lock))
        yield [folder for folder, _ in taken]
    finally:
        for folder, lock in taken:
            _remove_if_empty(folder)
            os.close(lock)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _try_lock(folder: Path) -> int | None:
    """The lock of ``folder`` if its worker is dead and nobody else rescues it, else None."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if folder.name.startswith(_ENTERING):
            return None
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if folder.exists():
        return lock
    os.close(lock)
    return None


def _remove_if_empty(folder: Path) -> None:
    if any(name != _LOCK for name in os.listdir(folder)):  # noqa: PTH208  names alone, without a stat each
        return
    with contextlib.suppress(FileNotFoundError):
        (folder / _LOCK).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
