"""The short way of reading a usual event says what the long way says, or nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mo_sync.events import RawEvent, parse, usual
from tests.announcements import SAMPLES, announcement, compact

FIELDS = ["message_id", "attachment_ids", "application_id", "company-id", "message_body", "has_attachment", "new_state"]
ODD_WORDS = [
    "1.0",
    "0.0150",
    " a ",
    "",
    " ",
    "TRUE",
    "a,b",
    "a b;a",
    ",",
    "whatsapp:+1408",
    "x" * 500,
    "x" * 501,
    "erased:x",
    "a,erased:x",
    "1e5",
    "\\",
    "\u00e9",
    "\0",
]
ODD_NAMES = ["channel", "Message-Body", "messagebody", "mo_price", "Message ID", "messageId", "x" * 90]
words = st.text(st.characters(max_codepoint=126), max_size=20)
values = (
    words
    | st.sampled_from(ODD_WORDS)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
names = st.sampled_from([*FIELDS, *ODD_NAMES, "from_address", "to_address"]) | words


def mostly(value: Any, *odd: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([value] * 20 + list(odd))


events = st.fixed_dictionaries(
    {
        "topic": mostly("SCG-Message", "", " x ", "Other", None, 7),
        "attempt": mostly(1, 0, -1, 10**9, 2**70, "2", True, None),
        "event": st.fixed_dictionaries(
            {
                "fld-val-list": st.dictionaries(names, values, max_size=6).map(
                    lambda some: {"message_id": "M1", "attachment_ids": "A1", "has_attachment": "true", **some}
                ),
                "evt-tp": mostly("mo_message_received", "message_state_change", None),
                "timestamp": mostly(
                    "2019-07-16T16:16:17.579Z", "2019-07-16T16:16:17+02:00", "1563293777579", "soon", None
                ),
            },
        ),
        "event-id": mostly("E1", " E1", "", "\u00e9", "E 1", "E" * 201, "erased:x", 7, None),
    }
) | st.builds(lambda **fields: announcement(1, **fields), from_address=values, attachment_ids=values, mo_price=values)


@settings(max_examples=1_000)
@given(events, st.booleans(), st.booleans())
def test_what_is_read_by_the_short_way_is_what_the_long_way_says(
    event: dict[str, Any], ascii_only: bool, spaced: bool
) -> None:
    separators = None if spaced else (",", ":")
    body = json.dumps(event, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")

    short = usual(body)

    assert short is None or short == parse_the_long_way(body)


def parse_the_long_way(body: bytes) -> Any:
    """With a BOM, which nothing usual has and the parser takes off."""
    bom = b"\xef\xbb\xbf"
    assert usual(bom + body) is None
    return parse(RawEvent("test", bom + body, datetime(2026, 11, 23, tzinfo=UTC)))


def test_a_real_event_is_read_by_the_short_way() -> None:
    """Or all of the above would hold for a short way that leads nowhere."""
    event = json.loads((SAMPLES / "mms.json").read_bytes())

    assert usual(compact(event)) == parse_the_long_way(compact(event))
    assert usual(compact(event)) is not None
