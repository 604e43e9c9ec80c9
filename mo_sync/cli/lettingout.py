"""The part of ``mo-sync ledger release`` that lets files out of quarantine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mo_sync.cli.context import Context
from mo_sync.cli.output import Output
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode
from mo_sync.ledger import Ledger
from mo_sync.ledger.interventions import By, Choice
from mo_sync.ledger.verification import quarantined
from mo_sync.lifecycle import State
from mo_sync.signals import heard

__all__ = ["LetOut", "let_out"]


@dataclass(frozen=True, slots=True)
class LetOut:
    """Which attachments were meant, and why some are still quarantined."""

    meant: Collection[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    stopped: Sequence[int] = ()

    @property
    def exit_code(self) -> int:
        """Whether a person has to look again."""
        if self.stopped:
            return 128 + self.stopped[0]
        return ExitCode.NEEDS_A_PERSON if self.left else ExitCode.SETTLED

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {"let_out": len(self.meant) - len(self.left), "still_quarantined": dict(self.left)}

    def tell(self, output: Output, *, dry_run: bool) -> None:
        """For a person; nothing when none was meant."""
        done = len(self.meant) - len(self.left)
        if dry_run and done:
            output.say(f"{done:,} would be let out of quarantine")
        elif done:
            output.say(f"{done:,} let out of quarantine: stored where they would have been")
        if self.stopped:
            output.warn(f"interrupted: {len(self.left):,} are still quarantined")
            return
        for attachment_id, why in self.left.items():
            output.warn(f"{attachment_id} is still quarantined: {why}")


def let_out(context: Context, ledger: Ledger, choice: Choice, by: By, *, dry_run: bool) -> LetOut:
    """Let out what was named one by one, or by its state. By the first Ctrl-C it ends between two files. Raises
    OutOfReach."""
    from mo_sync.presence import worker_name  # what few want, nobody else waits for
    from mo_sync.store import open_store
    from mo_sync.upkeep.quarantine import release

    if State.QUARANTINED not in choice.filters.states:
        choice = replace(choice, message_ids=())
        if not choice.ids:
            return LetOut()
    found = quarantined(ledger, choice)
    meant = [item.id for item in found]
    if dry_run or not found:
        return LetOut(meant)
    settings, clock = context.loaded().settings, SystemClock()
    left: dict[str, str] = {}
    stopped: list[int] = []
    store, marking = open_store(settings.store, worker=worker_name()), settings.inbox.mark_processed
    with (
        contextlib.closing(store),
        context.output().progress("files") as bar,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
    ):
        bar.expect(len(found))
        for item in found:
            if stopped:
                left[item.id] = "it was interrupted before"
            elif (why := release(ledger, store, item, by, clock=clock, marking=marking)) is not None:
                left[item.id] = why
            bar.advance(1)
    return LetOut(meant, left, stopped)
