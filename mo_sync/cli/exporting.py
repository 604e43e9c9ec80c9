"""``mo-sync ledger export``: any of the ledger's lists, whole, for another program."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mo_sync.cli.backlog import read_ahead
from mo_sync.cli.bar import Bar
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.filtering import Limit, Reveal, filtered, refuse_what_means_nothing
from mo_sync.cli.formats import Form, lines, parquet
from mo_sync.cli.listing import veiled
from mo_sync.cli.output import Output, printable
from mo_sync.cli.sparing import refuse_own
from mo_sync.errors import ConfigurationError, ExitCode, OutOfReach, UsageError, how_to_install
from mo_sync.ledger.exports import Kind, columns_of, how_many, streamed
from mo_sync.ledger.filters import Filters
from mo_sync.wholefile import as_it_was, written

__all__ = ["export"]

_LIBRARY: Final = "pyarrow"


@filtered
def export(
    ctx: typer.Context,
    kind: Annotated[
        Kind, typer.Argument(metavar="LIST", help="attachments, messages, events, attempts, interventions or problems.")
    ],
    *,
    form: Annotated[Form, typer.Option("--format", help="csv, jsonl (JSON Lines) or parquet.")] = Form.CSV,
    to_file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Written whole or not at all; else to the output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    limit: Limit = None,
    filters: Filters,
    reveal: Reveal = False,
) -> int:
    """All rows of a list, the oldest first, from one moment. Messages hold what people wrote.

    Without --reveal numbers are masked, and the payload of events is left out. In CSV, text that a spreadsheet would
    take for a formula has an apostrophe in front.

    Example: mo-sync ledger export attachments --state stored --since 30d --format parquet --output month.parquet
    """
    context = context_of(ctx)
    refuse_what_means_nothing(kind, filters)
    if form is Form.PARQUET and to_file is None:
        raise UsageError("output-missing", "parquet is no text", item="--format", hint="name a file with --output")
    if form is Form.PARQUET:
        _refuse_without_library()
    output = context.output()
    columns = columns_of(kind)

    def told() -> Generator[str, None, None]:
        with _rows(context, kind, filters, limit=limit, reveal=reveal) as rows:
            yield from lines(form, columns, rows)

    if to_file is None:
        with read_ahead(told()) as ready:
            _speak(output, ready)
        return ExitCode.SETTLED
    refuse_own(context, to_file)
    with (
        output.progress(kind.value) as bar,
        _rows(
            context,
            kind,
            filters,
            limit=limit,
            reveal=reveal,
            expect=bar.expect if output.shows_progress else None,
        ) as rows,
        _written(output, to_file, replace=force) as part,
    ):
        _write(part, form, columns, rows, bar)
    output.result(str(to_file))
    return ExitCode.SETTLED


def _refuse_without_library() -> None:
    """Before a file is begun. A wheel that was installed without its dependencies has no name by which pip knows what
    it could have: the library itself is named. Raises ConfigurationError."""
    if importlib.util.find_spec(_LIBRARY) is None:
        summary = f"the library for it is not installed ({_LIBRARY})"
        hint = how_to_install(_LIBRARY)
        raise ConfigurationError("parquet-missing", summary, item="--format parquet", hint=hint)


@contextlib.contextmanager
def _rows(
    context: Context,
    kind: Kind,
    filters: Filters,
    *,
    limit: int | None,
    reveal: bool,
    expect: Callable[[int], object] | None = None,
) -> Iterator[Iterator[dict[str, Any]]]:
    """``expect`` is told how many there are, which takes its time to count."""
    with context.ledger() as ledger:
        if expect is not None:
            count = how_many(ledger, kind, filters)
            expect(count if limit is None else min(count, limit))
        with streamed(ledger, kind, filters, limit=limit) as found:
            yield (row if reveal else veiled(row) for row in found)


def _speak(output: Output, told: Iterable[str]) -> None:
    """As it is for a program; at a terminal nothing from outside may act on it, and lines end as lines do there."""
    for some in told:
        output.raw(printable(some.replace("\r\n", "\n")) if output.terminal else some)
        if output.reader_gone:
            return


def _write(part: Path, form: Form, columns: Mapping[str, type], rows: Iterable[Mapping[str, Any]], bar: Bar) -> None:
    if form is Form.PARQUET:
        parquet(part, columns, rows, told=bar.advance)
        return
    with part.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for line in lines(form, columns, rows):
            file.write(line)
            bar.advance(1)


@contextlib.contextmanager
def _written(output: Output, target: Path, *, replace: bool) -> Iterator[Path]:
    was_there = target.exists()
    try:
        with written(target, replace=replace) as part:
            yield part
    except KeyboardInterrupt:
        output.warn(f"nothing of the list is left; {as_it_was(target, was_there=was_there)}")
        raise
    except FileExistsError as error:
        hint = "name another file; --force replaces it"
        raise UsageError("export-exists", "something is there already", item=str(target), hint=hint) from error
    except OSError as error:
        hint = "see whether the folder is there, may be written and has room"
        summary = f"it cannot be written ({error.strerror})"
        raise OutOfReach("export-not-written", summary, item=str(target), hint=hint) from error
