"""The calls for people who test: spoil answers, put things in, read what was asked."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from mo_sync.sandbox.answers import NO_CONTENT, Answer, Refusal, as_json
from mo_sync.sandbox.call import Call
from mo_sync.sandbox.faults import EVERYTHING, FAULTS, named
from mo_sync.sandbox.records import DEFAULT_APPLICATION, EPOCH, Attachment, Message

__all__ = ["add_attachments", "add_faults", "add_messages", "clear_faults", "expire", "faults", "log", "set_latency"]

Form = TypeVar("Form", bound=msgspec.Struct)


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """``target`` is an attachment id, ``application:<id>`` or ``*``; what is left out stays as the table has it."""

    fault: str
    target: str = EVERYTHING
    step: str | msgspec.UnsetType = msgspec.UNSET
    times: int | msgspec.UnsetType | None = msgspec.UNSET
    status: int | msgspec.UnsetType | None = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    wording: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str | msgspec.UnsetType = msgspec.UNSET
    headers: tuple[tuple[str, str], ...] | msgspec.UnsetType = msgspec.UNSET
    retry_after: str | msgspec.UnsetType | None = msgspec.UNSET
    seconds: float | msgspec.UnsetType = msgspec.UNSET
    share: float | msgspec.UnsetType = msgspec.UNSET
    size_bytes: int | msgspec.UnsetType = msgspec.UNSET


class _Put(msgspec.Struct, forbid_unknown_fields=True):
    """An attachment; without ``content`` (base64) it is CREATED, not UPLOADED."""

    id: str
    content: str | None = None
    type: str = "application/octet-stream"
    name: str = ""
    filename: str = ""
    application_id: int | str = DEFAULT_APPLICATION


_DATES = {"created_at": "created_date", "updated_at": "last_updated_date"}
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Row(msgspec.Struct, forbid_unknown_fields=True, rename=_DATES):
    """A message, as the inbox shows it."""

    id: str
    attachments: tuple[str, ...] = ()
    from_address: str = ""
    to_address: str = ""
    body: str = ""
    subject: str = ""
    type: str = "MMS"
    direction: str = "MO"
    state: str = "RECEIVED"
    customer_sender_id: str = ""
    application_id: int | str = DEFAULT_APPLICATION
    created_at: _Moment = EPOCH
    updated_at: _Moment = EPOCH


class _Latency(msgspec.Struct, forbid_unknown_fields=True):
    seconds: float


def add_faults(call: Call, _: str) -> Answer:
    """``{"fault": "short", "target": "<attachment id>", "step": "content", "times": 2}``, or a list of such."""
    for order in _forms(call, _Order):
        changes: dict[str, Any] = {
            name: value
            for name, value in msgspec.structs.asdict(order).items()
            if name not in ("fault", "target") and value is not msgspec.UNSET
        }
        try:
            fault = named(order.fault, **changes)
        except KeyError:
            raise _refused(f"no fault is called {order.fault}; GET /_sandbox/faults lists them") from None
        except ValueError as error:
            raise _refused(str(error)) from error
        call.room.faults.add(order.target, fault)
    return NO_CONTENT


def clear_faults(call: Call, _: str) -> Answer:
    """All, or those of ``?target=``."""
    call.room.faults.clear(call.request.query.get("target"))
    return NO_CONTENT


def faults(call: Call, _: str) -> Answer:
    """What there is to choose from, and what has not happened yet."""
    waiting = {
        target: [{"fault": fault.name, "step": fault.step, "times": fault.times} for fault in queue]
        for target, queue in call.room.faults.waiting().items()
    }
    return as_json({"known": sorted(FAULTS), "waiting": waiting})


def add_attachments(call: Call, _: str) -> Answer:
    """An attachment, or a list of them."""
    for put in _forms(call, _Put):
        fields = msgspec.structs.asdict(put) | {"application_id": str(put.application_id)}
        call.room.inventory.put(Attachment(**fields | {"content": _bytes(put.content)}))
    return NO_CONTENT


def add_messages(call: Call, _: str) -> Answer:
    """A message with the field names of the inbox, or a list of them; only ``id`` must be there."""
    for row in _forms(call, _Row):
        fields = msgspec.structs.asdict(row) | {"application_id": str(row.application_id)}
        call.room.inventory.put(Message(**fields))
    return NO_CONTENT


def set_latency(call: Call, _: str) -> Answer:
    """``{"seconds": 0.05}`` before every answer of the API."""
    for form in _forms(call, _Latency):
        call.room.latency_s = form.seconds
    return NO_CONTENT


def expire(call: Call, _: str) -> Answer:
    """Every application token there is opens nothing any more, until it is refreshed."""
    call.room.credentials.expire()
    return NO_CONTENT


def log(call: Call, _: str) -> Answer:
    """Counts, and with ``?entries=1`` every request; ``step`` and ``attachment_id`` narrow these."""
    query = call.request.query
    answer = call.room.journal.summary()
    if query.get("entries"):
        entries = call.room.journal.entries(step=query.get("step"), attachment_id=query.get("attachment_id"))
        answer |= {"entries": [asdict(entry) for entry in entries]}
    return as_json(answer)


def _forms(call: Call, form: type[Form]) -> list[Form]:
    try:
        return [msgspec.convert(item, form) for item in _listed(call)]
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error


def _listed(call: Call) -> list[Any]:
    try:
        value = msgspec.json.decode(call.request.body)
    except msgspec.DecodeError as error:
        raise _refused(str(error)) from error
    return value if isinstance(value, list) else [value]


def _bytes(content: str | None) -> bytes | None:
    try:
        return None if content is None else base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise _refused(f"content is not base64: {error}") from error


def _refused(why: str) -> Refusal:
    return Refusal(as_json({"error": why}, 400))
