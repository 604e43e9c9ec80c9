"""Events on their way from files into the ledger, a transaction at a time, with the files they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mo_sync.errors import EventError
from mo_sync.events import RawEvent, Rejected
from mo_sync.feeds.dropfiles import Taken
from mo_sync.feeds.dropreport import Report
from mo_sync.intake import Intake, Receipt

__all__ = ["Batch", "Reading"]

_MOST_EVENTS = 1_000
_MOST_BYTES = 8 * 1024 * 1024
_SURELY_WHOLE = 2_048


@dataclass(slots=True, eq=False)
class Reading:
    """A file that is being read: how many events it held so far, which were rejected, and what stopped the reading."""

    taken: Taken
    report: Report
    events: int = 0
    trouble: OSError | None = None


class Batch:
    """Collects up to 1,000 events or 8 MiB, records them in one transaction, and hands over the files that ended.

    Many small files share a transaction, a large file is spread over many. Memory is bounded by a batch and one event.
    """

    def __init__(self, intake: Intake, file_away: Callable[[Sequence[Reading], Receipt], None]) -> None:
        self.receipt = Receipt()
        self._intake = intake
        self._file_away = file_away
        self._since_filing = Receipt()
        self._clear()

    def add(self, reading: Reading, raw: RawEvent, error: EventError | None, where: str) -> bool:
        """One event of a file; ``where`` it stood there. Whether the batch was full and had to be committed first.

        It is committed as late as that, so that a small file's last event and its end are in one batch.
        """
        full = len(self._raws) >= _MOST_EVENTS or self._bytes >= _MOST_BYTES
        if full:
            self.commit()
        if error is not None:
            self._errors[len(self._raws)] = error
            reading.report.whole_file |= _is_cut(raw, error)
        reading.events += 1
        self._raws.append(raw)
        self._owners.append((reading, where))
        self._bytes += len(raw.body)
        return full

    def end(self, reading: Reading) -> None:
        """The file was read to its end; it is filed away after the commit of its last event."""
        self._ended.append(reading)
        if len(self._ended) >= _MOST_EVENTS:
            self.commit()

    def commit(self) -> None:
        """Record what was collected, then file away what ended. What raises leaves every file where it is."""
        if self._raws:
            self._record()
        ended, receipt = self._ended, self._since_filing
        unfinished = [reading for reading, _ in self._owners[-1:] if reading not in ended]
        self._clear()
        for reading in unfinished:
            _spill(reading)
        if ended:
            self._since_filing = Receipt()
            self._file_away(ended, receipt)

    def _record(self) -> None:
        recording = self._intake.record(self._raws, errors=self._errors)
        self.receipt += recording.receipt
        self._since_filing += recording.receipt
        for index, rejected in recording.rejections:
            reading, where = self._owners[index]
            if reading.trouble is None:
                reading.report.add(_line(where, rejected), self._raws[index].body)

    def _clear(self) -> None:
        self._raws: list[RawEvent] = []
        self._owners: list[tuple[Reading, str]] = []
        self._errors: dict[int, EventError] = {}
        self._ended: list[Reading] = []
        self._bytes = 0


def _spill(reading: Reading) -> None:
    """Only the last file of a batch can go on after it. A full disk is that file's trouble, not its neighbours'."""
    try:
        reading.report.spill()
    except OSError as error:
        reading.trouble = error


def _is_cut(raw: RawEvent, error: EventError) -> bool:
    """Whether these may be only the beginning of what could not be read, or no bytes of the file at all.

    :mod:`mo_sync.shapes` holds on to the first 4 KiB of something broken, to bound memory, and says in parentheses what
    is missing where there are no bytes at all.
    """
    return len(raw.body) > _SURELY_WHOLE or raw.body[:1] == b"(" or error.code == "event-too-large"


def _line(where: str, rejected: Rejected) -> str:
    inside = f" ({rejected.position})" if rejected.position and rejected.position != where else ""
    return f"{where}{inside}: {rejected.reason} [{rejected.event_key}]"
