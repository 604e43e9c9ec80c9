"""A store that is a folder.

``root/2026/11/20/<message>/<file>`` holds the files, ``root/.incoming/<worker>/`` what is on its way. Modes are 0640
for files and 0750 for folders, less what the umask takes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mo_sync.findings import Finding
from mo_sync.store.base import Exchange, Occupied, Placed, Placement, Staged
from mo_sync.store.checkup import check_up
from mo_sync.store.durable import SyncCrew
from mo_sync.store.folders import FOLDER_MODE, Folders, Parts, parts_found, parts_of
from mo_sync.store.incoming import Incoming, LocalStaged, dead_workers, live_workers
from mo_sync.store.inventory import namesakes, set_aside
from mo_sync.store.reading import READ, LocalReader, in_the_way

__all__ = ["LocalStore"]


class LocalStore(LocalReader):
    """See :class:`mo_sync.store.base.Store`. ``harden`` and ``place`` are for one thread."""

    def __init__(self, root: Path, worker: str) -> None:
        """Make ``root`` if it is missing, and a folder for ``worker`` in it. Raises StoreOutOfReach."""
        super().__init__(root)
        self.worker = worker
        self._crew = SyncCrew()
        try:
            _make_root(self.root)
            self._incoming = Incoming(self.root, worker)
        except OSError as error:
            raise self.out_of_reach("store-not-writable", error) from error

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def stage(self, lease: str) -> LocalStaged:
        return self._incoming.stage(lease)

    def harden(self, batch: Sequence[Staged]) -> list[OSError | None]:
        own = [_own(staged) for staged in batch]
        waiting = [staged for staged in own if not staged.hardened and staged.trouble is None]
        for staged, trouble in zip(waiting, self._crew.sync([staged.file for staged in waiting]), strict=True):
            staged.hardened = trouble is None
            staged.trouble = trouble
        return [staged.trouble for staged in own]

    def place(self, batch: Sequence[Placement]) -> list[Placed | Occupied | OSError]:
        troubles = self.harden([item.staged for item in batch])
        try:
            with Folders(self.root, self._known) as folders:
                answers = [trouble or _place(item, folders) for item, trouble in zip(batch, troubles, strict=True)]
                placed = [n for n, answer in enumerate(answers) if isinstance(answer, Placed)]
                homes = [parts_of(batch[n].key)[:-1] for n in placed]
                for n, trouble in zip(placed, self._sync(folders, homes), strict=True):
                    answers[n] = trouble or answers[n]
                return answers
        except OSError as error:  # the root itself
            return [error] * len(batch)

    @contextlib.contextmanager
    def exchange(self, item: Placement) -> Iterator[Exchange | None]:
        """The lock is one on the file's folder, and is gone when the folder is closed, at the latest by our death."""
        *way, _ = parts_of(item.key)
        with Folders(self.root, self._known) as folders:
            home = folders.make(tuple(way))
            yield partial(self._exchange, item, folders) if _locked(home) else None

    @contextlib.contextmanager
    def alone(self, key: str) -> Iterator[bool]:
        """By the same lock. Where there is no folder, nothing lies that could be exchanged."""
        *way, _ = parts_found(key)
        with Folders(self.root, self._known) as folders:
            try:
                home = folders.find(tuple(way))
            except FileNotFoundError:
                ours = True
            else:
                ours = _locked(home)
            yield ours

    def _exchange(self, item: Placement, folders: Folders) -> Placed | OSError:
        [trouble] = self.harden([item.staged])
        answer = trouble or _exchange(item, folders)
        [resisting] = self._sync(folders, [parts_of(item.key)[:-1]])
        return answer if isinstance(answer, OSError) else resisting or answer

    def _sync(self, folders: Folders, homes: Sequence[Parts]) -> list[OSError | None]:
        """Make durable the names of what was put into these folders, or left them; for each, what was answered."""
        resisting = folders.settle(homes, self._crew)
        ways = [[home[:depth] for depth in range(len(home) + 1)] for home in homes]
        return [next((resisting[folder] for folder in way if folder in resisting), None) for way in ways]

    def remove(self, key: str) -> bool:
        """The folder of a message goes with its last file."""
        *way, name = parts_of(key)
        home = tuple(way)
        with Folders(self.root, self._known) as folders:
            try:
                os.unlink(name, dir_fd=folders.find(home))
            except FileNotFoundError:
                return False
            os.fsync(folders.find(home))
            if home:
                with contextlib.suppress(OSError):
                    os.rmdir(home[-1], dir_fd=folders.find(home[:-1]))
                os.fsync(folders.find(home[:-1]))
        return True

    def set_aside(self, key: str) -> str:
        with Folders(self.root, self._known) as folders:
            there = set_aside(folders, key)
            for trouble in self._sync(folders, [parts_found(one)[:-1] for one in (key, there)]):
                if trouble is not None:
                    raise trouble
        return there

    def purge(self, key: str) -> int:
        with Folders(self.root, self._known) as folders:
            keys = namesakes(folders, key)
        removed = sum(map(self.remove, keys))
        self._leave_no_empty_folder(parts_of(key)[:-1])
        return removed

    def _leave_no_empty_folder(self, home: Parts) -> None:
        """It bears the id of a message; who set its file aside, or was killed after the last one, left it."""
        with contextlib.suppress(OSError), Folders(self.root, self._known) as folders:
            os.rmdir(home[-1], dir_fd=folders.find(home[:-1]))
            os.fsync(folders.find(home[:-1]))

    def free_bytes(self) -> int:
        try:
            found = os.statvfs(self.root)
        except OSError as error:
            raise self.out_of_reach("store-gone", error) from error
        return found.f_bavail * found.f_frsize

    def sweep(self) -> list[str]:
        try:
            self._incoming.keep()
            return dead_workers(self.root, own=self.worker)
        except OSError as error:
            raise self.out_of_reach("store-not-swept", error) from error

    def neighbours(self) -> list[str]:
        try:
            return [name for name in live_workers(self.root) if name != self.worker]
        except OSError as error:
            raise self.out_of_reach("store-gone", error) from error

    def check(self) -> list[Finding]:
        return check_up(self, self.root)

    def close(self) -> None:
        self._incoming.close()
        self._crew.close()


def _own(staged: Staged) -> LocalStaged:
    if not isinstance(staged, LocalStaged):
        raise TypeError(f"{type(staged).__name__} was not staged by this store")
    return staged


def _place(item: Placement, folders: Folders) -> Placed | Occupied | OSError:
    try:
        *way, name = parts_of(item.key)
        return Placed() if _own(item.staged).name_it(folders.make(tuple(way)), name) else Occupied()
    except OSError as error:
        return error


def _locked(folder: int) -> bool:
    """Whether this folder is ours alone now, as far as the file system can tell."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _exchange(item: Placement, folders: Folders) -> Placed | OSError:
    staged = _own(item.staged)
    try:
        *way, name = parts_of(item.key)
        home = folders.make(tuple(way))
        if _holds(home, name, staged, key=item.key):
            staged.discard()
            return Placed(adopted=True)
        staged.replace(home, name)
    except OSError as error:
        return error
    return Placed()


def _holds(home: int, name: str, staged: LocalStaged, *, key: str) -> bool:
    """Whether the same bytes lie there already; then they are durable. Raises OSError for what must not be replaced."""
    try:
        found = os.stat(name, dir_fd=home, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise in_the_way(errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EEXIST, key)
    return found.st_size == staged.size and _same_bytes(home, name, staged)


def _same_bytes(home: int, name: str, staged: LocalStaged) -> bool:
    try:
        with os.fdopen(os.open(name, READ, dir_fd=home), "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != staged.sha256:
                return False
            os.fsync(file.fileno())
            return True
    except OSError:  # it cannot even be read: the new one replaces it
        return False


def _make_root(root: Path) -> None:
    """Make ``root`` and what is missing above it, durably."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        _sync_folder(folder.parent)
    with contextlib.suppress(PermissionError):  # whoever made it for us owns the folder above
        _sync_folder(root.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
