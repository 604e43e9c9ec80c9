"""``mo-sync ledger backup``: a copy of the ledger that can be carried away."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mo_sync.cli.context import context_of
from mo_sync.cli.filtering import AsJson
from mo_sync.cli.output import bytes_text, counted
from mo_sync.cli.sparing import refuse_own
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode
from mo_sync.ledger import Ledger
from mo_sync.ledger.backup import back_up

__all__ = ["backup"]


def backup(
    ctx: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to; in a folder, ledger-<time>.db is its name.")
    ],
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
    if target.is_dir():
        target /= f"ledger-{SystemClock().now():%Y%m%dT%H%M%SZ}.db"
    refuse_own(context, target)
    done = 0
    with Ledger.open_as_it_is(context.loaded().settings.ledger) as ledger, output.progress("pages") as bar:

        def told(pages: int, of: int) -> None:
            nonlocal done
            bar.advance(pages - done)
            bar.expect(of - pages)
            done = pages

        copied = back_up(ledger, target, replace=force, told=told)
    if output.as_json:
        output.json(asdict(copied))
        return ExitCode.SETTLED
    rows = ", ".join(counted(count, name) for name, count in copied.rows.items())
    output.result(str(copied.path))
    output.say(f"{bytes_text(copied.bytes)}, checked: {rows}")
    return ExitCode.SETTLED
