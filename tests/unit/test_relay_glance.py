"""A glance never says of a body what parsing would not."""

from __future__ import annotations

import doctest
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.events import Envelope, RawEvent, parse
from mo_sync.feeds.relay import glance
from mo_sync.feeds.relay.glance import plainly_a_message

REAL = json.loads((Path(__file__).parents[1] / "data" / "events" / "mms.json").read_bytes())
NOW = datetime(2026, 11, 23, tzinfo=UTC)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=250), st.lists(st.text(max_size=5)),
    st.sampled_from(["mo_message_received", " Mno4Xayql1oVOYAvP7Iy25", "a,b", "17226", "x" * 201]),
)  # fmt: skip


def test_the_examples_in_the_documentation_hold() -> None:
    found = doctest.testmod(glance)
    assert (found.failed, bool(found.attempted)) == (0, True)


def test_a_real_event_is_plainly_a_message() -> None:
    assert plainly_a_message(json.dumps(REAL).encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"garbage", b"\xff", b"[" * 100_000, b"<event/>", json.dumps([REAL]).encode(),
     json.dumps({"scg_message": REAL}).encode(), json.dumps(REAL).encode() * 2, json.dumps(REAL).encode("utf-16")],
)  # fmt: skip
def test_everything_else_is_left_to_be_parsed(body: bytes) -> None:
    assert not plainly_a_message(body)


@given(
    st.dictionaries(st.sampled_from([*REAL["event"]["fld-val-list"], "odd"]), VALUES),
    st.dictionaries(st.sampled_from(["evt-tp", "timestamp", "fld-val-list"]), VALUES),
    st.dictionaries(st.sampled_from(["event-id", "topic", "attempt", "event", "body"]), VALUES),
)
def test_what_is_plainly_a_message_is_parsed_as_one(
    fields: dict[str, Any], event: dict[str, Any], envelope: dict[str, Any]
) -> None:
    listed = REAL["event"]["fld-val-list"] | fields
    body = json.dumps(REAL | {"event": REAL["event"] | {"fld-val-list": listed} | event} | envelope).encode()

    if plainly_a_message(body):
        parsed = parse(RawEvent("relay", body, NOW))
        assert isinstance(parsed, Envelope)
        assert parsed.message is not None
