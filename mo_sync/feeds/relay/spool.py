"""Segments: files in the drop folder that many requests share, each event durable before it is acknowledged.

A segment is written under a name that the drop feed does not take (``.relay-<worker>-<number>.open``), locked for as
long as its writer lives, and renamed to ``relay-….ndjson`` when it is full or old enough. What a dead writer left is
found by its lock being free: its torn last line, which nobody acknowledged, is cut off, and the rest is taken.

The order is the promise: write, fdatasync, acknowledge. A new segment's name is made durable before its first line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import OutOfReach

__all__ = ["Spool", "adopt"]

_log = structlog.get_logger(__name__)

_PREFIX: Final = ".relay-"
_OPEN: Final = ".open"
_MODE: Final = 0o640
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES: Final = 10


@dataclass(slots=True)
class _Segment:
    """An open one. ``size`` counts what is durable; what lies behind it was never acknowledged."""

    path: Path
    file: int
    due_s: float
    size: int = 0


class Spool:
    """One process's segments in ``folder``. For one thread at a time.

    ``rotate_s`` and ``rotate_bytes`` say when a segment is handed over, ``worker`` is a name that no other process has.
    """

    def __init__(self, folder: Path, worker: str, clock: Clock, *, rotate_s: float, rotate_bytes: int) -> None:
        self._folder = folder
        self._worker = worker
        self._clock = clock
        self._rotate_s = rotate_s
        self._rotate_bytes = rotate_bytes
        self._number = 0
        self._segment: _Segment | None = None

    def probe(self) -> None:
        """Write, sync and remove a small file. Raises OutOfReach ``spool-not-writable``."""
        path = self._folder / f"{_PREFIX}{self._worker}.probe"
        try:
            file = os.open(path, _NEW, _MODE)
            try:
                os.write(file, b"mo-sync was here\n")
                os.fsync(file)
            finally:
                os.close(file)
                path.unlink()
        except OSError as error:
            raise _trouble(self._folder, error) from error

    def append(self, lines: Sequence[bytes]) -> None:
        """Make ``lines`` durable, the last of which ends as one. Raises OutOfReach, and then none of them counts."""
        try:
            segment = self._segment or self._begin()
        except OSError as error:
            raise _trouble(self._folder, error) from error
        data = b"".join(lines)
        try:
            _write(segment.file, data)
            os.fdatasync(segment.file)
        except OSError as error:
            self._segment = None
            _abandon(segment, self._final())
            raise _trouble(self._folder, error) from error
        segment.size += len(data)
        if segment.size >= self._rotate_bytes:
            self.hand_over()

    def tend(self) -> float:
        """Hand over what is old enough; in how many seconds to look again."""
        segment = self._segment
        if segment is None:
            return self._rotate_s
        left_s = segment.due_s - self._clock.monotonic()
        if left_s <= 0:
            self.hand_over()
            return self._rotate_s
        return left_s

    def hand_over(self) -> None:
        """Give the open segment its final name, for the drop feed. When that cannot be, it stays open and is kept."""
        segment = self._segment
        if segment is None:
            return
        final = self._final()
        try:
            segment.path.rename(final)
            _sync(self._folder)
        except OSError as error:
            segment.due_s = self._clock.monotonic() + self._rotate_s
            _log.warning("segment.not-handed-over", file=segment.path.name, error=error.strerror)
            return
        os.close(segment.file)
        self._segment = None
        _log.debug("segment.handed-over", file=final.name, size=segment.size)

    def close(self) -> None:
        """Hand over what is open. What cannot be is left to the next who looks."""
        self.hand_over()
        if self._segment is not None:
            os.close(self._segment.file)
            self._segment = None

    def _begin(self) -> _Segment:
        """A new segment, locked: whoever looks for dead writers' may find it before, and then another is made."""
        for _ in range(_TRIES):
            self._number += 1
            path = self._folder / f"{_PREFIX}{self._worker}-{self._number:06}{_OPEN}"
            file = os.open(path, _NEW, _MODE)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_nlink:
                    _sync(self._folder)
                    due_s = self._clock.monotonic() + self._rotate_s
                    self._segment = _Segment(path, file, due_s)
                    return self._segment
            except BlockingIOError:
                pass
            except OSError:
                os.close(file)
                raise
            os.close(file)
        raise OSError("every new segment was taken for a dead one's")

    def _final(self) -> Path:
        moment = self._clock.now().strftime("%Y%m%dT%H%M%S")
        return self._folder / f"relay-{moment}-{self._worker}-{self._number:06}.ndjson"


def adopt(folder: Path, clock: Clock) -> int:
    """Hand over the segments that dead writers left in ``folder``; how many. What resists is logged and left.

    May be run by many at once, by the writers' user or the folder's owner.
    """
    adopted = 0
    try:
        names = [name for name in os.listdir(folder) if name.startswith(_PREFIX) and name.endswith(_OPEN)]  # noqa: PTH208
    except OSError:
        return 0  # whoever works with the folder will say so
    for name in sorted(names):
        try:
            adopted += _adopt(folder, name, clock)
        except (FileNotFoundError, BlockingIOError):
            continue  # it was handed over meanwhile, or its writer lives
        except OSError as error:
            _log.warning("segment.not-adopted", file=name, error=error.strerror)
    return adopted


def _adopt(folder: Path, name: str, clock: Clock) -> int:
    path = folder / name
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for a writer
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return 0
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat(follow_symlinks=False).st_ino != found.st_ino:
            return 0
        return _taken_over(folder, name, file, clock)
    finally:
        os.close(file)


def _taken_over(folder: Path, name: str, file: int, clock: Clock) -> int:
    path = folder / name
    with os.fdopen(file, "rb", closefd=False) as stream:
        data = stream.read()
    whole = data[: data.rfind(b"\n") + 1]
    if not whole:
        path.unlink()
        return 0
    moment = clock.now().strftime("%Y%m%dT%H%M%S")
    final = folder / f"relay-{moment}-{name.removeprefix(_PREFIX).removesuffix(_OPEN)}.ndjson"
    if whole == data:
        path.rename(final)
    else:
        _rewrite(folder, name, whole, final)
        path.unlink()
    _sync(folder)
    _log.warning("segment.adopted", file=final.name, size=len(whole), torn_bytes=len(data) - len(whole))
    return 1


def _rewrite(folder: Path, name: str, whole: bytes, final: Path) -> None:
    """Its writer's user may be another: what cannot be cut is written anew. Twice is harmless, an event has a key."""
    new = folder / f"{name}.adopted"
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    file = os.open(new, _NEW, _MODE)
    try:
        _write(file, whole)
        os.fsync(file)
    finally:
        os.close(file)
    new.rename(final)


def _abandon(segment: _Segment, final: Path) -> None:
    """After an error of the disk: what was acknowledged is handed over, and nothing behind it."""
    try:
        os.truncate(segment.file, segment.size)
        os.fsync(segment.file)
        if segment.size:
            segment.path.rename(final)
        else:
            segment.path.unlink()
        _sync(segment.path.parent)
    except OSError as error:
        _log.warning("segment.abandoned", file=segment.path.name, error=error.strerror)
    finally:
        os.close(segment.file)


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _trouble(folder: Path, error: OSError) -> OutOfReach:
    summary = f"nothing can be kept there ({error.strerror or error})"
    hint = "see the rights of the relay's user and the space left; events are refused until then, and sent again"
    return OutOfReach("spool-not-writable", summary, item=str(folder), hint=hint)
