"""Which attachments a command is about, as people say it on the command line: the same words for every command."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from mo_sync.cli import completing
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.doubting import doubts
from mo_sync.cli.output import printable
from mo_sync.clock import SystemClock
from mo_sync.errors import OutOfReach, UsageError
from mo_sync.ledger.exports import HEEDED, Kind
from mo_sync.ledger.filters import EVENT_STATES, Filters
from mo_sync.lifecycle import State
from mo_sync.readings import moment
from mo_sync.settings.units import duration

__all__ = [
    "MOST",
    "Application",
    "AsJson",
    "DryRun",
    "Ids",
    "Limit",
    "Reveal",
    "Utc",
    "filtered",
    "known_states",
    "legible",
    "meant",
    "refuse_no_time",
    "refuse_what_means_nothing",
    "states_of",
    "when",
    "words_of",
]

MOST: Final = 1_000_000_000
"""The largest ``--limit``: no database has so many rows, and every one can count so far."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document for a program.")]
Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC instead of this machine's zone.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="COUNT", min=1, max=MOST, help="At most so many, the oldest first.")
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show phone numbers in full.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Attachments or messages.", autocompletion=completing.ids)
]
StateNames = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only these states; repeat it, or separate by commas.",
        autocompletion=completing.states,
    ),
]
Application = Annotated[
    str | None,
    typer.Option("--application", metavar="ID", help="Only this application.", autocompletion=completing.applications),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Announced since: 2026-11-20, 2026-11-20T08:00Z, or 3h for 3 hours ago. What names no zone is in this "
        "machine's.",
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Announced before; written like --since.")]
Sender = Annotated[str | None, typer.Option("--from", metavar="NUMBER", help="Sent by this number.")]
Receiver = Annotated[str | None, typer.Option("--to", metavar="NUMBER", help="Sent to this number.")]
Error = Annotated[
    str | None,
    typer.Option("--error", metavar="TEXT", help="With this in its error, or this error code, in capitals or not."),
]


_NAMES: Final = {
    "states": "--state",
    "event_states": "--state",
    "application_id": "--application",
    "from_address": "--from",
    "to_address": "--to",
}
_OPTIONS: Final = {
    "state": StateNames,
    "application": Application,
    "since": Since,
    "until": Until,
    "from_": Sender,
    "to": Receiver,
    "error": Error,
}


def filtered(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command that takes ``filters`` the options that say which: --state, --application, --since and so on.

    Where the command has an option of that name itself, that one stands, and the command gets it beside the filters.
    A command's own --utc holds for the times too. A state or a time that is none, and an option that was told nothing,
    is a UsageError before the command begins. A number or application that the ledger does not know is told on standard
    error when the command is done: nothing was found then.
    """
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())
    place = next(number for number, parameter in enumerate(own) if parameter.name == "filters")
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
        if name not in signature.parameters
    ]

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> int:
        given = {parameter.name: options.pop(parameter.name) for parameter in added}
        of_events = options.get("kind") == Kind.EVENTS
        filters = _filters(given, now=SystemClock().now(), utc=options.get("utc", False), of_events=of_events)
        returned = command(*arguments, filters=filters, **options)
        _tell_doubts(context_of(options["ctx"]), filters, options.get("application"))
        return returned

    parameters = [*own[:place], *added, *own[place + 1 :]]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": int}
    return wrapper


def _tell_doubts(context: Context, filters: Filters, own: Sequence[str] | None) -> None:
    output = context.output()
    named = own or ([filters.application_id] if filters.application_id is not None else [])
    with contextlib.suppress(OutOfReach):  # what the command did is done
        for line in [] if output.quiet else doubts(context, filters, named):
            output.warn(line)


def _filters(given: Mapping[str, Any], *, now: datetime, utc: bool, of_events: bool) -> Filters:
    names = given.get("state")
    since, until = (when(meant(f"--{name}", given.get(name)), now, utc=utc) for name in ("since", "until"))
    refuse_no_time(since, until)
    return Filters(
        states=() if of_events else states_of(names),
        event_states=known_states(names, EVENT_STATES) if of_events else (),
        application_id=meant("--application", given.get("application")),
        since=since,
        until=until,
        from_address=meant("--from", given.get("from_")),
        to_address=meant("--to", given.get("to")),
        error=meant("--error", given.get("error")),
    )


def legible(option: str, text: str | None) -> str | None:
    """What an option was told, which a database is to be told. Raises UsageError for bytes that are no UTF-8."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        shown = ascii(text)[1:-1]
        raise UsageError("text-not-understood", f"{shown} is no UTF-8 text", item=option) from error
    return text


def meant(option: str, text: str | None) -> str | None:
    """What an option was told that chooses; None where it was not given. Raises UsageError for nothing but blanks, as
    of a variable that is empty: it must not mean all; and for bytes that are no UTF-8."""
    if text is not None and not text.strip():
        hint = "is a variable not set? leave the option out where nothing is to be chosen by it"
        raise UsageError("option-empty", "it was told nothing", item=option, hint=hint)
    return legible(option, text)


def refuse_what_means_nothing(kind: Kind, filters: Filters) -> None:
    """Raises UsageError for an option that says nothing about a list of this kind."""
    given = {field.name for field in fields(filters) if getattr(filters, field.name) not in (None, ())}
    for name in sorted(given - HEEDED[kind]):
        option = _NAMES.get(name, f"--{name}")
        hint = f"{kind} are chosen by " + ", ".join(sorted(_NAMES.get(other, f"--{other}") for other in HEEDED[kind]))
        raise UsageError("filter-without-meaning", f"it says nothing about {kind}", item=option, hint=hint)


def states_of(names: list[str] | None) -> tuple[State, ...]:
    """The states in the words of a command line. Raises UsageError for what is none."""
    return tuple(State(name) for name in known_states(names, tuple(State)))


def known_states(names: list[str] | None, known: Sequence[str]) -> list[str]:
    """The states in the words of a command line. Raises UsageError for what is none of the ``known``."""
    found = words_of(names)
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            if name in EVENT_STATES:
                meant = f"events are listed by it: mo-sync ledger list events --state {name}; "
            hint = f"{meant}states are {', '.join(known)}"
            raise UsageError("state-unknown", f"{printable(name)} is no state", item="--state", hint=hint)
    return found


def words_of(given: list[str] | None) -> list[str]:
    """What an option was told that may be repeated, and holds several words between commas.

    One that was told nothing, as by a variable that is empty, has one word that is none: it must not mean all.
    """
    words = [word.strip() for text in given or [] for word in text.split(",") if word.strip()]
    return words or ([""] if given else [])


def when(text: str | None, now: datetime, *, utc: bool = False) -> datetime | None:
    """A date or time, or a span before now (``3h``). What names no zone is in this machine's, as times are shown, or in
    UTC if ``utc``. Raises UsageError."""
    if text is None:
        return None
    found = moment(text) if utc else moment(text, without_zone=_here)
    if found is not None:
        return found
    try:
        return now - timedelta(seconds=_span_s(text))
    except (ValueError, OverflowError) as error:
        hint = "2026-11-20, 2026-11-20T08:00:00Z, or a span such as 3h or 7d"
        raise UsageError("time-not-understood", "this is no time", item=text, hint=hint) from error


def refuse_no_time(since: datetime | None, until: datetime | None) -> None:
    """Raises UsageError where nothing can be since the one and before the other."""
    if since is not None and until is not None and since >= until:
        raise UsageError("time-empty", "it ends before it begins", item="--until", hint="see --since and --until")


def _here(wall: datetime) -> datetime:
    """When this machine's clock shows this: the first time, where it does so twice. What it leaves out (a midnight, in
    some countries) is reckoned as if the clock had not been set forward yet."""
    found = wall.astimezone(UTC)
    left_out = found.astimezone().replace(tzinfo=None) != wall
    return wall.replace(fold=1).astimezone(UTC) if left_out else found


def _span_s(text: str) -> float:
    """With its unit: who writes ``2026`` means a year, and not half an hour."""
    if not text.rstrip()[-1:].isalpha():
        raise ValueError(text)
    return float(str(duration(text)))
