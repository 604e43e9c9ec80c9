"""The names of dropped files are chosen by anyone."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mo_sync.feeds.dropnames import ERROR_SUFFIX, OWN_FOLDERS, numbered, shown, takeable, unpacked

NAMES = (
    st.binary(min_size=1, max_size=255)
    .filter(lambda name: b"\0" not in name and b"/" not in name and name not in (b".", b".."))
    .map(os.fsdecode)
)


@pytest.mark.parametrize(
    "name", ["a.json.tmp", "a.part", "a.PART", ".a.json", "a.swp", "a.json~", ".a.json.swp", *OWN_FOLDERS]
)
def test_unfinished_hidden_and_own_names_are_not_taken(name: str) -> None:
    assert not takeable(name, "*")


@pytest.mark.parametrize("name", ["a.json", "a", "part", "tmp", "a.tmp.json", "done.json", "a b\n.ndjson.gz", "\udcff"])
def test_any_other_name_is_taken(name: str) -> None:
    assert takeable(name, "*")


def test_the_pattern_chooses_with_regard_to_case() -> None:
    assert [name for name in ("a.json", "a.JSON", "a.xml") if takeable(name, "*.json")] == ["a.json"]


@given(NAMES, st.integers(0, 10**6))
@example("\N{SNOWMAN}" * 85, 7)
@example("a" * 200 + "." + "b" * 54, 7)
def test_a_numbered_name_fits_beside_its_error_text_and_is_a_plain_name(name: str, number: int) -> None:
    made = numbered(name, number)

    assert len(os.fsencode(made + ERROR_SUFFIX)) <= 255
    assert made
    assert not {"/", "\0"} & set(made)
    assert os.fsdecode(os.fsencode(made)) == made


@given(NAMES, st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbered_names_of_one_file_differ_as_their_numbers_do(name: str, one: int, other: int) -> None:
    assert (numbered(name, one) == numbered(name, other)) == (one == other)


@given(NAMES.filter(lambda name: len(os.fsencode(name)) <= 240))
def test_the_first_name_to_try_is_the_file_s_own(name: str) -> None:
    assert numbered(name, 0) == name


@given(NAMES)
@example("bill\n2026-11-20 level=error msg=forged.json")
@example("\u202ejson.exe")
def test_a_shown_name_is_one_printable_line_of_utf_8(name: str) -> None:
    text = shown(name)

    assert text.isprintable()
    assert text.encode("utf-8")


def test_what_comes_out_of_a_packed_file_does_not_bear_its_suffix() -> None:
    assert [unpacked(name) for name in ("a.json.gz", "a.GZ", "a.json", "gz")] == ["a.json", "a", "a.json", "gz"]
