"""The messages of one page of the inbox: compared with the ledger, and what it lacks recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec

from mo_sync.clock import Clock
from mo_sync.events import UNKNOWN_APPLICATION, Envelope, MoMessage, RawEvent, Rejected, parse
from mo_sync.feeds.inbox.comparing import difference, lacks, must_ask
from mo_sync.feeds.inbox.patience import PASSES, asked
from mo_sync.feeds.inbox.scopes import Scope
from mo_sync.feeds.inbox.spans import Span
from mo_sync.gateway.inbox import Inbox
from mo_sync.gateway.inboxrows import InboxRow
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger import Ledger
from mo_sync.ledger.holdings import Held, accounted_for, erased, held
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Verdict

__all__ = ["Differing", "Taken", "Taker"]

_GONE: Final = "DELETED"
_STOPS_ALL: Final = PASSES | {Verdict.HOLD}

Item = tuple[RawEvent, Envelope | Rejected]


@dataclass(frozen=True, slots=True)
class Differing:
    """A message of which the two sides do not say the same, and how; ``since`` is when Syniverse received it."""

    message_id: str
    application_id: str
    since: datetime | None
    reason: str


@dataclass(slots=True)
class Taken:
    """What came of many pages: the messages ``shown`` and when Syniverse received each, those ``missing`` in the
    ledger, and those that differ.

    What was missing is recorded by now, where anything is.
    """

    receipt: Receipt = field(default_factory=Receipt)
    shown: dict[str, datetime | None] = field(default_factory=dict)
    missing: list[Differing] = field(default_factory=list)
    differing: list[Differing] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes pages of one inbox. Without an ``intake`` it only compares. ``source`` is what events say they came by.

    Of what was not received ``within`` it only notes that it is shown: it was read for the comparison alone.
    """

    scope: Scope
    source: str
    inbox: Inbox
    ledger: Ledger
    intake: Intake | None
    clock: Clock
    stop: Callable[[], bool]
    within: Span | None = None

    def take(self, rows: Sequence[InboxRow], taken: Taken) -> Failed | Interrupted | None:
        """Add ``rows`` to ``taken``, and record what the ledger lacks of them in one transaction.

        May be repeated at will. Raises LedgerOutOfReach.
        """
        ids = [row.message_id for row in rows]
        known, gone = held(self.ledger, ids), erased(self.ledger, ids)
        batch: list[Item] = []
        for row in rows:
            if row.message_id in gone or row.state == _GONE:
                said = _message_of(self._read(row))
                if said is None or self.scope.owners.owns(said.application_id):
                    taken.shown[row.message_id] = row.created_at
                continue
            wanted = self._compared(row, known.get(row.message_id), taken)
            if isinstance(wanted, Failed | Interrupted):
                return wanted
            if wanted is not None:
                batch.append(wanted)
        if batch and self.intake is not None:
            taken.receipt += self.intake.record_parsed(batch).receipt
        return None

    def _compared(self, row: InboxRow, known: Held | None, taken: Taken) -> Item | Failed | Interrupted | None:
        """What is to be recorded of a row; None when the ledger knows it all, or it is none of the wanted ones."""
        item = self._read(row)
        said = _message_of(item)
        if said is not None and not self.scope.owners.owns(said.application_id):
            return None
        taken.shown[row.message_id] = row.created_at
        if self.within is not None and not self.within.has(row.created_at):
            return None
        if said is not None and must_ask(said, row.type, known):
            ids = self._ids(row)
            if isinstance(ids, Failed | Interrupted):
                return ids
            item = self._read(row, ids)
            said = _message_of(item)
        if known is None:
            taken.missing.append(self._missing(row, said))
            return item
        if said is None:
            return None
        more = known.attachment_ids.union(self._elsewhere(said, known))
        known = replace(known, attachment_ids=more)
        gains = lacks(said, known)
        reason = difference(said, known) or (_gain(said, known) if gains and self.intake is None else None)
        if reason is not None:
            taken.differing.append(Differing(row.message_id, known.application_id, row.created_at, reason))
        return item if gains else None

    def _elsewhere(self, said: MoMessage, known: Held) -> frozenset[str]:
        """What it names and cannot gain: else it would be recorded again at every look, and be a gap for ever."""
        named = frozenset(said.attachment_ids).difference(known.attachment_ids)
        return accounted_for(self.ledger, named) if named else named

    def _missing(self, row: InboxRow, said: MoMessage | None) -> Differing:
        if said is None:
            reason = "the inbox shows it, and it cannot be understood"
            return Differing(row.message_id, self.scope.application_id, row.created_at, reason)
        count = len(said.attachment_ids)
        reason = f"the inbox shows it, with {count} {'attachment' if count == 1 else 'attachments'}"
        return Differing(row.message_id, said.application_id, row.created_at, reason)

    def _ids(self, row: InboxRow) -> tuple[str, ...] | Failed | Interrupted:
        """The attachments that a row does not name. That nobody knows them makes the message no less true."""
        ids = asked(
            lambda: self.inbox.attachments(row.message_id, self.scope.application_id, self.stop), self.clock, self.stop
        )
        return () if isinstance(ids, Failed) and ids.verdict not in _STOPS_ALL else ids

    def _read(self, row: InboxRow, ids: Sequence[str] = ()) -> Item:
        """The row as an event, which says too what was asked for besides, and whose inbox it is in."""
        more = {"attachments": list(ids)} if ids else {}
        body = json.dumps(json.loads(row.raw) | more, ensure_ascii=False).encode() if more else row.raw
        raw = RawEvent(self.source, body, self.clock.now())
        parsed = parse(raw)
        if isinstance(parsed, Envelope) and parsed.message is not None:
            parsed = msgspec.structs.replace(parsed, message=self._named(parsed.message))
        return raw, parsed

    def _named(self, said: MoMessage) -> MoMessage:
        """A row that names no application is of the one whose token showed it."""
        if said.application_id != UNKNOWN_APPLICATION:
            return said
        return msgspec.structs.replace(said, application_id=self.scope.application_id)


def _message_of(item: Item) -> MoMessage | None:
    return item[1].message if isinstance(item[1], Envelope) else None


def _gain(said: MoMessage, known: Held) -> str:
    more = sorted(set(said.attachment_ids) - known.attachment_ids)
    return f"the inbox names {', '.join(more)} too" if more else "the inbox knows more of it"
