"""Rows of the ledger as they are listed, a page at a time: messages and events, and what their lists have in common."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from mo_sync.cli.advice import exit_code_of
from mo_sync.cli.backlog import read_ahead
from mo_sync.cli.context import Context
from mo_sync.cli.filtering import refuse_what_means_nothing
from mo_sync.cli.listing import veiled
from mo_sync.cli.output import Output, local_time, plain, printable
from mo_sync.cli.tables import Lines
from mo_sync.errors import ExitCode, UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.exports import Kind, streamed
from mo_sync.ledger.filters import Filters

__all__ = ["array", "list_records", "pages", "speak"]

T = TypeVar("T")
_PAGE: Final = 500
"""So many rows are in memory at a time, and share the widths of their columns."""
_COLUMNS: Final = {
    Kind.MESSAGES: {
        "message": "id",
        "application": "application_id",
        "from": "from_address",
        "to": "to_address",
        "scan": "av_status",
        "recorded": "recorded_at",
    },
    Kind.EVENTS: {
        "event": "event_key",
        "state": "state",
        "deliveries": "deliveries",
        "received": "received_at",
        "message": "message_id",
        "reason": "reason",
    },
}
_LINES: Final = {
    Kind.MESSAGES: Lines(("message", "recorded")),
    Kind.EVENTS: Lines(("event", "state", "received"), ("reason",)),
}


def list_records(
    context: Context,
    output: Output,
    kind: Kind,
    filters: Filters,
    *,
    problems: bool,
    limit: int | None,
    utc: bool,
    reveal: bool,
) -> int:
    """List messages or events, the newest first, at most ``limit``. Raises UsageError for what says nothing of them."""
    if problems:
        hint = "leave it out, or list --problems without a kind: it lists events too"
        raise UsageError("filter-without-meaning", f"it says nothing about {kind}", item="--problems", hint=hint)
    refuse_what_means_nothing(kind, filters)
    more: list[bool] = []

    def told() -> Generator[str, None, None]:
        asked_for = None if limit is None else limit + 1
        with context.ledger() as ledger, _newest(ledger, kind, filters, asked_for) as found:
            rows = (row if reveal else _veiled(row) for row in itertools.islice(found, limit))
            if output.as_json:
                yield from (*array(rows, 2 if output.terminal else None), "\n")
            else:
                yield from _tables(output, kind, rows, utc=utc)
            more.append(next(found, None) is not None)

    if output.quiet and not output.as_json:
        with context.ledger() as ledger, _newest(ledger, kind, filters, limit) as found:
            return exit_code_of([], problems=any(row.get("state") == "rejected" for row in found))
    with read_ahead(told()) as ready:
        speak(output, ready)
    if any(more):
        output.warn(f"there are more than {limit}; --limit or --all shows them")
    return ExitCode.SETTLED


def _newest(
    ledger: Ledger, kind: Kind, filters: Filters, limit: int | None
) -> AbstractContextManager[Iterator[dict[str, Any]]]:
    return streamed(ledger, kind, filters, limit=limit, newest_first=True)


def _veiled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a person wrote, too, which an export is made for, and a list is not."""
    found = veiled(row)
    return found | {"body": None} if "body" in found else found


def _tables(output: Output, kind: Kind, rows: Iterable[Mapping[str, Any]], *, utc: bool) -> Iterator[str]:
    columns = _COLUMNS[kind]
    cells = ([_cell(row[name], utc=utc) for name in columns.values()] for row in rows)  # a payload is not kept
    for place, page in enumerate(pages(cells)):
        yield output.table_text(tuple(columns), page, narrow=_LINES[kind], headed=place == 0)


def _cell(value: Any, *, utc: bool) -> object:
    return local_time(value, utc=utc) if hasattr(value, "tzinfo") else value


def array(documents: Iterable[dict[str, Any]], indent: int | None) -> Iterator[str]:
    """One JSON array, a line or more for each of its elements."""
    between = "[\n"
    for document in documents:
        text = json.dumps(document, default=plain, ensure_ascii=False, indent=indent)
        yield between + (textwrap.indent(text, "  ") if indent else text)
        between = ",\n"
    yield "[]" if between == "[\n" else "\n]"


def pages(rows: Iterable[T]) -> Iterator[list[T]]:
    """At least one, which may be empty."""
    left = iter(rows)
    page = list(itertools.islice(left, _PAGE))
    while True:
        yield page
        page = list(itertools.islice(left, _PAGE))
        if not page:
            return


def speak(output: Output, told: Iterable[str]) -> None:
    """Say what was made ready for this output, until its reader goes away."""
    for some in told:
        output.raw(printable(some) if output.terminal and output.as_json else some)
        if output.reader_gone:
            return
