"""``mo-sync demo`` and ``mo-sync gateway``: the embedded gateway, with the whole pipeline on it or alone."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from mo_sync import log
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.output import Output, bytes_text, counted
from mo_sync.cli.run import stops_heard
from mo_sync.clock import Clock, SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.ledger import queries
from mo_sync.ledger.queries import AttachmentRow, Filters
from mo_sync.lifecycle import State
from mo_sync.sandbox import DEFAULT_TOKEN, Gateway
from mo_sync.sandbox.records import EPOCH
from mo_sync.sandbox.scenario import Scenario
from mo_sync.sandbox.traffic import demo_scenario
from mo_sync.service import Service, Summary
from mo_sync.settings import Settings
from mo_sync.settings.load import load

__all__ = ["demo", "gateway"]

_FOLDER = Path("mo-sync-demo")
_PATIENCE_S = 120.0
_LOOK_AGAIN_S = 0.2
_CONFIGURATION = """\
# Made by `mo-sync demo`. The gateway is embedded and gone by now: this file is here so that
# the ledger and the store can be looked into with the ordinary commands.
[gateway]
base_url = {base_url}
token_file = "token"
[drop]
path = "drop"
settle = "50ms"
[ledger]
url = "sqlite:///ledger.db"
[store]
url = "media"
[sync]
workers = 16
[retry]
base = "100ms"
max_delay = "1s"
snooze = "200ms"
[limits]
min_free = 0
[inbox]
backfill = "{days}d"
[log]
level = "error"
"""


def demo(
    ctx: typer.Context,
    *,
    path: Annotated[Path, typer.Option(metavar="DIR", help="Where to play; made if it is not there.")] = _FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document for a program.")] = False,
) -> int:
    """Run the whole pipeline against the embedded gateway: dozens of events in every shape, with all kinds of trouble.

    A second run drops the same events again and changes nothing.

    Example: mo-sync demo --path /tmp/mo-sync-demo
    """
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    root = context.cwd / path
    scenario = demo_scenario(unannounced=True)
    with Gateway() as embedded, stops_heard() as (stop, _):
        embedded.load(scenario)
        settings = _prepared(context, root, embedded.base_url)
        before = _snapshot(settings)
        events = len(scenario.events) + scenario.ignored + scenario.rejected
        files = counted(len(scenario.files), "file")
        output.say(f"Dropping {files} with {counted(events, 'event')} into {path / 'drop'}")
        _drop(scenario, root / "drop")
        summaries = _worked(settings, stop, SystemClock())
        asked = len(embedded.requests)
    after = _snapshot(settings)
    played = _Played(path, summaries, asked, before, after, _differences(scenario, Path(settings.store.url), after))
    if output.as_json:
        states = dict(Counter(row.state for row in after))
        output.json({"states": states, "requests": asked, "changed": not played.unchanged, "wrong": played.wrong})
    elif summaries:
        _say(output, played, context.program)
    return ExitCode.UNEXPECTED if played.wrong else ExitCode.SETTLED


def gateway(
    ctx: typer.Context,
    *,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
    ] = "127.0.0.1:0",
    token: Annotated[str, typer.Option(metavar="TOKEN", help="The Bearer token that opens it.")] = DEFAULT_TOKEN,
    latency: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Seconds that every answer waits.")] = 0.0,
    traffic: Annotated[
        bool, typer.Option("--traffic", help="Hold the demo's messages and attachments, without faults.")
    ] = False,
) -> int:
    """Serve the embedded gateway until it is interrupted; the first line printed is its base URL.

    Example: mo-sync gateway --listen 127.0.0.1:8080 --token sandbox-token
    """
    output = context_of(ctx).output()
    if not token.strip():
        raise UsageError("token-missing", "a token is empty", item="--token", hint="leave it out, or name one")
    try:
        embedded = Gateway(listen, tokens={token: "*"}, latency_s=latency)
    except (OSError, ValueError) as error:
        hint = "name another --listen HOST:PORT; port 0 picks a free one"
        raise UsageError("listen-failed", f"it cannot listen there: {error}", item=listen, hint=hint) from error
    if traffic:
        scenario = demo_scenario(unannounced=True)
        for attachment in scenario.attachments:
            embedded.add_attachment(attachment)
        for message in scenario.messages:
            embedded.add_message(message)
    with embedded, stops_heard() as (stop, _):
        output.result(embedded.base_url)
        stop.wait()
    return ExitCode.SETTLED


def _prepared(context: Context, root: Path, base_url: str) -> Settings:
    """The folder with its configuration, which names this run's gateway; the settings in it."""
    (root / "drop").mkdir(parents=True, exist_ok=True)
    # The messages of the demo are of one day, which goes ever further back.
    days = max(90, (SystemClock().now() - EPOCH).days + 2)
    (root / "mo-sync.toml").write_text(_CONFIGURATION.format(base_url=json.dumps(base_url), days=days))
    token = root / "token"
    token.touch(mode=0o600)
    token.write_text(DEFAULT_TOKEN + "\n")
    environ = {name: value for name, value in context.environ.items() if not name.startswith("MO_SYNC_")}
    settings = load(root / "mo-sync.toml", environ=environ, cwd=root, log_level=context.log_level).settings
    log.configure(settings.log, stream=context.err, terminal=context.err.isatty())
    return settings


def _drop(scenario: Scenario, folder: Path) -> None:
    for name, content in scenario.files.items():
        (folder / f".{name}.tmp").write_bytes(content)
        (folder / f".{name}.tmp").rename(folder / name)


def _worked(settings: Settings, stop: threading.Event, clock: Clock) -> list[Summary]:
    """Passes, as cron would make them, until none is left to make."""
    until = clock.monotonic() + _PATIENCE_S
    summaries: list[Summary] = []
    while not stop.is_set() and clock.monotonic() < until:
        with Service.open(settings, clock=clock) as service:
            summaries.append(service.sync_now(stop))
        if summaries[-1].exit_code is not ExitCode.WORK_REMAINS:
            break
        clock.wait(stop, _LOOK_AGAIN_S)
    return summaries


def _snapshot(settings: Settings) -> list[AttachmentRow]:
    """Every attachment as the ledger has it; none before the first run."""
    with Service.open(settings, clock=SystemClock()) as service:
        return queries.list_attachments(service.ledger, Filters(), limit=None)


@dataclass(frozen=True, slots=True)
class _Played:
    """What a run of the demo began with, did, and ended with."""

    path: Path
    summaries: list[Summary]
    requests: int
    before: list[AttachmentRow]
    after: list[AttachmentRow]
    wrong: list[str]

    @property
    def unchanged(self) -> bool:
        return bool(self.before) and self.before == self.after


def _say(output: Output, played: _Played, program: str) -> None:
    receipt = sum((summary.receipt for summary in played.summaries[1:]), played.summaries[0].receipt)
    took_s = sum(summary.took_s for summary in played.summaries)
    recovered = sum(summary.recovered for summary in played.summaries)
    counts = (
        (receipt.new - recovered, "new"),
        (receipt.duplicate, "repeated"),
        (receipt.ignored, "ignored"),
        (receipt.rejected, "rejected"),
    )
    output.say("Events: " + ", ".join(f"{count} {name}" for count, name in counts))
    if recovered:
        output.say(f"Inbox: {counted(recovered, 'message')} that nobody had announced")
    output.say(f"Gateway: {played.requests} requests, {took_s:.1f} s")
    output.say()
    stored = [row for row in played.after if row.state == State.STORED]
    kinds = Counter(row.content_type for row in stored)
    output.table(
        ("what became of the attachments", "count", "why"),
        [
            *((f"stored: {kind}", count, "") for kind, count in sorted(kinds.items(), key=str)),
            *((row.state, 1, row.error or "") for row in played.after if row.state != State.STORED),
        ],
    )
    output.say()
    size = bytes_text(sum(row.size or 0 for row in stored))
    output.say(f"{counted(len(stored), 'file')}, {size}, in {played.path / 'media'}")
    troubled = sum(row.attempts > 1 for row in stored)
    output.say(f"{troubled} of them came only after trouble: cut off, unavailable, an error page, not found at first")
    if played.unchanged:
        output.say("This run changed nothing: what was announced again was counted as delivered again, no more.")
    elif played.before:
        output.say("This run went on where the one before had stopped.")
    _say_where_to_look(output, played, program)
    for line in played.wrong:
        output.warn(f"not as it should be: {line}")


def _say_where_to_look(output: Output, played: _Played, program: str) -> None:
    path, after = played.path, played.after
    config, ledger, rejected = (quote(str(path / name)) for name in ("mo-sync.toml", "ledger.db", "drop/rejected"))
    again = "" if path == _FOLDER else f" --path {quote(str(path))}"
    example = next((row.id for row in after if row.attempts > 1 and row.state == State.STORED), after[0].id)
    output.say()
    output.say("Look further:")
    for command in (
        f"{program} --config {config} ledger status",
        f"{program} --config {config} ledger list --problems",
        f"{program} --config {config} ledger show {example}",
        f'sqlite3 -readonly {ledger} "select * from v_problem"',  # noqa: S608  shown, not run
        f"ls {rejected}",
        f"{program} demo{again}        # again: it changes nothing",
    ):
        output.say(f"  {command}")


def _differences(scenario: Scenario, media: Path, rows: list[AttachmentRow]) -> list[str]:
    """Where the outcome is not what the scenario says it must be, to the byte."""
    found = {row.id: row for row in rows}
    wrong: list[str] = []
    for attachment_id, fate in scenario.fates.items():
        row = found.get(attachment_id)
        if row is None or row.state != fate:
            wrong.append(f"{attachment_id} is {row.state if row else 'unknown'} and should be {fate}")
        elif row.location and (media / row.location).read_bytes() != scenario.content(attachment_id):
            wrong.append(f"{attachment_id} differs from what was sent")
    return wrong + [f"{stranger} was never announced" for stranger in found.keys() - scenario.fates.keys()]
