"""Single values, read as generously as they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.readings import identifiers, moment, number, shortest, text

JULY = datetime(2019, 7, 16, 16, 16, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2019-07-16T16:16:17Z",
        "2019-07-16T16:16:17",
        " 2019-07-16 16:16:17 ",
        "2019-07-16T18:16:17+02:00",
        "2019-07-16T16:16:17.000+0000",
        1563293777,
        1563293777000,
        1563293777.0,
        "1563293777",
        "1563293777000",
    ],
)
def test_a_time_is_understood_however_it_is_written(written: Any) -> None:
    assert moment(written) == JULY


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "soon",
        True,
        0,
        -1563293777,
        "1999-12-31T23:59:59Z",
        "2200-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9" * 5000,
        10**400,
        float("inf"),
        float("nan"),
        [],
        "2019-02-30",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_time_or_cannot_be_true_is_none(written: Any) -> None:
    assert moment(written) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1e-05, "0.00001"),
        (1e20, "100000000000000000000"),
        (1e300, "1e+300"),
        (-0.0, "0"),
        (float("inf"), "inf"),
        (10**400, str(10**400)),
        (10**5000, "a number of more than a thousand digits"),
        (False, "false"),
        (None, None),
        ([1], None),
    ],
    ids=lambda value: repr(type(value)),
)
def test_numbers_are_told_in_their_shortest_form(value: Any, told: str | None) -> None:
    assert text(value) == told


@given(st.integers(-(10**8) + 1, 10**8 - 1), st.integers(0, 10**7 - 1))
def test_a_decimal_as_text_is_told_as_the_number_is(whole: int, part: int) -> None:
    words = f"{whole}.{part:07d}"

    assert shortest(words) == text(float(words))


@pytest.mark.parametrize("words", ["1", "1.", ".5", "1.2.3", "+1.5", "1e5", "123456789.5", "a.b", "1.5 "])
def test_what_may_be_no_number_stays_as_it_is(words: str) -> None:
    assert shortest(words) == words


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "1" * 10, True, 10**9, -1, 1.5, None, [], "\u0661"])
def test_what_is_no_small_count_is_none(value: Any) -> None:
    assert number(value) is None


def test_ids_are_separated_by_commas_semicolons_and_any_blanks() -> None:
    assert identifiers("a,b;c d\u00a0e\u2003f,,a") == ("a", "b", "c", "d", "e", "f")
