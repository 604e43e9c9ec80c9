"""The part of ``mo-sync ledger release`` that lets files out of quarantine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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

__all__ = ["LetOut", "let_out"]


@dataclass(frozen=True, slots=True)
class LetOut:
    """Which attachments were meant, and why some are still quarantined."""

    meant: Collection[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """Whether a person has to look again."""
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
        for attachment_id, why in self.left.items():
            output.warn(f"{attachment_id} is still quarantined: {why}")


def let_out(context: Context, ledger: Ledger, choice: Choice, by: By, *, dry_run: bool) -> LetOut:
    """Let out what was named one by one, or by its state. Raises OutOfReach."""
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
    done = 0
    store, marking = open_store(settings.store, worker=worker_name()), settings.inbox.mark_processed
    try:
        with context.output().progress("files") as bar:
            bar.expect(len(found))
            for place, item in enumerate(found):
                done = place - len(left)
                if (why := release(ledger, store, item, by, clock=clock, marking=marking)) is not None:
                    left[item.id] = why
                bar.advance(1)
    except KeyboardInterrupt:
        context.output().warn(f"interrupted: {done:,} let out of quarantine so far, all others are as they were")
        raise
    finally:
        store.close()
    return LetOut(meant, left)
