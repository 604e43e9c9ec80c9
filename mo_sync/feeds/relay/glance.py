"""One glance at a body: whether it is plainly a message received, in the shape that the event service sends.

Where nothing is recorded, that is all there is to know, and a fifteenth of what parsing costs. What is not plainly so
is parsed; nobody is turned away by a glance.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

__all__ = ["plainly_a_message"]

_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_IDS: Final = re.compile(r"[A-Za-z0-9_.:, -]{0,4000}")


class _Fields(msgspec.Struct):
    message_id: str
    attachment_ids: str = ""
    application_id: int | str = ""


class _Event(msgspec.Struct):
    fields: _Fields = msgspec.field(name="fld-val-list")
    type: Literal["mo_message_received"] = msgspec.field(name="evt-tp")


class _Envelope(msgspec.Struct):
    event: _Event
    event_id: str = msgspec.field(name="event-id")


_decode = msgspec.json.Decoder(_Envelope).decode


def plainly_a_message(body: bytes) -> bool:
    """Whether ``body`` is one, so that parsing it would say the same.

    >>> event = b'{"event-id": "E", "event": {"evt-tp": "mo_message_received", "fld-val-list": {"message_id": "M"}}}'
    >>> plainly_a_message(event), plainly_a_message(event.replace(b"mo_message_received", b"message_state_change"))
    (True, False)
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return False
    fields = found.event.fields
    return bool(
        _ID.fullmatch(found.event_id)
        and _ID.fullmatch(fields.message_id)
        and _ID.fullmatch(str(fields.application_id) or "0")
        and _IDS.fullmatch(fields.attachment_ids)
    )
