"""``mo-sync ledger verify``: whether every file is there and whole, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from mo_sync.cli.context import context_of
from mo_sync.cli.deeds import by_whom
from mo_sync.cli.filtering import AsJson
from mo_sync.cli.output import Output, bytes_text, counted
from mo_sync.cli.tables import Lines
from mo_sync.clock import Clock, SystemClock
from mo_sync.errors import ExitCode, OutOfReach, UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.verification import settled_count
from mo_sync.ledger.whereabouts import unfinished
from mo_sync.presence import worker_name
from mo_sync.settings import Settings
from mo_sync.signals import heard
from mo_sync.store import open_for_reading, open_store
from mo_sync.upkeep import repair as mending
from mo_sync.upkeep import verify as upkeep
from mo_sync.upkeep.faults import Mended, Verified
from mo_sync.upkeep.forgotten import forget

__all__ = ["verify"]

_NICE = 19  # on Linux the priority of reading follows it (ioprio_set(2))
_SHOWN = 200
_PASSED_BY_SHOWN = 10


def verify(
    ctx: typer.Context,
    *,
    sample: Annotated[
        str,
        typer.Option("--sample", metavar="SHARE", help="Only so much, as in 1%, unverified for longest; no orphans."),
    ] = "100%",
    repair: Annotated[
        bool, typer.Option("--repair", help="Fetch again what is missing or damaged; move the rest to lost+found/.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Go on though so much is missing, or unknown.")] = False,
    as_json: AsJson = False,
) -> int:
    """Compare ledger and store: files that are missing, damaged (SHA-256) or of a wrong size, and that nobody knows.

    Exits with 0 when all is well or mended, else 5. What runs meanwhile is not disturbed: files on their way, and files
    younger than an hour, are nobody's orphans. Without --repair the store is not changed, and may be read-only.
    With --sample it is not looked for files that nobody knows.

    Example: mo-sync ledger verify --sample 1%
    """
    context, clock = context_of(ctx), SystemClock()
    output = context.output(as_json=as_json)
    share, settings = _share(sample), context.loaded().settings
    context.start_log()
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.nice(_NICE)
    stopped: list[int] = []
    with (
        context.ledger() as ledger,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
    ):
        with output.progress("files") as bar:
            bar.expect(int(settled_count(ledger) * share))
            verified = upkeep.verify(
                ledger,
                open_for_reading(settings.store),
                clock=clock,
                share=share,
                orphans=share >= 1.0,
                force=force,
                stop=lambda: bool(stopped),
                told=lambda _: bar.advance(1),
            )
        trouble: OutOfReach | None = None
        try:
            if repair and not force:
                mending.refuse_many_orphans(verified)
            if repair and (verified.found or unfinished(ledger, count=1)):
                who = by_whom(None, context.environ).who or ""
                _mend(verified, ledger, settings, clock=clock, who=who, stop=lambda: bool(stopped), force=force)
        except OutOfReach as error:  # what was found by hours of reading is told first
            trouble = error
    _tell(output, verified)
    if trouble is not None:
        raise trouble
    if stopped:
        return 128 + stopped[0]
    return ExitCode.SETTLED if verified.well else ExitCode.NEEDS_A_PERSON


def _mend(
    verified: Verified,
    ledger: Ledger,
    settings: Settings,
    *,
    clock: Clock,
    who: str,
    stop: Callable[[], bool],
    force: bool,
) -> None:
    """Each fault in its place, so that what is mended is told also when another fails. Raises OutOfReach."""
    with contextlib.closing(open_store(settings.store, worker=worker_name())) as store:
        give_up_after_s = settings.retry.give_up_after
        mend = partial(mending.repair, ledger, store, clock=clock, give_up_after_s=give_up_after_s, who=who, stop=stop)
        for place, one in enumerate(verified.found):
            if stop():
                return
            verified.found[place] = mend(one)
        verified.found = mending.sweep(ledger, store, verified.found, clock=clock)
        verified.found = forget(ledger, store, verified.found, stop=stop, force=force)


def _share(text: str) -> float:
    hint = "a share is like 1%, 0.5% or 0.01"
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UsageError("share-invalid", "this is no share", item=f"--sample {text}", hint=hint) from None
    if not 0 < share <= 1:
        raise UsageError("share-invalid", "it must be more than nothing and at most all", item="--sample", hint=hint)
    return share


def _tell(output: Output, verified: Verified) -> None:
    if verified.unnoted is not None:
        output.warn(f"what is whole could not be noted, and is looked at again first: {verified.unnoted}")
    if output.as_json:
        found = [
            {
                "fault": one.fault,
                "key": one.key,
                "attachment": one.filed.id if one.filed else None,
                "detail": one.detail,
                "mended": one.mended,
                "remark": one.remark,
            }
            for one in verified.found
        ]
        document: dict[str, object] = {"files": verified.files, "bytes": verified.bytes, "resting": verified.resting}
        document |= {"left_out": verified.left_out, "pending_again": _pending_again(verified)}
        document |= {"unnoted": verified.unnoted and str(verified.unnoted)}
        document |= {"passed_by": [{"key": one.key, "detail": one.detail} for one in verified.passed_by]}
        output.json({**document, "whole": verified.whole, "faults": verified.counts, "found": found})
        return
    worst_first = sorted(verified.found, key=lambda one: one.well)
    rows = [(one.fault, one.key, one.detail, one.remark) for one in worst_first[:_SHOWN]]
    if rows:
        narrow = Lines(("file", "fault"), ("detail", "mended"))
        output.table(("fault", "file", "detail", "mended"), rows, narrow=narrow)
        if len(verified.found) > _SHOWN:
            output.say(f"and {len(verified.found) - _SHOWN:,} more, which --json has")
        output.say()
    summed = ", ".join(f"{count:,} {fault}" for fault, count in sorted(verified.counts.items())) or "all is well"
    looked = f"{counted(verified.files, 'file')} looked at ({bytes_text(verified.bytes)})"
    output.say(f"{looked}: {summed}" if verified.whole else f"interrupted: {looked} so far: {summed}")
    if verified.passed_by:
        names = ", ".join(f"{one.key} ({one.detail})" for one in verified.passed_by[:_PASSED_BY_SHOWN])
        more = ", …" if len(verified.passed_by) > _PASSED_BY_SHOWN else ""
        output.say(f"not looked into, since nothing of ours lies there: {names}{more}")
    if any(one.mended is None for one in verified.found):
        output.say("to mend it: mo-sync ledger verify --repair")
    if again := _pending_again(verified):
        due = counted(again, "file is", "files are")
        output.say(f"{due} pending again: `mo-sync --sync-now`, or the daemon, goes on")
    if left := sum(one.mended is Mended.LEFT for one in verified.found):
        output.say(f"{left:,} could not be mended")
    if verified.left_out:
        orphans = counted(verified.left_out, "orphan")
        output.say(f"only counted: {orphans}; verify again when the others are dealt with")


def _pending_again(verified: Verified) -> int:
    """How many the ledger knows that are mended once they are fetched; of orphans nobody knows what to fetch."""
    return sum(one.mended is Mended.DONE and one.filed is not None for one in verified.found)
