"""What the drop folder keeps of events that are in the ledger: files in ``done/`` and ``rejected/``, and their removal.

They are copies, for people; the ledger has every event that was read from them.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import zlib
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO, Final

from mo_sync.feeds.dropnames import ERROR_SUFFIX, shown

__all__ = ["forget_days", "remove_copies"]

_CHUNK: Final = 1 << 20
_WORD: Final = re.compile(rb"[A-Za-z0-9_-]+")
_LONGEST_WORD: Final = 4096
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def remove_copies(drop: Path, names: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """Remove the files in which one of ``names`` (ids, numbers without their plus sign) stands as a word of its own.

    A file goes as a whole, with what else is in it. Their paths below ``drop``; and those that could not be looked
    into or removed, with the reason.
    """
    words = frozenset(name.encode() for name in names if name)
    odd = tuple(word for word in words if not _WORD.fullmatch(word))
    removed: list[str] = []
    left: dict[str, str] = {}
    for path in _kept(drop):
        name = shown(str(path.relative_to(drop)))
        try:
            if _holds(path, words, odd):
                path.unlink()
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + ERROR_SUFFIX).unlink()
                removed.append(name)
        except FileNotFoundError:
            continue
        except (OSError, EOFError, zlib.error) as error:
            left[name] = getattr(error, "strerror", None) or type(error).__name__
    return removed, left


def forget_days(drop: Path, *, before: date) -> int:
    """Remove what was put to ``done/`` on days before this one; how many days that were. Raises OSError."""
    done = drop / "done"
    if done.is_symlink() or not done.is_dir():
        return 0
    days = [path for path in done.iterdir() if path.is_dir() and not path.is_symlink()]
    old = [path for path in days if (day := _day(path.name)) is not None and day < before]
    for path in old:
        shutil.rmtree(path)
    return len(old)


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name) if len(name) == len("2026-11-20") else None
    except ValueError:
        return None


def _kept(drop: Path) -> Iterator[Path]:
    for folder in (drop / "done", drop / "rejected"):
        if folder.is_symlink():
            continue
        for place, _, names in os.walk(folder):
            yield from (Path(place, name) for name in names)


def _holds(path: Path, words: Collection[bytes], odd: Collection[bytes]) -> bool:
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return _has(file, words, odd)
        with gzip.open(file) as content:
            return _has(content, words, odd)


def _has(content: BinaryIO | gzip.GzipFile, words: Collection[bytes], odd: Collection[bytes]) -> bool:
    wanted, rest = frozenset(words), b""
    while chunk := content.read(_CHUNK):
        text = rest + chunk
        if not wanted.isdisjoint(_WORD.findall(text)) or any(name in text for name in odd):
            return True
        rest = text[-_LONGEST_WORD:]
    return False
