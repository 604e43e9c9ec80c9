"""Telling Syniverse which messages are taken care of (``inbox.mark_processed``): at least once, never before we are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

import structlog

from mo_sync.backoff import Policy, delay
from mo_sync.clock import Clock
from mo_sync.ledger import Ledger, marks
from mo_sync.ledger.duties import Duties
from mo_sync.ledger.marks import Mark
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Verdict

__all__ = ["Marker", "Marking"]

_log = structlog.get_logger(__name__)

_DUTY: Final = "mark"
_DUTY_S: Final = 120.0
_AT_ONCE: Final = 50
_REST_S: Final = 900.0
_PATIENCE: Final = Policy(base_s=10.0, max_delay_s=3_600.0)
_APPLICATIONS_OWN: Final = frozenset({Verdict.HOLD, Verdict.THROTTLED})


class Marker(Protocol):
    """Marks one message."""

    def __call__(self, message_id: str, application_id: str, stop: Callable[[], bool]) -> Failed | Interrupted | None:
        """None when that is done."""


class Marking:
    """Tells of what is due. One process at a time does, by ``duties``."""

    def __init__(self, marker: Marker, ledger: Ledger, clock: Clock, duties: Duties) -> None:
        self._marker = marker
        self._ledger = ledger
        self._clock = clock
        self._duties = duties

    def tell(self, stop: Callable[[], bool]) -> int:
        """Tell of all that is due; of how many. Raises LedgerOutOfReach."""
        told, until_s = 0, self._clock.monotonic() + _DUTY_S / 2
        if not marks.due(self._ledger, now=self._clock.now(), count=1):
            return told
        lease = self._duties.take(_DUTY, _DUTY_S)
        if lease is None:
            return told
        try:
            while not stop() and self._clock.monotonic() < until_s:
                some = marks.due(self._ledger, now=self._clock.now(), count=_AT_ONCE)
                if not some:
                    break
                told += self._tell(some, stop)
        finally:
            self._duties.give_back(_DUTY, lease)
        return told

    def _tell(self, some: list[Mark], stop: Callable[[], bool]) -> int:
        told: list[Mark] = []
        resting: dict[str, Failed] = {}
        for one in some:
            if stop():
                break
            if one.application_id in resting:
                continue
            answer = self._marker(one.message_id, one.application_id, stop)
            if answer is None:
                told.append(one)
            elif isinstance(answer, Failed) and answer.verdict in _APPLICATIONS_OWN:
                resting[one.application_id] = answer
            elif isinstance(answer, Failed):
                self._put_off(one, answer)
        marks.done(self._ledger, told, now=self._clock.now())
        self._rest(some, resting)
        return len(told)

    def _put_off(self, one: Mark, failure: Failed) -> None:
        if failure.verdict is Verdict.PERMANENT or one.attempts + 1 >= _PATIENCE.max_attempts:
            marks.failed(self._ledger, one, error=failure.reason)
            _log.error("mark.failed", message=one.message_id, application=one.application_id, reason=failure.reason)
            return
        delay_s = max(delay(one.attempts + 1, self._clock.roll(), _PATIENCE), failure.retry_after_s or 0.0)
        self._later(one, failure, delay_s, counts=True)

    def _rest(self, some: list[Mark], resting: dict[str, Failed]) -> None:
        """The trouble of an application is none of its messages': all of them wait, and none pays for it."""
        for one in some:
            if (failure := resting.get(one.application_id)) is not None:
                self._later(one, failure, max(_REST_S, failure.retry_after_s or 0.0), counts=False)

    def _later(self, one: Mark, failure: Failed, delay_s: float, *, counts: bool) -> None:
        due_at = self._clock.now() + timedelta(seconds=delay_s)
        marks.later(self._ledger, one, due_at=due_at, error=failure.reason, counts=counts)
