"""Events as bytes, in every shape that real consumers were seen to receive."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import escape

__all__ = ["MANY", "SHAPES", "Event", "Shape", "encode"]


@dataclass(frozen=True, slots=True)
class Event:
    """One announcement: the field list and what is around it."""

    event_id: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    type: str = "mo_message_received"
    topic: str = "SCG-Message"
    timestamp: str = "2026-11-20T09:00:00.000Z"
    attempt: int = 1

    def envelope(self) -> dict[str, Any]:
        """The canonical shape, as a value."""
        return {
            "topic": self.topic,
            "attempt": self.attempt,
            "event": {"fld-val-list": dict(self.fields), "evt-tp": self.type, "timestamp": self.timestamp},
            "event-id": self.event_id,
        }


@dataclass(frozen=True, slots=True)
class Shape:
    """How events are written, the ending of such a file's name, and whether one file may hold several."""

    write: Callable[[Sequence[Event]], bytes]
    ending: str = ".json"
    many: bool = False


def encode(shape: str, *events: Event) -> bytes:
    """Events in a shape of :data:`SHAPES`. ValueError: that shape holds exactly one event."""
    chosen = SHAPES[shape]
    if len(events) != 1 and not chosen.many:
        raise ValueError(f"the shape {shape} holds one event, not {len(events)}")
    return chosen.write(events)


def _json(value: object, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode()


def _canonical(events: Sequence[Event]) -> bytes:
    return _json(events[0].envelope())


def _underscored(events: Sequence[Event]) -> bytes:
    """As the specification of June 2022 has it: ``event_id``."""
    envelope = events[0].envelope()
    envelope["event_id"] = envelope.pop("event-id")
    return _json(envelope)


def _text_attempt(events: Sequence[Event]) -> bytes:
    return _json(events[0].envelope() | {"attempt": str(events[0].attempt)})


def _companyid(events: Sequence[Event]) -> bytes:
    envelope = events[0].envelope()
    fields = envelope["event"]["fld-val-list"]
    if "company-id" in fields:
        fields["companyid"] = fields.pop("company-id")
    return _json(envelope)


def _relayed(events: Sequence[Event]) -> bytes:
    """Wrapped by a relay that adds the time at which it received the event."""
    return _json({"scg_message": events[0].envelope(), "relay_received_time": events[0].timestamp})


def _api_gateway(events: Sequence[Event]) -> bytes:
    return _json(_proxied(events[0]) | {"body": _canonical(events).decode(), "isBase64Encoded": False})


def _api_gateway_base64(events: Sequence[Event]) -> bytes:
    body = base64.b64encode(_canonical(events)).decode()
    return _json(_proxied(events[0]) | {"body": body, "isBase64Encoded": True})


def _proxied(event: Event) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "X-ESS-EVENT-TIMESTAMP": event.timestamp}
    return {"resource": "/scg", "path": "/scg", "httpMethod": "POST", "headers": headers}


def _bare(events: Sequence[Event]) -> bytes:
    """The field list alone: no envelope, no event id."""
    return _json(dict(events[0].fields))


def _array(events: Sequence[Event]) -> bytes:
    return _json([event.envelope() for event in events])


def _object(events: Sequence[Event]) -> bytes:
    return _json({"events": [event.envelope() for event in events]})


def _lines(events: Sequence[Event]) -> bytes:
    return b"".join(_json(event.envelope()) + b"\n" for event in events)


def _concatenated(events: Sequence[Event]) -> bytes:
    return b"\n".join(_json(event.envelope(), indent=2) for event in events)


def _zipped(events: Sequence[Event]) -> bytes:
    """Lines, compressed; without a time in its header, so that the same events make the same bytes."""
    return gzip.compress(_lines(events), mtime=0)


def _xml(events: Sequence[Event]) -> bytes:
    """The same tree as in JSON; the element names mirror the names of its fields."""
    body = "".join(_element(name, value) for name, value in events[0].envelope().items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<event-notification>{body}</event-notification>\n'.encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = "".join(_element(key, inside) for key, inside in value.items())
    elif isinstance(value, bool):
        inner = str(value).lower()
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


SHAPES: Final[dict[str, Shape]] = {
    "canonical": Shape(_canonical),
    "underscored": Shape(_underscored),
    "text-attempt": Shape(_text_attempt),
    "companyid": Shape(_companyid),
    "relayed": Shape(_relayed),
    "api-gateway": Shape(_api_gateway),
    "api-gateway-base64": Shape(_api_gateway_base64),
    "bare": Shape(_bare),
    "xml": Shape(_xml, ".xml"),
    "array": Shape(_array, many=True),
    "object": Shape(_object, many=True),
    "lines": Shape(_lines, ".ndjson", many=True),
    "concatenated": Shape(_concatenated, many=True),
    "zipped": Shape(_zipped, ".ndjson.gz", many=True),
}
"""Every shape by its name."""

MANY: Final = tuple(name for name, shape in SHAPES.items() if shape.many)
