"""What holds for any input at all: it is answered, and nothing in it costs a neighbour."""

from __future__ import annotations

import gzip
import io
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mo_sync.errors import EventError
from mo_sync.events import Envelope
from mo_sync.shapes import Opened, decode
from mo_sync.shapes.scan import Scan
from tests.announcements import MANY, announcement, compact, cut, event_ids, read

SMALL = 2_000
TOKENS = [
    *(b'{ } [ ] , : " \\ \n \r\n \x1e \0 null 1e400 -0 <a> </a> <!DOCTYPE \xef\xbb\xbf \xff\xfe \xff \x1f\x8b').split(
        b" "
    ),
    *(b'"event":{ "events":[ "fld-val-list":{ "evt-tp":"mo_message_received" "message_id":"M" "body": ').split(),
    compact(announcement()),
    compact({"body": "{}"}),
    b"\n",
]

anything = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join),
    st.lists(st.sampled_from(TOKENS) | st.binary(max_size=3), max_size=20).map(b" ".join).map(gzip.compress),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(
            st.sampled_from(["event", "events", "body", "fld-val-list", "evt-tp", "message_id", "attachment_ids", "x"]),
            inside,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(anything)
def test_any_bytes_are_cut_into_pieces_that_are_answered(body: bytes) -> None:
    found = cut(body, max_event=SMALL)

    assert found
    for piece in found:
        assert piece.position
        assert piece.error is not None or len(piece.raw) <= 2 * SMALL
        assert len(piece.raw) <= 4096 or piece.error is None


@given(anything | json_values.map(compact))
def test_any_bytes_are_decoded_or_refused_with_our_own_error(body: bytes) -> None:
    try:
        found: Any = decode(body)
    except EventError as error:
        found = [error]

    assert found
    assert all(isinstance(one, Opened | EventError) for one in found)


@given(anything)
def test_a_piece_that_is_no_error_is_one_event(body: bytes) -> None:
    for piece in cut(body, max_event=SMALL):
        if piece.error is None:
            answer = read(piece.raw)
            assert isinstance(answer, Envelope) or not answer.reason.startswith("several-events")


def misleading(garbage: bytes) -> bool:
    """Whether this, at the very beginning, says that the whole input is written in another way."""
    return garbage.startswith((b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff"))


@given(st.lists(anything.map(lambda some: some.replace(b"\n", b"")), min_size=1, max_size=3), st.integers(0, 3))
@example([b'{"a": [{"b":'], 0)
@example([b'[{"events": ['], 1)
@example([b"<a>"], 0)
def test_lines_of_anything_between_events_cost_none_of_them(garbage: list[bytes], where: int) -> None:
    lines = [compact(announcement(number)) for number in range(1, 5)]
    lines[where:where] = [b"no event" if where == 0 and misleading(line) else line for line in garbage]

    keys = [answer.event_key for piece in cut(b"\n".join(lines)) if piece.error is None for answer in [read(piece.raw)]]

    assert [key for key in keys if key in ("E1", "E2", "E3", "E4")] == ["E1", "E2", "E3", "E4"]


@given(
    st.lists(st.fixed_dictionaries({"message_body": st.text()}), min_size=2, max_size=4), st.sampled_from(list(MANY))
)
def test_any_text_in_events_leaves_them_whole_in_every_shape_of_many(bodies: list[dict[str, str]], shape: str) -> None:
    if "XML" in shape:
        bodies = [{"message_body": "".join(filter(str.isprintable, body["message_body"]))} for body in bodies]
    events = [announcement(number, **body) for number, body in enumerate(bodies)]

    found = cut(MANY[shape](events))

    assert [piece.error for piece in found] == [None] * len(events)
    assert event_ids(found) == [f"E{number}" for number in range(len(events))]


@given(anything, st.integers(1, 300))
def test_nothing_is_read_again_without_bound(body: bytes, times: int) -> None:
    scan = Scan(io.BytesIO(body * times), max_event=SMALL)

    for _ in scan:
        pass

    assert scan.fresh == len(body * times)
    assert scan.again <= scan.fresh + 2 * SMALL + 64 * 1024
