"""What an event says, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mo_sync.errors import EventError
from mo_sync.events import Envelope, MoMessage, RawEvent, Rejected, parse, payload_bytes, payload_text, rejected
from tests.announcements import RECEIVED_AT, SAMPLES, announcement, compact, fields_of, message, read, understood


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def test_the_real_mms_is_understood() -> None:
    event = understood(sample("mms"))

    assert (event.event_key, event.topic, event.type) == (
        "mNdHyWhdQWW2wACUWh84Wg",
        "SCG-Message",
        "mo_message_received",
    )
    assert (event.attempt, event.reason) == (1, None)
    assert event.message == MoMessage(
        message_id="WGqCwdXm2szqkIGq2Xmy06",
        application_id="17226",
        attachment_ids=("Mno4Xayql1oVOYAvP7Iy25",),
        company_id="1500",
        from_address="+14086080000",
        to_address="18322222222",
        sender_id="ljX2KJbs8zowzC8rFexzn6",
        av_status="OK",
        occurred_at=datetime(2019, 7, 16, 16, 16, 17, 579000, UTC),
    )


def test_the_real_sms_is_a_message_without_attachments() -> None:
    found = message(sample("sms"))

    assert (found.message_id, found.attachment_ids, found.body) == ("6QX2csWrr064RzxhwHo0m7", (), "Test MO message")


def test_the_real_receipt_is_none_of_ours_and_its_attachments_are_not_taken() -> None:
    event = understood(sample("receipt"))

    assert event.message is None
    assert event.reason == "a delivery receipt of a message that we sent; its attachments are our own"


def without_envelope(name: str) -> dict[str, Any]:
    return fields_of(json.loads(sample(name)))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (without_envelope("receipt"), "a delivery receipt"),
        ({"topic": "NIS-Events", "event": {"evt-tp": "x", "fld-val-list": {"message_id": "a"}}}, "topic NIS-Events"),
        ({"topic": "NIS-Events", "event": {"evt-tp": "consent", "address": "+1"}}, "topic NIS-Events"),
        ({"topic": "SCG-Message", "event": {"evt-tp": "sender_id_x", "fld-val-list": {}}}, "type sender_id_x"),
        ({"topic": "SCG-Message", "event": {"fld-val-list": {"message_id": "a"}}}, "names no event type"),
    ],
    ids=["bare receipt", "topic", "no field list", "type", "no type"],
)
def test_what_is_no_message_received_is_understood_and_says_why_it_is_left(event: Any, reason: str) -> None:
    found = understood(compact(event))

    assert found.message is None
    assert reason in (found.reason or "")


def test_a_field_list_alone_is_a_message_received_known_by_its_content() -> None:
    whole, bare = understood(sample("mms")), understood(compact(without_envelope("mms")))

    assert bare.message is not None
    assert bare.content_key == whole.content_key
    assert bare.event_key == f"sha256:{whole.content_key}"


def test_other_events_with_the_same_fields_have_another_content() -> None:
    event = announcement()
    other = {**event, "event": {**event["event"], "evt-tp": "sender_id_state_change"}}

    assert understood(compact(event)).content_key != understood(compact(other)).content_key


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (" Mno4Xayql1oVOYAvP7Iy25", ("Mno4Xayql1oVOYAvP7Iy25",)),
        ("a,b", ("a", "b")),
        ("b, a  b\tc\n,", ("b", "a", "c")),
        (["b", "a,c", "b", None, ""], ("b", "a", "c")),
        ("", ()),
        (None, ()),
        ({}, ()),
        (17, ("17",)),
    ],
)
def test_attachment_ids_are_split_stripped_and_taken_once_in_their_order(written: Any, ids: tuple[str, ...]) -> None:
    assert message(compact(announcement(attachment_ids=written))).attachment_ids == ids


@pytest.mark.parametrize(
    ("fields", "position"),
    [
        ({"message_id": ""}, "message_id"),
        ({"message_id": " "}, "message_id"),
        ({"message_id": None}, "message_id"),
        ({"message_id": ["a", "b"]}, "message_id"),
        ({"message_id": "x" * 201}, "message_id"),
        ({"message_id": "a\0b"}, "message_id"),
        ({"message_id": "a\nb"}, "message_id"),
        ({"message_id": "a\ud800b"}, "message_id"),
        ({"attachment_ids": "good," + "x" * 201}, "attachment_ids"),
        ({"attachment_ids": ["good", "a\x07b"]}, "attachment_ids"),
        ({"application_id": "x" * 201}, "application_id"),
        ({"message_id": "erased:x"}, "message_id"),
        ({"attachment_ids": "good,erased:x"}, "attachment_ids"),
        ({"attachment_ids": "erased:x"}, "attachment_ids"),
        ({"application_id": "erased:"}, "application_id"),
        ({"x": json.loads("[" * 60 + "]" * 60)}, "event"),
    ],
)
def test_what_no_id_can_be_is_rejected_by_its_name(fields: dict[str, Any], position: str) -> None:
    body = compact(announcement(**fields))

    answer = read(body)

    assert isinstance(answer, Rejected)
    assert answer.position == position
    assert answer.event_key == f"raw:{hashlib.sha256(body).hexdigest()}"


@pytest.mark.parametrize("name", ["from_address", "to_address"])
def test_an_address_that_is_too_long_is_cut_and_costs_no_attachment(name: str) -> None:
    numbers = ",".join(f"+1408555{number:04}" for number in range(60))

    answer = read(compact(announcement(**{name: numbers})))

    assert isinstance(answer, Envelope)
    assert answer.message is not None
    assert answer.message.attachment_ids
    assert getattr(answer.message, name) == numbers[:500]


@pytest.mark.parametrize("event_id", ["x" * 201, "a\nb", "a\ud800b", "erased:x"])
def test_an_event_id_that_could_be_taken_for_another_is_rejected(event_id: str) -> None:
    answer = read(compact({**announcement(), "event-id": event_id}))

    assert isinstance(answer, Rejected)
    assert answer.position == "event-id"


def test_an_application_that_is_not_named_is_unknown() -> None:
    assert message(compact(announcement(application_id=None))).application_id == "unknown"


@pytest.mark.parametrize("attempt", [3, "3"])
def test_attempts_count_whether_number_or_text(attempt: Any) -> None:
    assert understood(compact({**announcement(), "attempt": attempt})).attempt == 3


def test_attachments_that_are_announced_but_not_named_are_remarked() -> None:
    found = understood(compact(announcement(attachment_ids="", has_attachment="true")))

    assert found.message is not None
    assert found.reason == "it says that it has attachments but names none"


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({}, None),
        ({"from_address": "whatsapp:+14085551212"}, "whatsapp"),
        ({"to_address": "RCS:agent"}, "rcs"),
        ({"channel": "WhatsApp"}, "whatsapp"),
    ],
)
def test_the_channel_is_named_or_stands_in_front_of_an_address(fields: dict[str, Any], channel: str | None) -> None:
    assert message(compact(announcement(**fields))).channel == channel


@pytest.mark.parametrize("body", [" two words \n", '{"reply": "yes"}', "<b>hi</b>", "日本 🎉"])
def test_a_customers_words_stay_as_they_are(body: str) -> None:
    assert message(compact(announcement(message_body=body))).body == body


def test_what_no_database_can_hold_is_replaced_in_text() -> None:
    assert message(compact(announcement(message_body="a\0b\ud800c"))).body == "a\ufffdb\ufffdc"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1500, "1500"),
        (0.015, "0.015"),
        (0.00001, "1.0E-5"),
        (1.0, 1),
        (True, "true"),
        ("", None),
        (" a ", "a"),
        ({"b": 1, "a": None}, {"A": "", "b": "1"}),
    ],
)
def test_the_same_written_otherwise_is_the_same_content(one: Any, other: Any) -> None:
    keys = {understood(compact(announcement(carrier=value))).content_key for value in (one, other)}

    assert len(keys) == 1


def test_names_are_the_same_whatever_their_punctuation_and_case() -> None:
    event = announcement()
    fields = fields_of(event)
    other = announcement()
    other["event"]["fld-val-list"] = {name.upper().replace("_", "-"): value for name, value in fields.items()}

    assert understood(compact(other)).content_key == understood(compact(event)).content_key
    assert understood(compact(other)).message == understood(compact(event)).message


def test_a_body_with_several_events_is_rejected_rather_than_lost() -> None:
    answer = read(compact([announcement(1), announcement(2)]))

    assert isinstance(answer, Rejected)
    assert answer.reason == "several-events: it holds 2 events"


def test_what_is_rejected_by_a_feed_is_known_by_its_bytes() -> None:
    error = EventError("json-invalid", "it is no JSON\0", position="line 3")

    answer = rejected(b"oops", error)

    assert answer == Rejected(
        f"raw:{hashlib.sha256(b'oops').hexdigest()}", "json-invalid: it is no JSON\ufffd", "line 3"
    )


def test_headers_and_source_say_nothing_of_the_event() -> None:
    body = compact(announcement())

    assert parse(RawEvent("relay", body, RECEIVED_AT, {"X-ESS-EVENT-KEY": "other"})) == read(body)


@pytest.mark.parametrize(
    ("body", "most", "told"),
    [
        (b'{"a": 1}', 100, '{"a": 1}'),
        ("é".encode(), 2, "é"),
        (b"a\0", 100, "base64:YQA="),
        (b"\xff", 100, "base64:/w=="),
        (b"base64:YQ==", 100, "base64:YmFzZTY0OllRPT0="),
        ("… (1 bytes in all)".encode(), 100, "base64:4oCmICgxIGJ5dGVzIGluIGFsbCk="),
        (b"0123456789", 4, "0123… (10 bytes in all)"),
        ("12é45".encode(), 3, "12… (6 bytes in all)"),
        (b"\xff" * 10, 4, "base64://///w==… (10 bytes in all)"),
        (b"", 10, ""),
    ],
)
def test_a_payload_is_text_or_base64_and_says_when_it_was_cut(body: bytes, most: int, told: str) -> None:
    assert payload_text(body, max_chars=most) == told


@pytest.mark.parametrize("payload", ["base64:YQ", "base64:é", "base64:Y Q =", "base64"])
def test_what_somebody_wrote_by_hand_stands_for_itself(payload: str) -> None:
    assert payload_bytes(payload) == payload.encode()
