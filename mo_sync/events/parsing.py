"""Any bytes at all into an event that is understood, or into a refusal that says why.

Facts about the shapes are in ``docs/scg-api.md``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from mo_sync.errors import EventError
from mo_sync.events.usual import (
    LONGEST_ADDRESS,
    LONGEST_ID,
    UNKNOWN_APPLICATION,
    name_of,
    told_by_letter,
    usual,
)
from mo_sync.events.values import ERASED, Envelope, MoMessage, RawEvent, Rejected
from mo_sync.readings import addressed_channel, identifiers, moment, number, plain, shortest, text
from mo_sync.shapes import RECEIVED, Opened, decode

__all__ = ["parse", "payload_beginning", "payload_bytes", "payload_text", "rejected"]

_TOPIC: Final = "SCG-Message"
_ENCODED: Final = "base64:"
_CUT: Final = re.compile(r"… \(\d+ bytes in all\)\Z")
_RECEIPT_MARKS: Final = frozenset({"newstate", "previousstate", "reasoncode"})
_SHOWN: Final = 80
_DEEPEST: Final = 50
_NESTED: Final = (dict, list)


def parse(raw: RawEvent) -> Envelope | Rejected:
    """What ``raw`` says. Answers for any bytes at all and raises nothing.

    A body that turns out to hold several events is rejected: feeds cut such a body with :func:`mo_sync.shapes.pieces`.
    """
    if (said := usual(raw.body)) is not None:
        return said
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
    """``body`` as text that every database can hold, cut after about ``max_chars`` of its bytes.

    What is no UTF-8, holds NUL, or would be taken for it, is ``base64:`` and its base64, a third longer.

    >>> payload_text(b'{"a": 1}', max_chars=100), payload_text(b"\\xff", max_chars=100)
    ('{"a": 1}', 'base64:/w==')
    """
    kept = body[:max_chars]
    cut = f"… ({len(body)} bytes in all)" if len(body) > max_chars else ""
    words = _beginning(kept) if cut else _whole(kept)
    if words is None or "\0" in words or words.startswith(_ENCODED) or _CUT.search(words):
        words = _ENCODED + base64.b64encode(kept).decode()
    return words + cut


def payload_bytes(payload: str) -> bytes | None:
    """The body that :func:`payload_text` made this of; None where it had been cut.

    >>> payload_bytes('{"a": 1}'), payload_bytes("base64:/w=="), payload_bytes("{… (9 bytes in all)")
    (b'{"a": 1}', b'\\xff', None)
    """
    return None if _CUT.search(payload) else payload_beginning(payload)


def payload_beginning(payload: str) -> bytes:
    """The body that :func:`payload_text` made this of, or what is left of it where it had been cut.

    What begins like base64 and is none, because somebody changed a row or an export by hand, stands for itself.

    >>> payload_beginning('{"a": 1}'), payload_beginning("base64:/w==… (9 bytes in all)")
    (b'{"a": 1}', b'\\xff')
    """
    kept = _CUT.sub("", payload)
    if kept.startswith(_ENCODED):
        with contextlib.suppress(ValueError):  # it is told by what reads it: no event
            return base64.b64decode(kept.removeprefix(_ENCODED), validate=True)
    return kept.encode()


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
    fields = _fields(found.fields)
    topic, type_ = text(found.topic), text(found.type)
    attachment_ids = identifiers(fields.get("attachmentids"))
    fields["attachmentids"] = ",".join(attachment_ids)
    why_not = _not_ours(found, fields, topic, type_)
    content_key = _content_key(fields, None if why_not is None else (topic, type_))
    occurred_at = moment(found.timestamp) or moment(fields.get("timestamp") or fields.get("createddate"))
    message = _message(found, fields, attachment_ids, occurred_at) if why_not is None else None
    return Envelope(
        event_key=_id(text(found.event_id), "event-id") or f"sha256:{content_key}",
        content_key=content_key,
        topic=topic,
        type=type_,
        occurred_at=occurred_at,
        attempt=number(found.attempt),
        message=message,
        reason=why_not or (_remark(fields, message) if message else None),
    )


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The field list with plain names, and single values as text."""
    return {name_of(name): _canonical(value) for name, value in given.items()}


def _not_ours(found: Opened, fields: Mapping[str, Any], topic: str | None, type_: str | None) -> str | None:
    """Why this is no message received, or None if it is one."""
    if type_ == RECEIVED:
        return None
    if type_ == "message_state_change" or (type_ is None and not _RECEIPT_MARKS.isdisjoint(fields)):
        return "a delivery receipt of a message that we sent; its attachments are our own"
    if topic is not None and topic != _TOPIC:
        return f"topic {topic[:_SHOWN]} is not about messages"
    if type_ is not None:
        return f"events of type {type_[:_SHOWN]} announce no message received"
    return None if found.bare else "the envelope names no event type"


def _message(
    found: Opened, fields: Mapping[str, Any], attachment_ids: tuple[str, ...], occurred_at: datetime | None
) -> MoMessage:
    message_id = _id(_single(fields, "messageid"), "message_id")
    if message_id is None:
        raise EventError("message-id-missing", "a message received must name its message_id", position="message_id")
    from_address, to_address = _address(fields, "fromaddress"), _address(fields, "toaddress")
    channel = _single(fields, "channel")
    for attachment_id in attachment_ids:
        _id(attachment_id, "attachment_ids")
    return MoMessage(
        message_id=message_id,
        application_id=_id(_single(fields, "applicationid"), "application_id") or UNKNOWN_APPLICATION,
        attachment_ids=attachment_ids,
        company_id=_single(fields, "companyid"),
        channel=channel.lower() if channel else addressed_channel(from_address, to_address),
        from_address=from_address,
        to_address=to_address,
        body=_body(found),
        sender_id=_single(fields, "senderidid"),
        av_status=_single(fields, "antivirusscanstatus"),
        occurred_at=occurred_at,
    )


def _single(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _address(fields: Mapping[str, Any], name: str) -> str | None:
    """Cut where it is longer than any: perhaps it is a list of many, and no attachment is to be lost for that. The
    payload has all of it."""
    value = _single(fields, name)
    return value[:LONGEST_ADDRESS] if value is not None else None


def _body(found: Opened) -> str | None:
    """The customer's words as they were sent, with the blanks around them."""
    words = found.fields.get("message_body")
    if words is None:
        words = next((value for name, value in found.fields.items() if name_of(name) == "messagebody"), None)
    return text(words, strip=False)


def _id(value: str | None, name: str) -> str | None:
    if value is not None and value.startswith(ERASED):
        raise EventError("id-reserved", f"an id that begins with {ERASED} would pass for an erased one", position=name)
    if value is None or (len(value) <= LONGEST_ID and value.isprintable() and "\ufffd" not in value):
        return value
    raise EventError("id-invalid", f"an id of {len(value)} characters, or with ones that no id has", position=name)


def _remark(fields: Mapping[str, Any], message: MoMessage) -> str | None:
    announced = str(fields.get("hasattachment")).lower() == "true"
    return "it says that it has attachments but names none" if announced and not message.attachment_ids else None


def _content_key(fields: Mapping[str, Any], kind: tuple[str | None, str | None] | None) -> str:
    """What the fields say, whatever the shape: names without punctuation, values as text, nothing that is empty.

    For a message received the field list alone counts, since a bare one has no topic and no type.
    """
    said = {name: _said(name, value) for name, value in fields.items() if value}
    told = msgspec.json.encode([kind, said] if kind else said, order="sorted")
    return hashlib.sha256(told).hexdigest()


def _said(name: str, value: Any) -> Any:
    """JSON has 1 where XML may say 1.0; but ids, addresses and words that differ by so little are different ones."""
    return value if told_by_letter(name) or not isinstance(value, str) else shortest(value)


def _canonical(value: Any, depth: int = 0) -> Any:
    """Text for single values, and objects and lists of such. Raises EventError for nesting that no field has."""
    if isinstance(value, _NESTED):
        if depth >= _DEEPEST:
            raise EventError("fields-too-deep", f"a field is nested more than {_DEEPEST} deep", position="event")
        if isinstance(value, list):
            return [_canonical(inside, depth + 1) for inside in value]
        return {name_of(name): _canonical(inside, depth + 1) for name, inside in value.items()}
    return text(value)
