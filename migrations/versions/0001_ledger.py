"""The ledger as it begins: events, messages, attachments, attempts, applications."""

import sqlalchemy as sa
from alembic import op

from mo_sync.ledger.columns import UtcTime

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "application",
        sa.Column("id", sa.Text(), nullable=False, comment="Syniverse's application id."),
        sa.Column("state", sa.Text(), nullable=False, comment="active, throttled or held."),
        sa.Column("until", UtcTime(length=27), nullable=True, comment="Until when its claims rest; NULL: they do not."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why they rest."),
        sa.Column("updated_at", UtcTime(length=27), nullable=False, comment="When this row last changed."),
        sa.CheckConstraint("state in ('active', 'throttled', 'held')", name=op.f("ck_application_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application")),
        comment="Applications that are, or were, in trouble of their own.",
    )
    op.create_table(
        "cursor",
        sa.Column("name", sa.Text(), nullable=False, comment="Whose place it is."),
        sa.Column("value", sa.Text(), nullable=False, comment="The place."),
        sa.Column("updated_at", UtcTime(length=27), nullable=False, comment="When it last moved."),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursor")),
        comment="How far a feed has read. Not used in this version.",
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Text(), nullable=False, comment="Syniverse's message_id."),
        sa.Column("application_id", sa.Text(), nullable=False, comment="The application that received it."),
        sa.Column("company_id", sa.Text(), nullable=True, comment="Syniverse's company-id."),
        sa.Column("channel", sa.Text(), nullable=True, comment="How it came, when the event says so."),
        sa.Column("from_address", sa.Text(), nullable=True, comment="Who sent it."),
        sa.Column("to_address", sa.Text(), nullable=True, comment="To which of our addresses."),
        sa.Column("body", sa.Text(), nullable=True, comment="Its text."),
        sa.Column("sender_id", sa.Text(), nullable=True, comment="Syniverse's sender id."),
        sa.Column(
            "av_status",
            sa.Text(),
            nullable=True,
            comment="Syniverse's virus scan of the attachments (anti_virus_scan_status).",
        ),
        sa.Column("occurred_at", UtcTime(length=27), nullable=True, comment="When it was received by Syniverse."),
        sa.Column("recorded_at", UtcTime(length=27), nullable=False, comment="When we recorded it."),
        sa.Column(
            "filed_at",
            UtcTime(length=27),
            nullable=False,
            comment="The day under which its files are kept; never changes.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        comment="Messages from phones, each once, however often announced.",
    )
    op.create_index(op.f("ix_message_application_id"), "message", ["application_id"], unique=False)
    op.create_index(op.f("ix_message_from_address"), "message", ["from_address"], unique=False)
    op.create_index(op.f("ix_message_recorded_at"), "message", ["recorded_at"], unique=False)
    op.create_index(op.f("ix_message_to_address"), "message", ["to_address"], unique=False)
    op.create_table(
        "attachment",
        sa.Column("id", sa.Text(), nullable=False, comment="Syniverse's attachment id."),
        sa.Column("message_id", sa.Text(), nullable=False, comment="Its message."),
        sa.Column("application_id", sa.Text(), nullable=False, comment="Whose token may fetch it."),
        sa.Column("position", sa.Integer(), nullable=False, comment="Its place in the message, from 0."),
        sa.Column("state", sa.Text(), nullable=False, comment="Where it is in its life; see States."),
        sa.Column(
            "due_at",
            UtcTime(length=27),
            nullable=True,
            comment="When it is to be tried; NULL when it waits for nothing.",
        ),
        sa.Column("deadline_at", UtcTime(length=27), nullable=False, comment="When retrying ends."),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="Attempts used up."),
        sa.Column(
            "absences",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Attempts that ended in 'no such file'.",
        ),
        sa.Column("lease", sa.Text(), nullable=True, comment="The random token of the worker that has it now."),
        sa.Column("lease_until", UtcTime(length=27), nullable=True, comment="When that lease runs out."),
        sa.Column("claimed_at", UtcTime(length=27), nullable=True, comment="When it was last lent to a worker."),
        sa.Column("worker", sa.Text(), nullable=True, comment="The worker that has it now, or had it last."),
        sa.Column("declared_type", sa.Text(), nullable=True, comment="The content type that was announced."),
        sa.Column("header_type", sa.Text(), nullable=True, comment="The content type that the gateway sent."),
        sa.Column(
            "content_type",
            sa.Text(),
            nullable=True,
            comment="The content type by the bytes themselves (else what was sent).",
        ),
        sa.Column("filename", sa.Text(), nullable=True, comment="The original file name, if any was given."),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="Bytes in the store."),
        sa.Column("sha256", sa.Text(), nullable=True, comment="SHA-256 of the bytes in the store, lower-case hex."),
        sa.Column("location", sa.Text(), nullable=True, comment="The key inside the store."),
        sa.Column("stored_at", UtcTime(length=27), nullable=True, comment="When it was stored."),
        sa.Column("error_step", sa.Text(), nullable=True, comment="At which step the last failure happened."),
        sa.Column("error_status", sa.Integer(), nullable=True, comment="HTTP status of the last failure."),
        sa.Column("error_code", sa.Text(), nullable=True, comment="SCG code, or kind of error, of the last failure."),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it is not stored, in a sentence."),
        sa.Column("created_at", UtcTime(length=27), nullable=False, comment="When it was first announced to us."),
        sa.Column("updated_at", UtcTime(length=27), nullable=False, comment="When this row last changed."),
        sa.CheckConstraint("(state = 'fetching') = (lease is not null)", name=op.f("ck_attachment_lease")),
        sa.CheckConstraint("state != 'pending' or due_at is not null", name=op.f("ck_attachment_due")),
        sa.CheckConstraint(
            "state in ('pending', 'fetching', 'stored', 'missing', 'refused', 'quarantined', 'failed', 'held', "
            "'cancelled', 'erased')",
            name=op.f("ck_attachment_state"),
        ),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_attachment_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
        comment="Files that were announced, each once, and what became of them.",
    )
    op.create_index("ix_attachment_created_at", "attachment", ["created_at"], unique=False)
    op.create_index(
        "ix_attachment_due",
        "attachment",
        ["state", "due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_attachment_leased",
        "attachment",
        ["state", "lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'fetching'"),
        postgresql_where=sa.text("state = 'fetching'"),
    )
    op.create_index(op.f("ix_attachment_message_id"), "attachment", ["message_id"], unique=False)
    op.create_index("ix_attachment_state_created_at", "attachment", ["state", "created_at"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False, comment="Row number, in the order of recording."),
        sa.Column("event_key", sa.Text(), nullable=False, comment="The announcement's identity: its id, else a hash."),
        sa.Column(
            "content_key", sa.Text(), nullable=True, comment="SHA-256 of the canonical field list; NULL when rejected."
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="The feed it came by, and from which file and place."),
        sa.Column("topic", sa.Text(), nullable=True, comment="The event's topic, as announced."),
        sa.Column("type", sa.Text(), nullable=True, comment="The event's type, as announced (evt-tp)."),
        sa.Column("state", sa.Text(), nullable=False, comment="accepted, ignored (understood, not ours) or rejected."),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=True,
            comment="Why it was ignored or rejected; beside an accepted one, a remark.",
        ),
        sa.Column("message_id", sa.Text(), nullable=True, comment="The message it announces."),
        sa.Column(
            "occurred_at", UtcTime(length=27), nullable=True, comment="When it happened, by the event's own timestamp."
        ),
        sa.Column("received_at", UtcTime(length=27), nullable=False, comment="When it first reached us."),
        sa.Column(
            "deliveries", sa.Integer(), server_default="1", nullable=False, comment="How often it was delivered to us."
        ),
        sa.Column(
            "payload",
            sa.Text(),
            nullable=False,
            comment="The event as it came; base64 behind `base64:` if it is no text.",
        ),
        sa.CheckConstraint("state in ('accepted', 'ignored', 'rejected')", name=op.f("ck_event_state")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_event_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("event_key", name=op.f("uq_event_event_key")),
        comment="Announcements, each once, with the bytes they came in.",
    )
    op.create_index(op.f("ix_event_content_key"), "event", ["content_key"], unique=False)
    op.create_index(op.f("ix_event_message_id"), "event", ["message_id"], unique=False)
    op.create_index("ix_event_received_at", "event", ["received_at"], unique=False)
    op.create_index(
        "ix_event_rejected",
        "event",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'rejected'"),
        postgresql_where=sa.text("state = 'rejected'"),
    )
    op.create_table(
        "attempt",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False, comment="Row number."),
        sa.Column("attachment_id", sa.Text(), nullable=False, comment="What was tried."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Which try of this attachment, from 1."),
        sa.Column("started_at", UtcTime(length=27), nullable=True, comment="When it began."),
        sa.Column("finished_at", UtcTime(length=27), nullable=False, comment="When it ended."),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="stored, quarantined, refused, interrupted, lost, or the verdict.",
        ),
        sa.Column("step", sa.Text(), nullable=True, comment="At which step it failed."),
        sa.Column("status", sa.Integer(), nullable=True, comment="HTTP status."),
        sa.Column("code", sa.Text(), nullable=True, comment="SCG code, or kind of error."),
        sa.Column("bytes", sa.BigInteger(), nullable=True, comment="Bytes received."),
        sa.Column("error", sa.Text(), nullable=True, comment="What went wrong, in a sentence."),
        sa.Column("worker", sa.Text(), nullable=True, comment="Who tried."),
        sa.ForeignKeyConstraint(["attachment_id"], ["attachment.id"], name=op.f("fk_attempt_attachment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        comment="Every try to fetch an attachment.",
    )
    op.create_index(op.f("ix_attempt_attachment_id"), "attempt", ["attachment_id"], unique=False)
    op.create_index("ix_attempt_finished_at", "attempt", ["finished_at"], unique=False)
    op.create_table(
        "notification",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False, comment="Row number; the order of telling."),
        sa.Column("attachment_id", sa.Text(), nullable=False, comment="What it is about."),
        sa.Column("kind", sa.Text(), nullable=False, comment="What happened to it."),
        sa.Column("state", sa.Text(), nullable=False, comment="pending, delivered or failed."),
        sa.Column("created_at", UtcTime(length=27), nullable=False, comment="When it happened."),
        sa.Column("due_at", UtcTime(length=27), nullable=True, comment="When it is to be told."),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="How often it was tried to tell it."
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why telling failed."),
        sa.ForeignKeyConstraint(["attachment_id"], ["attachment.id"], name=op.f("fk_notification_attachment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        comment="What the application is still to be told. Not used in this version.",
    )
    op.create_index(op.f("ix_notification_attachment_id"), "notification", ["attachment_id"], unique=False)
