"""Events as feeds hand them over, and plain looks into a ledger, for tests of the ledger and of what stands on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from mo_sync.backoff import Policy
from mo_sync.events import Envelope, RawEvent, Rejected, parse
from mo_sync.ledger import Ledger
from mo_sync.ledger.record import Recorded, record
from mo_sync.lifecycle import Claim, Failed, Outcome, Settlement, Stored, next_state
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.verdicts import Step, Verdict

__all__ = [
    "GIVE_UP_AFTER_S",
    "NOW",
    "announced",
    "bare",
    "begun_at",
    "column",
    "failed",
    "fields",
    "items",
    "later",
    "one",
    "raw",
    "recorded",
    "rows",
    "settlement",
    "stored",
]

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GIVE_UP_AFTER_S = 72 * 3600.0

Item = tuple[RawEvent, Envelope | Rejected]


def later(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def fields(message_id: str = "M1", attachment_ids: Sequence[str] = ("A1",), **more: Any) -> dict[str, Any]:
    """The field list of a message received."""
    return {
        "message_id": message_id,
        "from_address": "+14086080000",
        "to_address": "18322222222",
        "message_body": "hello",
        "has_attachment": "true" if attachment_ids else "false",
        "attachment_ids": ",".join(attachment_ids),
        "application_id": "17226",
        "company-id": "11837",
        "anti_virus_scan_status": "OK",
        **more,
    }


def raw(body: object, *, source: str = "test:1", at: datetime = NOW) -> RawEvent:
    """A raw event: ``body`` as it is when it is bytes, else as JSON."""
    return RawEvent(source, body if isinstance(body, bytes) else json.dumps(body).encode(), at)


def announced(event_id: str, message_id: str = "M1", attachment_ids: Sequence[str] = ("A1",), **more: Any) -> Item:
    """A canonical event with an id, and what the parser makes of it."""
    body = {
        "topic": "SCG-Message",
        "attempt": 1,
        "event": {
            "fld-val-list": fields(message_id, attachment_ids, **more),
            "evt-tp": "mo_message_received",
            "timestamp": "2026-11-19T16:16:17.579Z",
        },
        "event-id": event_id,
    }
    return raw(body), parse(raw(body))


def bare(message_id: str = "M1", attachment_ids: Sequence[str] = ("A1",), **more: Any) -> Item:
    """The same fields without an envelope, and so without an id."""
    said = raw(fields(message_id, attachment_ids, **more))
    return said, parse(said)


def recorded(ledger: Ledger, *items: Item, now: datetime = NOW) -> list[Recorded]:
    """Record these in one batch."""
    return record(ledger, list(items), now=now, give_up_after_s=GIVE_UP_AFTER_S)


def begun_at(settings: LedgerSettings, revision: str) -> None:
    """Begin a ledger as the program did that knew no newer ``revision``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mo_sync.ledger.migrate.HEAD", revision)
        for today in ("views", "totals"):
            patch.setattr(f"mo_sync.ledger.{today}.create", lambda connection: None)
        Ledger.open(settings).close()


def rows(ledger: Ledger, sql: str, **values: object) -> list[dict[str, Any]]:
    """What a person would get for ``sql``."""
    with ledger.read() as connection:
        return [dict(row._mapping) for row in connection.execute(text(sql), values)]


def one(ledger: Ledger, sql: str, **values: object) -> dict[str, Any]:
    """The only row of ``sql``."""
    [row] = rows(ledger, sql, **values)
    return row


def column(ledger: Ledger, sql: str, **values: object) -> list[Any]:
    """The first column of ``sql``."""
    return [next(iter(row.values())) for row in rows(ledger, sql, **values)]


def stored(claim: Claim, **more: Any) -> Stored:
    """An outcome: the file of ``claim`` rests in the store."""
    key = f"2026/11/19/{claim.message_id}/{claim.position}-{claim.attachment_id}.jpg"
    outcome = Stored(key=key, size=20_480, sha256="ab" * 32, content_type="image/jpeg", header_type="image/jpg")
    return replace(outcome, **more)


def failed(verdict: Verdict = Verdict.RETRY, *, status: int | None = 500, code: str | None = "5000") -> Failed:
    """An outcome: the gateway answered so."""
    return Failed(Step.CONTENT, status, code, verdict, "the gateway answered an error", received_bytes=17)


def settlement(
    claim: Claim, outcome: Outcome, *, now: datetime = NOW, policy: Policy | None = None, took_s: float = 1.0
) -> Settlement:
    """What the reconciler makes of ``outcome`` at ``now``, ``took_s`` seconds after it began."""
    transition = next_state(claim, outcome, now=now, policy=policy or Policy(), roll=0.5)
    return Settlement(claim, outcome, transition, now - timedelta(seconds=took_s), now)


def items(count: int, *, attachments: int = 1) -> Iterable[Item]:
    """So many events of different messages."""
    for n in range(count):
        yield announced(f"E{n}", f"M{n}", [f"A{n}-{k}" for k in range(attachments)])
