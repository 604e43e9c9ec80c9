"""``mo-sync ledger erase``: what a person has the right to have forgotten."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import typer

from mo_sync.cli import completing
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.deeds import by_whom
from mo_sync.cli.filtering import AsJson, DryRun
from mo_sync.cli.output import Output, bytes_text, counted
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, OutOfReach, UsageError
from mo_sync.feeds.dropcopies import remove_copies
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.erasure import Scope, scope
from mo_sync.ledger.filters import spellings
from mo_sync.ledger.interventions import By
from mo_sync.ledger.queries import Story
from mo_sync.ledger.veil import ERASED
from mo_sync.presence import worker_name
from mo_sync.readings import addressed_channel
from mo_sync.signals import heard
from mo_sync.store import open_store
from mo_sync.upkeep.erase import Report
from mo_sync.upkeep.erase import erase as erase_all

__all__ = ["erase"]

_PATIENCE_S = 30.0
_COPIES_S = 10.0
"""So long after the first signal copies are still looked for: afterwards nobody knows the ids any more."""
_SHORTEST_NUMBER = 5


@dataclass(frozen=True, slots=True)
class _Done:
    """What the report of an erasure says; nothing in it is personal."""

    at: datetime
    by: str
    reason: str | None
    report: Report
    copies: list[str]
    vacuumed: bool
    stopped: list[int] = field(default_factory=list)
    unsought: list[str] = field(default_factory=list, repr=False)

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


def erase(
    ctx: typer.Context,
    wanted: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID", help="Messages, attachments, or events that are neither.", autocompletion=completing.ids
        ),
    ] = None,
    *,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="NUMBER", help="All that this number ever sent.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; the ledger keeps it.")] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Write the ledger anew, so that no unused page holds a trace.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Forget for good: files, texts, numbers, the events as they came, and their copies in the drop folder.

    What stays is how many there were and a keyed hash of each id, so that an event which comes again brings nothing
    back. Backups and exports are not reached. --json prints the report for the records.

    Example: mo-sync ledger erase --from +14085550100 --reason "request 4711" --vacuum
    """
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    context.start_log()
    numbers = _numbers(sender)
    if not wanted and not numbers:
        raise UsageError("nothing-chosen", "it was not said what to erase", hint="name ids, or a number with --from")
    with context.ledger() as ledger:
        chosen, names = _chosen(ledger, wanted or [], numbers)
        if dry_run or not _agreed(output, chosen, yes=yes):
            _tell_scope(output, chosen, dry_run=dry_run)
            return ExitCode.SETTLED
        done = _erased(context, ledger, chosen, names, by_whom(reason, context.environ), vacuum=vacuum)
    _tell(output, done)
    return done.exit_code


def _numbers(sender: str | None) -> list[str]:
    if sender is None:
        return []
    number = sender.rpartition(":")[2] if addressed_channel(sender) else sender
    digits = number.removeprefix("+")
    if not digits.isdecimal() or len(digits) < _SHORTEST_NUMBER:
        hint = "as events have it: +14085550100, or whatsapp:+14085550100 for one channel only"
        raise UsageError("number-not-understood", "this is no phone number", item="--from", hint=hint)
    return spellings(sender)


def _chosen(ledger: Ledger, wanted: list[str], numbers: list[str]) -> tuple[Scope, set[str]]:
    """What is to be erased, and the names by which copies of its events are found."""
    stories = [_story(ledger, name) for name in wanted]
    whole = [story for story in stories if story.kind != "attachment"]
    found = scope(
        ledger,
        message_ids=[story.message.id for story in whole if story.message is not None],
        attachment_ids=[story.id for story in stories if story.kind == "attachment"],
        event_keys=[story.id for story in whole if story.message is None],
        sender=numbers,
    )
    # As they were typed too: for who was killed before the copies went, the ledger has but stand-ins now.
    typed = {name for name in wanted if not name.startswith(ERASED)}
    return found, {*found.messages, *found.attachments, *typed, *(number.removeprefix("+") for number in numbers)}


def _story(ledger: Ledger, name: str) -> Story:
    """By its whole id: what is erased by mistake does not come back."""
    found = queries.find_story(ledger, name)
    if found.id != name and not found.id.startswith(ERASED):
        hint = f"the only one that begins so is {found.id}"
        raise UsageError("id-not-whole", "only whole ids are erased", item=name, hint=hint)
    return found


def _agreed(output: Output, chosen: Scope, *, yes: bool) -> bool:
    if yes or not (chosen.messages or chosen.attachments or chosen.events):
        return True
    if not (sys.stdin.isatty() and output.err.isatty()):  # where the question stands; the report may go to a file
        raise UsageError("not-agreed", "nothing is erased without --yes here", hint="--dry-run says what would be")
    return typer.confirm(f"erase {_words(chosen)} for good?", err=True)


def _erased(context: Context, ledger: Ledger, chosen: Scope, names: set[str], by: By, *, vacuum: bool) -> _Done:
    """By the first Ctrl-C it ends between two messages, when the copies of their events are removed too, if that does
    not take long: the next time the ledger has but stand-ins for their ids."""
    settings, clock = context.loaded().settings, SystemClock()
    store = open_store(settings.store, worker=worker_name())
    copies: list[str] = []
    stopped: list[int] = []
    patience = _Patience(clock, stopped)
    with heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True):
        try:
            with context.output().progress("messages and attachments") as bar:
                bar.expect(len(chosen.messages) + len(chosen.attachments))
                report = erase_all(
                    ledger,
                    store,
                    chosen,
                    by=by,
                    clock=clock,
                    patience_s=_PATIENCE_S,
                    stop=lambda: bool(stopped),
                    told=lambda: bar.advance(1),
                )
        finally:
            store.close()
        sought = names if not stopped else set(report.gone)  # what is not erased yet keeps its copies
        if settings.drop.path is not None and sought:
            copies, left = remove_copies(settings.drop.path, sought, stop=patience.is_over)
            report.left |= left
        vacuumed = _tidied(ledger, report, stopped, compact=vacuum and not stopped) and vacuum and not stopped
    unsought = report.gone if patience.was_over else []
    return _Done(clock.now(), by.who or "", by.reason, report, copies, vacuumed, stopped, unsought)


class _Patience:
    """What is left of it, for what has to be done yet, from the first look after a signal on."""

    def __init__(self, clock: SystemClock, stopped: list[int]) -> None:
        self._clock = clock
        self._stopped = stopped
        self._until_s: float | None = None
        self.was_over = False

    def is_over(self) -> bool:
        if self._stopped:
            if self._until_s is None:
                self._until_s = self._clock.monotonic() + _COPIES_S
            self.was_over = self._clock.monotonic() >= self._until_s
        return self.was_over


def _tidied(ledger: Ledger, report: Report, stopped: list[int], *, compact: bool) -> bool:
    """Whether nothing is left in the ledger's files of what was erased, as far as that was asked for. A signal that
    comes meanwhile breaks the writing anew off; the report is kept all the same."""
    try:
        if ledger.tidy(compact=compact, stop=lambda: bool(stopped)):
            return True
        broken_off = compact and stopped
        why = "it was not written anew" if broken_off else "others read it just now"
        report.left["ledger"] = f"{why}: it may still hold what was erased"
    except OutOfReach as trouble:
        report.leave(trouble)
    return False


def _words(chosen: Scope) -> str:
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


def _tell_scope(output: Output, chosen: Scope, *, dry_run: bool) -> None:
    if output.as_json:
        counts = {"messages": len(chosen.messages), "attachments": chosen.attachments_in_all}
        counts |= {"events": chosen.events_in_all, "files": chosen.files, "bytes": chosen.bytes}
        output.json({"erased": False, "dry_run": dry_run, **counts})
    else:
        output.say(f"{_words(chosen)} would be erased" if dry_run else "nothing was erased")


def _tell(output: Output, done: _Done) -> None:
    report = done.report
    if done.unsought:  # not in the report: it is kept, and these are to be forgotten
        ids = " ".join(done.unsought)
        output.warn(f"not all of the drop folder was looked through: name these ids too the next time: {ids}")
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
        output.warn("interrupted: the same command again does the rest, copies of events in the drop folder too")
    elif report.left:
        output.say("the same command again does what is left")
    elif not done.vacuumed:
        output.say("unused pages of the ledger may hold traces: --vacuum writes it anew")
