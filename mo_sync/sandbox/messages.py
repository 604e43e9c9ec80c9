"""The calls about messages and about the application token."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from mo_sync.sandbox import attachments
from mo_sync.sandbox.answers import NO_CONTENT, Answer, Refusal, as_json, layer_error, scg_error
from mo_sync.sandbox.call import Call
from mo_sync.sandbox.inventory import Stale
from mo_sync.sandbox.listing import page, range_of

__all__ = ["delete", "emptiness", "files", "health", "listed", "mark", "refresh", "single"]

_STATES: Final = ("RECEIVED", "PROCESSED", "CONVERTED", "DELETED")


def listed(call: Call, _: str) -> Answer:
    room, query = call.room, dict(call.request.query)
    # Of thousands of messages those of a time are found by their order, rather than by looking at each.
    since, until = (
        (None, None) if "created_date" in room.rules.ignored_filters else range_of(query.get("created_date", ""))
    )
    if since is not None or until is not None:
        del query["created_date"]
    if until is not None:  # what is shown has whole milliseconds
        until += timedelta(milliseconds=1)
    rows = [message.row() for message in room.inventory.messages(call.application_id, since, until)]
    return as_json(page(rows, query, room.rules, room.fall))


def single(call: Call, _: str) -> Answer:
    return as_json(call.message().row())


def files(call: Call, _: str) -> Answer:
    """The metadata of a message's attachments, those that still exist."""
    found = (call.room.inventory.attachment(attachment_id) for attachment_id in call.message().attachments)
    rows = [attachments.row(call, attachment) for attachment in found if attachment]
    return as_json(page(rows, call.request.query, call.room.rules, call.room.fall))


def mark(call: Call, _: str) -> Answer:
    message, state = call.message(), call.text("state")
    if state not in _STATES:
        raise Refusal(scg_error(400, "4001", f"state must be one of {', '.join(_STATES)}"))
    try:
        call.room.inventory.mark(message.id, state, call.version())
    except Stale:
        return scg_error(409, "4090")
    return NO_CONTENT


def delete(call: Call, _: str) -> Answer:
    call.room.inventory.delete_message(call.message().id)
    return NO_CONTENT


def emptiness(call: Call, _: str) -> Answer:
    """A collection that the API has and the sandbox keeps empty, so that SDKs may list it."""
    return as_json(page([], call.request.query, call.room.rules, call.room.fall))


def refresh(call: Call, _: str) -> Answer:
    """The old token dies; errors are worded as the layer in front words them."""
    query = call.request.query
    wanted = ("consumerkey", "consumersecret", "oldtoken")
    missing = [name for name in wanted if not query.get(name)]
    if missing:
        return layer_error(400, f"{missing[0]} is missing")
    token = call.room.credentials.refresh(*(query[name] for name in wanted))
    if token is None:
        return layer_error(401, "The consumer key, consumer secret or old token is wrong")
    return as_json({"accessToken": token, "expiresIn": -1, "tokenType": "Bearer"})


def health(call: Call, _: str) -> Answer:  # noqa: ARG001 - every call has this signature
    return as_json({"status": "ok"})
