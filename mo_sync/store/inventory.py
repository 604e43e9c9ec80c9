"""What rests in a folder that is a store, and where goes what nobody knows."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mo_sync.store.base import Odd, Oddity, Resting
from mo_sync.store.folders import Folders, parts_found, parts_of
from mo_sync.store.incoming import FOLDER

__all__ = ["namesakes", "set_aside", "untouched", "walked"]

_LOST: Final = "lost+found"
"""As file systems call it; where the store is a whole one, that has a folder of this name already."""
_KINDS: Final = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a hidden folder"}
_MOST_NAMES: Final = 10_000
_SET_ASIDE: Final = re.compile(r"^\d+~")
"""What is put before a name that is taken already."""


def walked(root: Path) -> Iterator[Resting | Oddity]:
    """Every plain file below ``root`` in the order of the keys, but what is on its way or set aside; and what else is
    there. Where there is no ``root`` there is nothing; one that cannot be listed is an oddity without a key."""
    yield from _walked(root, "")


def untouched(root: Path) -> bool:
    """Whether there is neither a file nor a folder of one. Raises OSError."""
    with os.scandir(root) as found:
        return not any(_is_ours(entry.name) for entry in found)


def _walked(folder: Path, above: str) -> Iterator[Resting | Oddity]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:  # it went while we looked, or never was
        return
    except OSError as error:
        yield Oddity(above, Odd.UNREADABLE, f"the folder cannot be read ({error.strerror})")
        return
    for entry in entries:
        if above or entry.name not in (FOLDER, _LOST):
            yield from _seen(entry, folder, above)


def _seen(entry: os.DirEntry[str], folder: Path, above: str) -> Iterator[Resting | Oddity]:
    key = f"{above}{entry.name}"
    hidden = not above and entry.name.startswith(".")
    if not hidden and entry.is_dir(follow_symlinks=False):
        yield from _walked(folder / entry.name, f"{key}/")
        return
    try:
        known = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # it went while we looked
        return
    except OSError as error:
        yield Oddity(key, Odd.UNREADABLE, f"it cannot be looked at ({error.strerror})")
        return
    if not stat.S_ISREG(known.st_mode):
        kind = _KINDS.get(stat.S_IFMT(known.st_mode), "a device, a pipe or a socket")
        yield Oddity(key, Odd.PASSED_BY, kind)
    elif hidden:
        yield Oddity(key, Odd.HIDDEN, "a hidden file", known.st_size, known.st_mtime)
    else:
        yield Resting(key, known.st_size, known.st_mtime)


def _is_ours(name: str) -> bool:
    """Of the names at the top: what is on its way begins with a dot."""
    return not name.startswith(".") and name != _LOST


def set_aside(folders: Folders, key: str) -> str:
    """Rename it to a name below ``lost+found`` that nobody has. Raises OSError."""
    *way, name = parts_found(key)
    if key == FOLDER:
        raise OSError(errno.EINVAL, f"{key!r} is what files come from")
    home = folders.find(tuple(way))
    there = folders.make((_LOST, *way))
    for number in range(_MOST_NAMES):
        other = name if not number else f"{number}~{name}"
        if not _is_there(other, there):
            os.rename(name, other, src_dir_fd=home, dst_dir_fd=there)
            return "/".join((_LOST, *way, other))
    raise OSError(errno.EEXIST, f"there are too many of {key} in {_LOST} already")


def namesakes(folders: Folders, key: str) -> list[str]:
    """The keys of all files that bear this name, with whatever ending, and of what was set aside of them.

    Raises OSError.
    """
    *way, name = parts_of(key)
    stem = name.rpartition(".")[0] or name
    found: list[str] = []
    for place in (tuple(way), (_LOST, *way)):
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(folders.find(place))  # noqa: PTH208  of a descriptor
            found += [
                "/".join((*place, one)) for one in sorted(names) if _SET_ASIDE.sub("", one).rpartition(".")[0] == stem
            ]
    return found


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
