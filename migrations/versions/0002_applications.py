"""Applications have a state of their own, with a row each from the first attachment on; duties that one process has."""

import sqlalchemy as sa
from alembic import op

from mo_sync.ledger.columns import UtcTime

revision = "0002"
down_revision = "0001"

PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    with op.batch_alter_table("application") as table:
        table.add_column(
            sa.Column(
                "failures",
                sa.Integer(),
                nullable=False,
                server_default="0",
                comment="How often in a row it was tried in vain.",
            )
        )
        table.add_column(
            sa.Column(
                "workers",
                sa.Integer(),
                nullable=True,
                comment="How many fetches at once it bears, as last found; NULL: as many as there are.",
            )
        )
        table.alter_column(
            "until",
            existing_type=UtcTime(length=27),
            comment="When it is next tried, by one attachment; NULL: it is in no trouble.",
        )
        table.alter_column("reason", existing_type=sa.Text(), comment="Why its claims rest.")
    if op.get_bind().dialect.supports_comments:
        op.create_table_comment(
            "application", "Applications that attachments belong to, and the trouble that is their own."
        )
        op.alter_column(
            "attachment",
            "declared_type",
            existing_type=sa.Text(),
            comment="The content type of its metadata, where they were asked for.",
        )
    op.execute(
        "insert into application (id, state, updated_at) "
        "select application_id, 'active', max(updated_at) from attachment "
        "where application_id not in (select id from application) group by application_id"
    )
    op.drop_index("ix_attachment_due", "attachment")
    op.create_index(
        "ix_attachment_due",
        "attachment",
        ["state", "application_id", "due_at"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
    op.create_table(
        "duty",
        sa.Column("name", sa.Text(), nullable=False, comment="What only one process at a time may do."),
        sa.Column("lease", sa.Text(), nullable=False, comment="The random token of who does it."),
        sa.Column("worker", sa.Text(), nullable=False, comment="Who does it, or did it last."),
        sa.Column("until", UtcTime(length=27), nullable=False, comment="When that lease runs out."),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duty")),
        comment="What one process does for all of them.",
    )
