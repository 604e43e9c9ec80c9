"""Erasing on request: rows, files, what was set aside of them, and copies of events in the drop folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from mo_sync.clock import Clock
from mo_sync.errors import OutOfReach, StoreOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.erasure import Erased, erase_attachment, erase_message, erase_unread
from mo_sync.ledger.interventions import By
from mo_sync.ledger.scope import Scope
from mo_sync.ledger.whereabouts import filed_once, files_gone, unfinished, unfinished_count
from mo_sync.naming import quarantine_key
from mo_sync.store import Store
from mo_sync.upkeep.bare import is_another, looks_empty

__all__ = ["Report", "erase", "finish"]

_ASK_AGAIN_S: Final = 0.5


@dataclass(slots=True)
class Report:
    """What was erased, by what stands for it now; ``left`` says what could not be, and why: also what was
    ``out_of_reach``."""

    messages: list[str] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    events: int = 0
    files: int = 0
    left: dict[str, str] = field(default_factory=dict)
    out_of_reach: bool = False

    def add(self, erased: Erased) -> None:
        self.messages += erased.messages
        self.attachments += erased.attachments
        self.events += erased.events
        self.left |= dict.fromkeys(erased.busy, "it is being fetched")

    def leave(self, trouble: OutOfReach) -> None:
        """Whoever has to account for an erasure needs to know what was done before this came."""
        name = "store" if isinstance(trouble, StoreOutOfReach) else "ledger"
        self.left[name] = "; ".join(filter(None, (f"{trouble.code}: {trouble.summary}", trouble.hint)))
        self.out_of_reach = True


def erase(
    ledger: Ledger,
    store: Store,
    scope: Scope,
    *,
    by: By,
    clock: Clock,
    patience_s: float,
    stop: Callable[[], bool] = lambda: False,
    give_up: Callable[[], bool] = lambda: False,
    told: Callable[[], object] = lambda: None,
) -> Report:
    """Erase what ``scope`` names: events that announced nothing, then the rows of all else, then the files.

    What is being fetched is waited for, ``patience_s`` seconds in all, and left if it is not done by then. ``told`` is
    called after each message and each single attachment; what it raises ends the work, and what was erased stays so.
    ``stop`` is asked before each, and ends it in good order: the files of what was erased by then go too, until
    ``give_up`` says that it takes too long. A ledger or a store out of reach is told with what is left. A second call
    does what is left. What was kept long enough is none of it: a report names nobody else's.
    """
    report, until_s = Report(), clock.monotonic() + patience_s

    def whole(message_id: str) -> Erased:
        return erase_message(ledger, message_id, by, now=clock.now())

    def single(attachment_id: str) -> Erased:
        return erase_attachment(ledger, attachment_id, by, now=clock.now())

    try:
        if scope.events:  # first: later nobody knows the ids any more that stand in them
            report.events += erase_unread(ledger, scope.events, now=clock.now())
        for wanted, deed in ((scope.messages, whole), (scope.attachments, single)):
            for name in wanted:
                if stop():
                    break
                erased = _when_idle(deed, name, clock, until_s, stop)
                report.add(erased)
                told()
        _finish(ledger, store, report, stop=give_up, on_request=True)
        if give_up() and (count := unfinished_count(ledger)):
            report.left["files"] = f"of {count:,} attachments that were erased, not removed yet"
    except OutOfReach as trouble:
        report.leave(trouble)
    return report


def finish(
    ledger: Ledger,
    store: Store,
    *,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[], object] = lambda: None,
    force: bool = False,
) -> Report:
    """Remove the files of what was erased or kept long enough, also of what an earlier run could not finish.

    ``stop`` is asked before each, ``told`` is called after each. Raises LedgerOutOfReach; and
    StoreOutOfReach ``store-looks-empty`` when it finds none of them in a store that is hardly theirs: then where they
    are is still known, for when their disk is mounted again. Unless ``force`` says that they are gone.
    """
    report = Report()
    _finish(ledger, store, report, stop=stop, told=told, force=force)
    return report


def _finish(
    ledger: Ledger,
    store: Store,
    report: Report,
    *,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[], object] = lambda: None,
    on_request: bool = False,
    force: bool = False,
) -> None:
    after = ""
    while not stop() and (places := unfinished(ledger, after=after, on_request=on_request)):
        removed: dict[str, int] = {}
        for stand_in, location in places.items():
            if stop():
                break
            try:
                removed[stand_in] = _purged(store, location)
            except OSError as error:
                report.left[stand_in] = f"its file cannot be removed ({error.strerror or type(error).__name__})"
            told()
        report.files += sum(removed.values())
        lost = {stand_in for stand_in, count in removed.items() if not count}
        _tell_gone(ledger, places, removed.keys() - lost)
        if lost:  # the store may have gone in the middle, too
            if not force:
                _refuse_an_empty_store(ledger, store, lost)
            _tell_gone(ledger, places, lost)
        after = max(places)


def _tell_gone(ledger: Ledger, places: Mapping[str, str], stand_ins: Collection[str]) -> None:
    if stand_ins:
        files_gone(ledger, {stand_in: places[stand_in] for stand_in in stand_ins})


def _purged(store: Store, location: str) -> int:
    plain = location.removeprefix(quarantine_key(""))
    return sum(map(store.purge, (plain, quarantine_key(plain))))


def _refuse_an_empty_store(ledger: Ledger, store: Store, sought: Collection[str]) -> None:
    """One file that is not there any more was removed by somebody else; in a store with others that means nothing."""
    lost = filed_once(ledger, sought)
    if lost and is_another(ledger, store):
        raise looks_empty(lost, len(sought), anyway="mo-sync ledger verify --repair --force")


def _when_idle(
    deed: Callable[[str], Erased], name: str, clock: Clock, until_s: float, stop: Callable[[], bool]
) -> Erased:
    erased = deed(name)
    while erased.busy and clock.monotonic() < until_s and not stop():
        clock.wait(threading.Event(), _ASK_AGAIN_S)
        erased = deed(name)
    return erased
