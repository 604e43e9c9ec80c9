"""What the gateway holds: attachments, messages and the short-lived tokens for content. Thread-safe."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mo_sync.sandbox.records import ANY_APPLICATION, Attachment, Message

__all__ = ["Inventory", "Stale"]

_TOKENS_BEFORE_SWEEP = 10_000


class Stale(Exception):
    """The version that was to be changed is not the newest."""


@dataclass(frozen=True, slots=True)
class _ContentToken:
    attachment_id: str
    expires_at: datetime


class Inventory:
    """Rows are values: a change puts a new one in the place of the old.

    ``now`` and ``new_id`` are the clock and the maker of ids; ``token_life_s`` is how long a content token is good.
    """

    def __init__(self, *, now: Callable[[], datetime], new_id: Callable[[], str], token_life_s: float) -> None:
        self._now = now
        self._new_id = new_id
        self._token_life = timedelta(seconds=token_life_s)
        self._attachments: dict[str, Attachment] = {}
        self._messages: dict[str, Message] = {}
        self._in_order: list[Message] | None = None
        self._tokens: dict[str, _ContentToken] = {}
        self._lock = threading.RLock()

    def put(self, *records: Attachment | Message) -> None:
        """Hold these, in the place of what had their ids before."""
        with self._lock:
            for record in records:
                if isinstance(record, Attachment):
                    self._attachments[record.id] = record
                else:
                    self._messages[record.id] = record
                    self._in_order = None

    def create(self, *, name: str, type: str, filename: str, application_id: str) -> Attachment:  # noqa: A002 - the API's word
        """A new attachment without content."""
        now = self._now()
        attachment = Attachment(
            self._new_id(), None, type, name, filename, application_id, created_at=now, updated_at=now
        )
        self.put(attachment)
        return attachment

    def attachment(self, attachment_id: str) -> Attachment | None:
        with self._lock:
            return self._attachments.get(attachment_id)

    def attachments(self, application_id: str) -> list[Attachment]:
        """The attachments of an application, oldest first."""
        with self._lock:
            rows = [row for row in self._attachments.values() if _owned(row, application_id)]
        return sorted(rows, key=lambda row: row.created_at)

    def upload(self, attachment_id: str, content: bytes, type: str | None) -> bool:  # noqa: A002 - the API's word
        """Give an attachment its content, and its type if it has none; False: there is no such attachment.

        The version stays: the SDKs go on with the one that they read before the upload.
        """
        with self._lock:
            row = self._attachments.get(attachment_id)
            if row is None:
                return False
            known = row.type or type or "application/octet-stream"
            self._attachments[row.id] = replace(row, content=content, type=known, updated_at=self._now())
            return True

    def change(self, attachment_id: str, changes: dict[str, str], version: int | None) -> None:
        """Change name, type or file name. Raises KeyError, or :class:`Stale` when ``version`` is given and old."""
        with self._lock:
            row = self._attachments[attachment_id]
            if version not in (None, row.version):
                raise Stale(attachment_id)
            changed = replace(row, updated_at=self._now(), version=row.version + 1)
            for field, value in changes.items():
                changed = replace(changed, **{field: value})  # type: ignore[arg-type]  # the fields named are all str
            self._attachments[row.id] = changed

    def delete(self, attachment_id: str) -> None:
        with self._lock:
            self._attachments.pop(attachment_id, None)

    def message(self, message_id: str) -> Message | None:
        with self._lock:
            return self._messages.get(message_id)

    def messages(
        self, application_id: str, since: datetime | None = None, until: datetime | None = None
    ) -> list[Message]:
        """The messages of an application, oldest first; those created from ``since`` on and up to ``until``."""
        with self._lock:
            if self._in_order is None:
                self._in_order = sorted(self._messages.values(), key=_created_at)
            rows = self._in_order
        first = 0 if since is None else bisect_left(rows, since, key=_created_at)
        last = len(rows) if until is None else bisect_right(rows, until, key=_created_at)
        return [row for row in rows[first:last] if _owned(row, application_id)]

    def mark(self, message_id: str, state: str, version: int | None) -> None:
        """Set a message's state. Raises KeyError, or :class:`Stale` as :meth:`change` does."""
        with self._lock:
            row = self._messages[message_id]
            if version not in (None, row.version):
                raise Stale(message_id)
            self._messages[row.id] = replace(row, state=state, updated_at=self._now(), version=row.version + 1)
            self._in_order = None

    def delete_message(self, message_id: str) -> None:
        with self._lock:
            self._messages.pop(message_id, None)
            self._in_order = None

    def mint(self, attachment_id: str) -> str:
        """A new content token."""
        now = self._now()
        token = self._new_id()
        with self._lock:
            if len(self._tokens) >= _TOKENS_BEFORE_SWEEP:
                self._tokens = {key: held for key, held in self._tokens.items() if held.expires_at > now}
            self._tokens[token] = _ContentToken(attachment_id, now + self._token_life)
        return token

    def redeem(self, token: str) -> str | None:
        """The attachment that a content token opens; None: unknown or expired."""
        with self._lock:
            held = self._tokens.get(token)
        return held.attachment_id if held and held.expires_at > self._now() else None

    def forget_tokens(self) -> None:
        """Let every content token expire now."""
        with self._lock:
            self._tokens.clear()


def _created_at(row: Message) -> datetime:
    return row.created_at


def _owned(row: Attachment | Message, application_id: str) -> bool:
    return application_id in (ANY_APPLICATION, row.application_id)
