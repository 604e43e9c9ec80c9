"""The shape that nearly every event has, read for a third of what reading any shape costs.

Usual is what the event service sends: one JSON object with nothing in it but a topic, an attempt, an event id and the
event of a message received, whose fields are single values, all of it in ASCII. Of whatever differs in anything
:func:`usual` says nothing; then the parser reads it. It says the same of what is usual: a property holds them together.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from mo_sync.events.values import ERASED, Envelope, MoMessage
from mo_sync.readings import addressed_channel, identifiers, moment, plain, shortest, text

__all__ = ["LONGEST_ADDRESS", "LONGEST_ID", "UNKNOWN_APPLICATION", "name_of", "told_by_letter", "usual"]

LONGEST_ID: Final = 200
LONGEST_ADDRESS: Final = 500
"""In characters: whichever they are, PostgreSQL's indexes hold so many. Longer ones are cut."""
UNKNOWN_APPLICATION: Final = "unknown"
_PUNCTUATION: Final = str.maketrans("", "", "-_ ")
_TO_THE_LETTER: Final = ("id", "ids", "address", "messagebody")
_LONGEST_NAME: Final = 80
_MOST_FIELDS: Final = 64
_ID: Final = re.compile(rf"(?!{ERASED})[!-~]{{1,200}}")
# Without a comma and a semicolon, which stand between several.
_ONE_ID: Final = re.compile(rf"(?!{ERASED})[!-+\--:<-~]{{1,200}}")
_encode = msgspec.json.Encoder().encode


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    fields: dict[str, str | int | float | bool | None] = msgspec.field(name="fld-val-list")
    type: Literal["mo_message_received"] = msgspec.field(name="evt-tp")
    timestamp: str


class _Whole(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event: _Event
    event_id: str = msgspec.field(name="event-id")
    topic: str
    attempt: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000_000)]


class _Plan(msgspec.Struct, frozen=True):
    """What is the same for all field lists with the same names: those names as they are told, their order in the
    content key, and which of them may be numbers."""

    names: tuple[str, ...]
    ordered: tuple[str, ...]
    may_be_numbers: tuple[str, ...]


_decode = msgspec.json.Decoder(_Whole).decode


def usual(body: bytes) -> Envelope | None:
    """What ``body`` says, or None where it is not of the usual shape."""
    if not body.isascii() or b"\\u" in body:
        return None
    try:
        said = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    event = said.event
    plan = _plan(tuple(event.fields))
    occurred_at = moment(event.timestamp)
    if plan is None or occurred_at is None or not _ID.fullmatch(said.event_id):
        return None
    values = [(value.strip() or None) if type(value) is str else text(value) for value in event.fields.values()]
    fields = dict(zip(plan.names, values, strict=True))
    ids = _ids(fields.get("attachmentids"))
    message_id, application_id = fields.get("messageid"), fields.get("applicationid") or UNKNOWN_APPLICATION
    if ids is None or message_id is None or not (_ID.fullmatch(message_id) and _ID.fullmatch(application_id)):
        return None
    fields["attachmentids"] = ids[0] if len(ids) == 1 else ",".join(ids)
    from_address, to_address, channel = fields.get("fromaddress"), fields.get("toaddress"), fields.get("channel")
    if len(from_address or "") > LONGEST_ADDRESS or len(to_address or "") > LONGEST_ADDRESS:
        return None
    message = MoMessage(
        message_id,
        application_id,
        ids,
        fields.get("companyid"),
        channel.lower() if channel else addressed_channel(from_address, to_address),
        from_address,
        to_address,
        text(event.fields.get("message_body"), strip=False),
        fields.get("senderidid"),
        fields.get("antivirusscanstatus"),
        occurred_at,
    )
    remark = None if ids or (fields.get("hasattachment") or "").lower() != "true" else NAMES_NONE
    topic = said.topic.strip() or None
    return Envelope(
        said.event_id, _content_key(fields, plan), topic, event.type, occurred_at, said.attempt, message, remark
    )


NAMES_NONE: Final = "it says that it has attachments but names none"


def name_of(name: str) -> str:
    """``company-id``, ``company_id`` and ``companyid`` are the same field."""
    return _usual_name(name) if len(name) <= _LONGEST_NAME else _plain_name(name)


def told_by_letter(name: str) -> bool:
    """Whether the values of a field are compared letter by letter, and never as numbers."""
    return name.endswith(_TO_THE_LETTER)


def _ids(value: str | None) -> tuple[str, ...] | None:
    """None when one of them is no id."""
    if value is None:
        return ()
    if _ONE_ID.fullmatch(value):
        return (value,)
    found = identifiers(value)
    return found if all(map(_ID.fullmatch, found)) else None


def _content_key(fields: dict[str, str | None], plan: _Plan) -> str:
    """As the parser has it."""
    for name in plan.may_be_numbers:
        if (value := fields[name]) and "." in value:
            fields[name] = shortest(value)
    said = {name: value for name in plan.ordered if (value := fields[name])}
    return hashlib.sha256(_encode(said)).hexdigest()


@lru_cache(256)  # what the event service sends has few sorts of field lists
def _plan(names: tuple[str, ...]) -> _Plan | None:
    told = tuple(map(name_of, names))
    odd = len(names) > _MOST_FIELDS or any(len(name) > _LONGEST_NAME for name in names)
    if odd or len(set(told)) < len(told) or ("messagebody" in told and "message_body" not in names):
        return None
    ordered = tuple(sorted({*told, "attachmentids"}))
    return _Plan(told, ordered, tuple(name for name in told if not told_by_letter(name)))


def _plain_name(name: str) -> str:
    return plain(name.lower().translate(_PUNCTUATION))


_usual_name = lru_cache(1024)(_plain_name)  # only for short names: a cache of long ones would be a way to fill memory
