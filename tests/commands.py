"""Commands called within the test's own process, where nothing of theirs needs one of its own: in milliseconds."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import typer

from mo_sync.cli.context import Context
from mo_sync.cli.main import app

__all__ = ["Called", "call"]


@dataclass(frozen=True, slots=True)
class Called:
    """What a command returned, and what it said."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it said with ``--json``."""
        return json.loads(self.out)


class Screen(io.StringIO):
    """What takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def call(
    url: str,
    folder: Path,
    *words: str,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    typed: str | None = None,
    columns: int | None = None,
) -> Called:
    """Call ``mo-sync WORDS`` in ``folder`` on the ledger at ``url``; ``more`` are settings, by section. Raises what the
    command raises.

    With ``typed`` somebody sits at its standard input and error, and types that; with ``columns`` the output is a
    terminal that is so wide.
    """
    settings = {"ledger": {"url": url}, "store": {"url": "media"}, "drop": {"path": "drop"}, **(more or {})}
    lines = [f"{part}.{key} = {json.dumps(value)}" for part, keys in settings.items() for key, value in keys.items()]
    (folder / "mo-sync.toml").write_text("\n".join(lines) + "\n")
    out = io.StringIO() if columns is None else Screen()
    err = io.StringIO() if typed is None else Screen()
    environ = {"USER": "me", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)}
    context = Context(environ=environ, cwd=folder, out=out, err=err)
    command = typer.main.get_command(app)
    with _log_as_it_was(), _at_the_keyboard(typed, err):
        returned = command.main(list(words), prog_name="mo-sync", standalone_mode=False, obj=context)
    return Called(int(returned or 0), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _log_as_it_was() -> Iterator[None]:
    """A command may set up the log of its process, which is the test's here."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)


@contextlib.contextmanager
def _at_the_keyboard(typed: str | None, err: io.StringIO) -> Iterator[None]:
    """Questions go to the process's own standard error, and what is typed comes from its own standard input."""
    if typed is None:
        yield
        return
    stdin, sys.stdin = sys.stdin, Screen(typed)
    try:
        with contextlib.redirect_stderr(err):
            yield
    finally:
        sys.stdin = stdin
