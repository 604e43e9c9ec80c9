"""What travels: a feed makes a :class:`RawEvent`, the parser an :class:`Envelope` or a :class:`Rejected` of it, and the
ledger records either. As structs of C, since every event makes three of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

__all__ = ["ERASED", "Envelope", "MoMessage", "RawEvent", "Rejected"]

ERASED: Final = "erased:"
"""What stands for an id that was erased begins so, and no id may."""

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class RawEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as a feed received it.

    ``source`` names the feed and what it came in (``drop:2026-11.ndjson:17``), ``body`` is the event's own bytes,
    ``headers`` are those that the transport added, ``received_at`` is UTC.
    """

    source: str
    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = _NO_HEADERS


class MoMessage(msgspec.Struct, frozen=True, gc=False):
    """A mobile-originated message. ``message_id`` is its identity; the ids of its attachments keep their order.

    ``application_id`` is ``unknown`` when the event names none: then the gateway's own token is tried.
    """

    message_id: str
    application_id: str
    attachment_ids: tuple[str, ...] = ()
    company_id: str | None = None
    channel: str | None = None
    from_address: str | None = None
    to_address: str | None = None
    body: str | None = None
    sender_id: str | None = None
    av_status: str | None = None
    occurred_at: datetime | None = None


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """An event that was understood.

    ``event_key`` is the announcement's identity: the event id, else ``sha256:`` and ``content_key``.
    ``content_key`` is the SHA-256 (lower-case hex) of the canonical field list, whatever shape it came in, so that an
    event without an id can be recognised as one that came with an id before. ``message`` is None for what is not
    ours, and ``reason`` says why. A reason beside a message is a remark for people.
    """

    event_key: str
    content_key: str
    topic: str | None
    type: str | None
    occurred_at: datetime | None
    attempt: int | None
    message: MoMessage | None
    reason: str | None = None


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """Bytes that could not be understood. ``event_key`` is ``raw:`` and their SHA-256, ``position`` says where."""

    event_key: str
    reason: str
    position: str
