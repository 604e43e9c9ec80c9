"""``mo-sync``: its root, and the one place where errors become words and an exit code."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.exceptions import TyperException

from mo_sync.cli.commands import HELP, Commands
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.output import forget, printable, unwritable
from mo_sync.errors import ExitCode, MoSyncError, UsageError, shortage
from mo_sync.log import redact_text

__all__ = ["app", "main", "run"]

_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""
_INNARDS = "Value error, "
_ONE_OF = re.compile(r"'(?P<given>[^']*)' is not one of '(?P<known>.+)'\.$", re.DOTALL)

_PURPOSE = """\
Never lose a file that a customer sent through Syniverse: events in, verified media files and a ledger out.

Example: mo-sync --config /etc/mo-sync/mo-sync.toml --sync-now
"""
_EXIT_CODES = """\b
Exit codes:
  0    all settled
  1    an unexpected error
  2    the command line is wrong
  3    the configuration is wrong
  4    work remains that will be retried
  5    something needs a person: failed, missing, refused, quarantined
  75   nothing could be done now: gateway, ledger or store is out of reach
  130  interrupted
"""

app = typer.Typer(
    name="mo-sync",
    cls=Commands,
    help=_PURPOSE,
    epilog=_EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"mo-sync {importlib.metadata.version('mo-sync')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    *,
    sync_now: Annotated[
        bool, typer.Option("--sync-now", help="One pass: take every event, fetch until nothing is due, sum up, exit.")
    ] = False,
    config: Annotated[Path | None, typer.Option(metavar="PATH", help="The configuration file.")] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="The least that is logged.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; errors are JSON too.")] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Print nothing but paths and JSON that were asked for. Then ledger status, list and show exit with "
            "4 or 5, as a pass would.",
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> int:
    """Make the context of whatever is called; call the pass itself."""
    del version
    ctx.obj = replace(context_of(ctx), config=config, log_level=log_level, as_json=as_json, quiet=quiet)
    called = ctx.invoked_subcommand
    if called is not None and sync_now:
        raise typer.BadParameter(f"it stands alone, without {called}", ctx=ctx, param_hint="--sync-now")
    if called is not None:
        return ExitCode.SETTLED
    if not sync_now:
        typer.echo(ctx.get_help(), err=True)
        return ExitCode.USAGE
    from mo_sync.cli.run import sync_now as pass_now

    return int(pass_now(ctx))


def main() -> None:
    """The console's entry point."""
    # An output that was closed (>&-) is no object at all, and takes nothing as gladly as /dev/null does.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115  it lives as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # help too is shown by a terminal that does not have all its letters
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Whatever goes wrong is said on standard error, in words."""
    telling = _Telling(as_json="--json" in _options(arguments), debug=_debugging(arguments))
    try:
        result = _called(arguments)
    except MoSyncError as error:
        return telling.error(error)
    except TyperException as error:
        return telling.usage(error)
    except (KeyboardInterrupt, typer.Abort):
        result = _INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last place where it can be put into words
        known = shortage(error) or _unwritten(error)
        return telling.error(known) if known else telling.unexpected(error)
    finally:
        _let_go_of_output()
    if result == _INTERRUPTED:
        telling.say("interrupted", "stopped by the keyboard; nothing that was recorded is lost", _INTERRUPTED)
    return int(result) if isinstance(result, int) else ExitCode.SETTLED


def _unwritten(error: Exception) -> MoSyncError | None:
    """What the parser's own words (help, version) met at an output that takes none; None for anything else.

    They all go through its ``echo``, which is told by the frame that raised.
    """
    if not isinstance(error, OSError):
        return None
    raised_by = traceback.extract_tb(error.__traceback__)[-1].name
    return unwritable(error) if raised_by == typer.echo.__name__ else None


def _let_go_of_output() -> None:
    """Lest the interpreter, at its end, complains of what could not be written: that has been told by then."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        forget(sys.stdout)


def _called(arguments: Sequence[str]) -> Any:
    """What the command returned, or the code that it exited with."""
    context = Context(environ=dict(os.environ), cwd=_here(), started_by=sys.argv[0])
    command = typer.main.get_command(app)
    return command.main(list(arguments), prog_name="mo-sync", standalone_mode=False, obj=context)


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        hint = "change into one that does"
        raise UsageError("folder-missing", "the current folder does not exist any more", hint=hint) from error


def _options(arguments: Sequence[str]) -> list[str]:
    """The arguments that may be options. The parser is not asked: it may be what fails."""
    given = list(arguments)
    return given[: given.index("--")] if "--" in given else given


def _debugging(arguments: Sequence[str]) -> bool:
    spelled = " ".join(_options(arguments)).replace("=", " ")
    return os.environ.get("MO_SYNC_DEBUG") == "1" or "--log-level debug" in spelled


def _worded(message: str) -> str:
    """What the parser says, without a word of its innards; of a fixed set of words, with the one that was meant.

    >>> _worded("Invalid value for '--format': Value error, 'cvs' is not one of 'csv', 'jsonl'.")
    "Invalid value for '--format': 'cvs' is not one of 'csv', 'jsonl'. Did you mean 'csv'?"
    """
    told = message.replace(_INNARDS, "", 1)
    if (found := _ONE_OF.search(told)) is None:
        return told
    import difflib  # what few need, nobody else waits for

    near = difflib.get_close_matches(found["given"], found["known"].split("', '"), n=1)
    return f"{told} Did you mean '{near[0]}'?" if near else told


@dataclass(frozen=True, slots=True)
class _Telling:
    """Errors on standard error: in words, or as one JSON document when the caller asked for JSON."""

    as_json: bool
    debug: bool

    def error(self, error: MoSyncError) -> int:
        """An error of ours: its code, item and sentence, then what to do on a line of its own."""
        fields: dict[str, object] = {}
        if problems := getattr(error, "problems", None):
            fields["problems"] = [
                {"name": problem.name, "place": problem.place, "message": problem.message} for problem in problems
            ]
        self._trace()
        return self.say(error.code, error.summary, error.exit_code, item=error.item, hint=error.hint, **fields)

    def usage(self, error: TyperException) -> int:
        """What the parser did not understand. A group called alone shows its help."""
        ctx = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message(), err=True)
            return ExitCode.USAGE
        hint = f"{ctx.command_path if ctx else 'mo-sync'} --help"
        return self.say("usage-wrong", _worded(error.format_message()), ExitCode.USAGE, hint=hint)

    def unexpected(self, error: Exception) -> int:
        """A bug, or trouble that nobody foresaw: one line; where it happened only for those who look for it."""
        self._trace()
        summary = " ".join(f"{type(error).__name__}: {error}".split())
        hint = None if self.debug else "please report it; MO_SYNC_DEBUG=1 shows where it happened"
        return self.say("unexpected-error", redact_text(summary), ExitCode.UNEXPECTED, hint=hint)

    def say(self, code: str, summary: str, exit_code: int, **fields: object) -> int:
        """Say it and hand ``exit_code`` back. An ``item`` stands before the sentence, a ``hint`` on its own line."""
        if self.as_json:
            import json

            told = {"code": code, "summary": summary, **fields, "exit_code": int(exit_code)}
            text = json.dumps({"error": told}, ensure_ascii=False)
        else:
            about = f"{fields['item']}: " if fields.get("item") else ""
            advice = f"\n  hint: {fields['hint']}" if fields.get("hint") else ""
            text = f"mo-sync: {code}: {about}{summary}{advice}"
        typer.echo(printable(text), err=True)
        return int(exit_code)

    def _trace(self) -> None:
        if self.debug:
            typer.echo(printable(redact_text(traceback.format_exc())), err=True)
