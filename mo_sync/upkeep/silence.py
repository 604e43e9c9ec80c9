"""Silence looks like health: an application that announces nothing for longer than is its habit is told of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.ledger import Ledger, gaps, rhythms
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.ledger.rhythms import Day

__all__ = ["Silence", "listen", "silent"]

_log = structlog.get_logger(__name__)

_HABIT: Final = timedelta(days=28)
_LEAST_DAYS: Final = 7
_LEAST_EVENTS: Final = 50
_LONGER: Final = 1.5
_SHORTEST_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Silence:
    """An application is silent since then, and what it never or seldom was before, in a sentence."""

    application_id: str
    since: datetime
    reason: str


def silent(known: Sequence[Day], *, now: datetime, bound_s: float | None = None) -> Silence | None:
    """Whether an application whose days are ``known`` is silent. ``bound_s``: when nothing came for so many seconds.

    Without a bound it is when nothing came for half as long again as in its longest pause of four weeks, nights and
    weekends among them. To have a habit it takes a week and fifty announcements; whoever has none is never silent.
    """
    if not known:
        return None
    last_at = max(day.last_at for day in known)
    quiet_s = (now - last_at).total_seconds()
    if bound_s is not None:
        told = f"nothing was announced for longer than inbox.silence ({_hours(bound_s)})"
        return Silence(known[0].application_id, last_at, told) if quiet_s > bound_s else None
    recent = [day for day in known if day.last_at > last_at - _HABIT]
    if len(recent) < _LEAST_DAYS or sum(day.events for day in recent) < _LEAST_EVENTS:
        return None
    longest_s = max(day.longest_pause_s for day in recent)
    if quiet_s <= max(_SHORTEST_S, _LONGER * longest_s):
        return None
    told = f"nothing is announced any more; its longest pause in four weeks was {_hours(longest_s)}"
    return Silence(known[0].application_id, last_at, told)


def listen(ledger: Ledger, *, clock: Clock, bound_s: float | None, stop: Callable[[], bool]) -> None:
    """Take in what was announced since the last time, and note who is silent. Raises LedgerOutOfReach."""
    while rhythms.catch_up(ledger, now=clock.now()):
        if stop():
            return
    now = clock.now()
    for application_id, known in groupby(rhythms.days(ledger), key=lambda day: day.application_id):
        found = silent(list(known), now=now, bound_s=bound_s)
        if found is not None:
            if gaps.begin(
                ledger, Gap(Kind.SILENCE, application_id, application_id, found.since, found.reason), now=now
            ):
                hint = "see whether the webhook is up and subscribed (docs/inbox.md)"
                _log.error("application.silent", application=application_id, reason=found.reason, hint=hint)
        elif gaps.end(ledger, Kind.SILENCE, application_id):
            _log.info("application.heard-again", application=application_id)


def _hours(seconds: float) -> str:
    """Roughly, for people.

    >>> _hours(600.0), _hours(5_400.0), _hours(200_000.0)
    ('10 minutes', '1.5 hours', '2.3 days')
    """
    for size, name in ((86_400.0, "days"), (3_600.0, "hours")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds / 60:.0f} minutes"
