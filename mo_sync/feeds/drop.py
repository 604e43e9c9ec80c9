"""The drop feed: one pass takes every file that is ready, records its events, and files it away.

What is acknowledged is in the ledger: a file leaves ``processing/`` only after the commit of its last event. Every step
may happen twice. A process that dies leaves its files in its own folder below ``processing/``, where the next pass of
any mo-sync finds them; events that are read again are recognised by the ledger.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from os import DirEntry
from pathlib import Path

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError, OutOfReach
from mo_sync.events import RawEvent
from mo_sync.feeds.dropbatch import Batch, Reading
from mo_sync.feeds.dropfiles import LeftAlone, Taken, kind_of, observed
from mo_sync.feeds.dropfiling import Filing
from mo_sync.feeds.dropfolder import DropFolder, OpenFolder
from mo_sync.feeds.dropmemory import Memory
from mo_sync.feeds.dropnames import shown, takeable
from mo_sync.feeds.dropready import Moment, ready
from mo_sync.feeds.dropreport import Report
from mo_sync.feeds.dropturn import Turn
from mo_sync.feeds.watch import nudge_on_changes
from mo_sync.intake import Intake, Receipt
from mo_sync.settings import Drop, Limits
from mo_sync.shapes import pieces

__all__ = ["DropFeed"]

_log = structlog.get_logger(__name__)

_ASIDE_S = 60.0
_MOST_ASIDE = 1_000
_MARGIN_S = 0.05
_STEP_S = 0.05


class _Stopped(Exception):
    """A stop came in the middle of a file. Never leaves this module."""


class DropFeed:
    """One process's view of the drop folder. :meth:`ingest` is for one thread at a time; others wait."""

    def __init__(self, settings: Drop, limits: Limits, intake: Intake, clock: Clock, worker: str) -> None:
        if settings.path is None:
            raise ConfigurationError("drop-path-missing", "there is no drop folder", item="drop.path")
        self._settings = settings
        self._limits = limits
        self._intake = intake
        self._clock = clock
        self._folder = DropFolder(Path(settings.path), worker)
        self._memory = Memory()
        self._turn = Turn(clock)
        self._aside: dict[str, float] = {}
        self._lock = threading.Lock()

    def ingest(self, stop: Callable[[], bool], *, wait_for_settle: bool = False) -> Receipt:
        """Take every file that is ready, record it, file it away; what is not ready is left for the next call.

        ``wait_for_settle`` waits, for as long as a file must stand still and no longer, for those that were written a
        moment ago. ``stop`` is asked between files and between transactions; what was read by then is recorded.

        Raises LedgerOutOfReach, OutOfReach when the folder cannot be worked with, ConfigurationError when it never
        could. Files that were taken then wait in ``processing/`` for the next call.
        """
        with self._lock:
            try:
                with self._folder.opened() as folder:
                    return self._round(folder, stop, wait_for_settle=wait_for_settle)
            except OSError as error:
                raise self._out_of_reach(error) from error

    def watch(self, stop: threading.Event, nudge: Callable[[], None]) -> None:
        """Until ``stop``, call ``nudge`` whenever a call of :meth:`ingest` would find something. For a thread."""
        with contextlib.suppress(OSError):
            self._folder.make()
        nudge_on_changes(
            self._folder.path,
            wanted=lambda name: takeable(name, self._settings.pattern),
            settle_s=self._settings.settle,
            stop=stop,
            nudge=nudge,
            clock=self._clock,
        )

    @property
    def left_alone(self) -> int:
        """How many files the last :meth:`ingest` could not take; the log says which and why."""
        return self._memory.complaints

    def close(self) -> None:
        """Give up our place below ``processing/``, once a running :meth:`ingest` has ended."""
        with self._lock:
            self._folder.close()

    def _round(self, folder: OpenFolder, stop: Callable[[], bool], *, wait_for_settle: bool) -> Receipt:
        began_s = self._clock.monotonic()
        self._memory.begin()
        folder.adopt(self._memory.left_alone)
        if self._turn.blocked and self._turn.is_free(folder.processing):
            self._aside.clear()
        receipt = self._scan(folder, stop)
        if wait_for_settle and self._memory.unsettled:
            self._wait_until(began_s + self._settings.settle + _MARGIN_S, stop)
            if not stop():
                receipt += self._scan(folder, stop)
        self._memory.end()
        if self._turn.blocked:
            raise self._turn.trouble(str(folder.path))
        if len(self._aside) >= _MOST_ASIDE:
            raise OutOfReach(
                "drop-cannot-file-away", "too many recorded files cannot be moved away", item=str(folder.path)
            )
        return receipt

    def _scan(self, folder: OpenFolder, stop: Callable[[], bool]) -> Receipt:
        batch = Batch(self._intake, lambda ended, receipt: self._file_away(folder, ended, receipt, stop))
        for taken in chain(self._left_over(folder), self._ready(folder)):
            self._read(folder, taken, batch, stop)
            if stop():
                break
        batch.commit()
        return batch.receipt

    def _left_over(self, folder: OpenFolder) -> Iterator[Taken]:
        """What is in our own folder already: taken over from the dead, or not finished by an earlier pass."""
        now_s = self._clock.monotonic()
        names = list(folder.held())
        self._aside = {name: at_s for name in names if (at_s := self._aside.get(name)) is not None}
        for name in names:
            if self._aside.get(name, now_s) > now_s:
                self._memory.still(name)
                continue
            self._aside.pop(name, None)
            yield from self._opened(name, folder.again(name), None)

    def _ready(self, folder: OpenFolder) -> Iterator[Taken]:
        now = Moment(folder.now_ns(), self._clock.monotonic())
        for entry in folder.dropped():
            if len(self._aside) >= _MOST_ASIDE:
                return
            if takeable(entry.name, self._settings.pattern) and self._is_ready(entry, now):
                yield from self._opened(entry.name, folder.take(entry.name), entry)

    def _is_ready(self, entry: DirEntry[str], now: Moment) -> bool:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        seen, settle_s = observed(found), self._settings.settle
        # A writer that puts files here by link and unlink shows them with two names for a moment.
        just_linked = found.st_nlink > 1 and now.stamp_ns - found.st_ctime_ns < settle_s * 1e9
        strange = kind_of(found.st_mode, 1 if just_linked else found.st_nlink)
        if strange is not None:
            self._memory.left_alone(entry.name, strange, found)
        elif just_linked or not ready(seen, self._memory.previous(entry.name), now, settle_s):
            self._memory.not_ready(entry.name, seen, now)
        else:
            return True
        return False

    def _opened(self, name: str, taken: Taken | LeftAlone | None, entry: DirEntry[str] | None) -> Iterable[Taken]:
        if isinstance(taken, LeftAlone):
            self._memory.left_alone(name, taken, entry.stat(follow_symlinks=False) if entry else None)
        elif taken is not None:
            _log.debug("drop.taken", file=shown(taken.name), size=taken.observation.size)
            return (taken,)
        return ()

    def _read(self, folder: OpenFolder, taken: Taken, batch: Batch, stop: Callable[[], bool]) -> None:
        """Read one file to its end, unless ``stop`` says so at a commit or on a long way without events: then it is
        read again another time."""
        reading = Reading(taken, Report(taken.name, folder.own, inode=taken.observation.inode))
        source, now = shown(taken.name), self._clock.now()
        with taken.stream as stream:
            try:
                for piece in pieces(stream, max_event=self._limits.max_event, look=lambda: _look(stop)):
                    raw = RawEvent(f"drop:{source}:{piece.position}", piece.raw, now)
                    if batch.add(reading, raw, piece.error, piece.position) and stop():
                        return
            except _Stopped:
                return
            except OSError as error:
                reading.trouble = error
        batch.end(reading)

    def _file_away(
        self, folder: OpenFolder, ended: Sequence[Reading], receipt: Receipt, stop: Callable[[], bool]
    ) -> None:
        with self._turn.taken(folder.processing, stop) as ours:
            if ours:
                self._file_all(folder, ended)
        if self._turn.blocked:
            at_s = self._clock.monotonic() + _ASIDE_S
            self._aside.update((reading.taken.name, at_s) for reading in ended)
        _log.info(
            "drop.recorded",
            **({"file": shown(ended[0].taken.name)} if len(ended) == 1 else {"files": len(ended)}),
            new=receipt.new,
            duplicate=receipt.duplicate,
            ignored=receipt.ignored,
            rejected=receipt.rejected,
        )

    def _file_all(self, folder: OpenFolder, ended: Sequence[Reading]) -> None:
        with Filing(folder, self._settings.keep, self._clock.now().date()) as filing:
            for reading in ended:
                self._file(filing, reading)

    def _file(self, filing: Filing, reading: Reading) -> None:
        """Put one recorded file where it belongs. What cannot be moved is tried again in a minute, not at each tick."""
        name = reading.taken.name
        try:
            self._move(filing, reading)
        except FileNotFoundError:
            self._memory.left_alone(name, LeftAlone("ENOENT", "its events are recorded, but the file is gone"))
        except OSError as error:
            self._put_aside(name, type(error).__name__, error.strerror or str(error))
        except ConfigurationError as error:  # the day's folder is none: this file's trouble, not its neighbours'
            self._put_aside(name, error.code, str(error))
        finally:
            if reading.report.count:
                with contextlib.suppress(OSError):
                    reading.report.discard()

    def _move(self, filing: Filing, reading: Reading) -> None:
        taken, report = reading.taken, reading.report
        if reading.trouble is not None:
            raise reading.trouble
        if not filing.unchanged(taken):
            self._memory.unsettled = True
            _log.warning("drop.still-written", file=shown(taken.name), hint="it changed while it was read; read again")
        elif report.count:
            where = filing.rejected(taken, report, reading.events)
            _log.warning(
                "drop.rejected", file=shown(taken.name), kept=shown(where), rejected=report.count, events=reading.events
            )
        else:
            filing.done(taken)

    def _put_aside(self, name: str, kind: str, why: str) -> None:
        self._aside[name] = self._clock.monotonic() + _ASIDE_S
        reason = f"it cannot be read or filed away: {why}; it stays in processing/ and is tried again"
        self._memory.left_alone(name, LeftAlone(kind, reason))

    def _wait_until(self, at_s: float, stop: Callable[[], bool]) -> None:
        never = threading.Event()
        while not stop() and (left_s := at_s - self._clock.monotonic()) > 0:
            self._clock.wait(never, min(left_s, _STEP_S))

    def _out_of_reach(self, error: OSError) -> OutOfReach:
        path = self._folder.path
        summary = f"the drop folder cannot be worked with: {error.strerror}"
        hint = "look at the folder's owner, mode and disk; mo-sync doctor checks them"
        if path.exists() and not path.is_dir():
            summary, hint = "this is not a folder", "name a folder in drop.path, or move what is there out of the way"
        elif not path.parent.is_dir():
            summary = "there is no folder to hold it"
            hint = f"make {path.parent}, or run mo-sync init, or name another place in drop.path; is it mounted?"
        return OutOfReach("drop-out-of-reach", summary, item=str(path), hint=hint)


def _look(stop: Callable[[], bool]) -> None:
    if stop():
        raise _Stopped
