"""Alembic runs this. It migrates on the connection, and inside the transaction, that mo-sync hands in."""

from alembic import context

from mo_sync.ledger import totals, views
from mo_sync.ledger.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
# Views are made from tables, and triggers hang on them: they go before a migration and come back, as they are now,
# after it.
views.drop(connection)
totals.drop(connection)
with context.begin_transaction():
    context.run_migrations()
views.create(connection)
totals.create(connection)
