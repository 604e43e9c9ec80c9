"""When each file was last verified; what people did; the key of erased ids; totals, and indexes for quick answers."""

import sqlalchemy as sa
from alembic import op

from mo_sync.ledger.columns import UtcTime

revision = "0003"
down_revision = "0002"

# As they were when this was written: an old ledger becomes what this revision was, whatever the program says today.
AT_REST = "state in ('stored', 'quarantined')"
REMARKED = "state = 'accepted' and reason is not null"
COUNTS = (
    "select 'attachment', state, count(*), coalesce(sum(coalesce(size, 0)), 0) from attachment group by state",
    "select 'event', state, count(*), coalesce(sum(deliveries), 0) from event group by state",
    "select 'message', 'recorded', count(*), 0 from message having count(*) > 0",
)


def upgrade() -> None:
    verified = "When its bytes were last found to be whole, first as they were stored."
    op.add_column("attachment", sa.Column("verified_at", UtcTime(length=27), nullable=True, comment=verified))
    op.execute(f"update attachment set verified_at = coalesce(stored_at, updated_at) where {AT_REST}")  # noqa: S608  our own words
    op.create_index(
        "ix_attachment_at_rest",
        "attachment",
        ["verified_at", "id"],
        sqlite_where=sa.text(AT_REST),
        postgresql_where=sa.text(AT_REST),
    )
    for name in ("from_address", "to_address"):
        op.drop_index(f"ix_message_{name}", "message")
        op.create_index(f"ix_message_{name}", "message", [name, "recorded_at"])
    op.drop_index("ix_attempt_finished_at", "attempt")
    op.create_index("ix_attempt_finished_at", "attempt", ["finished_at", "outcome"])
    failing, remarked = sa.text("error is not null"), sa.text(REMARKED)
    op.create_index("ix_attachment_error", "attachment", ["created_at"], sqlite_where=failing, postgresql_where=failing)
    op.create_index("ix_event_remarked", "event", ["id"], sqlite_where=remarked, postgresql_where=remarked)
    op.create_table(
        "total",
        sa.Column("kind", sa.Text(), nullable=False, comment="attachment, event or message."),
        sa.Column("state", sa.Text(), nullable=False, comment="The state that they are in; of messages: recorded."),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="How many there are."),
        sa.Column(
            "amount", sa.BigInteger(), nullable=False, comment="Of attachments their bytes, of events their deliveries."
        ),
        sa.PrimaryKeyConstraint("kind", "state", name=op.f("pk_total")),
        comment="How much there is of everything. Triggers keep it, in SQLite; in PostgreSQL it is empty.",
    )
    if op.get_bind().dialect.name == "sqlite":
        for counts in COUNTS:
            op.execute(f"insert into total (kind, state, count, amount) {counts}")
    op.create_table(
        "process",
        sa.Column("worker", sa.Text(), nullable=False, comment="The daemon's own name: host, process id, chance."),
        sa.Column("version", sa.Text(), nullable=False, comment="Which mo-sync it is."),
        sa.Column("started_at", UtcTime(length=27), nullable=False, comment="Since when it runs."),
        sa.Column("seen_at", UtcTime(length=27), nullable=False, comment="When it last said that it does."),
        sa.Column("jobs", sa.Text(), nullable=False, comment="JSON: when each of its jobs last completed a tick."),
        sa.Column("trouble", sa.Text(), comment="What is out of its reach, in a sentence."),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_process")),
        comment="Daemons at work, by what they last said; who ends in good order has no row.",
    )
    op.create_table(
        "intervention",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, comment="Row number."
        ),
        sa.Column("attachment_id", sa.Text(), nullable=False, comment="About what."),
        sa.Column("deed", sa.Text(), nullable=False, comment="retry, hold, release, cancel, verify, or erase."),
        sa.Column("at", UtcTime(length=27), nullable=False, comment="When."),
        sa.Column("state", sa.Text(), nullable=False, comment="The state that the attachment was in before."),
        sa.Column("who", sa.Text(), comment="By whom, as far as that is known."),
        sa.Column("reason", sa.Text(), comment="Why."),
        sa.ForeignKeyConstraint(["attachment_id"], ["attachment.id"], name=op.f("fk_intervention_attachment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intervention")),
        comment="What people, or verify for them, did to attachments.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_intervention_attachment_id"), "intervention", ["attachment_id"])
    op.create_table(
        "erasure_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1."),
        sa.Column("key", sa.Text(), nullable=False, comment="256 random bits, in hexadecimal."),
        sa.Column("created_at", UtcTime(length=27), nullable=False, comment="When something was first erased."),
        sa.CheckConstraint("id = 1", name=op.f("ck_erasure_key_only")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_key")),
        comment="The key of the hashes that stand for erased ids, so that they mean nothing in another ledger.",
    )
    if op.get_bind().dialect.supports_comments:
        cursor = "How far something has come that goes through the ledger, or through a feed, in pieces."
        op.create_table_comment("cursor", cursor)
