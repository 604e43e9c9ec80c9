"""What ``mo-sync ledger erase`` says: what would go, what went, and what is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mo_sync.cli.output import Output, bytes_text, counted
from mo_sync.errors import ExitCode
from mo_sync.ledger.scope import Scope
from mo_sync.upkeep.erase import Report

__all__ = ["Done", "tell", "tell_scope", "words"]


@dataclass(frozen=True, slots=True)
class Done:
    """What the report of an erasure says; nothing in it is personal."""

    at: datetime
    by: str
    reason: str | None
    report: Report
    copies: list[str]
    vacuumed: bool
    stopped: list[int] = field(default_factory=list)

    @property
    def something(self) -> bool:
        """Whether there was anything to be done."""
        report = self.report
        return bool(report.messages or report.attachments or report.events or report.files or self.copies)

    @property
    def exit_code(self) -> int:
        """Whether the same command has to be given again."""
        if self.stopped:
            return 128 + self.stopped[0]
        if not self.report.left:
            return ExitCode.SETTLED
        nothing = self.report.out_of_reach and not self.something
        return ExitCode.NOTHING_POSSIBLE_NOW if nothing else ExitCode.WORK_REMAINS


def words(chosen: Scope) -> str:
    """How much that is, for a person."""
    told = [
        counted(count, name)
        for name, count in (
            ("message", len(chosen.messages)),
            ("attachment", chosen.attachments_in_all),
            ("event", chosen.events_in_all),
            ("file", chosen.files),
        )
        if count
    ]
    if not told:
        return "nothing"
    size = f" ({bytes_text(chosen.bytes)})" if chosen.files else ""
    return " and ".join(filter(None, (", ".join(told[:-1]), told[-1]))) + size


def tell_scope(output: Output, chosen: Scope, *, dry_run: bool) -> None:
    """Where nothing was erased: what would be, by ``dry_run``, or that a person said no."""
    if output.as_json:
        counts = {"messages": len(chosen.messages), "attachments": chosen.attachments_in_all}
        counts |= {"events": chosen.events_in_all, "files": chosen.files, "bytes": chosen.bytes}
        output.json({"erased": False, "dry_run": dry_run, **counts})
    else:
        output.say(f"{words(chosen)} would be erased" if dry_run else "nothing was erased")


def tell(output: Output, done: Done) -> None:
    """The report: as JSON for the records, or in words, with what is left and how that goes."""
    report = done.report
    if output.as_json:
        output.json(
            {
                "erased": True,
                "at": done.at,
                "by": done.by,
                "reason": done.reason,
                "messages": report.messages,
                "attachments": report.attachments,
                "events": report.events,
                "files": report.files,
                "copies": len(done.copies),
                "vacuumed": done.vacuumed,
                "left": report.left,
                "whole": not done.stopped,
            }
        )
        return
    if not (done.something or done.stopped):
        why = "" if report.left else ": there is nothing of it, or it was erased before"
        output.say(f"nothing was erased{why}")
    else:
        output.say(
            f"erased: {counted(len(report.messages), 'message')}, {counted(len(report.attachments), 'attachment')}, "
            f"{counted(report.events, 'event')}; {counted(report.files, 'file')} and "
            f"{counted(len(done.copies), 'copy', 'copies')} of events removed"
        )
    for name, why in report.left.items():
        output.warn(f"left: {name}: {why}")
    if done.stopped:
        output.warn("interrupted: the same command again does the rest")
    elif report.left:
        output.say("the same command again does what is left")
    elif not done.vacuumed:
        output.say("unused pages of the ledger may hold traces: --vacuum writes it anew")
