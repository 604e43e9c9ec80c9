"""Notifications: a nudge as soon as something happens in the drop folder."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mo_sync.clock import SystemClock
from mo_sync.feeds import watch as room
from mo_sync.feeds.watch import nudge_on_changes
from tests.drops import Drops, event

LIMIT_S = 20.0
SETTLE_S = 0.2


class Nudged:
    """A watch in a thread, and the nudges it gave."""

    def __init__(self, drops: Drops) -> None:
        self.drops = drops
        self.stop = threading.Event()
        self.heard = threading.Event()
        self._count = 0

    def nudge(self) -> None:
        self._count += 1
        self.heard.set()

    def expect(self, change: Callable[[], object], within_s: float) -> bool:
        """Whether ``change`` is followed by a nudge."""
        self.heard.clear()
        change()
        return self.heard.wait(within_s)

    def drop(self, name: str) -> None:
        hidden = self.drops.folder / f".{name}.tmp"
        hidden.write_bytes(event(1))
        hidden.rename(self.drops.folder / name)

    def awake(self) -> None:
        """Wait until changes are heard, then until the nudges for them are over."""
        deadline = time.monotonic() + LIMIT_S
        while not self.expect(lambda: self.drop("wake.json"), 0.3):
            assert time.monotonic() < deadline, "the watch never heard anything"
        while self.expect(lambda: None, 3 * SETTLE_S):
            assert time.monotonic() < deadline, "the watch never became quiet"


@pytest.fixture
def nudged(tmp_path: Path) -> Iterator[Nudged]:
    drops = Drops(tmp_path / "site", settle=SETTLE_S)
    nudged = Nudged(drops)
    with drops.feed() as feed:
        thread = threading.Thread(target=feed.watch, args=[nudged.stop, nudged.nudge])
        thread.start()
        try:
            yield nudged
        finally:
            nudged.stop.set()
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "the watch does not hear a stop"


def test_a_file_renamed_into_place_is_heard_within_a_second(nudged: Nudged) -> None:
    nudged.awake()

    assert nudged.expect(lambda: nudged.drop("a.json"), 1.0)


def test_a_file_written_in_place_is_heard_again_when_it_stood_still(nudged: Nudged) -> None:
    nudged.awake()

    assert nudged.expect(lambda: (nudged.drops.folder / "a.json").write_bytes(event(1)), 1.0)
    assert nudged.expect(lambda: None, LIMIT_S)


def test_our_own_moves_and_unfinished_names_give_no_nudge(nudged: Nudged) -> None:
    nudged.awake()

    def ours() -> None:
        nudged.drops.put(".a.json", b"")
        nudged.drops.put("a.json.part", b"")
        nudged.drops.ingest()

    assert nudged.expect(ours, 1.0) is False


def test_after_a_name_that_is_not_utf_8_the_next_is_heard_again(nudged: Nudged) -> None:
    nudged.awake()

    assert nudged.expect(lambda: nudged.drops.put(b"\xff.json", event(1)), LIMIT_S)
    nudged.awake()


def test_a_folder_that_was_replaced_is_heard_again(nudged: Nudged) -> None:
    nudged.awake()

    shutil.move(nudged.drops.folder, nudged.drops.root / "old")
    nudged.drops.folder.mkdir()

    nudged.awake()


def test_without_notifications_it_says_so_once_and_goes_on_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine's limit of watches is reached."""
    stop = threading.Event()
    tries = 0

    def no_watch(*paths: object, **options: object) -> Iterator[object]:
        nonlocal tries
        tries += 1
        if tries == 2000:  # beyond the largest power of two that a float can be
            stop.set()
        raise OSError(28, "OS file watch limit reached")

    class Impatient(SystemClock):
        def wait(self, stop: threading.Event, seconds: float) -> bool:
            return stop.is_set()

    monkeypatch.setattr(room, "watch", no_watch)
    with capture_logs() as log:
        nudge_on_changes(
            tmp_path, wanted=lambda name: True, settle_s=1.0, stop=stop, nudge=lambda: None, clock=Impatient()
        )

    assert tries == 2000
    [entry] = log
    assert entry["event"] == "drop.no-notifications"
    assert "drop.interval" in entry["hint"]


def test_what_came_just_before_the_watch_began_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first scan was before it, and the watch does not tell of it: it waited for a whole interval."""
    stop, nudges = threading.Event(), list[int]()

    def quiet(*_: object, **__: object) -> Iterator[set[object]]:
        for _look in range(3):
            yield set()
        before = len(nudges)
        stop.set()
        assert before == 1

    monkeypatch.setattr(room, "watch", quiet)
    nudge_on_changes(
        tmp_path,
        wanted=lambda name: True,
        settle_s=1.0,
        stop=stop,
        nudge=lambda: nudges.append(1),
        clock=SystemClock(),
    )

    assert nudges == [1]
