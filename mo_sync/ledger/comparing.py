"""The tables of what is compared with Syniverse's side, and told to it: gaps, marks, and the habits of applications."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Float, ForeignKey, Index, Integer, Table, Text, text

from mo_sync.ledger.columns import UtcTime, metadata

__all__ = ["gap", "mark", "rhythm"]

gap = Table(
    "gap",
    metadata,
    Column("kind", Text, primary_key=True, comment="What kind of difference; see `v_gap` and `v_problem`."),
    Column("subject", Text, primary_key=True, comment="The message or application that it is about."),
    Column("application_id", Text, nullable=False, comment="The application whose inbox was compared."),
    Column("since", UtcTime, nullable=False, comment="Since when that is so: of a message, when it was received."),
    Column("found_at", UtcTime, nullable=False, comment="When it was found."),
    Column("reason", Text, nullable=False, comment="What is there and what is here, in a sentence."),
    comment="Where Syniverse's side and this one differ, or an application is silent, as last seen.",
)

mark = Table(
    "mark",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True, comment="Which message."),
    Column("state", Text, nullable=False, comment="pending, done or failed."),
    Column("due_at", UtcTime, comment="When it is to be told; NULL when that is over."),
    Column("attempts", Integer, nullable=False, server_default="0", comment="How often it was told in vain."),
    Column("error", Text, comment="Why it could not be told."),
    Column("created_at", UtcTime, nullable=False, comment="When the last of its attachments was stored."),
    Column("marked_at", UtcTime, comment="When Syniverse was told."),
    CheckConstraint("state in ('pending', 'done', 'failed')", name="state"),
    Index(
        "ix_mark_due",
        "due_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_mark_failed",
        "message_id",
        sqlite_where=text("state = 'failed'"),
        postgresql_where=text("state = 'failed'"),
    ),
    comment="Messages to be marked as PROCESSED at Syniverse (`inbox.mark_processed`), and those that are.",
)

rhythm = Table(
    "rhythm",
    metadata,
    Column("application_id", Text, primary_key=True, comment="The application."),
    Column("day", Text, primary_key=True, comment="The day (UTC), as 2026-11-20."),
    Column("events", Integer, nullable=False, comment="How many of its messages were announced then."),
    Column("longest_pause_s", Float, nullable=False, comment="The longest pause before one of these, in seconds."),
    Column("last_at", UtcTime, nullable=False, comment="When the last one was received."),
    comment="How regularly an application's messages are announced, a row a day: what silence is measured by.",
)
