"""What mo-sync remembers: events, messages, attachments, attempts. The only room that says sqlalchemy."""

from mo_sync.ledger.ledger import Ledger, in_transaction

__all__ = ["Ledger", "in_transaction"]
