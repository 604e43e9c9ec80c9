"""The embedded gateway and its sample traffic: written from the API's description, it imports nothing of ours."""

from __future__ import annotations

from mo_sync.sandbox.faults import EVERYTHING, FAULTS, Fault, for_application, named
from mo_sync.sandbox.gateway import DEFAULT_TOKEN, Gateway
from mo_sync.sandbox.listing import ListRules
from mo_sync.sandbox.records import ANY_APPLICATION, Attachment, Message

__all__ = [
    "ANY_APPLICATION",
    "DEFAULT_TOKEN",
    "EVERYTHING",
    "FAULTS",
    "Attachment",
    "Fault",
    "Gateway",
    "ListRules",
    "Message",
    "for_application",
    "named",
]
