"""The calls about attachments: their tokens, their content, their metadata."""

from __future__ import annotations

from typing import Final

from mo_sync.sandbox.answers import NO_CONTENT, Answer, Refusal, as_json, scg_error
from mo_sync.sandbox.call import Call
from mo_sync.sandbox.inventory import Stale
from mo_sync.sandbox.listing import page
from mo_sync.sandbox.multipart import unwrap
from mo_sync.sandbox.records import ANY_APPLICATION, DEFAULT_APPLICATION, Attachment

__all__ = [
    "change", "create", "delete", "download", "in_body", "in_path", "listed", "metadata", "mint", "of_token", "row",
    "upload",
]  # fmt: skip

_CHANGEABLE: Final = ("name", "type", "filename")


def in_path(call: Call) -> str:
    """The attachment that a path names."""
    return call.key


def in_body(call: Call) -> str:
    """The attachment that the body of a token request names. Raises :class:`Refusal`."""
    if call.json().get("resource") != "ATTACHMENT":
        raise Refusal(scg_error(400, "4001", "resource must be ATTACHMENT"))
    return call.text("resource_id")


def of_token(call: Call) -> str:
    """The attachment that a content token opens; "" when it opens none (any more)."""
    return call.room.inventory.redeem(call.key) or ""


def mint(call: Call, attachment_id: str) -> Answer:
    """A content token: also for an attachment still without content, since uploads need one."""
    attachment = call.attachment(attachment_id)
    return as_json({"id": call.room.inventory.mint(attachment.id)}, call.room.mint_status)


def download(call: Call, attachment_id: str) -> Answer:
    attachment = _opened(call, attachment_id)
    if attachment.content is None:
        return scg_error(400, "40030")
    return Answer(200, attachment.content, attachment.type)


def upload(call: Call, attachment_id: str) -> Answer:
    """Takes a plain body or a form; answers nothing, which one of the SDKs insists on."""
    attachment = _opened(call, attachment_id)
    upload = unwrap(call.request.headers.get("content-type", ""), call.request.body)
    if upload is None:
        return scg_error(400, "4001", "The form holds no file")
    call.room.inventory.upload(attachment.id, upload.content, upload.type)
    return NO_CONTENT


def _opened(call: Call, attachment_id: str) -> Attachment:
    if not attachment_id:
        raise Refusal(scg_error(404, "4046"))
    return call.attachment(attachment_id)


def create(call: Call, attachment_id: str) -> Answer:  # noqa: ARG001 - every call has this signature
    given = call.json()
    fields = {name: given.get(name) or "" for name in _CHANGEABLE}
    if not all(isinstance(value, str) for value in fields.values()):
        return scg_error(400, "4001", "name, type and filename are strings")
    application = DEFAULT_APPLICATION if call.application_id == ANY_APPLICATION else call.application_id
    return as_json({"id": call.room.inventory.create(**fields, application_id=application).id})


def metadata(call: Call, attachment_id: str) -> Answer:
    return as_json(row(call, call.attachment(attachment_id)))


def listed(call: Call, attachment_id: str) -> Answer:  # noqa: ARG001 - every call has this signature
    rows = [row(call, attachment) for attachment in call.room.inventory.attachments(call.application_id)]
    return as_json(page(rows, call.request.query, call.room.rules, call.room.fall))


def change(call: Call, attachment_id: str) -> Answer:
    """A partial update; what cannot be changed is passed over, for the SDKs send back all that they have read."""
    attachment = call.attachment(attachment_id)
    given = call.json()
    changes = {name: given[name] for name in _CHANGEABLE if isinstance(given.get(name), str)}
    try:
        call.room.inventory.change(attachment.id, changes, call.version())
    except Stale:
        return scg_error(409, "4090")
    return NO_CONTENT


def delete(call: Call, attachment_id: str) -> Answer:
    call.room.inventory.delete(call.attachment(attachment_id).id)
    return NO_CONTENT


def row(call: Call, attachment: Attachment) -> dict[str, object]:
    """The metadata, with the address at which a content token is asked for."""
    base = f"{call.room.base_url}/scg-external-api/api/v1/messaging/attachments"
    return attachment.row(f"{base}/{attachment.id}/access_tokens")
