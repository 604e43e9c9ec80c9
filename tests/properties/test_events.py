"""One message is one message, whatever shape its announcement comes in."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mo_sync.events import Envelope, payload_bytes, payload_text
from tests.announcements import SINGLE, announcement, compact, fields_of, read, understood, xml

ids = st.text("abcXYZ0189", min_size=1, max_size=22)
words = st.text(max_size=40).map(
    lambda some: "".join(one for one in some if unicodedata.category(one)[0] != "C")  # what XML can hold
)
events = st.builds(
    announcement,
    st.integers(0, 99),
    message_body=words,
    attachment_ids=st.lists(ids, min_size=1, max_size=4, unique=True).map(", ".join),
    mo_price=st.integers(0, 9999).map(lambda mills: mills / 1000),
    has_attachment=st.booleans(),
    application_id=st.integers(1, 10**18),
    from_address=st.from_regex(r"\+1[0-9]{10}", fullmatch=True),
    carrier_name=words | st.none(),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inside),
    max_leaves=10,
)
FIELDS = ["message_id", "attachment_ids", "application_id", "company-id", "message_body", "has_attachment", "new_state"]


@given(events, st.sampled_from(list(SINGLE)))
def test_every_shape_says_the_same(event: dict[str, Any], shape: str) -> None:
    expected = understood(compact(event))

    found = understood(SINGLE[shape](event))

    assert found.content_key == expected.content_key
    bare = shape == "without an envelope"
    assert found.event_key == (f"sha256:{expected.content_key}" if bare else event["event-id"])
    assert found.message is not None
    assert expected.message is not None
    assert (found.message.occurred_at is None) == bare
    for name in found.message.__slots__:
        assert name == "occurred_at" or getattr(found.message, name) == getattr(expected.message, name)


@given(events, st.sampled_from(["message_id", "message_body", "attachment_ids", "application_id"]), ids)
def test_another_content_has_another_key(event: dict[str, Any], name: str, value: str) -> None:
    key = understood(compact(event)).content_key
    before = str(fields_of(event)[name])

    fields_of(event)[name] = f"{before} and{value}" if name == "attachment_ids" else f"{before}{value}"

    assert understood(compact(event)).content_key != key


@given(events, st.randoms())
def test_the_order_of_the_fields_says_nothing(event: dict[str, Any], random: Any) -> None:
    names = list(fields_of(event))
    random.shuffle(names)
    shuffled = {name: fields_of(event)[name] for name in names}

    assert understood(compact(shuffled)).content_key == understood(compact(event)).content_key


def storable(value: Any) -> bool:
    """Whether both databases can hold it."""
    if isinstance(value, tuple):
        return all(map(storable, value))
    return not isinstance(value, str) or ("\0" not in value and value.encode("utf-8", "replace").decode() == value)


def all_storable(answer: Any) -> bool:
    values = [getattr(answer, name) for name in answer.__slots__ if name != "message"]
    message = getattr(answer, "message", None)
    return all(map(storable, values)) and (message is None or all_storable(message))


@given(
    st.binary(max_size=100)
    | json_values.map(compact)
    | st.dictionaries(st.sampled_from(FIELDS) | st.text(st.characters()), json_values).map(compact)
    | st.builds(lambda **fields: compact(announcement(1, **fields)), **dict.fromkeys(FIELDS, json_values))
    | st.dictionaries(st.sampled_from(["event", "event-id", "topic", "attempt", "body"]), json_values).map(compact)
    | words.map(lambda some: xml({"event": some, "message_id": some}).encode("utf-8", "replace"))
)
def test_any_bytes_are_answered_with_what_every_database_can_hold(body: bytes) -> None:
    answer = read(body)

    assert all_storable(answer)
    assert answer.event_key
    if isinstance(answer, Envelope):
        assert (answer.message is not None) or answer.reason
        assert answer.occurred_at is None or answer.occurred_at.utcoffset() is not None
    else:
        assert answer.reason
        assert answer.position


@example(b"\0" * 4, 4)
@given(st.binary(max_size=300) | st.text().map(str.encode), st.integers(4, 400))
def test_a_payload_can_be_stored_is_bounded_and_is_told_from_any_other(body: bytes, most: int) -> None:
    told = payload_text(body, max_chars=most)

    assert storable(told)
    assert len(told) <= most * 4 / 3 + 4 + 7 + 40
    assert payload_bytes(told) == (body if len(body) <= most else None)
