"""A file that is there whole or not at all, as people want what they ask for: exports, copies of the ledger.

Only a plain file is ever replaced. In the place of a device (``/dev/null``) or a pipe, a file would be found by all who
know it for something else. Of a link nobody can tell what was meant: to write to what it leads to, which somebody else
may have chosen, or to put a file where the link was, perhaps on another disk than its owner thinks.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mo_sync.errors import UsageError

__all__ = ["BeingWritten", "as_it_was", "refuse_no_file", "sync_folder", "written"]

_MODE: Final = 0o640
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_NO_FOLDER_SYNC: Final = (errno.EINVAL, errno.ENOTSUP)
_WHAT: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class BeingWritten(OSError):
    """Another process writes the same file just now."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EBUSY, "another program is writing it just now", str(path))


@contextlib.contextmanager
def written(target: Path, *, replace: bool) -> Iterator[Path]:
    """A hidden file beside ``target`` to write to, which takes its name, durably, when the block ends well.

    Else nothing is left of it; what a killed process left is taken over by the next that writes the same file, unless
    it is a second name of what was finished, by whatever name it goes now: then only that name goes. Raises
    FileExistsError when something is there, be it only at the end, and is not to be replaced; UsageError when it is no
    plain file; BeingWritten; OSError.
    """
    refuse_no_file(target)
    if not replace and os.path.lexists(target):
        raise _exists(target)
    part = target.with_name(f".{target.name}.part")
    file = _locked(part)
    try:
        os.ftruncate(file, 0)
        yield part
        os.fsync(file)
        _name(part, target, replace=replace)
        sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            if _is_still(part, file):
                part.unlink()
        os.close(file)


def refuse_no_file(target: Path) -> None:
    """Raises UsageError ``target-no-file`` when something is there and it is no plain file; OSError."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        what = _WHAT.get(stat.S_IFMT(found.st_mode), "no plain file")
        hint = "name a file; of a link, what it leads to" if what == "a link" else "name a file"
        raise UsageError("target-no-file", f"{what} is there, which is not replaced", item=str(target), hint=hint)


def as_it_was(target: Path, *, was_there: bool) -> str:
    """What to say of ``target`` when it was not written.

    >>> as_it_was(Path("copy.db"), was_there=False)
    'there is no copy.db'
    """
    return f"{target} is as it was" if was_there else f"there is no {target}"


def _locked(part: Path) -> int:
    """Open and locked, and known by no other name: what lies there is nobody's then."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        file = os.open(part, flags, _MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(part, file):
                if os.fstat(file).st_nlink == 1:
                    return file
                part.unlink()  # whoever wrote it was killed when the whole had its name, and before this one went
        except BlockingIOError:
            os.close(file)
            raise BeingWritten(part) from None
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # it was given its name between our two looks, or had one already


def _is_still(part: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.lstat(part), os.fstat(file))
    except FileNotFoundError:
        return False


def _name(part: Path, target: Path, *, replace: bool) -> None:
    if replace:
        refuse_no_file(target)
        part.replace(target)
        return
    try:
        os.link(part, target)  # unlike a rename, it refuses when somebody was quicker
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise _exists(target) from None
        part.rename(target)


def _exists(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def sync_folder(folder: Path) -> None:
    """Make durable which names there are in it, where the file system knows of such a thing. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
