"""When a file in the drop folder may be taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.feeds.dropready import Moment, Observation, Sighting, ready, sighting

S = 1_000_000_000
NOW = Moment(stamp_ns=1_000_000 * S, monotonic_s=500.0)
SETTLE_S = 1.0


def look(*, age_s: float, renamed: bool = False, size: int = 10, inode: int = 1) -> Observation:
    """A file whose last write was ``age_s`` ago; ``renamed`` since."""
    mtime_ns = NOW.stamp_ns - int(age_s * S)
    return Observation(inode, size, mtime_ns, mtime_ns + 1 if renamed else mtime_ns)


TABLE = [
    ("written long ago", look(age_s=60), None, True),
    ("written exactly settle ago", look(age_s=1.0), None, True),
    ("written just now", look(age_s=0.0), None, False),
    ("written just now, then renamed into place", look(age_s=0.001, renamed=True), None, True),
    ("written long ago, renamed into place just now", look(age_s=60, renamed=True), None, True),
    ("made just now, still empty", look(age_s=0.0, size=0), None, False),
    ("made just now and its owner set, still empty", look(age_s=0.0, size=0, renamed=True), None, False),
    ("empty for long", look(age_s=60, size=0), None, True),
    ("dated in the future, never seen before", look(age_s=-9999), None, False),
    (
        "dated in the future, seen standing still for settle",
        look(age_s=-9999),
        Sighting(look(age_s=-9999), NOW.monotonic_s - 1.0),
        True,
    ),
    (
        "dated in the future, seen standing still for less",
        look(age_s=-9999),
        Sighting(look(age_s=-9999), NOW.monotonic_s - 0.9),
        False,
    ),
    (
        "dated in the future, grew since it was seen",
        look(age_s=-9999, size=11),
        Sighting(look(age_s=-9999), NOW.monotonic_s - 60),
        False,
    ),
    (
        "grew since it was seen though its mtime did not move",
        look(age_s=60, size=11),
        Sighting(look(age_s=60), NOW.monotonic_s - 60),
        False,
    ),
    (
        "written again since it was seen",
        look(age_s=0.2),
        Sighting(look(age_s=1.2), NOW.monotonic_s - 60),
        False,
    ),
    (
        "another file under the name of one that was seen",
        look(age_s=0.2, inode=2),
        Sighting(look(age_s=0.2), NOW.monotonic_s - 60),
        False,
    ),
]


@pytest.mark.parametrize(("observation", "previous", "expected"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_a_file_is_ready_when_it_was_renamed_into_place_or_stood_still(
    observation: Observation, previous: Sighting | None, expected: bool
) -> None:
    assert ready(observation, previous, NOW, SETTLE_S) is expected


def test_with_no_time_to_settle_a_file_is_taken_as_it_is() -> None:
    assert ready(look(age_s=0.0), None, NOW, 0.0)


def test_a_sighting_keeps_its_time_only_while_the_file_stands_still() -> None:
    first = sighting(look(age_s=0.0), None, Moment(NOW.stamp_ns, 500.0))
    still = sighting(look(age_s=0.0), first, Moment(NOW.stamp_ns, 500.4))
    grown = sighting(look(age_s=0.0, size=11), still, Moment(NOW.stamp_ns, 500.8))

    assert (first.since_s, still.since_s, grown.since_s) == (500.0, 500.0, 500.8)


@given(
    age_s=st.floats(-1e6, 1e6),
    settle_s=st.floats(0, 3600),
    size=st.integers(0, 10**9),
    renamed=st.booleans(),
)
def test_every_file_that_stands_still_is_taken_at_the_latest_after_settle_of_watching(
    age_s: float, settle_s: float, size: int, renamed: bool
) -> None:
    """Whatever the clocks say: no file waits for ever."""
    seen = look(age_s=age_s, size=size, renamed=renamed)
    first = sighting(seen, None, NOW)
    later = Moment(NOW.stamp_ns, NOW.monotonic_s + settle_s + 0.001)

    assert ready(seen, sighting(seen, first, later), later, settle_s)


@given(writes=st.lists(st.floats(0.001, 0.99), min_size=1, max_size=20))
def test_a_writer_that_never_pauses_for_settle_is_never_cut_off(writes: list[float]) -> None:
    """Looked at right before each write, its file is never ready, however long the whole takes."""
    previous, at_s, size = None, 0.0, 1
    for pause_s in writes:
        written_ns = int(at_s * S)
        at_s += pause_s
        seen = Observation(1, size, written_ns, written_ns)
        now = Moment(int(at_s * S), at_s)
        assert not ready(seen, previous, now, SETTLE_S)
        previous = sighting(seen, previous, now)
        size += 1
