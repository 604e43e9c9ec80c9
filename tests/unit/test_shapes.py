"""Any input cut into single events: where they stand, what is broken, and what that costs."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from mo_sync.errors import EventError
from mo_sync.shapes import decode, pieces
from mo_sync.shapes.scan import Scan
from tests.announcements import LARGEST, MANY, SINGLE, announcement, compact, cut, event_ids, pretty, read, xml
from tests.streams import Endless

THREE = [announcement(number) for number in range(3)]
GOOD = compact(announcement(7))
IDS = ["E0", "E1", "E2"]


@pytest.mark.parametrize("shape", MANY)
def test_every_shape_of_several_events_is_cut_into_each_of_them(shape: str) -> None:
    found = cut(MANY[shape](THREE))

    assert [piece.error for piece in found] == [None] * 3
    assert event_ids(found) == IDS


@pytest.mark.parametrize("shape", SINGLE)
def test_every_shape_of_one_event_is_one_piece_with_the_bytes_it_came_in(shape: str) -> None:
    body = SINGLE[shape](announcement())

    (piece,) = cut(body)

    assert piece.error is None
    recoded = body.decode("utf-16").encode() if shape == "in UTF-16" else body
    assert piece.raw == recoded.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("shape", "positions"),
    [
        ("a line each", ["line 1", "line 2", "line 3"]),
        ("behind one another", ["line 1"] * 3),
        ("as a list", ["line 1, item 1", "line 1, item 2", "line 1, item 3"]),
        ("as a list with a line each", ["line 2, item 1", "line 3, item 2", "line 4, item 3"]),
        ("as a pretty-printed object of events", ["line 4, item 1", "line 28, item 2", "line 52, item 3"]),
        ("by an API gateway", ["line 1, event 1", "line 1, event 2", "line 1, event 3"]),
    ],
)
def test_a_piece_says_where_it_stood(shape: str, positions: list[str]) -> None:
    assert [piece.position for piece in cut(MANY[shape](THREE))] == positions


@pytest.mark.parametrize(
    "body", [b"", b" \r\n\t", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0), b"[]", b'{"events": []}']
)
def test_what_holds_nothing_says_so(body: bytes) -> None:
    (piece,) = cut(body)

    assert piece.error is not None
    assert piece.error.code == "no-event"
    assert piece.raw == body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"hello", "not-json"),
        (b"12", "not-json"),
        (b'"text"', "not-json"),
        (b"{}", "no-event"),
        (b'{"a": 1}', "no-event"),
        (b'{"a": ', "json-truncated"),
        (b'{"a": "b', "json-truncated"),
        (b'{"a": "b\n"}', "json-invalid"),
        (b'{"a": ]}', "json-invalid"),
        (b'{"a": 1,}', "json-invalid"),
        (b"{'a': 1}", "json-invalid"),
        (b"[1, 2]", "not-json"),
        (b'{"a": ' * 900 + b"1" + b"}" * 900, "no-event"),
        (b'{"a": ' * 5_000 + b"1" + b"}" * 5_000, "json-too-deep"),
        (b'{"a": ' * 10_001, "json-invalid"),
        (b"<a><b></a>", "xml-invalid"),
        (b"<a>", "xml-invalid"),
        (b"<a><b>1</b></a>", "no-event"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "xml-invalid"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "xml-refused"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "xml-refused"),
        (b"<a>" * 200 + b"</a>" * 200, "xml-too-deep"),
        (b"<a>" * 20_000, "xml-too-deep"),
        (b"<a>" + b"x" * LARGEST + b"</a>", "event-too-large"),
        (compact({"body": "%%%", "isBase64Encoded": True}), "no-event"),
        (compact({"body": "abc", "isBase64Encoded": True}), "base64-invalid"),
        (compact({"body": "no JSON"}), "json-invalid"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_cannot_be_understood_is_one_piece_that_says_why(body: bytes, code: str) -> None:
    (piece,) = cut(body)

    assert piece.error is not None
    assert piece.error.code == code
    assert piece.raw
    assert piece.raw in body


BROKEN = {
    "cut in a string": GOOD[:100],
    "cut behind an opening brace": b'{"topic": "SCG-Message", "event": {',
    "cut behind a colon": b'{"topic": "SCG-Message", "event":',
    "cut behind a comma": b'{"topic": "SCG-Message",',
    "cut in a list": b'[{"topic": "SCG-Message", "event": [',
    "cut between items": b'{"events": [',
    "one bracket too many": GOOD + b"}",
    "the wrong bracket": GOOD[:-1] + b"]",
    "no JSON": b"Internal Server Error",
    "a web page": b"<html>oops</html>",
    "only a quote": b'"',
    "not UTF-8": b"\x80\x81{",
}


@pytest.mark.parametrize("where", [0, 1, 3])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_costs_no_other(name: str, where: int) -> None:
    lines = [compact(event) for event in THREE]
    lines.insert(where, BROKEN[name])

    found = cut(b"\n".join(lines))

    assert [key for key in event_ids(found) if key != "E7"] == IDS
    assert any(piece.error is not None for piece in found)


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("damage", [(b"}", b""), (b"{", b""), (b'"', b""), (b",", b""), (b"}", b"}}"), (b":", b"")])
@pytest.mark.parametrize("shape", ["as a pretty-printed list", "pretty-printed behind one another"])
def test_a_broken_value_of_many_lines_costs_no_other(shape: str, damage: tuple[bytes, bytes], where: int) -> None:
    third = b'"event-id": "E%d"' % where
    body = MANY[shape](THREE)
    at = body.rindex(damage[0], 0, body.index(third) + len(third))
    body = body[:at] + damage[1] + body[at + len(damage[0]) :]

    found = cut(body)

    keys = {read(piece.raw).event_key for piece in found if piece.error is None}
    assert keys >= {"E0", "E1", "E2"} - {f"E{where}"}
    assert any(piece.error is not None for piece in found)


def test_a_broken_value_of_many_lines_is_one_piece_with_all_its_lines() -> None:
    broken = pretty(THREE[1]).replace(b'"attempt": 1', b'"attempt": "1')

    first, second, third = cut(pretty(THREE[0]) + b"\n" + broken + b"\n" + pretty(THREE[2]))

    assert event_ids([first, third]) == ["E0", "E2"]
    assert second.error is not None
    assert second.position == "line 25"
    assert second.raw == broken


def test_items_of_a_list_that_are_no_objects_are_told_and_cost_no_other() -> None:
    found = cut(b'[1, "two", ' + GOOD + b", null, " + GOOD + b"]")

    assert [(piece.position, piece.error.code if piece.error else None) for piece in found] == [
        ("line 1, item 1", "not-json"),
        ("line 1, item 2", None),
        ("line 1, item 3", "not-json"),
        ("line 1, item 4", None),
    ]


@pytest.mark.parametrize("text", [False, True], ids=["a list", "a text of a list"])
def test_items_of_a_body_that_are_no_events_are_told_and_cost_no_other(text: bool) -> None:
    items = [announcement(0), {"a": 1}, 5, announcement(2)]

    found = cut(compact({"body": json.dumps(items) if text else items}))

    assert event_ids(found) == ["E0", "E2"]
    told = [(piece.position, piece.raw, piece.error.code) for piece in found if piece.error]
    assert told == [("line 1, event 2", b'{"a": 1}', "no-event"), ("line 1, event 3", b"5", "no-event")]


def test_a_body_that_cannot_be_read_costs_no_other_record() -> None:
    found = cut(compact({"records": [{"body": "%%%%"}, {"body": announcement(1)}]}))

    assert event_ids(found) == ["E1"]
    assert [(piece.raw, piece.error.code) for piece in found if piece.error] == [(b"%%%%", "json-invalid")]


def test_a_list_that_is_not_closed_gives_its_items_and_says_so() -> None:
    found = cut(b"[" + GOOD + b",\n" + GOOD)

    assert event_ids(found) == ["E7", "E7"]
    assert [piece.error.code for piece in found if piece.error] == ["json-truncated"]


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        (gzip.compress(GOOD + b"\n", mtime=0)[:-1], "too early"),
        (gzip.compress(GOOD + b"\n", mtime=0)[:-8] + b"12345678", "damaged"),
        (gzip.compress(GOOD + b"\n", mtime=0) + b"and more", "damaged"),
    ],
)
def test_what_is_compressed_is_read_as_far_as_it_goes(body: bytes, trouble: str) -> None:
    good, broken = cut(body)

    assert event_ids([good]) == ["E7"]
    assert broken.error is not None
    assert broken.error.code == "gzip-broken"
    assert trouble in broken.error.summary


@pytest.mark.parametrize("before", [b"", b"[", b'{"events": [', b'{"events":\n\n [\n'])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_too_large_event_is_told_with_its_beginning_and_the_next_one_is_read(
    before: bytes, indent: int | None
) -> None:
    fields = {f"field {number}": "x" * 1000 for number in range(200)}
    large = json.dumps(announcement(1, **fields), indent=indent).encode()

    found = cut(before + large + b",\n" + GOOD, max_event=100_000)

    assert found[0].error is not None
    assert found[0].error.code == "event-too-large"
    assert found[0].raw == large[:4096].strip()
    assert event_ids(found) == ["E7"]


def test_an_event_may_be_as_large_as_the_limit_and_not_larger() -> None:
    event = compact(announcement(message_body="x" * 200_000))

    assert [cut(event, max_event=len(event))[0].error, cut(event + b"\n", max_event=len(event))[0].error] == [None] * 2
    assert cut(event, max_event=len(event) - 1)[0].error is not None
    assert cut(GOOD + b"\n", max_event=len(GOOD) - 1)[0].error is not None


@pytest.mark.parametrize("escaped", [b"\\\\", b'\\"', b"\\u0041", b"{[", b"]}"])
def test_strings_longer_than_what_is_read_at_once_are_followed_over_the_seams(escaped: bytes) -> None:
    for shift in range(4):
        body = b'{"message_id": "M", "message_body": "' + b"x" * shift + escaped * 70_000 + b'"}'

        found = cut(body + body, max_event=len(body))

        assert [piece.error for piece in found] == [None, None]
        assert [piece.raw for piece in found] == [body, body]


def test_a_stream_that_cannot_be_read_says_so_itself() -> None:
    def chunks() -> Iterator[bytes]:
        yield GOOD + b"\n"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(pieces(Endless(chunks()), max_event=LARGEST))  # type: ignore[arg-type]


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("begin", "item", "end", "size"),
    [
        (b"", GOOD + b"\n", GOOD, 30 * MEGABYTE),
        (b"[\n", GOOD + b",\n", GOOD + b"\n]", 30 * MEGABYTE),
        (b"[", GOOD + b",", GOOD + b"]", 6 * MEGABYTE),
        (b'{\n  "events": [\n', pretty(announcement()) + b",\n", GOOD + b"\n]\n}", 6 * MEGABYTE),
    ],
    ids=["a line each", "a list with a line each", "a list in one line", "a pretty-printed object of events"],
)
def test_memory_stays_flat_however_large_the_input(begin: bytes, item: bytes, end: bytes, size: int) -> None:
    times = size // len(item)
    stream = Endless(itertools.chain([begin], itertools.repeat(item, times), [end]))

    count, peak = measured(stream)

    assert stream.given > size * 0.99
    assert count == times + 1
    assert peak < 2 * MEGABYTE


@pytest.mark.parametrize(
    "chunk", [b" ", b"\0", b"x", b"{", b"[", b'{"a":"', b'{"a":[\n', b'"', b"<a>", b'{"events":[', b"[[", b"}", b"\n"]
)
def test_a_bomb_of_anything_is_answered_in_flat_memory(chunk: bytes) -> None:
    size = 2 * MEGABYTE if len(chunk) < 7 else MEGABYTE
    packed = io.BytesIO(gzip.compress(chunk * (size // len(chunk)), 1))

    count, peak = measured(packed, max_event=10_000)

    assert count >= 1
    assert peak < MEGABYTE


def measured(stream: Any, max_event: int = LARGEST) -> tuple[int, int]:
    """How many pieces there are, and how many bytes of memory it took at most to see them."""
    tracemalloc.start()
    try:
        count = sum(1 for _ in pieces(stream, max_event=max_event))
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HOSTILE = {
    "lists that are not closed": b'{"a":[\n',
    "lists that are not closed, then closed wrongly": b'{"a":[\n' * 50 + b"}\n",
    "objects that are not closed": b'{"a":\n',
    "lines that begin lists": b"[\n",
    "cut strings": b'{"a": "\n',
    "cut objects": b'{"a": {"b": 1},\n',
    "lists of events that are not closed": b'{"events":[\n',
    "much to read again": b"{" + b'"a":[\n{' * 30 + b"]\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_read_again_is_never_more_than_what_was_read_and_one_event(name: str) -> None:
    body = HOSTILE[name] * (200_000 // len(HOSTILE[name]))
    scan = Scan(io.BytesIO(body), max_event=10_000)

    spans = sum(1 for _ in scan)

    assert spans >= 1
    assert scan.fresh == len(body)
    assert scan.again <= len(body) + 2 * 10_000 + 100


def test_events_are_still_found_when_too_much_had_to_be_read_again() -> None:
    body = HOSTILE["lists that are not closed, then closed wrongly"] * 1000 + compact(THREE[0]) + b"\n" + GOOD

    assert event_ids([piece for piece in cut(body, max_event=10_000) if piece.error is None]) == ["E0", "E7"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1e400, "b": ' + b"9" * 10_000 + b"}",
        b'{"a": "\\ud800\\u0000", "a": NaN}',
        b'"\xff"',
        b"null",
        b"\x1f\x8b",
        xml({"a": "b"}).encode() * 2,
        compact({"body": compact({"body": "{"}).decode()}),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_decoding_refuses_with_its_own_error_alone(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        decode(body)

    assert caught.value.position
    assert caught.value.code == caught.value.code.lower().replace("_", "-")


def test_the_text_of_a_message_is_never_opened() -> None:
    inner = json.dumps(announcement(99))

    (found,) = decode(compact(announcement(1, message_body=inner)))
    (bare,) = decode(compact({"message_id": "M1", "message_body": inner, "body": inner}))

    assert (found.event_id, found.fields["message_body"]) == ("E1", inner)
    assert (bare.event_id, bare.fields["message_id"]) == (None, "M1")


def test_a_refusal_shows_nothing_of_what_the_event_says() -> None:
    secret = "+14085551212"

    with pytest.raises(EventError) as caught:
        decode(b'{"message_id": "M", "from_address": "' + secret.encode() + b'" oops}')

    assert secret not in str(caught.value)


class Enough(Exception):
    """What a look may raise."""


@pytest.mark.parametrize("packed", [0, 1, 2])
def test_on_a_long_way_without_events_somebody_may_look_and_end_it(packed: int) -> None:
    content = b" " * (48 * 2**20)
    for _ in range(packed):
        content = gzip.compress(content, 1)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise Enough

    with pytest.raises(Enough):
        list(pieces(io.BytesIO(content), max_event=LARGEST, look=look))
