"""``mo-sync ledger``: its commands by name, each imported when it is called."""

from __future__ import annotations

import typer

from mo_sync.cli.commands import Command, Commands

__all__ = ["COMMANDS", "app"]


COMMANDS = {
    "status": Command("looking", "status", "The ledger at a glance."),
    "list": Command("lists", "list_", "Attachments, with where they are or why they are not."),
    "show": Command("looking", "show", "The whole story of an event, message or attachment."),
    "retry": Command("deeds", "retry", "Try again what was given up, or at once what waits."),
    "hold": Command("deeds", "hold", "Do not fetch what waits, until it is released."),
    "release": Command("deeds", "release", "Let go on what is held, out of quarantine, or an application that rests."),
    "cancel": Command("deeds", "cancel", "Give up for good what is not stored."),
    "erase": Command("erasing", "erase", "Forget for good what somebody sent."),
    "verify": Command("verifying", "verify", "Compare ledger and store; repair."),
    "export": Command("exporting", "export", "Write any of its lists as CSV, JSON Lines or Parquet."),
    "follow": Command("following", "follow", "What changes, as it changes, a line of JSON each."),
    "backup": Command("backup", "backup", "Copy it to one file while mo-sync goes on."),
    "prune": Command("pruning", "prune", "Remove what is older than [retention] says."),
    "gaps": Command("inboxes", "gaps", "What Syniverse's inbox has and the ledger has not, or the other way round."),
    "backfill": Command("inboxes", "backfill", "Record what the inbox has from a time on."),
    "replay": Command("replaying", "replay_events", "Read events again as they came."),
}


class _LedgerCommands(Commands):
    """What is done once a day should not make wait who looks at three in the morning."""

    table = COMMANDS


app = typer.Typer(
    cls=_LedgerCommands,
    add_completion=False,
    no_args_is_help=True,
    help="Look into the ledger, and decide what waits for a person.\n\nExample: mo-sync ledger list --problems",
)


@app.callback()
def _ledger() -> None:
    """Look into the ledger, and decide what waits for a person.

    Example: mo-sync ledger list --problems
    """
