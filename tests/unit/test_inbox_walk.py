"""A list is gone through until all of it was seen, however badly it is given."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_sync.feeds.inbox.walk import Walk
from mo_sync.gateway.inboxrows import InboxPage, InboxRow

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
Serve = Callable[[int, int], InboxPage]


def rows(count: int, first: int = 0) -> list[InboxRow]:
    return [InboxRow(f"M{n}", b"{}", created_at=BEGAN + timedelta(minutes=n)) for n in range(first, first + count)]


def page(listed: list[InboxRow], total: int | None) -> InboxPage:
    return InboxPage(tuple(listed), len(listed), total)


def steady(listed: list[InboxRow], *, total: bool = True, cap: int = 100) -> Serve:
    return lambda offset, limit: page(listed[offset : offset + min(limit, cap)], len(listed) if total else None)


def walked(serve: Serve, *, limit: int = 10, floor: datetime = BEGAN, most: int = 100_000) -> tuple[Walk, int]:
    """The walk at its end, and how many pages it asked for."""
    walk, asked = Walk(limit, floor), 0
    while not walk.ended:
        asked += 1
        assert asked < most
        walk.take(serve(walk.offset, limit))
    return walk, asked


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 19, 20, 21, 100, 101])
def test_a_steady_list_is_seen_whole_in_one_round(count: int, total: bool) -> None:
    walk, asked = walked(steady(rows(count), total=total))

    assert (len(walk), walk.complete, walk.rounds) == (count, True, 1)
    assert asked <= count // 9 + 3


def test_what_fits_a_page_is_one_question_where_the_total_is_told() -> None:
    assert walked(steady(rows(7)))[1] == 1
    assert walked(steady(rows(7), total=False))[1] == 2


def test_a_server_with_smaller_pages_than_were_asked_for_is_heeded() -> None:
    walk, _ = walked(steady(rows(100), total=False, cap=7))

    assert (len(walk), walk.complete) == (100, True)


def test_a_row_that_goes_while_pages_are_read_hides_none() -> None:
    """The row that moves up over a page's edge is passed over, and the page's first row is not the expected one."""
    listed = rows(30)
    asked: Iterator[int] = iter(range(10_000))

    def serve(offset: int, limit: int) -> InboxPage:
        if next(asked) == 1:
            del listed[3]
        return page(listed[offset : offset + limit], None)

    walk, _ = walked(serve)

    assert {row.message_id for row in listed} <= walk._seen
    assert (walk.complete, walk.rounds) == (True, 2)


def test_rows_that_come_while_pages_are_read_hide_none() -> None:
    listed = rows(30)
    asked: Iterator[int] = iter(range(10_000))

    def serve(offset: int, limit: int) -> InboxPage:
        if next(asked) < 3:
            listed.insert(0, rows(1, 1_000 + len(listed))[0])
        return page(listed[offset : offset + limit], len(listed))

    walk, _ = walked(serve)

    assert {row.message_id for row in listed} <= walk._seen
    assert walk.complete


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 120),
    seed=st.integers(),
    totals=st.booleans(),
    shuffles=st.booleans(),
    shrinks=st.booleans(),
    repeats=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_whatever_a_server_does_every_row_that_stays_is_seen(
    count: int, seed: int, totals: bool, shuffles: bool, shrinks: bool, repeats: float
) -> None:
    listed, fall = rows(count), random.Random(seed)

    def serve(offset: int, limit: int) -> InboxPage:
        ordered = fall.sample(listed, count) if shuffles else listed
        shown = ordered[offset : offset + (fall.randint(1, limit) if shrinks else limit)]
        if offset:
            shown = [fall.choice(ordered[:offset]) if fall.random() < repeats else row for row in shown]
        return page(shown, count if totals else None)

    walk, _ = walked(serve)

    if not shuffles and not repeats:
        assert len(walk) == count
    # Where chance decides what is shown, it decides what is seen too; what is missed is seen the next time.
    assert len(walk) >= 0.9 * count - 2, walk.rounds


def test_a_server_that_knows_no_offset_ends_the_walk_too() -> None:
    walk, asked = walked(lambda offset, limit: page(rows(10), None))

    assert len(walk) == 10
    assert asked < 20


def test_a_server_that_promises_more_than_it_has_ends_the_walk_too() -> None:
    walk, asked = walked(lambda offset, limit: page(rows(25)[offset : offset + limit], 1_000), most=1_000)

    assert len(walk) == 25
    assert walk.complete
    assert asked < 30


def test_rows_without_an_id_are_counted_where_the_next_page_begins() -> None:
    listed = rows(25)

    def serve(offset: int, limit: int) -> InboxPage:
        shown = listed[offset : offset + limit]
        return InboxPage(tuple(row for row in shown if row.message_id != "M4"), len(shown), None)

    walk, _ = walked(serve)

    assert len(walk) == 24


def test_of_a_list_with_the_newest_first_what_is_too_old_is_not_asked_for() -> None:
    """A server that heeds no filter shows everything, each time."""
    listed = rows(1_000)[::-1]

    walk, asked = walked(steady(listed), floor=BEGAN + timedelta(minutes=980))

    assert walk.complete
    assert len(walk) == 37
    assert asked == 4


def test_of_any_other_order_all_is_asked_for() -> None:
    listed = rows(200)

    walk, _ = walked(steady(listed), floor=BEGAN + timedelta(minutes=180))

    assert len(walk) == 200
