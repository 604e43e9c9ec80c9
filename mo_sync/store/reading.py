"""A store that is a folder, for who only reads: nothing is made in it, not even the folder itself."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mo_sync.errors import StoreOutOfReach
from mo_sync.store.base import Odd, Oddity, Resting
from mo_sync.store.folders import Folders, Parts, parts_of
from mo_sync.store.incoming import left_behind
from mo_sync.store.inventory import untouched, walked

__all__ = ["READ", "LocalReader", "in_the_way"]

READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_HINT: Final = "give mo-sync's user the rights to it, then run mo-sync doctor"


class LocalReader:
    """See :class:`mo_sync.store.base.Readable`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._known: set[tuple[Parts, int]] = set()

    def open(self, key: str) -> BinaryIO:
        *way, name = parts_of(key)
        with Folders(self.root, self._known) as folders:
            file = os.open(name, READ, dir_fd=folders.find(tuple(way)))
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise in_the_way(errno.EINVAL, key)
        return os.fdopen(file, "rb")

    def size(self, key: str) -> int | None:
        *way, name = parts_of(key)
        try:
            with Folders(self.root, self._known) as folders:
                found = os.stat(name, dir_fd=folders.find(tuple(way)), follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise in_the_way(errno.EINVAL, key)
        return found.st_size

    def resting(self) -> Iterator[Resting]:
        for found in walked(self.root):
            if isinstance(found, Resting):
                yield found
            elif found.odd is Odd.UNREADABLE:
                raise self._unreadable(f"{found.key} {found.detail}".strip())

    def surveyed(self) -> Iterator[Resting | Oddity]:
        """A root that cannot be listed hides all of it, and is raised."""
        for found in walked(self.root):
            if not found.key:
                raise self._unreadable(found.detail if isinstance(found, Oddity) else "")
            yield found

    def left_behind(self) -> Iterator[Oddity]:
        return left_behind(self.root)

    def untouched(self) -> bool:
        """A file's day keeps its folder when the file goes."""
        try:
            return untouched(self.root)
        except OSError as error:
            raise self.out_of_reach("store-unreadable", error) from error

    def out_of_reach(self, code: str, error: OSError) -> StoreOutOfReach:
        """Ours for an error that is about all of it."""
        return StoreOutOfReach(code, error.strerror or str(error), item=self._name, hint=_HINT)

    def _unreadable(self, detail: str) -> StoreOutOfReach:
        return StoreOutOfReach("store-unreadable", detail, item=self._name, hint=_HINT)

    @property
    def _name(self) -> str:
        return f"the store {self.root}"


def in_the_way(number: int, key: str) -> OSError:
    """The error for something under ``key`` that is no file."""
    return OSError(number, f"{key} in the store is a folder, a link or a device, not a file")
