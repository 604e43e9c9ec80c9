"""The drop folder on disk: made, opened, and files taken from it. Nothing here knows what an event is.

    drop/                        anyone puts files here
    drop/processing/<worker>/    files that this process took; locked for its life, so that the dead are told at once
    drop/done/YYYY-MM-DD/        files whose events are in the ledger
    drop/rejected/               what could not be understood, each with an ``.error.txt`` beside it

Since anyone may write here, everything is reached through descriptors of folders that were opened without following
links, and a name is believed only as far as the descriptor that came of it. Moves between these folders are renames: a
file is in one place or the other, never in both. No rename needs to be durable before the next step: one that a power
cut takes back leaves the file where it is taken again, and the ledger knows its events already.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mo_sync.errors import ConfigurationError
from mo_sync.feeds.dropfiles import LeftAlone, Taken, cannot, exists, kind_of, open_file
from mo_sync.feeds.dropnames import OWN_FOLDERS, numbered
from mo_sync.presence import LOCK, Presence, abandoned

__all__ = ["DropFolder", "OpenFolder", "open_folder"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DropFolder:
    """The folder at ``path`` as one worker sees it. Use :meth:`opened` for a pass, :meth:`close` at the end."""

    def __init__(self, path: Path, worker: str) -> None:
        self.path = path
        self._worker = worker
        self._presence: Presence | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenFolder]:
        """The folders, made where they are missing. They are opened anew for each pass: they may have been replaced.

        Raises ConfigurationError when one is a link or lies on another filesystem, OSError when it cannot be reached.
        """
        with contextlib.ExitStack() as stack:
            self.path.mkdir(mode=0o750, exist_ok=True)
            drop = _closing(stack, os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            processing, done, rejected = (_closing(stack, self._subfolder(drop, name)) for name in OWN_FOLDERS)
            own = _closing(stack, self._own(processing))
            yield OpenFolder(self.path, self._worker, drop, processing, own, done, rejected)

    def make(self) -> None:
        """Make what is missing, for one who only wants to watch. Raises as :meth:`opened` does."""
        self.path.mkdir(mode=0o750, exist_ok=True)

    def close(self) -> None:
        """Give up our own folder; what is left in it is taken again by whoever comes next."""
        if self._presence is not None:
            self._presence.leave()
            self._presence = None

    def _subfolder(self, drop: int, name: str) -> int:
        folder = open_folder(drop, name, item=str(self.path / name))
        if os.fstat(folder).st_dev != os.fstat(drop).st_dev:
            os.close(folder)
            raise _elsewhere(self.path / name)
        return folder

    def _own(self, processing: int) -> int:
        if self._presence is not None:
            with contextlib.suppress(FileNotFoundError):
                self._presence.keep()
                return os.open(self._presence.folder.name, _FOLDER, dir_fd=processing)
            self.close()
        self._presence = Presence.enter(self.path / "processing", self._worker)
        return os.open(self._presence.folder.name, _FOLDER, dir_fd=processing)


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """Descriptors of the drop folder and of what lies in it, for ``worker`` and the length of one pass."""

    path: Path
    worker: str
    drop: int
    processing: int
    own: int
    done: int
    rejected: int

    def now_ns(self) -> int:
        """The time by the filesystem's own clock, which is the one that stamps the files."""
        os.utime(self.own)
        return os.fstat(self.own).st_mtime_ns

    def dropped(self) -> Iterator[os.DirEntry[str]]:
        """What lies in the drop folder, without our own folders; read little by little."""
        with os.scandir(self.drop) as entries:
            for entry in entries:
                if entry.name not in OWN_FOLDERS:
                    yield entry

    def held(self) -> Iterator[str]:
        """The names in our own folder: what an earlier pass took but could not finish."""
        with os.scandir(self.own) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry.name

    def adopt(self, tell: Callable[[str, LeftAlone], None]) -> None:
        """Bring into our own folder what dead workers left, and what lies in processing/ itself.

        Half-written reports are removed: they are written anew. What a live neighbour holds is not touched, and
        ``tell`` hears what could not be brought.
        """
        _sweep(self.own)
        self._bring_files(self.processing, tell)
        try:
            with abandoned(self.path / "processing", own=self.worker) as folders:
                for folder in folders:
                    self._adopt_from(folder.name, tell)
        except PermissionError as error:
            tell("processing", cannot("take over what another user's mo-sync left in", error))

    def _adopt_from(self, worker: str, tell: Callable[[str, LeftAlone], None]) -> None:
        with contextlib.ExitStack() as stack:
            theirs = _closing(stack, os.open(worker, _FOLDER, dir_fd=self.processing))
            _sweep(theirs)
            self._bring_files(theirs, tell)

    def _bring_files(self, folder: int, tell: Callable[[str, LeftAlone], None]) -> None:
        """Move plain files into our own folder. Whoever loses a race for one finds it gone, and shrugs."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.is_dir(follow_symlinks=False):
                    continue
                try:
                    strange = kind_of(entry.stat(follow_symlinks=False).st_mode, links=1)
                    if strange is None:
                        self._move_in(entry.name, folder)
                    else:
                        tell(entry.name, strange)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    tell(entry.name, cannot("move", error))

    def take(self, name: str) -> Taken | LeftAlone | None:
        """Open a dropped file and move it into our own folder. None: it is gone, another was quicker.

        It is opened first, so that what we may not read stays where its owner looks for it. The open neither follows a
        link nor waits for a FIFO's writer. Raises ConfigurationError when processing/ is on another filesystem.
        """
        try:
            taken = open_file(name, self.drop)
        except FileNotFoundError:
            return None
        except OSError as error:
            return cannot("read", error)
        if isinstance(taken, LeftAlone):
            return taken
        return self._move_open(taken)

    def again(self, name: str) -> Taken | LeftAlone | None:
        """Open a file that is in our own folder already."""
        try:
            return open_file(name, self.own, alone=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            return cannot("read", error)

    def _move_open(self, taken: Taken) -> Taken | LeftAlone | None:
        moved: str | None = None
        try:
            moved = self._move_in(taken.name, self.drop)
            # Another file may have come under this name since it was opened: then that one is read by a later pass.
            if os.stat(moved, dir_fd=self.own, follow_symlinks=False).st_ino != taken.observation.inode:
                moved = None
        except FileNotFoundError:
            moved = None
        except OSError as error:
            taken.stream.close()
            if error.errno == errno.EXDEV:
                raise _elsewhere(self.path / "processing") from error
            return cannot("move", error)
        if moved is None:
            taken.stream.close()
            return None
        return Taken(moved, taken.stream, taken.observation)

    def _move_in(self, name: str, folder: int) -> str:
        """Rename into our own folder, where nobody else puts files: looking before is safe."""
        number = 0
        while exists(numbered(name, number), self.own):
            number += 1
        free = numbered(name, number)
        os.rename(name, free, src_dir_fd=folder, dst_dir_fd=self.own)
        return free


def open_folder(parent: int, name: str, *, item: str) -> int:
    """A descriptor of ``parent/name``, made when missing. Raises ConfigurationError when it is no folder of its own."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o750, dir_fd=parent)
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise ConfigurationError(
            "drop-folder-not-ours", "this is a link or a file", item=item, hint="remove it; mo-sync makes the folder"
        ) from error


def _sweep(folder: int) -> None:
    """Remove the half-written reports of a worker."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name != LOCK and not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)


def _closing(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _elsewhere(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        "drop-folder-elsewhere",
        "it lies on another filesystem than the drop folder: files could not be moved into it in one step",
        item=str(folder),
        hint="unmount it, or let drop.path lie inside the same filesystem",
    )
