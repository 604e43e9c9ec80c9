"""Events in every shape that is accepted, written without the code under test."""

from __future__ import annotations

import base64
import copy
import gzip
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from mo_sync.events import Envelope, MoMessage, RawEvent, Rejected, parse
from mo_sync.shapes import Piece, pieces

SAMPLES = Path(__file__).parent / "data" / "events"
RECEIVED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
LARGEST = 64 * 1024
_MMS = json.loads((SAMPLES / "mms.json").read_text())


def announcement(number: int = 0, **fields: Any) -> dict[str, Any]:
    """The real MMS of the knowledge base as event ``E<number>`` about message ``M<number>``, with other fields."""
    event: dict[str, Any] = copy.deepcopy(_MMS)
    event["event-id"] = f"E{number}"
    event["event"]["fld-val-list"] |= {"message_id": f"M{number}"} | fields
    return event


def compact(value: Any) -> bytes:
    return json.dumps(value).encode()


def pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()


def fields_of(event: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = event["event"]["fld-val-list"]
    return fields


def renamed(event: dict[str, Any]) -> dict[str, Any]:
    """As the June 2022 specification and other consumers have it: other names, and text for numbers."""
    fields = {name.replace("company-id", "companyid"): value for name, value in fields_of(event).items()}
    fields["attachment_ids"] = fields["attachment_ids"].split()
    fields["mo_price"] = str(fields["mo_price"])
    inner = {"fld_val_list": fields, "evt_tp": event["event"]["evt-tp"], "timestamp": event["event"]["timestamp"]}
    return {"topic": event["topic"], "attempt": "3", "event_id": event["event-id"], "event": inner}


def xml(event: Any, root: str = "event-envelope") -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{_elements(event)}</{root}>'


def _elements(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_elements(inside)}</{name}>" for name, inside in value.items())
    if value is None:
        return ""
    return escape(value if isinstance(value, str) else json.dumps(value))


SINGLE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "canonical": compact,
    "pretty-printed": pretty,
    "with a mark": lambda event: b"\xef\xbb\xbf" + compact(event),
    "in UTF-16": lambda event: json.dumps(event, ensure_ascii=False).encode("utf-16"),
    "under other names": lambda event: compact(renamed(event)),
    "wrapped by a relay": lambda event: compact({"scg_message": event, "scg_received_time": "2026-11-20T12:00:00Z"}),
    "wrapped as text": lambda event: compact({"message_id": {"of": "the relay"}, "payload": json.dumps(event)}),
    "in a relay that numbers messages itself": lambda event: compact({"message_id": "relay-1", "scg_message": event}),
    "by an API gateway": lambda event: compact(
        {"headers": {"a": "b"}, "body": json.dumps(event), "isBase64Encoded": False}
    ),
    "by an API gateway, in base64": lambda event: compact(
        {"body": base64.b64encode(compact(event)).decode(), "isBase64Encoded": True}
    ),
    "from a queue": lambda event: compact({"Records": [{"messageId": "1", "body": json.dumps(event)}]}),
    "by a notification service": lambda event: compact({"Type": "Notification", "Message": json.dumps(event)}),
    "as XML": lambda event: xml(event).encode(),
    "as XML in UTF-16": lambda event: xml(event).replace("UTF-8", "UTF-16").encode("utf-16"),
    "as XML by an API gateway": lambda event: compact({"body": xml(event)}),
    "without an envelope": lambda event: compact(fields_of(event)),
}
"""One event; the same message in each of them."""

MANY: dict[str, Callable[[Sequence[Any]], bytes]] = {
    "a line each": lambda events: b"".join(compact(event) + b"\n" for event in events),
    "a line each, the last without its end": lambda events: b"\n".join(map(compact, events)),
    "with CR LF": lambda events: b"".join(compact(event) + b"\r\n" for event in events),
    "behind one another": lambda events: b"".join(map(compact, events)),
    "pretty-printed behind one another": lambda events: b"\n".join(map(pretty, events)),
    "as a JSON text sequence": lambda events: b"".join(b"\x1e" + compact(event) + b"\n" for event in events),
    "as a list": lambda events: compact(list(events)),
    "as a pretty-printed list": lambda events: pretty(list(events)),
    "as a list with a line each": lambda events: b"[\n" + b",\n".join(map(compact, events)) + b"\n]\n",
    "as a list of lists": lambda events: compact([[event] for event in events]),
    "as an object of events": lambda events: compact({"events": list(events)}),
    "as a pretty-printed object of events": lambda events: pretty({"count": 3, "events": list(events), "next": None}),
    "in UTF-16": lambda events: "\n".join(map(json.dumps, events)).encode("utf-16"),
    "compressed": lambda events: gzip.compress(b"\n".join(map(compact, events))),
    "compressed in several members": lambda events: b"".join(gzip.compress(compact(e) + b"\n") for e in events),
    "compressed twice": lambda events: gzip.compress(gzip.compress(compact(list(events)))),
    "as XML": lambda events: f"<events>{''.join(f'<e>{_elements(event)}</e>' for event in events)}</events>".encode(),
    "by an API gateway": lambda events: compact({"body": json.dumps(list(events))}),
    "from a queue": lambda events: compact({"Records": [{"body": json.dumps(event)} for event in events]}),
}
"""Several events."""


def cut(body: bytes, *, max_event: int = LARGEST) -> list[Piece]:
    return list(pieces(io.BytesIO(body), max_event=max_event))


def read(body: bytes) -> Envelope | Rejected:
    return parse(RawEvent("test", body, RECEIVED_AT))


def understood(body: bytes) -> Envelope:
    event = read(body)
    assert isinstance(event, Envelope), event
    return event


def message(body: bytes) -> MoMessage:
    found = understood(body).message
    assert found is not None
    return found


def event_ids(found: Sequence[Piece]) -> list[str]:
    """The keys of the events among the pieces that are none in error."""
    return [understood(piece.raw).event_key for piece in found if piece.error is None]
