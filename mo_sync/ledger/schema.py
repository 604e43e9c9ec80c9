"""The ledger's tables: what people inspect with ``sqlite3``, so the names are a promise.

Comments are kept here, and a test holds the page ``docs/ledger.md`` against them. The tables of what is compared with
Syniverse's inbox are in :mod:`mo_sync.ledger.comparing`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    literal_column,
    text,
)
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.columns import ROW_ID, UtcTime, metadata
from mo_sync.ledger.comparing import gap, mark, rhythm
from mo_sync.lifecycle import State

__all__ = [
    "AT_REST",
    "FROM_INBOX",
    "REMARKED",
    "SCAN_TOLD",
    "UtcTime",
    "application",
    "attachment",
    "attempt",
    "cursor",
    "duty",
    "erasure_key",
    "event",
    "gap",
    "intervention",
    "is_in",
    "mark",
    "message",
    "metadata",
    "notification",
    "process",
    "rhythm",
    "total",
]

_STATES = ", ".join(f"'{state}'" for state in State)
REMARKED = "state = 'accepted' and reason is not null"
"""The events that were understood, but about which there is something to say."""
SCAN_TOLD = "scan_told_at is not null"
"""The messages whose files were perhaps stored before it was known what their scan had found."""
FROM_INBOX = "substr(source, 1, 6) = 'inbox:'"
"""The events that nobody announced, as far as they are concerned: the inbox showed their messages."""
AT_REST = f"state in ('{State.STORED}', '{State.QUARANTINED}')"
"""The attachments that have a file in the store, written so that both databases see that an index is about them."""

event = Table(
    "event",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True, comment="Row number, in the order of recording."),
    Column("event_key", Text, nullable=False, unique=True, comment="The announcement's identity: its id, else a hash."),
    Column("content_key", Text, index=True, comment="SHA-256 of the canonical field list; NULL when rejected."),
    Column("source", Text, nullable=False, comment="The feed it came by, and from which file and place."),
    Column("topic", Text, comment="The event's topic, as announced."),
    Column("type", Text, comment="The event's type, as announced (evt-tp)."),
    Column("state", Text, nullable=False, comment="accepted, ignored (understood, not ours) or rejected."),
    Column("reason", Text, comment="Why it was ignored or rejected; beside an accepted one, a remark."),
    Column("message_id", Text, ForeignKey("message.id"), index=True, comment="The message it announces."),
    Column("occurred_at", UtcTime, comment="When it happened, by the event's own timestamp."),
    Column("received_at", UtcTime, nullable=False, comment="When it first reached us."),
    Column("deliveries", Integer, nullable=False, server_default="1", comment="How often it was delivered to us."),
    Column("payload", Text, nullable=False, comment="The event as it came; base64 behind `base64:` if it is no text."),
    CheckConstraint("state in ('accepted', 'ignored', 'rejected')", name="state"),
    Index("ix_event_received_at", "received_at"),
    Index(
        "ix_event_rejected", "id", sqlite_where=text("state = 'rejected'"), postgresql_where=text("state = 'rejected'")
    ),
    Index("ix_event_ignored", "id", sqlite_where=text("state = 'ignored'"), postgresql_where=text("state = 'ignored'")),
    Index("ix_event_inbox", "received_at", sqlite_where=text(FROM_INBOX), postgresql_where=text(FROM_INBOX)),
    Index("ix_event_remarked", "id", sqlite_where=text(REMARKED), postgresql_where=text(REMARKED)),
    comment="Announcements, each once, with the bytes they came in.",
)

message = Table(
    "message",
    metadata,
    Column("id", Text, primary_key=True, comment="Syniverse's message_id."),
    Column("application_id", Text, nullable=False, comment="The application that received it."),
    Column("company_id", Text, comment="Syniverse's company-id."),
    Column("channel", Text, comment="How it came, when the event says so."),
    Column("from_address", Text, comment="Who sent it."),
    Column("to_address", Text, comment="To which of our addresses."),
    Column("body", Text, comment="Its text."),
    Column("sender_id", Text, comment="Syniverse's sender id."),
    Column("av_status", Text, comment="Syniverse's virus scan of the attachments (anti_virus_scan_status)."),
    Column("occurred_at", UtcTime, comment="When it was received by Syniverse."),
    Column("recorded_at", UtcTime, nullable=False, index=True, comment="When we recorded it."),
    Column("filed_at", UtcTime, nullable=False, comment="The day under which its files are kept; never changes."),
    Column("scan_told_at", UtcTime, comment="When its av_status came after it, until its files were judged by that."),
    Column("pruned", Text, comment="Its attachments that were pruned, by commas: they do not come again."),
    Index("ix_message_application_id", "application_id", "occurred_at"),
    # Those of a time, of all applications but some: what an inbox is compared with.
    Index("ix_message_occurred_at", "occurred_at", "id"),
    Index("ix_message_scan_told", "id", sqlite_where=text(SCAN_TOLD), postgresql_where=text(SCAN_TOLD)),
    # With the time: the newest of a number that millions have written to are found without sorting those.
    Index("ix_message_from_address", "from_address", "recorded_at"),
    Index("ix_message_to_address", "to_address", "recorded_at"),
    # Who records asks first whether there are any at all.
    Index(
        "ix_message_pruned",
        "id",
        sqlite_where=text("pruned is not null"),
        postgresql_where=text("pruned is not null"),
    ),
    comment="Messages from phones, each once, however often announced.",
)

attachment = Table(
    "attachment",
    metadata,
    Column("id", Text, primary_key=True, comment="Syniverse's attachment id."),
    Column("message_id", Text, ForeignKey("message.id"), nullable=False, index=True, comment="Its message."),
    Column("application_id", Text, nullable=False, comment="Whose token may fetch it."),
    Column("position", Integer, nullable=False, comment="Its place in the message, from 0."),
    Column("state", Text, nullable=False, comment="Where it is in its life; see States."),
    Column("due_at", UtcTime, comment="When it is to be tried; NULL when it waits for nothing."),
    Column("deadline_at", UtcTime, nullable=False, comment="When retrying ends."),
    Column("attempts", Integer, nullable=False, server_default="0", comment="Attempts used up."),
    Column("absences", Integer, nullable=False, server_default="0", comment="Attempts that ended in 'no such file'."),
    Column("lease", Text, comment="The random token of the worker that has it now."),
    Column("lease_until", UtcTime, comment="When that lease runs out."),
    Column("claimed_at", UtcTime, comment="When it was last lent to a worker."),
    Column("worker", Text, comment="The worker that has it now, or had it last."),
    Column("declared_type", Text, comment="The content type of its metadata, where they were asked for."),
    Column("header_type", Text, comment="The content type that the gateway sent."),
    Column("content_type", Text, comment="The content type by the bytes themselves (else what was sent)."),
    Column("filename", Text, comment="The original file name, if any was given."),
    Column("size", BigInteger, comment="Bytes in the store."),
    Column("sha256", Text, comment="SHA-256 of the bytes in the store, lower-case hex."),
    Column("location", Text, comment="The key inside the store."),
    Column("stored_at", UtcTime, comment="When it was stored."),
    Column("verified_at", UtcTime, comment="When its bytes were last found to be whole, first as they were stored."),
    Column("error_step", Text, comment="At which step the last failure happened."),
    Column("error_status", Integer, comment="HTTP status of the last failure."),
    Column("error_code", Text, comment="SCG code, or kind of error, of the last failure."),
    Column("error", Text, comment="Why it is not stored, in a sentence."),
    Column("created_at", UtcTime, nullable=False, comment="When it was first announced to us."),
    Column("updated_at", UtcTime, nullable=False, comment="When this row last changed."),
    CheckConstraint(f"state in ({_STATES})", name="state"),
    CheckConstraint("(state = 'fetching') = (lease is not null)", name="lease"),
    CheckConstraint("state != 'pending' or due_at is not null", name="due"),
    # With the filter in both dialects: a look for work must not get slower as the stored ones pile up. The state stands
    # among the columns too, or SQLite takes the index on state and created_at for the better one, and sorts.
    Index(
        "ix_attachment_due",
        "state",
        "application_id",
        "due_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_attachment_leased",
        "state",
        "lease_until",
        sqlite_where=text("state = 'fetching'"),
        postgresql_where=text("state = 'fetching'"),
    ),
    # What is to be looked at next by verify; new ones come in at the end.
    Index(
        "ix_attachment_at_rest",
        "verified_at",
        "id",
        sqlite_where=text(AT_REST),
        postgresql_where=text(AT_REST),
    ),
    Index("ix_attachment_state_created_at", "state", "created_at"),
    Index("ix_attachment_created_at", "created_at"),
    Index(
        "ix_attachment_error",
        "created_at",
        sqlite_where=text("error is not null"),
        postgresql_where=text("error is not null"),
    ),
    comment="Files that were announced, each once, and what became of them.",
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True, comment="Row number."),
    Column("attachment_id", Text, ForeignKey("attachment.id"), nullable=False, index=True, comment="What was tried."),
    Column("number", Integer, nullable=False, comment="Which try of this attachment, from 1."),
    Column("started_at", UtcTime, comment="When it began."),
    Column("finished_at", UtcTime, nullable=False, comment="When it ended."),
    Column("outcome", Text, nullable=False, comment="stored, quarantined, refused, interrupted, lost, or the verdict."),
    Column("step", Text, comment="At which step it failed."),
    Column("status", Integer, comment="HTTP status."),
    Column("code", Text, comment="SCG code, or kind of error."),
    Column("bytes", BigInteger, comment="Bytes received."),
    Column("error", Text, comment="What went wrong, in a sentence."),
    Column("worker", Text, comment="Who tried."),
    Index("ix_attempt_finished_at", "finished_at", "outcome"),
    comment="Every try to fetch an attachment.",
)

intervention = Table(
    "intervention",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True, comment="Row number."),
    Column("attachment_id", Text, ForeignKey("attachment.id"), nullable=False, index=True, comment="About what."),
    Column("deed", Text, nullable=False, comment="retry, hold, release, cancel, verify, or erase."),
    Column("at", UtcTime, nullable=False, comment="When."),
    Column("state", Text, nullable=False, comment="The state that the attachment was in before."),
    Column("who", Text, comment="By whom, as far as that is known."),
    Column("reason", Text, comment="Why."),
    comment="What people, or verify for them, did to attachments.",
    # Numbers are never given again: by them others follow what changes.
    sqlite_autoincrement=True,
)

erasure_key = Table(
    "erasure_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    Column("key", Text, nullable=False, comment="256 random bits, in hexadecimal."),
    Column("created_at", UtcTime, nullable=False, comment="When something was first erased."),
    CheckConstraint("id = 1", name="only"),
    comment="The key of the hashes that stand for erased ids, so that they mean nothing in another ledger.",
)

application = Table(
    "application",
    metadata,
    Column("id", Text, primary_key=True, comment="Syniverse's application id."),
    Column("state", Text, nullable=False, comment="active, throttled or held."),
    Column("until", UtcTime, comment="When it is next tried, by one attachment; NULL: it is in no trouble."),
    Column("reason", Text, comment="Why its claims rest."),
    Column("updated_at", UtcTime, nullable=False, comment="When this row last changed."),
    Column("failures", Integer, nullable=False, server_default="0", comment="How often in a row it was tried in vain."),
    Column("workers", Integer, comment="How many fetches at once it bears, as last found; NULL: as many as there are."),
    CheckConstraint("state in ('active', 'throttled', 'held')", name="state"),
    comment="Applications that attachments belong to, and the trouble that is their own.",
)

notification = Table(
    "notification",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True, comment="Row number; the order of telling."),
    Column("attachment_id", Text, ForeignKey("attachment.id"), nullable=False, index=True, comment="What it is about."),
    Column("kind", Text, nullable=False, comment="What happened to it."),
    Column("state", Text, nullable=False, comment="pending, delivered or failed."),
    Column("created_at", UtcTime, nullable=False, comment="When it happened."),
    Column("due_at", UtcTime, comment="When it is to be told."),
    Column("attempts", Integer, nullable=False, server_default="0", comment="How often it was tried to tell it."),
    Column("error", Text, comment="Why telling failed."),
    comment="What the application is still to be told. Not used in this version.",
)

cursor = Table(
    "cursor",
    metadata,
    Column("name", Text, primary_key=True, comment="Whose place it is."),
    Column("value", Text, nullable=False, comment="The place."),
    Column("updated_at", UtcTime, nullable=False, comment="When it last moved."),
    comment="How far something has come that goes through the ledger, or through a feed, in pieces.",
)

total = Table(
    "total",
    metadata,
    Column("kind", Text, primary_key=True, comment="attachment, event or message."),
    Column("state", Text, primary_key=True, comment="The state that they are in; of messages: recorded."),
    Column("count", BigInteger, nullable=False, comment="How many there are."),
    Column("amount", BigInteger, nullable=False, comment="Of attachments their bytes, of events their deliveries."),
    comment="How much there is of everything. Triggers keep it, in SQLite; in PostgreSQL it is empty.",
)

process = Table(
    "process",
    metadata,
    Column("worker", Text, primary_key=True, comment="The daemon's own name: host, process id, chance."),
    Column("version", Text, nullable=False, comment="Which mo-sync it is."),
    Column("started_at", UtcTime, nullable=False, comment="Since when it runs."),
    Column("seen_at", UtcTime, nullable=False, comment="When it last said that it does."),
    Column("jobs", Text, nullable=False, comment="JSON: when each of its jobs last completed a tick."),
    Column("trouble", Text, comment="What is out of its reach, in a sentence."),
    comment="Daemons at work, by what they last said; who ends in good order has no row.",
)

duty = Table(
    "duty",
    metadata,
    Column("name", Text, primary_key=True, comment="What only one process at a time may do."),
    Column("lease", Text, nullable=False, comment="The random token of who does it."),
    Column("worker", Text, nullable=False, comment="Who does it, or did it last."),
    Column("until", UtcTime, nullable=False, comment="When that lease runs out."),
    comment="What one process does for all of them.",
)


def is_in(state: State) -> ColumnElement[bool]:
    """Whether an attachment is in ``state``, written into the statement.

    As a parameter it would hide from both databases that the indexes of what is due and of what is lent apply.
    """
    return attachment.c.state == literal_column(f"'{state.value}'", Text)
