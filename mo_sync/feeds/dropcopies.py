"""What the drop folder keeps of events that are in the ledger: files in ``done/`` and ``rejected/``, and their removal.

They are copies, for people; the ledger has every event that was read from them.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, Final

from mo_sync.feeds.dropnames import ERROR_SUFFIX, shown
from mo_sync.mentions import Names, words_of
from mo_sync.shapes import pieces, spelled, texts

__all__ = ["forget_days", "remove_copies"]

_CHUNK: Final = 1 << 20
_LONGEST_WORD: Final = 4096
_WRAPPED: Final = ("ase64", "\0", "<!")
"""What stands beside base64, between the letters of UTF-16, and around the pieces that XML may cut a text into."""
_LONGEST_PLAIN: Final = 64
"""A longer word is hardly anything but the base64 of something."""
_LARGEST: Final = 64 * 1024 * 1024
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def remove_copies(
    drop: Path,
    names: Collection[str],
    *,
    bodies: Collection[bytes] = (),
    since_s: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[str], dict[str, str]]:
    """Remove the files in which one of ``names`` (ids, numbers without their plus sign) stands as a word of its own,
    as it is or in any way in which an event may be wrapped or written; or in which an event is one of ``bodies``.

    A file goes as a whole, with what else is in it and what is said beside it of why it was rejected. Their paths below
    ``drop``; and those that could not be looked into or removed, with the reason. ``since_s``: only what came to lie
    there since then, in seconds since 1970. ``stop`` is asked before each file.
    """
    wanted = _Wanted(Names.of(names), frozenset(body.strip() for body in bodies))
    removed: list[str] = []
    left: dict[str, str] = {}
    for path in _kept(drop, left):
        if stop():
            break
        name = shown(str(path.relative_to(drop)))
        try:
            if path.lstat().st_ctime < since_s:
                continue
            refused = drop / "rejected" in path.parents
            if _holds(path, wanted, refused=refused):
                removed.append(shown(str(_remove(path, refused=refused).relative_to(drop))))
        except FileNotFoundError:
            continue
        except (OSError, EOFError, zlib.error) as error:
            left[name] = getattr(error, "strerror", None) or type(error).__name__
    return removed, left


def _remove(path: Path, *, refused: bool) -> Path:
    """The file, with what is said beside it; or by what is said of it, when that is what names it. Which file it was.
    Raises OSError."""
    about = path.with_name(path.name.removesuffix(ERROR_SUFFIX))
    if refused and about != path and about.is_file():
        about.unlink()
        path.unlink()
        return about
    path.unlink()
    path.with_name(path.name + ERROR_SUFFIX).unlink(missing_ok=True)
    return path


def forget_days(drop: Path, *, before: date) -> tuple[int, dict[str, str]]:
    """Remove what was put to ``done/`` on days before this one: how many days that were; and those of which something
    is left, by their paths below ``drop``, with the reason."""
    done = drop / "done"
    try:
        if done.is_symlink() or not done.is_dir():
            return 0, {}
        days = [path for path in done.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError as error:
        return 0, {"done": f"it cannot be looked into ({error.strerror})"}
    old = [path for path in days if (day := _day(path.name)) is not None and day < before]
    left = {f"done/{path.name}": why for path in old if (why := _resisting(path)) is not None}
    return len(old) - len(left), left


def _resisting(folder: Path) -> str | None:
    """What keeps the folder from being removed; whatever else is in it goes."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{shown(Path(str(error.filename)).name)} cannot be removed ({error.strerror})"
    return None


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name) if len(name) == len("2026-11-20") else None
    except ValueError:
        return None


def _kept(drop: Path, left: dict[str, str]) -> Iterator[Path]:
    """The files; and into ``left`` the folders that cannot be looked into."""

    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            left[shown(os.path.relpath(error.filename, drop))] = error.strerror or type(error).__name__

    for folder in (drop / "done", drop / "rejected"):
        if os.path.islink(folder):  # noqa: PTH114  which answers also where nothing may be read
            continue
        for place, _, names in os.walk(folder, onerror=unread):
            yield from (Path(place, name) for name in names)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is looked for: names, and events by their bytes, without the blanks around them."""

    names: Names
    bodies: frozenset[bytes]

    def are_in(self, raw: bytes) -> bool:
        """Whether an event is one of these, and not only has it in it; or names one."""
        return raw.strip() in self.bodies or (bool(self.names) and any(map(self.names.are_in, texts(raw))))


def _holds(path: Path, wanted: _Wanted, *, refused: bool) -> bool:
    """Of what was understood nearly all is plain text, and to read each event of it would take several times as long;
    what was ``refused`` may be anything."""
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with gzip.open(file) if packed else contextlib.nullcontext(file) as content:
            plainly, wrapped = _look(content, wanted)
        if plainly or not (wrapped or refused or wanted.bodies):
            return plainly
        file.seek(0)
        return any(wanted.are_in(piece.raw) for piece in pieces(file, max_event=_LARGEST))


def _look(content: BinaryIO | gzip.GzipFile, wanted: _Wanted) -> tuple[bool, bool]:
    """Whether they stand in it as they are; and whether something in it has to be opened to be read, or a name has
    characters that JSON may write otherwise."""
    rest, wrapped = b"", bool(wanted.names.odd)
    while chunk := content.read(_CHUNK):
        raw = rest + chunk
        for text in spelled(raw.decode("utf-8", "replace")):
            words = words_of(text)
            if wanted.names.are_in(text, words):
                return True, wrapped
            wrapped |= any(mark in text for mark in _WRAPPED) or max(map(len, words), default=0) > _LONGEST_PLAIN
        rest = raw[-_LONGEST_WORD:]
    return False, wrapped
