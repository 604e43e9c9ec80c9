"""A row of the inbox API, under the names that events have: whoever kept one can drop it like any event.

Its names are those of ``docs/scg-api.md``. Only what an event says too is taken over: that a message was read, or
changed its version, does not make another one of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["RECEIVED", "as_event", "is_row"]

RECEIVED: Final = "mo_message_received"
"""The type of an event that announces a message received."""
_SENT: Final = "mt_message"
_NAMES: Final = {
    "id": "message_id",
    "application_id": "application_id",
    "from_address": "from_address",
    "to_address": "to_address",
    "body": "message_body",
    "attachments": "attachment_ids",
    "customer_sender_id": "sender_id_id",
    "type": "channel",
}


def is_row(value: Mapping[str, Any]) -> bool:
    """Whether it is a message as the inbox lists it."""
    direction = value.get("direction")
    return isinstance(direction, str) and direction.upper() in ("MO", "MT") and isinstance(value.get("id"), str | int)


def as_event(value: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type of the event that would have announced it, and its field list.

    >>> as_event({"id": "M", "direction": "MO", "attachments": [{"id": "A"}], "state": "RECEIVED"})
    ('mo_message_received', {'message_id': 'M', 'attachment_ids': ['A']})
    """
    fields = {name: value[theirs] for theirs, name in _NAMES.items() if theirs in value}
    listed = fields.get("attachment_ids")
    if isinstance(listed, list):  # ids, or what was told about each
        fields["attachment_ids"] = [one.get("id") if isinstance(one, dict) else one for one in listed]
    return (RECEIVED if str(value["direction"]).upper() == "MO" else _SENT), fields
