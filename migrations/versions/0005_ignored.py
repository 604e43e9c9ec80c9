"""The few events that are ignored are found among millions that are not."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_IGNORED = sa.text("state = 'ignored'")


def upgrade() -> None:
    op.create_index("ix_event_ignored", "event", ["id"], sqlite_where=_IGNORED, postgresql_where=_IGNORED)
