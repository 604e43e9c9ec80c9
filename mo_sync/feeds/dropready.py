"""When a file in the drop folder is whole: a pure rule over what ``stat`` says, now and before.

Facts it stands on (Linux): a write sets a file's mtime and ctime to the same instant; a rename, a change of mode or
owner and a restored mtime (``cp -p``, ``tar``) set the ctime alone. So a file whose ctime is later than its mtime had
something other than a write done to it last: it was renamed into place, or its writer put the finishing touch to it.
(Within one tick of the kernel's clock, some milliseconds, the two look the same; then the file has to stand still.)

What no rule over ``stat`` can see: a writer that pauses for longer than ``settle`` in the middle of a file, or that
changes the mode of a half-written one. Such writers must write under an ignored name (``.tmp``, ``.part``) and rename.
Against the rest there is a second look: a file that changed while it was read is not filed away but read again.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Moment", "Observation", "Sighting", "ready", "sighting"]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a look was taken: nanoseconds by the clock that stamps the files, and seconds that never jump.

    ``stamp_ns`` comes from the drop folder's own filesystem (a file server's clock may differ from ours).
    """

    stamp_ns: int
    monotonic_s: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at a file said. Size in bytes, times in nanoseconds."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file that was not ready, and since when (monotonic seconds) its inode, size and mtime have stood still."""

    observation: Observation
    since_s: float


def sighting(observation: Observation, previous: Sighting | None, now: Moment) -> Sighting:
    """What to remember of a file that is not ready: the time of standing still goes on, or begins anew."""
    if previous is not None and _still(observation, previous.observation):
        return Sighting(observation, previous.since_s)
    return Sighting(observation, now.monotonic_s)


def ready(observation: Observation, previous: Sighting | None, now: Moment, settle_s: float) -> bool:
    """Whether the file may be taken.

    Either it was renamed into place, or it has stood still for ``settle_s`` seconds: by its mtime, or, where that
    cannot be believed (it lies in the future, or it stays the same while the size grows), by what we saw ourselves.
    """
    if _renamed_into_place(observation):
        return True
    if previous is not None and _still(observation, previous.observation):
        if now.monotonic_s - previous.since_s >= settle_s:
            return True
    elif previous is not None and _grew_unnoticed(observation, previous.observation):
        return False
    return now.stamp_ns - observation.mtime_ns >= settle_s * 1e9


def _renamed_into_place(observation: Observation) -> bool:
    """An empty file proves nothing: servers set the owner and mode of an upload before its first byte."""
    return observation.size > 0 and observation.ctime_ns > observation.mtime_ns


def _still(one: Observation, other: Observation) -> bool:
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def _grew_unnoticed(one: Observation, other: Observation) -> bool:
    return one.inode == other.inode and one.mtime_ns == other.mtime_ns
