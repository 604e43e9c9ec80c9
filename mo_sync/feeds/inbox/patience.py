"""Asking the inbox again while what is wrong may pass: a list has many pages, and one must not cost all others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from mo_sync.backoff import Policy, delay
from mo_sync.clock import Clock
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Verdict

__all__ = ["PASSES", "asked"]

PASSES: Final = frozenset({Verdict.RETRY, Verdict.THROTTLED, Verdict.SNOOZE})
"""The verdicts on failures that may be over the next time."""
_POLICY: Final = Policy(base_s=1.0, max_delay_s=60.0)
_MOST_TRIES: Final = 5
_SLICE_S: Final = 0.5

Found = TypeVar("Found")


def asked(
    ask: Callable[[], Found | Failed | Interrupted], clock: Clock, stop: Callable[[], bool]
) -> Found | Failed | Interrupted:
    """The answer to ``ask``, which is asked up to five times. Who is told to wait for longer than a minute gives up."""
    for tries in range(1, _MOST_TRIES):
        answer = ask()
        if not isinstance(answer, Failed) or answer.verdict not in PASSES:
            return answer
        wait_s = max(answer.retry_after_s or 0.0, delay(tries, clock.roll(), _POLICY))
        if wait_s > _POLICY.max_delay_s:
            return answer
        if _stopped_within(wait_s, clock, stop):
            return Interrupted()
    return ask()


def _stopped_within(wait_s: float, clock: Clock, stop: Callable[[], bool]) -> bool:
    never, until_s = threading.Event(), clock.monotonic() + wait_s
    while not stop():
        left_s = until_s - clock.monotonic()
        if left_s <= 0:
            return False
        clock.wait(never, min(left_s, _SLICE_S))
    return True
