"""The commands by name. Each is imported when it is called, so that ``mo-sync --help`` and ``--version`` are quick."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

__all__ = ["COMMANDS", "HELP", "Command", "Commands"]

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""How help is asked for and shown, alike for every command."""


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives in this package (a function, or a ``typer.Typer`` of commands), and what it does."""

    module: str
    name: str
    meaning: str


COMMANDS = {
    "run": Command("run", "run", "Stay and work: the daemon."),
    "relay": Command("relay", "relay", "Receive events by HTTP, for mo-sync elsewhere or beside."),
    "drop": Command("drop", "drop", "Put events into the drop folder."),
    "init": Command("setup", "init", "Write a commented configuration; make the folders and the ledger."),
    "config": Command("setup", "config", "Show the settings in force, and where each came from."),
    "doctor": Command("doctor", "doctor", "Check everything, and say what to do about what is not right."),
    "ledger": Command("ledger", "app", "Look into the ledger, and decide what waits for a person."),
    "demo": Command("demo", "demo", "Run the whole pipeline against the embedded gateway, in ./mo-sync-demo."),
    "gateway": Command("demo", "gateway", "Serve the embedded gateway to programs of your own."),
}


class Commands(TyperGroup):
    """A group that knows its commands' names and meanings, and imports the one that is called."""

    table: ClassVar[Mapping[str, Command]] = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the signature is typer's, here and below
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        command = self.table.get(cmd_name)
        return None if command is None else _made(cmd_name, command)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # typer takes the names for its "did you mean" from here; what they stand for it does not look at.
        self.commands = dict.fromkeys(self.table)  # type: ignore[assignment]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.meaning) for name, command in self.table.items()])


def _imported(module: str) -> ModuleType:
    """Without looking for garbage meanwhile, of which there is none: a tenth of the time that a person waits."""
    gc.disable()
    try:
        return importlib.import_module(f"mo_sync.cli.{module}")
    finally:
        gc.freeze()
        gc.enable()


def _made(name: str, command: Command) -> Any:
    found = getattr(_imported(command.module), command.name)
    if isinstance(found, typer.Typer):
        group = found
        group.rich_markup_mode = None
    else:
        group = typer.Typer(rich_markup_mode=None, add_completion=False)
        group.command(name, context_settings=HELP)(found)
    made = typer.main.get_command(group)
    made.name = name
    return made
