"""What was chosen by and is nowhere in the ledger: a slip must not look like an all-clear."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mo_sync.cli.context import Context
from mo_sync.ledger import Ledger
from mo_sync.ledger.acquaintance import heard_of, strangers
from mo_sync.ledger.applications import beginning_with
from mo_sync.ledger.filters import Filters

__all__ = ["doubts"]

_WRITTEN = "numbers are written as events have them: +14085550100; mo-sync ledger list --reveal shows them"
_NAMED = 5


def doubts(context: Context, filters: Filters, application_ids: Collection[str]) -> list[str]:
    """A line for each number and application of which nothing is recorded, with what to do. Raises what opening the
    ledger does.

    An application that the settings name is none: its first message may still come.
    """
    sender, receiver = filters.from_address, filters.to_address
    if not application_ids and sender is None and receiver is None:
        return []
    configured = context.loaded().settings.applications
    with context.ledger() as ledger:
        from_it, to_it = heard_of(ledger, sender=sender, receiver=receiver)
        told = [] if from_it else [f"--from {sender}: no message here is from it; {_WRITTEN}"]
        told += [] if to_it else [f"--to {receiver}: no message here is to it; {_WRITTEN}"]
        return [*told, *_of_applications(ledger, [one for one in application_ids if one not in configured])]


def _of_applications(ledger: Ledger, application_ids: Collection[str]) -> Iterator[str]:
    if unknown := strangers(ledger, application_ids):
        there = beginning_with(ledger, "")
        more = ", …" if len(there) > _NAMED else ""
        named = f"there are {', '.join(there[:_NAMED])}{more}" if there else "there is none yet"
        yield from (f"--application {one}: nothing here is of it; {named}" for one in unknown)
