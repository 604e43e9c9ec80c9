"""Envelopes out of their wraps: what relays, API gateways and batches put around an event.

The shapes are those that real consumers were seen to receive; ``docs/scg-api.md`` lists them. A message's text is never
opened, even when it is JSON: it lies in the field list, and what is in there is a customer's words.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mo_sync.errors import EventError
from mo_sync.shapes.inboxrow import as_event, is_row

__all__ = ["Opened", "Unread", "expand", "search"]

_DEEPEST: Final = 6
_FIELDS: Final = ("fld-val-list", "fld_val_list", "fldValList")
_EVENT_ID: Final = ("event-id", "event_id", "eventId")
_TYPE: Final = ("evt-tp", "evt_tp", "evtTp", "event_type")
_MARKS: Final = frozenset({"message_id", "attachment_ids", "application_id", "new_state"})

Read = Callable[[str | bytes], Any]
"""Reads text that was found inside a wrap: JSON or XML into a value. Raises EventError."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope as it was found: nothing is checked yet but that ``fields`` is an object.

    ``bare``: there was no envelope, only the field list.
    """

    fields: Mapping[str, Any]
    event_id: Any = None
    topic: Any = None
    type: Any = None
    timestamp: Any = None
    attempt: Any = None
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """What should be an event inside a wrap and is none: its text, and why."""

    raw: bytes
    error: EventError


def expand(value: Any, read: Read) -> list[Opened]:
    """Every event in ``value``, in order. Raises EventError when there is none, or one that cannot be read."""
    found: list[Opened] = []
    for one in search(value, read):
        if isinstance(one, Unread):
            raise one.error
        found.append(one)
    return found


def search(value: Any, read: Read) -> list[Opened | Unread]:
    """Every event in ``value``, in order, and in the place of a broken one what it is; never nothing."""
    envelope = _envelope(value) if isinstance(value, dict) else None
    return [envelope] if envelope is not None else list(_found(value, read, 0)) or [_no_event(value)]


def _no_event(value: Any) -> Unread:
    error = EventError("no-event", f"{_kind(value)} holds no event of a known shape", position="event")
    try:
        return Unread(json.dumps(value).encode(), error)
    except RecursionError:
        return Unread(b"(an item that is nested too deeply)", error)


def _found(value: Any, read: Read, depth: int) -> Iterator[Opened | Unread]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _found(item, read, depth + 1)
    elif isinstance(value, dict):
        yield from _in_object(value, read, depth)


def _in_object(value: dict[str, Any], read: Read, depth: int) -> Iterator[Opened | Unread]:
    if (envelope := _envelope(value)) is not None:
        yield envelope
    elif is_row(value):
        kind, fields = as_event(value)
        yield Opened(fields=fields, type=kind, timestamp=value.get("created_date"))
    elif _is_field_list(value):
        yield Opened(fields=value, type=_first(value, _TYPE), event_id=_first(value, _EVENT_ID), bare=True)
    elif "body" in value and not _wraps(value):
        yield from _in_body(value, read, depth)
    else:
        for inside in value.values():
            yield from _found(_readable(inside, read), read, depth + 1)


def _in_body(value: dict[str, Any], read: Read, depth: int) -> Iterator[Opened | Unread]:
    """Each item of a body that is a list is answered: among the events of a batch, none may vanish."""
    try:
        body = _body(value, read)
    except EventError as error:
        yield Unread(str(value["body"]).encode("utf-8", "replace"), error)
        return
    if not isinstance(body, list):
        yield from _found(body, read, depth + 1)
        return
    for item in body:
        yield from list(_found(item, read, depth + 1)) or [_no_event(item)]


def _is_field_list(value: dict[str, Any]) -> bool:
    """A relay may put a ``message_id`` of its own beside the envelope: that is no field list."""
    return bool(_MARKS & value.keys()) and not isinstance(value.get("message_id"), dict | list) and not _wraps(value)


def _wraps(value: dict[str, Any]) -> bool:
    return any(isinstance(inside, dict) and _envelope(inside) is not None for inside in value.values())


def _envelope(value: Mapping[str, Any]) -> Opened | None:
    event = value.get("event")
    inner = event if isinstance(event, dict) else value
    fields = _first(inner, _FIELDS)
    if isinstance(fields, dict):
        return Opened(
            fields=fields,
            event_id=_first(value, _EVENT_ID) or _first(inner, _EVENT_ID),
            topic=value.get("topic"),
            type=_first(inner, _TYPE),
            timestamp=inner.get("timestamp"),
            attempt=value.get("attempt"),
        )
    if inner is event and _first(inner, _TYPE) is not None:
        # An event of another kind, which keeps its facts somewhere else.
        return Opened({}, _first(value, _EVENT_ID), value.get("topic"), _first(inner, _TYPE), inner.get("timestamp"))
    return None


def _body(value: Mapping[str, Any], read: Read) -> Any:
    """The body of an API gateway's request, which is text, perhaps in base64, or an object already."""
    body = value["body"]
    if not isinstance(body, str):
        return body
    if str(value.get("isBase64Encoded", "")).lower() != "true":
        return read(body)
    try:
        return read(base64.b64decode(body, validate=False))
    except (binascii.Error, ValueError) as error:
        raise EventError("base64-invalid", "the body says that it is base64 and is not", position="body") from error


def _readable(inside: Any, read: Read) -> Any:
    """Text that may be an envelope is read; any other text is no event."""
    if isinstance(inside, str) and inside.lstrip()[:1] in ("{", "[", "<"):
        try:
            return read(inside)
        except EventError:
            return None
    return inside


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if (found := value.get(name)) is not None:
            return found
    return None


def _kind(value: Any) -> str:
    match value:
        case dict():
            names = ", ".join(sorted(str(name)[:30] for name in value)[:5])
            return f"an object with {names or 'nothing in it'}"
        case list():
            return "a list"
        case _:
            return f"a {type(value).__name__}"
