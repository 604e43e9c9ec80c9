"""How much lies in each of mo-sync's folders, and how large the ledger's files are: for who helps from afar."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mo_sync.settings import Settings
from mo_sync.settings.paths import BESIDE, folder_of, ledger_file

__all__ = ["amounts"]

_OF_DROP = ("processing", "done", "rejected")
_OF_STORE = (".incoming", "lost+found", "quarantine")


def amounts(settings: Settings) -> dict[str, Any]:
    """Counts, bytes and ages, and the name of no file."""
    drop, store = settings.drop.path, folder_of(settings.store.url)
    folders: dict[str, Any] = {}
    if drop is not None:
        folders["drop"] = _counted(drop, deep=False)
        folders |= {f"drop/{name}": _counted(drop / name, deep=True) for name in _OF_DROP}
    folders |= {f"store/{name}": _counted(store / name, deep=True) for name in _OF_STORE}
    ledger = ledger_file(settings)
    files = [] if ledger is None else [ledger, *(ledger.with_name(ledger.name + end) for end in BESIDE)]
    return {"folders": folders, "ledger": {path.name: _size(path) for path in files}}


def _counted(folder: Path, *, deep: bool) -> dict[str, Any]:
    """Hidden files count too: a lock, or a file on its way, is what is looked for where something seems to be stuck."""
    count, size = 0, 0
    times: list[float] = []
    try:
        for known in _stats(folder, deep=deep):
            count, size = count + 1, size + known.st_size
            times = [min([known.st_mtime, *times]), max([known.st_mtime, *times])]
    except OSError as error:
        return {"not-available": error.strerror or str(error)}
    return {"files": count, "bytes": size, "oldest_and_newest": times}


def _stats(folder: Path, *, deep: bool) -> Iterator[os.stat_result]:
    """Raises OSError when the folder itself cannot be read, or one in it."""
    with os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):  # what went away meanwhile is not counted
                if not entry.is_dir(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False)
                elif deep:
                    yield from _stats(folder / entry.name, deep=True)


def _size(path: Path) -> int | str:
    try:
        return path.stat().st_size
    except OSError as error:
        return error.strerror or str(error)
