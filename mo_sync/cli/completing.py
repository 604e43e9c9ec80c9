"""What a shell offers when somebody presses Tab: states, applications and ids, the latter two from the ledger.

Whatever is in the way (no configuration, a ledger out of reach), nothing is offered: the command itself says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from mo_sync.cli.context import Context
from mo_sync.errors import MoSyncError
from mo_sync.ledger import Ledger
from mo_sync.ledger.filters import EVENT_STATES
from mo_sync.lifecycle import State

__all__ = ["applications", "event_states", "ids", "states"]


def states(ctx: typer.Context, incomplete: str) -> list[str]:
    """States that begin so, behind those that stand before the last comma: of events where those are listed."""
    # Before an option that has no value yet, arguments are not understood yet either: they stand in ``args``.
    of_events = "events" in (ctx.params.get("kind"), *ctx.args)
    return event_states(incomplete) if of_events else _beginning(tuple(State), incomplete)


def event_states(incomplete: str) -> list[str]:
    """The same of events."""
    return _beginning(EVENT_STATES, incomplete)


def _beginning(states: Sequence[str], incomplete: str) -> list[str]:
    """
    >>> _beginning(["stored", "failed"], "stored,fa")
    ['stored,failed']
    """
    before, comma, begun = incomplete.rpartition(",")
    return [f"{before}{comma}{state}" for state in states if state.startswith(begun)]


def applications(ctx: typer.Context, incomplete: str) -> list[str]:
    """Applications whose ids begin so."""
    from mo_sync.ledger.applications import beginning_with

    return _offered(ctx, lambda ledger: beginning_with(ledger, incomplete))


def ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Attachments, messages and events whose ids begin so."""
    from mo_sync.ledger.stories import beginning_with

    return _offered(ctx, lambda ledger: beginning_with(ledger, incomplete))


def _offered(ctx: typer.Context, asked: Callable[[Ledger], Sequence[str]]) -> list[str]:
    config = ctx.find_root().params.get("config")
    try:
        here = Context(environ=dict(os.environ), cwd=Path.cwd(), config=Path(config) if config else None)
        with here.ledger() as ledger:
            return list(asked(ledger))
    except (MoSyncError, OSError, ValueError):  # ValueError: what was typed is no text that a database could hold
        return []
