"""Erasing on request: rows, files, what was set aside of them, and copies of events in the drop folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mo_sync.clock import Clock
from mo_sync.ledger import Ledger
from mo_sync.ledger.erasure import (
    Erased,
    Scope,
    erase_attachment,
    erase_message,
    erase_unread,
    files_gone,
    unfinished,
)
from mo_sync.ledger.interventions import By
from mo_sync.naming import quarantine_key
from mo_sync.store import Store

__all__ = ["Report", "erase", "finish"]

_ASK_AGAIN_S: Final = 0.5


@dataclass(slots=True)
class Report:
    """What was erased, by what stands for it now; ``left`` says what could not be, and why."""

    messages: list[str] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    events: int = 0
    files: int = 0
    left: dict[str, str] = field(default_factory=dict)

    def add(self, erased: Erased) -> None:
        self.messages += erased.messages
        self.attachments += erased.attachments
        self.events += erased.events


def erase(
    ledger: Ledger,
    store: Store,
    scope: Scope,
    *,
    by: By,
    clock: Clock,
    patience_s: float,
    told: Callable[[], object] = lambda: None,
) -> Report:
    """Erase what ``scope`` names: first the rows of all of it, then the files.

    What is being fetched is waited for, ``patience_s`` seconds in all, and left if it is not done by then. ``told`` is
    called after each message and each single attachment; what it raises ends the work, and what was erased stays so.
    Raises LedgerOutOfReach, StoreOutOfReach; a second call does what is left.
    """
    report, until_s = Report(), clock.monotonic() + patience_s

    def whole(message_id: str) -> Erased:
        return erase_message(ledger, message_id, by, now=clock.now())

    def single(attachment_id: str) -> Erased:
        return erase_attachment(ledger, attachment_id, by, now=clock.now())

    for wanted, deed in ((scope.messages, whole), (scope.attachments, single)):
        for name in wanted:
            erased = _when_idle(deed, name, clock, until_s)
            report.add(erased)
            report.left |= dict.fromkeys(erased.busy, "it is being fetched")
            told()
    if scope.events:
        report.events += erase_unread(ledger, scope.events, now=clock.now())
    finished = finish(ledger, store)
    return replace(report, files=finished.files, left=report.left | finished.left)


def finish(
    ledger: Ledger,
    store: Store,
    *,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[], object] = lambda: None,
) -> Report:
    """Remove the files of what was erased, also of what an earlier run could not finish.

    ``stop`` is asked between some hundreds of them, ``told`` is called after each. Raises LedgerOutOfReach.
    """
    report, after = Report(), ""
    while not stop() and (places := unfinished(ledger, after=after)):
        gone: dict[str, str] = {}
        for stand_in, location in places.items():
            plain = location.removeprefix(quarantine_key(""))
            try:
                report.files += sum(map(store.purge, (plain, quarantine_key(plain))))
            except OSError as error:
                report.left[stand_in] = f"its file cannot be removed ({error.strerror or type(error).__name__})"
            else:
                gone[stand_in] = location
            told()
        if gone:
            files_gone(ledger, gone)
        after = max(places)
    return report


def _when_idle(deed: Callable[[str], Erased], name: str, clock: Clock, until_s: float) -> Erased:
    erased = deed(name)
    while erased.busy and clock.monotonic() < until_s:
        clock.wait(threading.Event(), _ASK_AGAIN_S)
        erased = deed(name)
    return erased
