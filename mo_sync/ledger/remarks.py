"""Remarks on events that announce an attachment of another message: worded here, and veiled when that is erased."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select, text, update

from mo_sync.ledger.schema import REMARKED, event
from mo_sync.ledger.veil import Veil

__all__ = ["BETWEEN", "stranger", "veil_attachment", "veil_message"]

BETWEEN: Final = "; "
"""Stands between several remarks on one event. There is no blank and no semicolon in an attachment's id."""
_OWNED: Final = " belongs to message "


def stranger(attachment_id: str, owner: str) -> str:
    """The remark on an event that announced this attachment for another message than ``owner``, which has it."""
    return f"{attachment_id}{_OWNED}{owner}"


def veil_message(connection: Connection, veil: Veil, message_id: str) -> None:
    """Where other events' remarks name this message and its attachments, have them name what stands for these."""
    owner = veil("message", message_id)
    _reword(connection, message_id, lambda one: stranger(veil("attachment", one), owner))


def veil_attachment(connection: Connection, veil: Veil, attachment_id: str, message_id: str) -> None:
    """The same for one attachment of this message, which stays."""
    new = veil("attachment", attachment_id)
    _reword(connection, message_id, lambda one: stranger(new if one == attachment_id else one, message_id))


def _reword(connection: Connection, owner: str, said: Callable[[str], str]) -> None:
    """By the remarks themselves: the attachments' own rows may have been pruned long ago."""
    named = event.c.reason.contains(f"{_OWNED}{owner}", autoescape=True)
    remark = re.compile(rf"(?:^|(?<={BETWEEN}))([^\s;]+){_OWNED}{re.escape(owner)}(?={BETWEEN}|$)")
    for row in connection.execute(select(event.c.id, event.c.reason).where(text(REMARKED), named)).all():
        reason = remark.sub(lambda found: said(found[1]), row.reason)
        connection.execute(update(event).where(event.c.id == row.id).values(reason=reason))
