"""``mo-sync ledger list``: attachments one by one, and what else needs a person."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import typer

from mo_sync.cli.advice import exit_code_of
from mo_sync.cli.backlog import read_ahead
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.filtering import MOST, AsJson, Reveal, filtered
from mo_sync.cli.listing import attachment_lines, masked, other_lines, with_command
from mo_sync.cli.output import Output
from mo_sync.cli.records import array, list_records, pages, speak
from mo_sync.errors import ExitCode
from mo_sync.ledger import queries
from mo_sync.ledger.exports import Kind
from mo_sync.ledger.filters import Filters
from mo_sync.ledger.queries import AttachmentRow, OtherProblem
from mo_sync.lifecycle import State

__all__ = ["list_"]


@filtered
def list_(
    ctx: typer.Context,
    kind: Annotated[
        Literal["attachments", "messages", "events"],
        typer.Argument(metavar="LIST", help="attachments, messages or events."),
    ] = "attachments",
    *,
    filters: Filters,
    problems: Annotated[bool, typer.Option("--problems", help="Only what needs a person.")] = False,
    limit: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=MOST, help="At most so many, the newest first.")
    ] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")] = False,
    as_json: AsJson = False,
    utc: Annotated[
        bool, typer.Option("--utc", help="Times in UTC instead of this machine's zone, those that are given too.")
    ] = False,
    reveal: Reveal = False,
) -> int:
    """Attachments, the newest first, with where they are or why they are not; or messages, or events.

    With --problems, each with the command that helps; and also what needs a person and is no attachment: events that
    were not understood, applications in trouble, messages that announce attachments without ids. --state narrows it to
    attachments in these states.

    Example: mo-sync ledger list --state failed,missing --since 7d
    """
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    if kind != "attachments":
        most = None if everything else limit
        return list_records(context, output, Kind(kind), filters, problems=problems, limit=most, utc=utc, reveal=reveal)
    states = _problems_among(filters.states) if problems else filters.states
    chosen = _Chosen(
        filters=replace(filters, states=states),
        # No states at all, which the filters would take for every state.
        files=bool(states) or not problems,
        others=problems and not (filters.states or filters.from_address or filters.to_address),
        problems=problems,
        of_all=filters == Filters(),
        utc=utc,
        reveal=reveal,
    )
    if output.quiet and not output.as_json:
        return _silently(context, chosen, None if everything else limit)
    if everything:
        with read_ahead(_all(context, output, chosen)) as told:
            speak(output, told)
        return ExitCode.SETTLED
    found, others, more = _some(context, chosen, limit)
    if more:
        output.warn(f"there are more than {limit}; --limit or --all shows them")
    if output.as_json:
        rows = [chosen.document(row) for row in found]
        document = {"attachments": rows, "others": [asdict(row) for row in others], "more": more}
        output.json(document if problems else rows)
    else:
        speak(output, chosen.lines(output, found, others))
    return ExitCode.SETTLED


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is listed, and how it is shown."""

    filters: Filters
    files: bool
    others: bool
    problems: bool
    of_all: bool
    utc: bool
    reveal: bool

    def document(self, row: AttachmentRow) -> dict[str, Any]:
        """An attachment for a program."""
        document: dict[str, Any] = masked(with_command(row) if self.problems else asdict(row), reveal=self.reveal)
        return document

    def lines(self, output: Output, found: Iterable[AttachmentRow], others: Iterable[OtherProblem]) -> Iterator[str]:
        """For a person, some hundreds at a time."""
        told = False
        for some in pages(found) if self.files else []:
            if some or not self.problems:
                yield attachment_lines(
                    output, some, utc=self.utc, reveal=self.reveal, commands=self.problems, headed=not told
                )
                told = True
        for problems in pages(others):
            if problems:
                yield ("\n" if told else "") + other_lines(output, problems, utc=self.utc)
                told = True
        if not told:
            yield "nothing needs a person\n" if self.of_all else "nothing of that needs a person\n"


def _problems_among(states: Collection[State]) -> Collection[State]:
    """What needs a person, of these states; of all, where none was named."""
    return [state for state in queries.PROBLEMS if state in states] if states else queries.PROBLEMS


def _some(
    context: Context, chosen: _Chosen, limit: int
) -> tuple[Sequence[AttachmentRow], Sequence[OtherProblem], bool]:
    """The newest of them, and whether there are more."""
    with context.ledger() as ledger:
        found = queries.list_attachments(ledger, chosen.filters, limit=limit + 1) if chosen.files else []
        others = queries.other_problems(ledger, chosen.filters, limit=limit + 1) if chosen.others else []
    return found[:limit], others[:limit], max(len(found), len(others)) > limit


def _silently(context: Context, chosen: _Chosen, limit: int | None) -> int:
    """What of all that would be listed is the worst."""
    with context.ledger() as ledger, queries.everything(ledger, chosen.filters) as (found, others):
        states = {row.state for row in itertools.islice(found, limit)} if chosen.files else set()
        return exit_code_of(states, problems=chosen.others and next(others, None) is not None)


def _all(context: Context, output: Output, chosen: _Chosen) -> Generator[str, None, None]:
    """All of them, from one moment, in pieces that end with a line."""
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(context.ledger())
        found, others = stack.enter_context(queries.everything(ledger, chosen.filters))
        if not chosen.files:
            found = iter(())
        if not chosen.others:
            others = iter(())
        if not output.as_json:
            yield from chosen.lines(output, found, others)
            return
        indent = 2 if output.terminal else None
        rows = array((chosen.document(row) for row in found), indent)
        if not chosen.problems:
            yield from (*rows, "\n")
            return
        yield '{"attachments": '
        yield from rows
        yield ', "others": '
        yield from array((asdict(row) for row in others), indent)
        yield ', "more": false}\n'
