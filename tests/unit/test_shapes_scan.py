"""How far the scan for values looks: never over the same bytes again and again, whatever they are."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from typing import Any

import pytest

from mo_sync.shapes import Piece, pieces
from tests.announcements import announcement, compact, cut, event_ids
from tests.streams import Endless

GOOD = compact(announcement(7))
MEGABYTE = 1_000_000
TWENTY_MEGABYTES = 20 * MEGABYTE
pytestmark = pytest.mark.timeout(60)


def codes(found: list[Piece]) -> set[str | None]:
    return {piece.error.code if piece.error else None for piece in found}


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b"\n" * MEGABYTE + b"x",
        b'{"a":\n' + b" \t\r\n" * (MEGABYTE // 4) + b"]",
        b"{" + b"\n\x1e" * (MEGABYTE // 2),
        b"[" + b"\n,\n" * (MEGABYTE // 3) + b"x",
        b'{"events"' + b" " * MEGABYTE + b"x",
        b'{"events"' + b"\n" * MEGABYTE + b"[",
        b'"' * MEGABYTE,
        b"[" + b'"' * MEGABYTE,
        b"[" + b'"\\' * (MEGABYTE // 2),
        b"[" * MEGABYTE,
        b"[" + b"1," * (MEGABYTE // 2) + b"{",
        b"{" * MEGABYTE,
        b'[{"a":"' + b"x" * 5 * MEGABYTE,
        b'[{"a":"' + b"\\" * 5 * MEGABYTE,
        b"<" * MEGABYTE,
        b"<a>" + b"\n" * MEGABYTE,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_megabyte_of_what_never_ends_is_a_few_pieces_at_once(body: bytes) -> None:
    # Where this took the square of the megabyte, it took hours; the limit in time is wide enough for any machine.
    found = cut(body, max_event=2 * MEGABYTE)

    assert 1 <= len(found) < 40
    assert None not in codes(found)


@pytest.mark.parametrize("broken", [b"{\n", b'{"a":"\n', b'{"a":\n', b'{"a": {"b": 1},\n', b"x\n", b'"\n', b"}\n"])
def test_many_broken_values_cost_none_of_the_good_ones_between_them(broken: bytes) -> None:
    found = cut((broken + GOOD + b"\n") * 2_000)

    assert event_ids(found) == ["E7"] * 2_000
    assert len(found) == 4_000


def test_empty_lines_are_left_out_without_losing_count_of_the_lines() -> None:
    body = b"\n" * 100_000 + GOOD + b"\n \r\n\n\t" + GOOD + b"x\n" + b"\n" * 100_000 + GOOD

    found = cut(body)

    assert event_ids(found) == ["E7"] * 3
    assert [piece.position for piece in found] == ["line 100001", "line 100004", "line 100004", "line 200005"]


@pytest.mark.parametrize("filling", [b"\0", b"\n", b"[", b" ", b"{"])
def test_a_small_file_that_unpacks_to_200_megabytes_is_answered_in_flat_memory(filling: bytes) -> None:
    chunk = gzip.compress(filling * MEGABYTE, 9, mtime=0)
    stream = Endless(itertools.repeat(chunk, 200))

    found, peak = measured(stream)

    assert stream.given == 200 * len(chunk)
    assert None not in codes(found)
    assert peak < TWENTY_MEGABYTES


@pytest.mark.parametrize(
    ("begin", "between", "end"), [(b"", b"\n", b""), (b"[", b",", b"]"), (b'{"events": [', b", ", b"]}")]
)
def test_sixty_megabytes_of_events_are_read_in_flat_memory(begin: bytes, between: bytes, end: bytes) -> None:
    item = compact(announcement(7, message_body="x" * 20_000))
    times = 60 * MEGABYTE // len(item)
    stream = Endless(itertools.chain([begin], itertools.repeat(item + between, times), [item, end]))

    count, peak = 0, 0
    tracemalloc.start()
    try:
        count = sum(piece.error is None for piece in pieces(stream, max_event=MEGABYTE))  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == times + 1
    assert peak < TWENTY_MEGABYTES


def test_no_more_is_read_ahead_than_a_buffer_holds() -> None:
    stream = Endless(itertools.repeat(GOOD + b"\n", 10_000))

    first = next(pieces(stream, max_event=MEGABYTE))  # type: ignore[arg-type]

    assert first.error is None
    assert stream.given < 256 * 1024


def measured(stream: Any) -> tuple[list[Piece], int]:
    """The pieces, and how many bytes of memory it took at most to see them."""
    tracemalloc.start()
    try:
        return list(pieces(stream, max_event=MEGABYTE)), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
