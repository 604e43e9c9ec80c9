"""``mo-sync ledger erase``: what a person has the right to have forgotten."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mo_sync.cli import completing
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.deeds import by_whom
from mo_sync.cli.erased import Done, tell, tell_scope, words
from mo_sync.cli.filtering import AsJson, DryRun
from mo_sync.cli.output import Output
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, OutOfReach, UsageError
from mo_sync.feeds.dropcopies import remove_copies
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.acquaintance import heard_of
from mo_sync.ledger.filters import spellings
from mo_sync.ledger.interventions import By
from mo_sync.ledger.queries import Story
from mo_sync.ledger.replay import Which, newest, replayable
from mo_sync.ledger.scope import Scope, ending_so, scope, senders_of
from mo_sync.ledger.veil import ERASED
from mo_sync.log import mask_number
from mo_sync.mentions import Names
from mo_sync.presence import worker_name
from mo_sync.readings import addressed_channel, dialled
from mo_sync.signals import heard
from mo_sync.store import Store, open_store
from mo_sync.upkeep.erase import Report
from mo_sync.upkeep.erase import erase as erase_all

__all__ = ["erase"]

_PATIENCE_S = 30.0
_FILES_S = 10.0
"""So long after the first signal the files of what was erased by then are still removed."""
_CLOCKS_APART_S = 60.0
"""What came to lie in the drop folder may bear the time of another machine."""
_SHORTEST_NUMBER = 5
_TELLING = 7
"""So many digits at its end tell whose a number is."""
_NUMBER_WRITTEN = re.compile(r"\d(?:[-\d().\s]*\d)?")


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
        chosen, copied = _chosen(ledger, wanted or [], numbers)
        _refuse_a_part(ledger, sender, chosen, wanted or [])
        _refuse_to_keep(reason, copied.names, [*numbers, *senders_of(ledger, chosen)])
        if dry_run or not _agreed(output, chosen, yes=yes):
            tell_scope(output, chosen, dry_run=dry_run)
            return ExitCode.SETTLED
        done = _erased(context, ledger, chosen, copied, by_whom(reason, context.environ), vacuum=vacuum)
    tell(output, done)
    return done.exit_code


def _numbers(sender: str | None) -> list[str]:
    if sender is None:
        return []
    number = sender.rpartition(":")[2] if addressed_channel(sender) else sender
    digits = dialled(number).removeprefix("+")
    if not digits.isdecimal() or len(digits) < _SHORTEST_NUMBER:
        hint = "as events have it: +14085550100, or whatsapp:+14085550100 for one channel only"
        raise UsageError("number-not-understood", "this is no phone number", item="--from", hint=hint)
    return spellings(sender)


def _chosen(ledger: Ledger, wanted: list[str], numbers: list[str]) -> tuple[Scope, _Copied]:
    """What is to be erased, and by what copies of its events are found."""
    stories = [_story(ledger, name) for name in wanted]
    whole = [story for story in stories if story.kind != "attachment"]
    keys = [story.id for story in whole if story.message is None]
    # As they were typed too: of what was erased before, the ledger has but stand-ins.
    typed = {name for name in wanted if not name.startswith(ERASED)}
    found = scope(
        ledger,
        message_ids=[story.message.id for story in whole if story.message is not None],
        attachment_ids=[story.id for story in stories if story.kind == "attachment"],
        event_keys=keys,
        sender=numbers,
        also=typed,
    )
    names = {*found.ids, *typed, *(number.removeprefix("+") for number in numbers)}
    events = replayable(ledger, Which(keys=keys), after=0, upto=newest(ledger), count=len(keys)) if keys else []
    return found, _Copied(frozenset(names), tuple(one.raw.body for one in events if one.raw is not None))


def _story(ledger: Ledger, name: str) -> Story:
    """By its whole id: what is erased by mistake does not come back."""
    try:
        found = queries.find_story(ledger, name)
    except UsageError as error:
        if error.code != "id-unknown":
            raise
        hint = "if it was pruned, --from NUMBER finds the copies of its events in the drop folder"
        raise UsageError(error.code, error.summary, item=error.item, hint=hint) from error
    if found.id != name and not found.id.startswith(ERASED):
        hint = f"the only one that begins so is {found.id}"
        raise UsageError("id-not-whole", "only whole ids are erased", item=name, hint=hint)
    return found


def _refuse_a_part(ledger: Ledger, number: str | None, chosen: Scope, wanted: Sequence[str]) -> None:
    """Nobody is told that there is nothing of a number because its country code was left out. Raises UsageError."""
    if number is None or "+" in number or heard_of(ledger, sender=number, receiver=None)[0]:
        return
    if chosen.events and not wanted:  # it stands so where it was found
        return
    if others := ending_so(ledger, dialled(number.rpartition(":")[2])):
        summary = f"nothing is of this number, but of {' and '.join(map(mask_number, others))}"
        raise UsageError("number-not-whole", summary, item="--from", hint="name the whole number, with a plus sign")


def _refuse_to_keep(reason: str | None, names: Iterable[str], numbers: Iterable[str]) -> None:
    """The reason is kept, and what is to be forgotten must not stand in it, nor most of a number. Raises UsageError."""
    written = [re.sub(r"\D", "", one) for one in _NUMBER_WRITTEN.findall(reason or "")]
    theirs = [re.sub(r"\D", "", one) for one in numbers]
    digits = any(one == full or (len(one) >= _TELLING and full.endswith(one)) for one in written for full in theirs)
    if digits or Names.of(list(names)).are_in(reason or ""):
        hint = "the ledger keeps the reason: name the request instead"
        raise UsageError("reason-names-it", "what is to be forgotten stands in the reason", item="--reason", hint=hint)


def _agreed(output: Output, chosen: Scope, *, yes: bool) -> bool:
    if yes or not (chosen.messages or chosen.attachments or chosen.events):
        return True
    if not (sys.stdin.isatty() and output.err.isatty()):  # where the question stands; the report may go to a file
        raise UsageError("not-agreed", "nothing is erased without --yes here", hint="--dry-run says what would be")
    return typer.confirm(f"erase {words(chosen)} for good?", err=True)


def _erased(context: Context, ledger: Ledger, chosen: Scope, copied: _Copied, by: By, *, vacuum: bool) -> Done:
    """The copies go first: who is killed in the middle finds by the ledger what else is to be looked for. By the first
    Ctrl-C it ends between two messages, when their files are removed too, if that does not take long."""
    settings, clock = context.loaded().settings, SystemClock()
    began_s = clock.now().timestamp() - _CLOCKS_APART_S
    stopped: list[int] = []
    with (
        contextlib.closing(open_store(settings.store, worker=worker_name())) as store,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
    ):
        copies, left = copied.removed(settings.drop.path, stopped)
        report = _rows_and_files(context, ledger, store, chosen, by=by, stopped=stopped)
        later, left_later = copied.removed(settings.drop.path, stopped, since_s=began_s)
        report.left |= left | left_later
        vacuumed = _tidied(ledger, report, stopped, compact=vacuum and not stopped) and vacuum and not stopped
    return Done(clock.now(), by.who or "", by.reason, report, copies + later, vacuumed, stopped)


def _rows_and_files(
    context: Context, ledger: Ledger, store: Store, chosen: Scope, *, by: By, stopped: list[int]
) -> Report:
    clock = SystemClock()
    with context.output().progress("messages and attachments") as bar:
        bar.expect(len(chosen.messages) + len(chosen.attachments))
        return erase_all(
            ledger,
            store,
            chosen,
            by=by,
            clock=clock,
            patience_s=_PATIENCE_S,
            stop=lambda: bool(stopped),
            give_up=_Patience(clock, stopped).is_over,
            told=lambda: bar.advance(1),
        )


@dataclass(frozen=True, slots=True)
class _Copied:
    """By what the copies of events are found: ids and numbers, and what events without either say."""

    names: frozenset[str]
    bodies: tuple[bytes, ...]

    def removed(
        self, drop: Path | None, stopped: list[int], *, since_s: float = 0.0
    ) -> tuple[list[str], dict[str, str]]:
        """What went, and what is left; nothing more when it is ``stopped``."""
        if drop is None or not (self.names or self.bodies):
            return [], {}
        return remove_copies(drop, self.names, bodies=self.bodies, since_s=since_s, stop=lambda: bool(stopped))


class _Patience:
    """For the files of what was erased by then, from the first look after a signal on."""

    def __init__(self, clock: SystemClock, stopped: list[int]) -> None:
        self._clock = clock
        self._stopped = stopped
        self._until_s: float | None = None

    def is_over(self) -> bool:
        if not self._stopped:
            return False
        if self._until_s is None:
            self._until_s = self._clock.monotonic() + _FILES_S
        return self._clock.monotonic() >= self._until_s


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
