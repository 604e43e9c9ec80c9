"""An inbox feed on a real ledger and the embedded gateway, in one process; and messages to put into the inbox."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from mo_sync import settings
from mo_sync.clock import Clock, SystemClock
from mo_sync.events import parse
from mo_sync.feeds.inbox.feed import InboxFeed, Looked
from mo_sync.feeds.inbox.setting_up import inbox_feed
from mo_sync.gateway import Credentials, Gateway
from mo_sync.intake import Intake
from mo_sync.ledger import Ledger
from mo_sync.ledger.record import record
from mo_sync.sandbox import Gateway as Sandbox
from mo_sync.sandbox import Message
from tests.ledgers import GIVE_UP_AFTER_S, raw, rows

__all__ = ["Inboxes", "ago", "announce", "inboxes", "received"]


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def received(number: int, at: datetime, attachments: int = 1, **more: Any) -> Message:
    ids = tuple(f"A{number:018}{place:03}" for place in range(attachments))
    return Message(f"M{number:021}", ids, created_at=at, updated_at=at, **more)


def announce(ledger: Ledger, *messages: Message, **more: Any) -> None:
    """As the webhook would have done it."""
    batch = []
    for one in messages:
        fields = {
            "message_id": one.id,
            "from_address": one.from_address,
            "to_address": one.to_address,
            "message_body": one.body,
            "has_attachment": "true" if one.attachments else "false",
            "attachment_ids": ",".join(one.attachments),
            "application_id": one.application_id,
            "anti_virus_scan_status": "OK",
        } | more
        event = raw(
            {
                "topic": "SCG-Message",
                "event": {
                    "fld-val-list": {name: value for name, value in fields.items() if value is not None},
                    "evt-tp": "mo_message_received",
                    "timestamp": one.created_at.isoformat(),
                },
                "event-id": f"E{one.id[1:]}",
            }
        )
        batch.append((event, parse(event)))
    record(ledger, batch, now=datetime.now(UTC), give_up_after_s=GIVE_UP_AFTER_S)


class Inboxes:
    """One mo-sync that looks into the sandbox's inboxes. :meth:`make` gives another on the same ledger."""

    def __init__(self, sandbox: Sandbox, ledger: Ledger, clock: Clock, chosen: settings.Settings) -> None:
        self.sandbox = sandbox
        self.ledger = ledger
        self.clock = clock
        self.settings = chosen
        self.gateway = Gateway(chosen.gateway, Credentials(chosen.gateway, chosen.applications), clock, version="test")
        self.feed = self.make("tester-1-aa")

    def make(self, worker: str) -> InboxFeed:
        intake = Intake(self.ledger, self.clock, give_up_after_s=GIVE_UP_AFTER_S)
        feed = inbox_feed(self.settings, self.gateway, self.ledger, intake, clock=self.clock, worker=worker)
        assert feed is not None
        return feed

    def pass_(self, stop: Callable[[], bool] = lambda: False) -> Looked:
        """Look, and go through all that there was before, whoever's turn it is."""
        with self.ledger.begin() as connection:
            connection.exec_driver_sql("delete from duty")
        looked = self.feed.look(stop)
        while not self.feed.is_filled and not looked.troubles and not stop():
            more = self.feed.fill(stop)
            looked += more
            if not more.spans:
                break
        return looked

    def messages(self) -> list[str]:
        return [row["id"] for row in rows(self.ledger, "select id from message order by id")]

    def attachments(self) -> dict[str, str]:
        found = rows(self.ledger, "select id, message_id from attachment")
        return {row["id"]: row["message_id"] for row in found}

    def gaps(self) -> list[tuple[str, str]]:
        found = rows(self.ledger, "select kind, message_id from v_gap order by kind, message_id")
        return [(row["kind"], row["message_id"]) for row in found]


@contextlib.contextmanager
def inboxes(
    root: Path, sandbox: Sandbox, *, clock: Clock | None = None, applications: Any = None, **inbox: Any
) -> Iterator[Inboxes]:
    chosen = settings.Settings(
        gateway=settings.Gateway(base_url=sandbox.base_url, token=SecretStr("sandbox-token"), read_timeout=5),
        applications=applications or {},
        inbox=settings.Inbox(**inbox),
    )
    with Ledger.open(settings.Ledger(url=f"sqlite:///{root / 'ledger.db'}")) as ledger:
        made = Inboxes(sandbox, ledger, clock or SystemClock(), chosen)
        try:
            yield made
        finally:
            made.gateway.close()
