"""``mo-sync doctor``: looks at everything that mo-sync needs, and says what to do about what is not right."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mo_sync.cli.atwork import at_work, dropped, rejected
from mo_sync.cli.checks import LOCAL, Check, Examined, LocalCheck, examine, of_error
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.output import Output, age
from mo_sync.cli.refreshing import refreshing
from mo_sync.cli.scanning import scanning
from mo_sync.cli.secrecy import configuration, secret_files
from mo_sync.clock import SystemClock
from mo_sync.errors import ConfigurationError, ExitCode
from mo_sync.gateway import Credentials, Gateway
from mo_sync.gateway.asking import Asker, Call, Reply
from mo_sync.gateway.origins import in_clear
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.settings.problems import SettingsInvalid
from mo_sync.verdicts import Step, Trouble, Verdict

__all__ = ["doctor", "exit_code", "gateway", "skew_s"]

_MOST_SKEW_S = 300.0
_NO_TOKEN = frozenset({Trouble.TOKEN_MISSING, Trouble.TOKEN_UNREADABLE, Trouble.TOKEN_INVALID})


def doctor(
    ctx: typer.Context,
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Write what support would ask for to a .tar.gz, without secrets."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as one JSON document.")] = False,
) -> int:
    """Check settings, secrets, folders, store, ledger, clock, gateway and the work; say what to do about what is wrong.

    The work: what waits in the drop folder, daemons that went silent, problems, and how far the inboxes were seen.
    --bundle also writes versions, settings, status, problems, the last week's failures, how much lies in each folder
    and the service's log to an archive: no token, no text of a message, no full number.

    Exits with 0 when nothing failed (there may be warnings), 75 when what failed is out of reach just now, else 3.

    Example: mo-sync doctor --json
    """
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    checks: list[Check] = []
    for check in _findings(context, output):
        checks.append(check)
        _tell(output, check)
    _sum_up(output, checks)
    if bundle is not None:
        from mo_sync.cli.bundling import bundle as write_bundle  # what few want, nobody else waits for

        names = write_bundle(context, checks, bundle, force=force)
        output.say(f"{bundle} holds {', '.join(names)}: look into it before you send it")
    return exit_code(checks)


def exit_code(checks: list[Check]) -> ExitCode:
    """What the findings come to: a wrong setting counts more than something that is out of reach."""
    failed = [check for check in checks if check.level == "failed"]
    if not failed:
        return ExitCode.SETTLED
    mendable = all(check.out_of_reach for check in failed)
    return ExitCode.NOTHING_POSSIBLE_NOW if mendable else ExitCode.CONFIGURATION


def gateway(examined: Examined) -> Iterator[Check]:
    """The gateway answers, its clock agrees with ours, and it takes each token."""
    settings, clock = examined.settings, examined.clock
    credentials = Credentials(settings.gateway, settings.applications)
    client = Gateway(settings.gateway, credentials, clock)
    try:
        if in_clear(settings.gateway.base_url):
            summary = f"{settings.gateway.base_url}: the token goes over the network in clear, for others to read"
            yield Check("encryption", "warning", summary, "let gateway.base_url begin with https://")
        trouble = client.reach()
        if trouble is not None:
            yield _unreached(trouble, settings.gateway.base_url)
            return
        yield Check("gateway", "ok", f"{settings.gateway.base_url} answers")
        yield from _skew(examined, credentials)
        for application_id in _probed(examined):
            yield _accepted(client, application_id)
    finally:
        client.close()


def skew_s(header: str | None, now: datetime) -> float | None:
    """How many seconds ``now`` (UTC) is ahead of a Date header (RFC 9110); None when there is none to compare with.

    >>> from datetime import UTC
    >>> skew_s("Fri, 20 Nov 2026 10:00:00 GMT", datetime(2026, 11, 20, 10, 0, 30, tzinfo=UTC))
    30.0
    """
    try:
        theirs = parsedate_to_datetime(header or "")
        return (now - theirs).total_seconds()
    except (TypeError, ValueError):
        return None


def _findings(context: Context, output: Output) -> Iterator[Check]:
    try:
        examined = Examined(context.loaded(), SystemClock())
    except SettingsInvalid as error:
        for problem in error.problems:
            yield Check("configuration", "failed", str(problem), "mend it; docs/configuration.md lists all settings")
        return
    except ConfigurationError as error:
        yield of_error("configuration", error)
        return
    yield from examine(examined, _CHECKS, around=partial(_waiting, output))


@contextlib.contextmanager
def _waiting(output: Output, name: str, place: int) -> Iterator[None]:
    """A bar that says what is looked at; gone before that is told, since both go to the same terminal."""
    with output.progress(f"looking at: {name}") as bar:
        bar.advance(place)
        bar.expect(len(_CHECKS) - place)
        yield


def _tell(output: Output, check: Check) -> None:
    output.say(f"{check.level:<8} {check.name:<17} {check.summary}")
    if check.advice and check.level != "ok":
        output.say(f"{'':<26} do: {check.advice}")


def _sum_up(output: Output, checks: list[Check]) -> None:
    levels = [check.level for check in checks]
    failed, warnings = levels.count("failed"), levels.count("warning")
    if output.as_json:
        output.json(
            {
                "checks": [asdict(check) for check in checks],
                "failed": failed,
                "warnings": warnings,
                "exit_code": int(exit_code(checks)),
            }
        )
    elif failed or warnings:
        output.say(f"{failed} failed, {warnings} with a warning, {levels.count('ok')} ok")
    else:
        output.say("All is well.")


def _unreached(trouble: Failed | Interrupted, base_url: str) -> Check:
    advice = "see gateway.base_url, gateway.proxy and gateway.ca_bundle, and whether this machine reaches the network"
    return Check("gateway", "failed", f"{base_url}: {trouble.reason}", advice, out_of_reach=True)


def _skew(examined: Examined, credentials: Credentials) -> Iterator[Check]:
    """Compared once more over the wire: deadlines and certificates depend on the clock."""
    never = threading.Event()
    asker = Asker(
        examined.settings.gateway, credentials, examined.clock, user_agent="mo-sync doctor", aborted=never.is_set
    )
    reply = asker.ask(Call(Step.PROBE, "/", None, examined.clock.monotonic()))
    if isinstance(reply, Reply):
        ahead_s = skew_s(reply.response.headers.get("Date"), examined.clock.now())
        reply.response.close()
        if ahead_s is not None and abs(ahead_s) > _MOST_SKEW_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            summary = f"it is {age(abs(ahead_s))} {side} the gateway's"
            yield Check("clock", "warning", summary, "keep it set by NTP (timedatectl status)")
    asker.close()


def _probed(examined: Examined) -> list[str]:
    """The applications to ask for: those with a token of their own, and one that has none, for the gateway's token."""
    settings = examined.settings
    own = [name for name, section in settings.applications.items() if section.token or section.token_file]
    return [*([""] if settings.gateway.token or settings.gateway.token_file else []), *own]


def _accepted(client: Gateway, application_id: str) -> Check:
    name = f"access {application_id}".strip()
    trouble = client.probe(application_id)
    if trouble is None:
        return Check(name, "ok", "the gateway takes the token")
    if isinstance(trouble, Interrupted):
        return Check(name, "failed", trouble.reason, out_of_reach=True)
    if trouble.code in _NO_TOKEN:
        return Check(name, "failed", trouble.reason, "see the line about the token above")
    if trouble.verdict is Verdict.HOLD or trouble.status == 403:
        advice = "see whether the token is this application's, whether it expired, and the account's credit"
        return Check(name, "failed", trouble.reason, advice)
    if trouble.verdict is Verdict.PERMANENT:
        advice = "see gateway.base_url, and what stands between this machine and the gateway"
        return Check(name, "failed", trouble.reason, advice)
    return Check(name, "failed", trouble.reason, "try again later", out_of_reach=True)


_CHECKS: Sequence[tuple[str, LocalCheck]] = (
    ("configuration", configuration),
    *LOCAL,
    ("secrets", secret_files),
    ("drop waiting", dropped),
    ("drop rejected", rejected),
    ("work", at_work),
    ("scanner", scanning),
    ("refresh", refreshing),
    ("gateway", gateway),
)
"""What is looked at, in this order: what may take long comes last."""
