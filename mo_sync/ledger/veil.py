"""What stands for ids that were erased: a keyed hash, by which one that comes again is known, and nothing else of it.

An id is replaced by ``erased:``, with which none that comes in may begin, and the beginning of HMAC-SHA-256 of its kind
and itself. The key is made when something is first erased, and stays in the ledger: without it an announcement that
comes again could not be told from a new one. It keeps two ledgers' hashes from being compared; that ids cannot be
guessed is what protects them here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from mo_sync.events import ERASED, Envelope, RawEvent, Rejected
from mo_sync.ledger.bulk import Look, look_up
from mo_sync.ledger.dialect import among, insert
from mo_sync.ledger.schema import attachment, erasure_key, event, message
from mo_sync.naming import component

__all__ = ["ERASED", "Veil", "key_of", "known_key", "veiled"]

_LENGTH: Final = 32
_REASON: Final = "its message was erased on request"

Item = tuple[RawEvent, Envelope | Rejected]


@dataclass(frozen=True, slots=True)
class Veil:
    """Makes stand-ins with a ledger's key."""

    key: bytes

    def __call__(self, kind: str, name: str) -> str:
        """What stands for an id of this kind; of one that stands for another already, itself."""
        if name.startswith(ERASED):
            return name
        # As it stands in a file's name, so that a file of it is known that comes to light afterwards.
        return self.filed(component(name)) if kind == "attachment" else self._hashed(kind, name)

    def of_attachments(self, ids: Iterable[str]) -> dict[str, str]:
        """The ids by what may stand for them: also by the hash that stood for one which is no file's name, before it
        was made of what a file's name has for it."""
        return {stand_in: one for one in ids for stand_in in (self("attachment", one), self.filed(one))}

    def filed(self, name: str) -> str:
        """What stands for an attachment, by what its file's name has for its id."""
        return self._hashed("attachment", name)

    def _hashed(self, kind: str, name: str) -> str:
        return ERASED + hmac.new(self.key, f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()[:_LENGTH]


def key_of(connection: Connection, *, now: datetime) -> Veil:
    """The ledger's veil; its key is made if there is none. For a transaction that writes."""
    found = known_key(connection)
    if found is not None:
        return found
    row = {"id": 1, "key": secrets.token_hex(32), "created_at": now}
    connection.execute(insert(connection.dialect.name, erasure_key).values(row).on_conflict_do_nothing())
    made = known_key(connection)
    assert made is not None  # noqa: S101  it was made above, by us or by another
    return made


def veiled(connection: Connection, batch: Sequence[Item]) -> tuple[Sequence[Item], frozenset[str]]:
    """``batch`` without what was erased, and the ids of erased attachments among what is left.

    An announcement that was erased counts as one more delivery of what stands for it; another announcement of a message
    that was erased becomes one that is ignored, without its bytes. One that names an erased attachment loses its bytes
    too, in which the id stands; what else it says is taken in.
    """
    veil = known_key(connection)
    if veil is None:
        return batch, frozenset()
    gone = _Gone.of(connection, veil, [parsed for _, parsed in batch])
    if not gone:
        return batch, frozenset()
    return [gone.hide(item) for item in batch], gone.attachments


@dataclass(frozen=True, slots=True)
class _Gone:
    """What of a batch was erased: the stand-ins of events and messages, the ids of attachments."""

    veil: Veil
    events: frozenset[str]
    by_content: dict[str, str]
    messages: frozenset[str]
    attachments: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.events or self.by_content or self.messages or self.attachments)

    @classmethod
    def of(cls, connection: Connection, veil: Veil, events: Sequence[Envelope | Rejected]) -> _Gone:
        understood = [parsed for parsed in events if isinstance(parsed, Envelope)]
        said = [parsed.message for parsed in understood if parsed.message is not None]
        attachments = veil.of_attachments(name for one in said for name in one.attachment_ids)
        by_content = _found(connection, _contents, (veil("content", one.content_key) for one in understood))
        return cls(
            veil=veil,
            events=frozenset(row[0] for row in _found(connection, _keys, (veil("event", e.event_key) for e in events))),
            by_content={content: key for key, content in by_content},
            messages=frozenset(
                row[0] for row in _found(connection, _messages, (veil("message", one.message_id) for one in said))
            ),
            attachments=frozenset(attachments[row[0]] for row in _found(connection, _attachments, attachments)),
        )

    def hide(self, item: Item) -> Item:
        """The item itself, or what is left of it."""
        raw, parsed = item
        key = self.veil("event", parsed.event_key)
        bare = RawEvent(raw.source.partition(":")[0], b"", raw.received_at)
        if isinstance(parsed, Rejected):
            return (bare, Rejected(key, "erased on request", "event")) if key in self.events else item
        content = self.veil("content", parsed.content_key)
        known = key if key in self.events else self.by_content.get(content)
        named = parsed.message is not None and self.veil("message", parsed.message.message_id) in self.messages
        if known is None and not named:
            return (RawEvent(raw.source, b"", raw.received_at), parsed) if self._names_one(parsed) else item
        left = Envelope(known or key, content, parsed.topic, parsed.type, None, None, None, _REASON)
        return bare, left

    def _names_one(self, parsed: Envelope) -> bool:
        return parsed.message is not None and not self.attachments.isdisjoint(parsed.message.attachment_ids)


def known_key(connection: Connection) -> Veil | None:
    """The ledger's veil; None when nothing was ever erased."""
    row = connection.exec_driver_sql("select key from erasure_key").first()
    return Veil(bytes.fromhex(row[0])) if row is not None else None


def _found(connection: Connection, look: Look, names: Iterable[str]) -> list[tuple[Any, ...]]:
    return look_up(connection, look, sorted(set(names)))


def _keys(dialect: str) -> Select[Any]:
    return select(event.c.event_key).where(among(dialect, event.c.event_key))


def _contents(dialect: str) -> Select[Any]:
    return select(event.c.event_key, event.c.content_key).where(among(dialect, event.c.content_key))


def _messages(dialect: str) -> Select[Any]:
    return select(message.c.id).where(among(dialect, message.c.id))


def _attachments(dialect: str) -> Select[Any]:
    return select(attachment.c.id).where(among(dialect, attachment.c.id))
