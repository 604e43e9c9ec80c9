"""What an event is once it is understood, and what makes two of them the same.

The values here travel: a feed makes a :class:`RawEvent`, :func:`parse` turns it into an :class:`Envelope` or a
:class:`Rejected`, and the ledger records either. Facts about the shapes are in ``docs/scg-api.md``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from mo_sync.errors import EventError
from mo_sync.readings import addressed_channel, identifiers, moment, number, plain, text
from mo_sync.shapes import Opened, decode

__all__ = ["Envelope", "MoMessage", "RawEvent", "Rejected", "parse", "payload_text", "rejected"]

_NO_HEADERS: Mapping[str, str] = {}
_RECEIVED: Final = "mo_message_received"
_TOPIC: Final = "SCG-Message"
_UNKNOWN_APPLICATION: Final = "unknown"
_LONGEST_ID: Final = 200
_ENCODED: Final = "base64:"
_PUNCTUATION: Final = str.maketrans("", "", "-_ ")
_RECEIPT_MARKS: Final = ("new_state", "previous_state", "reason_code")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as a feed received it.

    ``source`` names the feed and what it came in (``drop:2026-11.ndjson:17``), ``body`` is the event's own bytes,
    ``headers`` are those that the transport added, ``received_at`` is UTC.
    """

    source: str
    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)


@dataclass(frozen=True, slots=True)
class MoMessage:
    """A mobile-originated message. ``message_id`` is its identity; the ids of its attachments keep their order.

    ``application_id`` is ``unknown`` when the event names none: then the gateway's own token is tried.
    """

    message_id: str
    application_id: str
    attachment_ids: tuple[str, ...] = ()
    company_id: str | None = None
    channel: str | None = None
    from_address: str | None = None
    to_address: str | None = None
    body: str | None = None
    sender_id: str | None = None
    av_status: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event that was understood.

    ``event_key`` is the announcement's identity: the event id, else ``sha256:`` and ``content_key``.
    ``content_key`` is the SHA-256 (lower-case hex) of the canonical field list, whatever shape it came in, so that an
    event without an id can be recognised as one that came with an id before. ``message`` is None for what is not
    ours, and ``reason`` says why. A reason beside a message is a remark for people.
    """

    event_key: str
    content_key: str
    topic: str | None
    type: str | None
    occurred_at: datetime | None
    attempt: int | None
    message: MoMessage | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Bytes that could not be understood. ``event_key`` is ``raw:`` and their SHA-256, ``position`` says where."""

    event_key: str
    reason: str
    position: str


def parse(raw: RawEvent) -> Envelope | Rejected:
    """What ``raw`` says. Answers for any bytes at all and raises nothing.

    A body that turns out to hold several events is rejected: feeds cut such a body with :func:`mo_sync.shapes.pieces`.
    """
    try:
        found = decode(raw.body)
        if len(found) > 1:
            raise EventError("several-events", f"it holds {len(found)} events", position="event")
        return _envelope(found[0])
    except EventError as error:
        return rejected(raw.body, error)


def rejected(body: bytes, error: EventError) -> Rejected:
    """The record of ``body``, which ``error`` says is no event."""
    key = f"raw:{hashlib.sha256(body).hexdigest()}"
    return Rejected(key, f"{error.code}: {plain(error.summary)}", plain(error.position))


def payload_text(body: bytes, *, max_chars: int) -> str:
    """``body`` as text that every database can hold, cut after about ``max_chars``.

    What is no UTF-8, holds NUL, or would be taken for it, is ``base64:`` and its base64.

    >>> payload_text(b'{"a": 1}', max_chars=100), payload_text(b"\\xff", max_chars=100)
    ('{"a": 1}', 'base64:/w==')
    """
    kept = body[:max_chars]
    cut = f"… ({len(body)} bytes in all)" if len(body) > max_chars else ""
    words = _beginning(kept) if cut else _whole(kept)
    if words is None or "\0" in words or words.startswith(_ENCODED):
        words = _ENCODED + base64.b64encode(kept[: max_chars * 3 // 4]).decode()
    return words + cut


def _whole(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _beginning(kept: bytes) -> str | None:
    """The text that ``kept`` begins; its last character may have been cut in two, and is then left out."""
    try:
        return kept.decode()
    except UnicodeDecodeError as error:
        return kept[: error.start].decode() if error.start >= len(kept) - 3 else None


def _envelope(found: Opened) -> Envelope:
    fields = {_name(name): value for name, value in found.fields.items()}
    topic, type_ = text(found.topic), text(found.type)
    why_not = _not_ours(found, fields, topic, type_)
    content_key = _content_key(fields, None if why_not is None else (topic, type_))
    event_id = text(found.event_id)
    if event_id is not None and len(event_id) > _LONGEST_ID:
        raise EventError("event-id-invalid", f"it has {len(event_id)} characters", position="event-id")
    occurred_at = moment(found.timestamp) or moment(fields.get("timestamp") or fields.get("createddate"))
    message = _message(fields, occurred_at) if why_not is None else None
    return Envelope(
        event_key=event_id or f"sha256:{content_key}",
        content_key=content_key,
        topic=topic,
        type=type_,
        occurred_at=occurred_at,
        attempt=number(found.attempt),
        message=message,
        reason=why_not or (_remark(fields, message) if message else None),
    )


def _not_ours(found: Opened, fields: Mapping[str, Any], topic: str | None, type_: str | None) -> str | None:
    """Why this is no message received, or None if it is one."""
    if type_ == "message_state_change" or (type_ is None and any(_name(mark) in fields for mark in _RECEIPT_MARKS)):
        return "a delivery receipt of a message that we sent; its attachments are our own"
    if topic is not None and topic != _TOPIC and type_ != _RECEIVED:
        return f"topic {topic} is not about messages"
    if type_ is not None and type_ != _RECEIVED:
        return f"events of type {type_} announce no message received"
    if type_ is None and not found.bare:
        return "the envelope names no event type"
    return None


def _message(fields: Mapping[str, Any], occurred_at: datetime | None) -> MoMessage:
    message_id = _id(text(fields.get("messageid")), "message_id")
    if message_id is None:
        raise EventError("message-id-missing", "a message received must name its message_id", position="message_id")
    from_address, to_address = text(fields.get("fromaddress")), text(fields.get("toaddress"))
    channel = text(fields.get("channel"))
    return MoMessage(
        message_id=message_id,
        application_id=_id(text(fields.get("applicationid")), "application_id") or _UNKNOWN_APPLICATION,
        attachment_ids=_attachment_ids(fields),
        company_id=text(fields.get("companyid")),
        channel=channel.lower() if channel else addressed_channel(from_address, to_address),
        from_address=from_address,
        to_address=to_address,
        body=text(fields.get("messagebody"), strip=False),
        sender_id=text(fields.get("senderidid")),
        av_status=text(fields.get("antivirusscanstatus")),
        occurred_at=occurred_at,
    )


def _attachment_ids(fields: Mapping[str, Any]) -> tuple[str, ...]:
    found = identifiers(fields.get("attachmentids"))
    for attachment_id in found:
        _id(attachment_id, "attachment_ids")
    return found


def _id(value: str | None, name: str) -> str | None:
    if value is None or (len(value) <= _LONGEST_ID and value.isprintable() and "\ufffd" not in value):
        return value
    raise EventError("id-invalid", f"an id of {len(value)} characters, or with ones that no id has", position=name)


def _remark(fields: Mapping[str, Any], message: MoMessage) -> str | None:
    announced = str(fields.get("hasattachment")).lower() == "true"
    return "it says that it has attachments but names none" if announced and not message.attachment_ids else None


def _content_key(fields: Mapping[str, Any], kind: tuple[str | None, str | None] | None) -> str:
    """What the fields say, whatever the shape: names without punctuation, values as text, nothing that is empty.

    For a message received the field list alone counts, since a bare one has no topic and no type.
    """
    canonical: dict[str, Any] = {name: _canonical(value) for name, value in fields.items()}
    canonical["attachmentids"] = ",".join(identifiers(fields.get("attachmentids")))
    said = {name: value for name, value in canonical.items() if value}
    told = msgspec.json.encode([kind, said] if kind else said, order="sorted")
    return hashlib.sha256(told).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {_name(name): _canonical(inside) for name, inside in value.items()}
    return [_canonical(inside) for inside in value] if isinstance(value, list) else text(value)


@lru_cache(4096)
def _name(name: Any) -> str:
    """``company-id``, ``company_id`` and ``companyid`` are the same field."""
    return str(name).lower().translate(_PUNCTUATION)
