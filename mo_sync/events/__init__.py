"""What an event is once it is understood, and what makes two of them the same."""

from mo_sync.events.parsing import parse, payload_beginning, payload_bytes, payload_text, rejected
from mo_sync.events.usual import UNKNOWN_APPLICATION, usual
from mo_sync.events.values import ERASED, Envelope, MoMessage, RawEvent, Rejected

__all__ = [
    "ERASED",
    "UNKNOWN_APPLICATION",
    "Envelope",
    "MoMessage",
    "RawEvent",
    "Rejected",
    "parse",
    "payload_beginning",
    "payload_bytes",
    "payload_text",
    "rejected",
    "usual",
]
