"""``mo-sync drop``: events from files or standard input into the drop folder, as a careful program does it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from mo_sync.cli.context import context_of
from mo_sync.clock import SystemClock
from mo_sync.errors import ConfigurationError, ExitCode, OutOfReach, UsageError
from mo_sync.feeds.dropnames import takeable
from mo_sync.presence import worker_name

__all__ = ["drop"]

_MODE = 0o640


def drop(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Files with events; - is standard input.")],
) -> int:
    """Put events into the drop folder: under a hidden name first, synced to the disk, then renamed, so that nobody
    ever sees half a file. The files themselves stay where they are.

    Example: mo-sync drop events.json.gz
    """
    context = context_of(ctx)
    output = context.output()
    settings = context.loaded().settings
    folder = settings.drop.path
    if folder is None:
        raise ConfigurationError("drop-path-missing", "there is no drop folder", item="drop.path", hint="set it")
    stamp, worker = SystemClock().now().strftime("%Y%m%dT%H%M%S"), worker_name()
    names: list[str] = []
    for number, file in enumerate(files, start=1):
        # The name tells where it came from; the rest of it makes it one that nobody else has.
        label = "stdin.ndjson" if file == "-" else Path(file).name
        name = f"{stamp}-{worker}-{number}-{label}"[-200:]
        if not takeable(name, settings.drop.pattern):
            hint = f"rename it so that it matches drop.pattern ({settings.drop.pattern})"
            raise UsageError("drop-not-taken", "a file of this name would never be taken", item=file, hint=hint)
        with _opened(file) as source:
            _put(source, folder, name)
        names.append(name)
        output.result(str(folder / name))
    return ExitCode.SETTLED


def _opened(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise UsageError(
            "file-unreadable", error.strerror or str(error), item=file, hint="name a file of yours"
        ) from error


def _put(source: BinaryIO, folder: Path, name: str) -> None:
    hidden = folder / f".{name}.tmp"
    try:
        handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
                target.flush()
                os.fsync(target.fileno())
            hidden.rename(folder / name)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        hint = "see the rights of this user and the space left; nothing of it was dropped"
        raise OutOfReach("drop-not-writable", error.strerror or str(error), item=str(folder), hint=hint) from error
