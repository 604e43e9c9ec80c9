"""What is read ahead of a slow reader: all of it, in order, at the source's own pace, and nothing is held for it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator
from itertools import islice

import pytest

from mo_sync.cli import backlog
from mo_sync.cli.backlog import read_ahead
from mo_sync.errors import LedgerOutOfReach, OutOfReach

PATIENCE_S = 20.0


class Source:
    """Lines, some of them odd; ``ended`` says that it is closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0
        self.ended = threading.Event()

    def lines(self) -> Generator[str, None, None]:
        try:
            for n in range(self.count):
                self.read += 1
                yield line(n)
        finally:
            self.ended.set()


def line(number: int) -> str:
    return f"{number} é漢\ud800 " + "x" * (number % 7 * 1_000) + "\n"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that all of it is tried: lines longer than what is taken at once, and more than memory holds."""
    monkeypatch.setattr(backlog, "_IN_MEMORY", 10_000)
    monkeypatch.setattr(backlog, "_AT_ONCE", 4_000)


def test_every_line_is_taken_once_and_in_order() -> None:
    source = Source(2_000)

    with read_ahead(source.lines()) as ready:
        found = list(ready)

    assert "".join(found) == "".join(map(line, range(2_000)))
    assert all(some.endswith("\n") for some in found)


def test_the_source_is_read_to_its_end_and_closed_though_nobody_takes_anything() -> None:
    """A transaction that a pager kept open let the write-ahead log grow for as long as somebody read."""
    source = Source(2_000)

    with read_ahead(source.lines()) as ready:
        assert source.ended.wait(PATIENCE_S)
        assert source.read == 2_000
        assert "".join(ready) == "".join(map(line, range(2_000)))


def test_the_first_lines_are_there_long_before_the_last() -> None:
    go_on = threading.Event()

    def lines() -> Generator[str, None, None]:
        yield "first\n"
        assert go_on.wait(PATIENCE_S)
        yield "last\n"

    with read_ahead(lines()) as ready:
        assert next(ready) == "first\n"
        go_on.set()
        assert list(ready) == ["last\n"]


def test_trouble_of_the_source_is_raised_behind_what_came_before() -> None:
    def lines() -> Generator[str, None, None]:
        yield "first\n"
        raise LedgerOutOfReach("ledger-gone", "it is gone")

    taken: list[str] = []
    with pytest.raises(LedgerOutOfReach, match="ledger-gone"), read_ahead(lines()) as ready:
        taken.extend(ready)

    assert taken == ["first\n"]


def test_who_has_seen_enough_ends_the_reading() -> None:
    source = Source(10**9)

    with read_ahead(source.lines()) as ready:
        assert list(islice(ready, 1))

    assert source.ended.is_set()
    assert source.read < 10**9
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_the_room_of_what_was_taken_is_used_again() -> None:
    """Who keeps up needs no room on the disk, however long the list is."""
    gate = threading.Semaphore(1)

    def lines() -> Generator[str, None, None]:
        for n in range(500):
            assert gate.acquire(timeout=PATIENCE_S)
            yield line(n)

    waiting = backlog._Backlog()
    reading = threading.Thread(target=waiting.fill, args=[lines()])
    reading.start()
    for _ in waiting.taken():
        assert waiting._put == 0
        gate.release()
    reading.join(PATIENCE_S)
    assert not waiting._file._rolled  # type: ignore[attr-defined]
    waiting.close()


def test_a_full_disk_is_told_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(tempfile.SpooledTemporaryFile[bytes]):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)

    with pytest.raises(OutOfReach, match="backlog-not-kept") as caught, read_ahead(Source(3).lines()) as ready:
        list(ready)
    assert "TMPDIR" in str(caught.value.hint)
