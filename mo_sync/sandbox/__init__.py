"""The embedded gateway and its sample traffic: written from the API's description, it imports nothing of ours."""

from __future__ import annotations

from mo_sync.sandbox.faults import EVERYTHING, FAULTS, Fault, for_application, named
from mo_sync.sandbox.gateway import DEFAULT_TOKEN, Gateway
from mo_sync.sandbox.listing import ListRules
from mo_sync.sandbox.records import ANY_APPLICATION, Attachment, Message
from mo_sync.sandbox.scenario import Scenario
from mo_sync.sandbox.traffic import demo_scenario, make_traffic

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
    "Scenario",
    "demo_scenario",
    "for_application",
    "make_traffic",
    "named",
]
