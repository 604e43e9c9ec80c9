"""Pruning: what was kept as long as the settings say goes, a few hundred rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

from mo_sync.clock import Clock
from mo_sync.ledger import Ledger, retention
from mo_sync.lifecycle import State
from mo_sync.settings import Retention
from mo_sync.store import Store
from mo_sync.upkeep.erase import finish

__all__ = ["Forget", "Pruned", "Told", "prunable", "prune"]

_AT_ONCE: Final = 500
_STATES: Final = (
    *(State.STORED, State.QUARANTINED, State.MISSING, State.REFUSED),
    *(State.FAILED, State.CANCELLED, State.ERASED),
)
_MOST_NAMED: Final = 100

Told = Callable[[int], object]
"""Hears how many more went; 0 is a sign that it goes on."""
Forget = Callable[[date], tuple[int, Mapping[str, str]]]
"""Removes copies of events from before a day: how many days those are, and which of them resist, and why."""


@dataclass(slots=True)
class Pruned:
    """How many went (or would go), by what they were. ``left`` names what could not be removed, and why: the first
    hundred of ``left_count``."""

    counts: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    left_count: int = 0

    def add(self, name: str, count: int) -> None:
        if count:
            self.counts[name] = self.counts.get(name, 0) + count

    def leave(self, left: Mapping[str, str]) -> None:
        self.left |= dict(islice(left.items(), _MOST_NAMED - len(self.left)))
        self.left_count += len(left)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Of ``name``, what is older than ``setting`` says: how many there are, and a step that is repeated."""

    name: str
    setting: str
    old: Callable[..., int]
    step: Callable[..., int]


def _rules(now: datetime) -> list[_Rule]:
    states = [
        _Rule(
            state.value,
            state.value,
            partial(retention.old_attachments, state=state),
            partial(retention.retire, state=state, now=now),
        )
        for state in _STATES
    ]
    others = [
        _Rule(name, setting, partial(old, erased=setting == "erased"), partial(step, erased=setting == "erased"))
        for name, old, step in (
            ("messages", retention.old_messages, retention.delete_messages),
            ("events", retention.old_events, retention.delete_events),
        )
        for setting in (name, "erased")
    ]
    payloads = _Rule("payloads", "payloads", retention.old_payloads, partial(retention.empty_payloads, now=now))
    return [*states, *others, payloads]


def prunable(ledger: Ledger, kept: Retention, *, now: datetime) -> Pruned:
    """What :func:`prune` would begin with, as far as the ledger tells. Raises LedgerOutOfReach."""
    pruned = Pruned()
    for rule in _rules(now):
        if (before := _before(kept, rule.setting, now)) is not None:
            pruned.add(rule.name, rule.old(ledger, before=before))
    return pruned


def prune(
    ledger: Ledger,
    store: Store,
    kept: Retention,
    *,
    clock: Clock,
    forget_days: Forget = lambda _: (0, {}),
    stop: Callable[[], bool] = lambda: False,
    told: Told = lambda _: None,
) -> Pruned:
    """Do it. ``stop`` is asked between transactions, and what is left then goes the next time.

    What resists keeps nothing else from going. ``told`` is called with how many more went. Raises OutOfReach.
    """
    pruned, now, work = Pruned(), clock.now(), _Work(ledger, store, stop, told)
    resisting: Mapping[str, str] = {}
    for rule in _rules(now):
        before = _before(kept, rule.setting, now)
        if before is None or stop():
            continue
        if rule.name in _STATES:
            resisting = _apply(rule, before, work, pruned, sweep=work.sweep)
            work.delete_retired()
        else:
            _apply(rule, before, work, pruned)
    pruned.leave(resisting)
    before = _before(kept, "done", now)
    if before is not None and not stop():
        days, left = forget_days(before.date())
        pruned.add("days of done/", days)
        pruned.leave(left)
    return pruned


def _before(kept: Retention, setting: str, now: datetime) -> datetime | None:
    age_s: float | None = getattr(kept, setting)
    return now - timedelta(seconds=age_s) if age_s is not None else None


@dataclass(frozen=True, slots=True)
class _Work:
    """On what, and for how long."""

    ledger: Ledger
    store: Store
    stop: Callable[[], bool]
    told: Told

    def sweep(self) -> Mapping[str, str]:
        """Remove the files of what was retired, also by an earlier run; all that resist, and why."""
        return finish(self.ledger, self.store, stop=self.stop, told=lambda: self.told(0)).left

    def delete_retired(self) -> None:
        """Delete the rows of what has no file any more."""
        while not self.stop() and retention.delete_retired(self.ledger, count=_AT_ONCE) == _AT_ONCE:
            pass


def _apply(
    rule: _Rule,
    before: datetime,
    work: _Work,
    pruned: Pruned,
    *,
    sweep: Callable[[], Mapping[str, str]] = dict,
) -> Mapping[str, str]:
    """Step by step, with a ``sweep`` after each, until nothing is left to do; what resists.

    Where as many files resist as are retired at once, the store refuses: what else was retired would only resist too,
    and be tried again with every step.
    """
    resisting = sweep()
    while not work.stop() and len(resisting) < _AT_ONCE:
        done = rule.step(work.ledger, before=before, count=_AT_ONCE)
        pruned.add(rule.name, done)
        work.told(done)
        resisting = sweep()
        if done < _AT_ONCE:
            break
    return resisting
