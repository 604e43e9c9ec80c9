"""What ``mo-sync doctor`` says of the work: what waits for somebody to take it, and who has gone silent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from mo_sync.cli.checks import Check, Examined
from mo_sync.cli.output import age, counted
from mo_sync.errors import MoSyncError
from mo_sync.feeds.dropnames import ERROR_SUFFIX, takeable
from mo_sync.feeds.inbox.scopes import scopes_of
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.inboxes import Inboxes
from mo_sync.ledger.processes import ProcessRow

__all__ = ["at_work", "dropped", "rejected"]

_LONG_S: Final = 300.0
_SILENT_S: Final = 60.0
_LOOKS_MISSED: Final = 4
_NOBODY: Final = "see whether mo-sync works: systemctl status mo-sync, or the timer of mo-sync-once"


def dropped(examined: Examined) -> Iterator[Check]:
    """Events that lie in the drop folder are taken within seconds, where somebody works."""
    drop = examined.settings.drop
    times = [known for name, known in _files(drop.path) if takeable(name, drop.pattern)]
    if not times:
        return
    waited_s = examined.clock.now().timestamp() - min(times)
    summary = f"{counted(len(times), 'file')} to be taken, the oldest for {age(max(0.0, waited_s))}"
    yield Check("drop waiting", "warning" if waited_s > _LONG_S else "ok", summary, _NOBODY)


def rejected(examined: Examined) -> Iterator[Check]:
    """What was not understood lies there until a person deals with it."""
    folder = examined.settings.drop.path
    found = [name for name, _ in _files(folder and folder / "rejected") if not name.endswith(ERROR_SUFFIX)]
    if found:
        advice = f"read the {ERROR_SUFFIX} beside each, then drop it again (mo-sync ledger replay --file) or remove it"
        yield Check("drop rejected", "warning", f"{counted(len(found), 'file')} in {folder}/rejected", advice)


def at_work(examined: Examined) -> Iterator[Check]:
    """Daemons, problems and inboxes, as the ledger tells of them; why it tells nothing is said of the ledger itself."""
    now = examined.clock.now()
    try:
        with Ledger.open(examined.settings.ledger, migrate=False) as ledger:
            status = queries.status(ledger, now=now)
            problems = queries.problem_counts(ledger)
    except MoSyncError:
        return
    yield from (_daemon(row, now) for row in status.processes)
    if problems:
        summary = ", ".join(f"{count:,} {kind}" for kind, count in sorted(problems.items()))
        yield Check("problems", "warning", f"what needs a person: {summary}", "mo-sync ledger list --problems")
    if examined.settings.inbox.enabled:
        yield from _inboxes(examined, status.inboxes, now)


def _daemon(row: ProcessRow, now: datetime) -> Check:
    silent_s = (now - row.seen_at).total_seconds()
    if silent_s > _SILENT_S:
        summary = f"{row.worker} has said nothing for {age(silent_s)}: it was killed, or stands still"
        return Check("daemon", "warning", summary, "systemctl status mo-sync; journalctl -u mo-sync")
    if row.trouble:
        return Check("daemon", "warning", f"{row.worker}: {row.trouble}", "journalctl -u mo-sync")
    return Check("daemon", "ok", f"{row.worker} works, version {row.version}, since {age(_since_s(row, now))}")


def _since_s(row: ProcessRow, now: datetime) -> float:
    return (now - row.started_at).total_seconds()


def _inboxes(examined: Examined, found: Inboxes, now: datetime) -> Iterator[Check]:
    """One that was never looked into belongs to who has not begun yet, and is no fault."""
    longest_s = max(_LOOKS_MISSED * examined.settings.inbox.interval, _LONG_S)
    for scope in scopes_of(examined.settings):
        place = found.places.get(scope.name)
        if place is None or place.seen_to is None:
            continue
        behind_s = (now - place.seen_to).total_seconds()
        summary = f"{scope.name} was seen up to {age(behind_s)} ago"
        yield Check("inbox", "warning" if behind_s > longest_s else "ok", summary, _NOBODY)
    for trouble in found.troubles:
        summary = f"{trouble.kind}: {trouble.subject}, for {age((now - trouble.since).total_seconds())}: "
        yield Check("inbox", "warning", summary + trouble.reason, "see docs/inbox.md")


def _files(folder: Path | None) -> Iterator[tuple[str, float]]:
    """The plain files in it, each with when it was last written; a folder that cannot be read is told elsewhere."""
    try:
        with os.scandir(folder or "") as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):  # the daemon has just taken it: it waits no more
                    if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                        yield entry.name, entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return
