"""A message as the inbox shows it, against what the ledger holds of it. Pure."""

from __future__ import annotations

from typing import Final

from mo_sync.events import UNKNOWN_APPLICATION, MoMessage
from mo_sync.ledger.holdings import Held

__all__ = ["difference", "lacks", "must_ask"]

_WITHOUT: Final = frozenset({"SMS"})


def must_ask(said: MoMessage, kind: str | None, held: Held | None) -> bool:
    """Whether its attachments are to be asked for: its row names none, but its type, or an event, says there are some.

    A message of such a type without any is asked about once: then it is held, and nothing says that it lacks some.
    """
    if said.attachment_ids:
        return False
    if held is None:
        return kind is not None and kind not in _WITHOUT
    return held.lacks_ids


def lacks(said: MoMessage, held: Held) -> bool:
    """Whether the ledger would gain by recording it: attachments, addresses, more of its text, its application."""
    return (
        not held.attachment_ids.issuperset(said.attachment_ids)
        or (held.application_id == UNKNOWN_APPLICATION != said.application_id)
        or (held.from_address is None and said.from_address is not None)
        or (held.to_address is None and said.to_address is not None)
        or _longer(said.body, held.body)
    )


def _longer(told: str | None, held: str | None) -> bool:
    return told is not None and len(told) > len(held or "") and told.startswith(held or "")


def difference(said: MoMessage, held: Held) -> str | None:
    """What the ledger holds that the inbox does not show of it, in a sentence; None when there is nothing."""
    more = sorted(held.attachment_ids.difference(said.attachment_ids))
    if not more or not said.attachment_ids:
        return None
    return f"the inbox names {len(said.attachment_ids)} attachments, and not {', '.join(more)}"
