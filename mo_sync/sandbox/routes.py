"""Which request means which call, who may make it, and what is noted of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import format_datetime
from typing import Final

from mo_sync.sandbox import attachments, control, messages
from mo_sync.sandbox.answers import Answer, Refusal, scg_error
from mo_sync.sandbox.call import Backroom, Call
from mo_sync.sandbox.faults import Fault, Step, applied
from mo_sync.sandbox.journal import Entry
from mo_sync.sandbox.records import ANY_APPLICATION
from mo_sync.sandbox.requests_in import Request

__all__ = ["ROUTES", "Route", "answer"]

_ATTACHMENTS: Final = "/scg-external-api/api/v1/messaging/attachments"
_MESSAGES: Final = "/scg-external-api/api/v1/messaging/messages"
_CONTENT: Final = "/scg-attachment/api/v1/messaging/attachments/([^/]+)/content"
_REFRESH: Final = "/saop-rest-data/v1/apptoken-refresh|/scg-external-api/api/v1/?apptoken-refresh"
"""The second is where one of the SDKs asks, which joins its paths without a slash."""

_EMPTY: Final = (
    "/scg-external-api/api/v1/(?:contacts|contact_groups|calling/bridges|calling/calls|messaging/(?:sender_ids"
    "|sender_id_classes|sender_id_types|channels|message_templates|message_requests|keywords))"
)
_ID: Final = "/([^/]+)"


def _nothing(call: Call) -> str:  # noqa: ARG001 - a route's `subject` takes the call
    return ""


@dataclass(frozen=True, slots=True)
class Route:
    """One call. ``step`` None is the sandbox's own: not counted, not delayed, not spoilt; ``open`` needs no token.

    ``subject`` tells which attachment it is about, before it is answered, so that a fault can befall it.
    """

    method: str
    path: str
    handle: Callable[[Call, str], Answer]
    step: Step | None = "other"
    subject: Callable[[Call], str] = _nothing
    open: bool = False


ROUTES: Final = (
    Route("POST", "/scg-external-api/api/v1/access_tokens", attachments.mint, "mint", attachments.in_body),
    Route("POST", f"{_ATTACHMENTS}{_ID}/access_tokens", attachments.mint, "mint", attachments.in_path),
    Route("GET", _CONTENT, attachments.download, "content", attachments.of_token, open=True),
    Route("POST", _CONTENT, attachments.upload, "upload", attachments.of_token, open=True),
    Route("PUT", _CONTENT, attachments.upload, "upload", attachments.of_token, open=True),
    Route("POST", _ATTACHMENTS, attachments.create),
    Route("GET", _ATTACHMENTS, attachments.listed, "metadata"),
    Route("GET", _ATTACHMENTS + _ID, attachments.metadata, "metadata", attachments.in_path),
    Route("POST", _ATTACHMENTS + _ID, attachments.change, "other", attachments.in_path),
    Route("PUT", _ATTACHMENTS + _ID, attachments.change, "other", attachments.in_path),
    Route("DELETE", _ATTACHMENTS + _ID, attachments.delete, "other", attachments.in_path),
    Route("GET", _MESSAGES, messages.listed, "messages"),
    Route("GET", _MESSAGES + _ID, messages.single, "messages"),
    Route("POST", _MESSAGES + _ID, messages.mark),
    Route("DELETE", _MESSAGES + _ID, messages.delete),
    Route("GET", f"{_MESSAGES}{_ID}/attachments", messages.files, "messages"),
    Route("GET", _EMPTY, messages.emptiness),
    Route("GET", _REFRESH, messages.refresh, "refresh", open=True),
    Route("GET", "/healthz", messages.health, None, open=True),
    Route("GET", "/_sandbox/log", control.log, None),
    Route("GET", "/_sandbox/faults", control.faults, None),
    Route("POST", "/_sandbox/faults", control.add_faults, None),
    Route("DELETE", "/_sandbox/faults", control.clear_faults, None),
    Route("POST", "/_sandbox/attachments", control.add_attachments, None),
    Route("POST", "/_sandbox/messages", control.add_messages, None),
    Route("POST", "/_sandbox/latency", control.set_latency, None),
    Route("POST", "/_sandbox/expire", control.expire, None),
)

_PATTERNS: Final = tuple((re.compile(route.path), route) for route in ROUTES)


def answer(room: Backroom, request: Request) -> Answer:
    """What is said to a request, spoilt if the plan of faults says so, and noted in the journal."""
    try:
        route, key = _route(request)
        call = Call(room, request, key, _caller(room, request, route))
        subject = route.subject(call)
    except Refusal as refusal:
        return _noted(room, request, refusal.answer)
    if route.step is None:
        return _handled(route, call, subject)
    fault = room.faults.take(route.step, subject, _owner(call, subject))
    said = _spoilt(route, call, subject, fault)
    return _noted(room, request, said, call=call, step=route.step, subject=subject, fault=fault)


def _route(request: Request) -> tuple[Route, str]:
    other_methods = False
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(request.path)
        if found and route.method == request.method:
            return route, found[1] if pattern.groups else ""
        other_methods = other_methods or found is not None
    raise Refusal(scg_error(405, "4001", "Method not allowed") if other_methods else scg_error(404, "4040"))


def _caller(room: Backroom, request: Request, route: Route) -> str:
    """The application that the Bearer token stands for. A content token needs none beside it, but not a wrong one."""
    if route.open and (request.bearer is None or route.step == "refresh"):
        return ANY_APPLICATION
    application = room.credentials.application_of(request.bearer or "")
    if application is None:
        raise Refusal(scg_error(401, "4010"))
    return application


def _owner(call: Call, subject: str) -> str:
    """Whose call it is: under a token of any application, that of the attachment."""
    attachment = call.room.inventory.attachment(subject)
    if call.application_id != ANY_APPLICATION or attachment is None:
        return call.application_id
    return attachment.application_id


def _handled(route: Route, call: Call, subject: str) -> Answer:
    try:
        return route.handle(call, subject)
    except Refusal as refusal:
        return refusal.answer


def _spoilt(route: Route, call: Call, subject: str, fault: Fault | None) -> Answer:
    """A fault with a status answers in the call's stead: the call does not happen."""
    if fault is None:
        return _handled(route, call, subject)
    truth = Answer() if fault.status is not None else _handled(route, call, subject)
    return applied(fault, truth, call.request.path)


def _noted(
    room: Backroom,
    request: Request,
    said: Answer,
    *,
    call: Call | None = None,
    step: Step = "other",
    subject: str = "",
    fault: Fault | None = None,
) -> Answer:
    room.journal.write(
        Entry(
            method=request.method,
            path=request.path,
            step=step,
            attachment_id=subject,
            application_id=call.application_id if call else "",
            status=said.status,
            fault=fault.name if fault else "",
            bearer="authorization" in request.headers,
            user_agent=request.headers.get("user-agent", ""),
        )
    )
    dated = (*said.headers, ("Date", format_datetime(room.now().astimezone(UTC), usegmt=True)))
    return replace(said, headers=dated, delay_s=room.latency_s or said.delay_s)
