"""``mo-sync doctor --bundle``: what somebody who helps from afar would ask for, in one archive, without secrets.

Everything goes through the same mask as the log: no token, no text of a message, no full number. Paths, ids, host names
and reasons stay, since without them nobody can help; look into it before you send it.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mo_sync.cli.amounts import amounts
from mo_sync.cli.context import Context
from mo_sync.cli.listing import masked
from mo_sync.cli.output import plain
from mo_sync.cli.sparing import refuse_own
from mo_sync.clock import SystemClock
from mo_sync.errors import MoSyncError, OutOfReach, UsageError
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.failures import failures
from mo_sync.ledger.filters import Filters
from mo_sync.log import redact_text
from mo_sync.wholefile import written

__all__ = ["bundle"]

_MOST: Final = 200
_LOG_LINES: Final = "2000"
_WEEK: Final = timedelta(days=7)
_MODE: Final = 0o600
_UNITS: Final = ("mo-sync.service", "mo-sync-once.service", "mo-sync-relay.service")
_COMMANDS: Final = {
    "log.txt": ["journalctl", "--no-pager", "-n", _LOG_LINES, *(f"--unit={unit}" for unit in _UNITS)],
    "units.txt": ["systemctl", "status", "--no-pager", *_UNITS],
    "disks.txt": ["df", "-hT"],
}
_PATIENCE_S: Final = 20.0

Facts = Callable[[], Any]


def bundle(context: Context, checks: Sequence[Any], target: Path, *, force: bool) -> list[str]:
    """Write the archive (tar, gzip) to ``target``; the names of what is in it. What cannot be had says why instead.

    Raises UsageError when something is there already and not to be replaced, OutOfReach when it cannot be written.
    """
    refuse_own(context, target)
    now = SystemClock().now()
    try:
        with written(target, replace=force) as part, tarfile.open(part, "w:gz") as archive:
            return [_add(archive, name, text, now) for name, text in _facts(context, checks, now)]
    except FileExistsError as error:
        hint = "name another file; --force replaces it"
        raise UsageError("bundle-exists", "something is there already", item=str(target), hint=hint) from error
    except OSError as error:
        summary = f"it cannot be written ({error.strerror})"
        raise OutOfReach("bundle-not-written", summary, item=str(target), hint="name another place") from error


def _add(archive: tarfile.TarFile, name: str, text: str, now: datetime) -> str:
    content = text.encode("utf-8", "backslashreplace")
    entry = tarfile.TarInfo(f"mo-sync-bundle/{name}")
    entry.size, entry.mtime, entry.mode = len(content), int(now.timestamp()), _MODE
    archive.addfile(entry, io.BytesIO(content))
    return name


def _facts(context: Context, checks: Sequence[Any], now: datetime) -> Iterator[tuple[str, str]]:
    yield "versions.json", _told(_versions)
    yield "doctor.json", _told(lambda: [asdict(check) for check in checks])
    yield "settings.json", _told(lambda: _settings(context))
    for name, question in (("status", _status), ("problems", _problems), ("failures", _failures)):
        yield f"{name}.json", _told(lambda question=question: _asked(context, question, now))  # type: ignore[misc]
    yield "folders.json", _told(lambda: amounts(context.loaded().settings))
    for name, command in _COMMANDS.items():
        yield name, _said(command)


def _told(facts: Facts) -> str:
    try:
        return json.dumps(_redacted(facts()), default=plain, indent=1, ensure_ascii=False)
    except MoSyncError as error:
        return json.dumps({"not-available": str(error)})


def _versions() -> dict[str, Any]:
    packages = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    return {
        "mo-sync": importlib.metadata.version("mo-sync"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "packages": dict(sorted(packages.items())),
    }


def _settings(context: Context) -> Any:
    from mo_sync.cli.setup import settings_document

    return settings_document(context.loaded())


def _asked(context: Context, question: Callable[[Ledger, datetime], Any], now: datetime) -> Any:
    with Ledger.open(context.loaded().settings.ledger, migrate=False) as ledger:
        return masked(question(ledger, now), reveal=False)


def _status(ledger: Ledger, now: datetime) -> Any:
    return asdict(queries.status(ledger, now=now))


def _problems(ledger: Ledger, _: datetime) -> Any:
    files = queries.list_attachments(ledger, Filters(states=queries.PROBLEMS), limit=_MOST)
    others = queries.other_problems(ledger, Filters(), limit=_MOST)
    return {
        "attachments": [asdict(row) | {"filename": None} for row in files],
        "others": [asdict(row) for row in others],
    }


def _failures(ledger: Ledger, now: datetime) -> Any:
    return [asdict(row) for row in failures(ledger, since=now - _WEEK, limit=_MOST)]


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  our own words, and nobody else's
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, errors="replace"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"not available: {error}\n"
    return redact_text(done.stdout + done.stderr)


def _redacted(document: Any) -> Any:
    """Text by text: the mask knows nothing of JSON."""
    match document:
        case str():
            return redact_text(document)
        case dict():
            return {name: _redacted(value) for name, value in document.items()}
        case list() | tuple():
            return [_redacted(value) for value in document]
        case _:
            return document
