"""What is compared with Syniverse's inbox and told to it; a scan status that comes late; what was pruned; habits."""

import sqlalchemy as sa
from alembic import op

from mo_sync.ledger.columns import UtcTime

revision = "0004"
down_revision = "0003"

_INBOX = sa.text("substr(source, 1, 6) = 'inbox:'")
_SCAN_TOLD = sa.text("scan_told_at is not null")
_PRUNED = sa.text("pruned is not null")
_PENDING = sa.text("state = 'pending'")
_FAILED = sa.text("state = 'failed'")


def upgrade() -> None:
    _known_tables()
    _gap()
    _mark()
    _rhythm()


def _known_tables() -> None:
    late = "When its av_status came after it, until its files were judged by that."
    op.add_column("message", sa.Column("scan_told_at", UtcTime(length=27), nullable=True, comment=late))
    op.create_index("ix_message_scan_told", "message", ["id"], sqlite_where=_SCAN_TOLD, postgresql_where=_SCAN_TOLD)
    pruned = "Its attachments that were pruned, by commas: they do not come again."
    op.add_column("message", sa.Column("pruned", sa.Text(), nullable=True, comment=pruned))
    op.create_index("ix_message_pruned", "message", ["id"], sqlite_where=_PRUNED, postgresql_where=_PRUNED)
    op.drop_index("ix_message_application_id", "message")
    op.create_index("ix_message_application_id", "message", ["application_id", "occurred_at"])
    op.create_index("ix_message_occurred_at", "message", ["occurred_at", "id"])
    op.create_index("ix_event_inbox", "event", ["received_at"], sqlite_where=_INBOX, postgresql_where=_INBOX)


def _gap() -> None:
    op.create_table(
        "gap",
        sa.Column("kind", sa.Text(), nullable=False, comment="What kind of difference; see `v_gap` and `v_problem`."),
        sa.Column("subject", sa.Text(), nullable=False, comment="The message or application that it is about."),
        sa.Column("application_id", sa.Text(), nullable=False, comment="The application whose inbox was compared."),
        sa.Column(
            "since",
            UtcTime(length=27),
            nullable=False,
            comment="Since when that is so: of a message, when it was received.",
        ),
        sa.Column("found_at", UtcTime(length=27), nullable=False, comment="When it was found."),
        sa.Column("reason", sa.Text(), nullable=False, comment="What is there and what is here, in a sentence."),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_gap")),
        comment="Where Syniverse's side and this one differ, or an application is silent, as last seen.",
    )


def _mark() -> None:
    op.create_table(
        "mark",
        sa.Column("message_id", sa.Text(), nullable=False, comment="Which message."),
        sa.Column("state", sa.Text(), nullable=False, comment="pending, done or failed."),
        sa.Column("due_at", UtcTime(length=27), comment="When it is to be told; NULL when that is over."),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="How often it was told in vain."
        ),
        sa.Column("error", sa.Text(), comment="Why it could not be told."),
        sa.Column(
            "created_at", UtcTime(length=27), nullable=False, comment="When the last of its attachments was stored."
        ),
        sa.Column("marked_at", UtcTime(length=27), comment="When Syniverse was told."),
        sa.CheckConstraint("state in ('pending', 'done', 'failed')", name=op.f("ck_mark_state")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_mark_message_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_mark")),
        comment="Messages to be marked as PROCESSED at Syniverse (`inbox.mark_processed`), and those that are.",
    )
    op.create_index("ix_mark_due", "mark", ["due_at"], sqlite_where=_PENDING, postgresql_where=_PENDING)
    op.create_index("ix_mark_failed", "mark", ["message_id"], sqlite_where=_FAILED, postgresql_where=_FAILED)


def _rhythm() -> None:
    op.create_table(
        "rhythm",
        sa.Column("application_id", sa.Text(), nullable=False, comment="The application."),
        sa.Column("day", sa.Text(), nullable=False, comment="The day (UTC), as 2026-11-20."),
        sa.Column("events", sa.Integer(), nullable=False, comment="How many of its messages were announced then."),
        sa.Column(
            "longest_pause_s",
            sa.Float(),
            nullable=False,
            comment="The longest pause before one of these, in seconds.",
        ),
        sa.Column("last_at", UtcTime(length=27), nullable=False, comment="When the last one was received."),
        sa.PrimaryKeyConstraint("application_id", "day", name=op.f("pk_rhythm")),
        comment="How regularly an application's messages are announced, a row a day: what silence is measured by.",
    )
