"""What the drop feed remembers from one scan to the next. Bounded; what is gone is forgotten."""

from __future__ import annotations

import os
from typing import TypeAlias

import structlog

from mo_sync.feeds.dropfiles import LeftAlone
from mo_sync.feeds.dropnames import shown
from mo_sync.feeds.dropready import Moment, Observation, Sighting, sighting

__all__ = ["Memory"]

_log = structlog.get_logger(__name__)

_MOST = 10_000

_Stamp: TypeAlias = tuple[str, int, int]


class Memory:
    """Files that are not ready yet, and complaints that were made already.

    A round is one call of the feed: :meth:`begin`, any number of looks, :meth:`end`. What was not seen in a round is
    forgotten at its end. Beyond 10,000 names nothing is remembered: such files are judged by their times alone, and
    complaints about them are not made, since 10,000 others are.
    """

    def __init__(self) -> None:
        self._before: dict[str, Sighting] = {}
        self._seen: dict[str, Sighting] = {}
        self._told_before: dict[str, _Stamp] = {}
        self._told: dict[str, _Stamp] = {}
        self.unsettled = False

    def begin(self) -> None:
        """A round begins."""
        self._seen, self._told, self.unsettled = {}, {}, False

    def end(self) -> None:
        """A round has looked at everything there is."""
        self._before, self._told_before = self._seen, self._told

    @property
    def complaints(self) -> int:
        """How many files the last round left alone."""
        return len(self._told)

    def previous(self, name: str) -> Sighting | None:
        """How the file looked when it was last found not ready."""
        return self._seen.get(name) or self._before.get(name)

    def not_ready(self, name: str, observation: Observation, now: Moment) -> None:
        """Remember a file that has to stand still first."""
        self.unsettled = True
        if len(self._seen) < _MOST:
            self._seen[name] = sighting(observation, self.previous(name), now)

    def still(self, name: str) -> None:
        """A complaint made before still holds, though nothing was looked at now."""
        if name in self._told_before:
            self._told[name] = self._told_before[name]

    def left_alone(self, name: str, left: LeftAlone, found: os.stat_result | None = None) -> None:
        """Complain about something that is not touched: once, and again when it or the complaint changes."""
        stamp = (left.kind, found.st_ino, found.st_ctime_ns) if found else (left.kind, 0, 0)
        known = self._told.get(name) or self._told_before.get(name)
        if name not in self._told and len(self._told) >= _MOST:
            return
        self._told[name] = stamp
        if stamp != known:
            _log.warning("drop.left-alone", file=shown(name), reason=left.reason)
