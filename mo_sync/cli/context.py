"""What every command receives: where it was called, with what, and how to speak. ``ctx.obj`` of each of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mo_sync.cli.output import Output
from mo_sync.cli.program import NAME, program
from mo_sync.errors import ConfigurationError

if TYPE_CHECKING:
    import typer

    from mo_sync.ledger import Ledger
    from mo_sync.log import Choices, Stream
    from mo_sync.settings.load import Loaded

__all__ = ["Context", "context_of"]


@dataclass(frozen=True, slots=True)
class Context:
    """The call as it came in. Settings are read when first asked for, so that ``--help`` needs none."""

    environ: Mapping[str, str]
    cwd: Path
    config: Path | None = None
    log_level: str | None = None
    as_json: bool = False
    quiet: bool = False
    started_by: str = NAME
    out: TextIO = field(default_factory=lambda: sys.stdout, repr=False)
    err: TextIO = field(default_factory=lambda: sys.stderr, repr=False)
    _kept: list[Loaded] = field(default_factory=list, repr=False, compare=False)
    _logging: list[bool] = field(default_factory=list, repr=False, compare=False)

    @property
    def program(self) -> str:
        """What a person types to call this program again."""
        return program(self.started_by, self.environ, self.cwd)

    def loaded(self, *, required: bool = True) -> Loaded:
        """The settings and where each came from. Raises ConfigurationError.

        ``required``: it is an error when nobody configured anything, lest a command in the wrong folder begins a new
        ledger there.
        """
        if not self._kept:
            self._kept.append(self.reload())
        loaded = self._kept[0]
        if required and not loaded.configured:
            raise ConfigurationError(
                "configuration-missing",
                "there is no configuration here",
                item=str(self.cwd),
                hint="run mo-sync init, or name a file with --config or MO_SYNC_CONFIG",
            )
        return loaded

    def ledger(self) -> Ledger:
        """The ledger that is there, to be closed. Raises OutOfReach, ConfigurationError.

        Where there is none, none is made: an empty one would be told, exported and backed up as if it were the ledger,
        while that is on a disk that is not mounted. Nor is an older one migrated by who only meant to look into it: an
        older daemon may be at work on it, and nobody has made a backup.
        """
        from mo_sync.ledger import Ledger

        return Ledger.open(self.loaded().settings.ledger, migrate=False)

    def reload(self) -> Loaded:
        """The settings as they are written now; a log that was started follows them. Raises ConfigurationError."""
        from mo_sync.settings.load import load

        loaded = load(self.config, environ=self.environ, cwd=self.cwd, log_level=self.log_level)
        if self._logging:
            self.start_log(loaded.settings.log)
        return loaded

    def output(self, *, as_json: bool = False, quiet: bool = False) -> Output:
        """How to speak; a command's own ``--json`` or ``--quiet`` counts as much as one before it."""
        return Output(self.out, self.err, self.environ, as_json=self.as_json or as_json, quiet=self.quiet or quiet)

    def start_log(self, choices: Choices | None = None, *, stream: Stream | None = None) -> None:
        """Log as ``choices`` say, by default the settings, to ``stream``, by default standard error."""
        from mo_sync import log

        self._logging.append(True)
        log.configure(
            choices or self.loaded(required=False).settings.log,
            stream=stream or self.err,
            terminal=self.err.isatty(),
            journal=log.is_journal(self.err, self.environ),
        )


def context_of(ctx: typer.Context) -> Context:
    """The context that the root command made."""
    assert isinstance(ctx.obj, Context)  # noqa: S101  main() hands it in before any command runs
    return ctx.obj
