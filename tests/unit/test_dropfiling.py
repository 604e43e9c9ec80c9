"""A free name is found quickly, however many are taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mo_sync.feeds.dropfiling import first_free


@given(st.sets(st.integers(0, 200)))
def test_the_number_found_is_never_a_taken_one(taken: set[int]) -> None:
    assert first_free(taken.__contains__) not in taken


@given(st.integers(0, 100_000))
def test_without_gaps_the_smallest_is_found_in_a_few_looks(count: int) -> None:
    looks = 0

    def occupied(number: int) -> bool:
        nonlocal looks
        looks += 1
        return number < count

    assert first_free(occupied) == count
    assert looks <= 2 * max(count, 1).bit_length() + 2
