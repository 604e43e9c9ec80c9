"""What one POST brings: the event's bytes, and the headers of the event service that say when and under which key."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from mo_sync.events import Envelope
from mo_sync.intake import Receipt

__all__ = ["KEPT_HEADERS", "Kept", "Submission"]

KEPT_HEADERS: Final = b"x-ess-event-"
"""The headers that begin so are kept: ``X-ESS-EVENT-KEY`` and ``X-ESS-EVENT-TIMESTAMP`` (``docs/scg-api.md``)."""

_NONE: Mapping[str, str] = {}
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Submission:
    """A body as it came, unpacked, and what of its headers is kept (lower-case names). ``received_at`` is UTC.

    ``said`` is what the body says, where somebody has read it already.
    """

    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    said: Envelope | None = None

    def wrapped(self) -> bytes:
        """All of it as one line of JSON, in the shape that API gateways use, which every feed understands."""
        try:
            body, is_base64 = self.body.decode("utf-8"), False
        except UnicodeDecodeError:
            body, is_base64 = base64.b64encode(self.body).decode("ascii"), True
        wrap = {
            "received_time": self.received_at.isoformat(),
            "headers": self.headers,
            "isBase64Encoded": is_base64,
            "body": body,
        }
        return _encode(wrap)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one submission that is durable now. ``note`` says why something in it was not understood.

    ``where`` is ``ledger``, or ``spool``: then nobody looked yet whether it was known before.
    """

    receipt: Receipt
    where: str
    note: str | None = None


Batch = Sequence[Submission]
