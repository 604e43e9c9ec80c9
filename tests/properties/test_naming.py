"""What holds for every name that is made from what comes from outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mo_sync.naming import component, key, original_name, quarantine_key

hostile = st.one_of(
    st.text(st.characters(), max_size=200),
    st.lists(st.sampled_from(["..", ".", "/", "\\", "\0", "a", "~", "-", "\n", "%2e", "A", "é"]), max_size=8).map(
        "".join
    ),
    st.text("abcXYZ019", min_size=1, max_size=22),
)
places = st.fixed_dictionaries(
    {
        "filed_at": st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        "message_id": hostile,
        "position": st.integers(0, 1000),
        "attachment_id": hostile,
        "extension": st.sampled_from(["jpg", "bin", "3gp"]) | hostile,
    }
)


@given(places)
def test_a_key_stays_relative_short_and_in_five_visible_components(place: dict[str, Any]) -> None:
    made = key(**place)

    parts = made.split("/")
    assert [bool(re.fullmatch(r"[A-Za-z0-9._~-]+", part)) for part in parts] == [True] * 5
    assert not any(part.startswith((".", "-")) or ".." in part for part in parts)
    assert all(len(part) <= 125 for part in parts)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/[^/]+/\d+-[^/]+\.[a-z0-9]{1,8}", made)
    assert len(quarantine_key(made).split("/")) == 6


@given(places, places)
def test_different_attachments_have_different_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    names = ("message_id", "position", "attachment_id")
    other |= {"filed_at": one["filed_at"], "extension": one["extension"]}

    same = all(one[name] == other[name] for name in names)

    assert (key(**one) == key(**other)) == same


@given(hostile, hostile)
def test_components_are_equal_only_for_equal_texts(one: str, other: str) -> None:
    assert (component(one) == component(other)) == (one == other)
    assert 1 <= len(component(one).encode()) <= 100


@given(st.text(st.characters(), max_size=300) | hostile.map(lambda name: f'attachment; filename="{name}"'))
def test_an_original_name_is_never_a_path_nor_invisible(header: str) -> None:
    name = original_name(header)

    if name is not None:
        assert 1 <= len(name) <= 200
        assert not re.search(r"[/\\\x00-\x1f\x7f]", name)
        assert not name.startswith(".")
        assert name.encode()
