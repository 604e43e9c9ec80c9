"""Room is promised to downloads before they begin, so that together they leave limits.min_free."""

from __future__ import annotations

from typing import Any

import pytest

from mo_sync.errors import StoreOutOfReach
from mo_sync.fetch.room import Promise, Room
from mo_sync.lifecycle import Interrupted

MB = 1024 * 1024


class Disk:
    """A store of which only the free space is asked."""

    def __init__(self, free: int) -> None:
        self.free: int | StoreOutOfReach = free

    def free_bytes(self) -> int:
        if isinstance(self.free, StoreOutOfReach):
            raise self.free
        return self.free


def room(free: int) -> tuple[Room, Any]:
    disk: Any = Disk(free)
    return Room(disk), disk


def test_downloads_together_are_promised_no_more_than_there_is() -> None:
    shared, _ = room(10 * MB)
    promises = [shared.promise(3 * MB, min_free=2 * MB) for _ in range(3)]

    assert [isinstance(one, Promise) for one in promises] == [True, True, False]
    assert promises[2] == Interrupted(
        f"{3 * MB:,} bytes are announced; the store has {10 * MB:,} free, {6 * MB:,} of them for other downloads, "
        f"and limits.min_free asks for {2 * MB:,}",
        delay_s=60.0,
    )


def test_what_is_written_is_no_longer_promised_but_no_longer_free() -> None:
    shared, disk = room(10 * MB)
    first = shared.promise(6 * MB, min_free=0)
    assert isinstance(first, Promise)
    with first:
        first.written(4 * MB)
        disk.free -= 4 * MB

        assert isinstance(shared.promise(5 * MB, min_free=0), Interrupted)
        with shared.promise(4 * MB, min_free=0) as second:  # type: ignore[union-attr]
            assert isinstance(second, Promise)
    disk.free = 10 * MB
    whole = shared.promise(10 * MB, min_free=0)

    assert isinstance(whole, Promise), "what was promised to those that ended is there again"


def test_more_than_was_announced_takes_nothing_from_others() -> None:
    shared, _ = room(10 * MB)
    first = shared.promise(2 * MB, min_free=0)
    assert isinstance(first, Promise)
    with first:
        first.written(9 * MB)

    assert isinstance(shared.promise(10 * MB, min_free=0), Promise)


@pytest.mark.parametrize("announced", [None, 0, MB - 1])
def test_the_small_and_the_unknown_are_promised_nothing(announced: int | None) -> None:
    shared, _ = room(0)

    assert isinstance(shared.promise(announced, min_free=MB), Promise)


@pytest.mark.parametrize(("free", "everybody"), [(MB, True), (3 * MB, False)])
def test_only_a_disk_below_the_floor_holds_up_everybody(free: int, everybody: bool) -> None:
    shared, _ = room(free)
    refused = shared.promise(4 * MB, min_free=2 * MB)

    assert isinstance(refused, Interrupted)
    assert refused.everybody is everybody


def test_who_writes_without_an_announced_size_stops_at_the_floor() -> None:
    shared, disk = room(2 * MB)
    assert shared.enough(2 * MB) is None
    disk.free = 2 * MB - 1

    assert shared.enough(2 * MB) == Interrupted(
        f"the store has {2 * MB - 1:,} bytes free and limits.min_free asks for {2 * MB:,}", delay_s=60.0, everybody=True
    )


def test_a_store_out_of_reach_is_nobodys_failure() -> None:
    shared, disk = room(0)
    disk.free = StoreOutOfReach("store-gone", "it is gone")

    for outcome in (shared.promise(2 * MB, min_free=0), shared.enough(0)):
        assert outcome == Interrupted("the store: it is gone", delay_s=60.0, everybody=True)
