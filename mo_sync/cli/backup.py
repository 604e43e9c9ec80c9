"""``mo-sync ledger backup``: a copy of the ledger that can be carried away."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mo_sync.cli.context import context_of
from mo_sync.cli.filtering import AsJson
from mo_sync.cli.output import bytes_text, counted
from mo_sync.cli.sparing import refuse_own
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.backup import Stopped, back_up
from mo_sync.signals import heard
from mo_sync.wholefile import as_it_was

__all__ = ["backup"]


def backup(
    ctx: typer.Context,
    where: Annotated[str, typer.Argument(metavar="FILE", help="Where to; in a folder, ledger-<time>.db is its name.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: AsJson = False,
) -> int:
    """Copy the ledger to one file while mo-sync goes on, and read the copy through. The store is not in it.

    An older ledger is copied as it is: a backup is made before an upgrade, or after it and before the first start.

    Example: mo-sync ledger backup /backup/ledger.db --force
    """
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    if not where.strip():
        raise UsageError("file-missing", "a name is empty", item="FILE", hint="name a file, or a folder to put it in")
    target = Path(where)
    if target.is_dir():
        target /= f"ledger-{SystemClock().now():%Y%m%dT%H%M%SZ}.db"
    refuse_own(context, target)
    done, stopped = 0, list[int]()
    was_there = target.exists()
    with (
        Ledger.open_as_it_is(context.loaded().settings.ledger) as ledger,
        output.progress("pages") as bar,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
    ):

        def told(pages: int, of: int) -> None:
            nonlocal done
            bar.advance(pages - done)
            bar.expect(of - pages)
            done = pages

        try:
            copied = back_up(
                ledger,
                target,
                replace=force,
                told=told,
                checking=lambda: bar.begin("reading the copy through"),
                stop=lambda: bool(stopped),
            )
        except Stopped:
            output.warn(f"nothing of the copy is left; {as_it_was(target, was_there=was_there)}")
            return 128 + stopped[0]
    if output.as_json:
        output.json(asdict(copied))
        return ExitCode.SETTLED
    rows = ", ".join(counted(count, name) for name, count in copied.rows.items())
    output.result(str(copied.path))
    output.say(f"{bytes_text(copied.bytes)}, checked: {rows}")
    return ExitCode.SETTLED
