"""What the gateway holds: attachments and messages, as values, and the rows it shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from mo_sync.sandbox.clock import as_text

__all__ = ["ANY_APPLICATION", "DEFAULT_APPLICATION", "EPOCH", "Attachment", "Message", "shown_application"]

ANY_APPLICATION: Final = "*"
"""Maps a token to every application, for people who just want to look around."""

DEFAULT_APPLICATION: Final = "17226"
"""Owns what is created under a token of any application."""

EPOCH: Final = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message; ``content`` is None until uploaded (state CREATED)."""

    id: str
    content: bytes | None = None
    type: str = "application/octet-stream"
    name: str = ""
    filename: str = ""
    application_id: str = DEFAULT_APPLICATION
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    version: int = 1

    @property
    def state(self) -> str:
        """``CREATED`` or ``UPLOADED``."""
        return "CREATED" if self.content is None else "UPLOADED"

    def row(self, content_url: str = "") -> dict[str, object]:
        """The metadata as the API shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "size": len(self.content or b""),
            "filename": self.filename,
            "state": self.state,
            "content_url": content_url,
            "application_id": shown_application(self.application_id),
            "created_date": as_text(self.created_at),
            "last_updated_date": as_text(self.updated_at),
            "version_number": self.version,
        }


@dataclass(frozen=True, slots=True)
class Message:
    """A row of the inbox."""

    id: str
    attachments: tuple[str, ...] = ()
    from_address: str = "+14086080000"
    to_address: str = "18322222222"
    body: str = ""
    subject: str = ""
    type: str = "MMS"
    direction: str = "MO"
    state: str = "RECEIVED"
    customer_sender_id: str = ""
    application_id: str = DEFAULT_APPLICATION
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    version: int = 1

    @lru_cache(maxsize=20_000)  # noqa: B019  messages are values, and few
    def row(self) -> Mapping[str, object]:
        """The message as the API lists it; ``attachments`` is absent when there are none."""
        row: dict[str, object] = {
            "id": self.id,
            "direction": self.direction,
            "state": self.state,
            "type": self.type,
            "from_address": self.from_address,
            "to_address": self.to_address,
            "subject": self.subject,
            "body": self.body,
            "customer_sender_id": self.customer_sender_id,
            "application_id": shown_application(self.application_id),
            "created_date": as_text(self.created_at),
            "last_updated_date": as_text(self.updated_at),
            "version_number": self.version,
        }
        return row | ({"attachments": list(self.attachments)} if self.attachments else {})


def shown_application(application_id: str) -> int | str:
    """Application ids are numbers in the API's answers and events."""
    return int(application_id) if application_id.isdecimal() else application_id
