"""The inbox: the messages that Syniverse keeps, whether it announced them or not (``docs/scg-api.md``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlencode

from mo_sync.clock import Clock
from mo_sync.gateway import inboxrows
from mo_sync.gateway.asking import Call
from mo_sync.gateway.conversation import Answered, Conversation
from mo_sync.gateway.inboxrows import InboxPage
from mo_sync.gateway.origins import segment
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Step, Trouble

__all__ = ["Inbox"]

_MESSAGES: Final = "/scg-external-api/api/v1/messaging/messages"
_LARGEST_PAGE: Final = 16 * 1024 * 1024
_PROCESSED: Final = json.dumps({"state": "PROCESSED"}).encode()


Stop = Callable[[], bool]


class Inbox:
    """Asks for what the inbox holds. Every call answers with a value, as those of the gateway do.

    ``stop`` is asked before every wait and twice a second while waiting; when it answers True, the call is interrupted.
    """

    def __init__(self, conversation: Conversation, clock: Clock) -> None:
        self._conversation = conversation
        self._clock = clock

    def page(
        self, application_id: str, *, since: datetime, until: datetime, offset: int, limit: int, stop: Stop
    ) -> InboxPage | Failed | Interrupted:
        """Messages received and created between ``since`` and ``until``, as far as the server heeds that.

        Asked for with the token of ``application_id``; rows begin at ``offset``, at most ``limit`` of them.
        """
        query = {
            "direction": "MO",
            "created_date": f"[{_as_text(since)},{_as_text(until + timedelta(milliseconds=1))}]",
            "offset": offset,
            "limit": limit,
        }
        call = self._call(Step.INBOX, f"{_MESSAGES}?{urlencode(query)}", application_id, stop)
        answered = self._conversation.answer(call, inboxrows.page, most_bytes=_LARGEST_PAGE)
        if not isinstance(answered, Answered):
            return answered
        return replace(answered.value, told_at=_date(answered.headers))

    def attachments(self, message_id: str, application_id: str, stop: Stop) -> tuple[str, ...] | Failed | Interrupted:
        """The ids of a message's attachments, which its row need not name."""
        path = segment(message_id)
        call = self._call(Step.INBOX, f"{_MESSAGES}/{path}/attachments", application_id, stop)
        if path is None:
            return self._conversation.about(call).troubled(Trouble.ID_UNUSABLE)
        answered = self._conversation.answer(call, inboxrows.listed_attachments, most_bytes=_LARGEST_PAGE)
        return answered.value if isinstance(answered, Answered) else answered

    def mark_processed(self, message_id: str, application_id: str, stop: Stop) -> Failed | Interrupted | None:
        """Set the state of a message to PROCESSED; None when that is done. Doing it again changes nothing."""
        path = segment(message_id)
        call = replace(self._call(Step.MARK, f"{_MESSAGES}/{path}", application_id, stop), body=_PROCESSED)
        if path is None:
            return self._conversation.about(call).troubled(Trouble.ID_UNUSABLE)
        answered = self._conversation.answer(call, inboxrows.marked, good=(200, 201, 202, 204))
        return None if isinstance(answered, Answered) else answered

    def _call(self, step: Step, path: str, application_id: str, stop: Stop) -> Call:
        return Call(step, path, application_id, self._clock.monotonic(), stop=stop)


def _as_text(moment: datetime) -> str:
    """A time as the API writes it, in whole milliseconds.

    >>> _as_text(datetime(2026, 1, 1, 12, 0, 0, 999999, tzinfo=UTC))
    '2026-01-01T12:00:00.999Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _date(headers: Mapping[str, str]) -> datetime | None:
    """The server's own time, in whole seconds; None when it does not tell it."""
    try:
        found = parsedate_to_datetime(headers.get("Date") or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
