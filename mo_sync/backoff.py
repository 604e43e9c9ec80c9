"""When to try again: exponential backoff with full jitter.

Full jitter (a uniform choice between nothing and the bound) spreads the retries of many attachments that failed at
the same moment better than any fixed or half-random delay: see "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Policy", "bound", "delay", "rest"]

_HIGHEST_EXPONENT = 62


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the reconciler is with one attachment.

    Durations in seconds. ``absent_attempts`` is how often a gateway may say "no such attachment" before it is
    believed: right after an event the answer is often a race. ``remint_limit`` bounds how many new content tokens
    one attempt may ask for. ``min_attempts`` are made even when the deadline passed while nothing ran. ``hold_s`` is
    how long an application rests at first when its credentials or its credit are refused, and the longest that it
    rests when the gateway is out of reach.
    """

    base_s: float = 10.0
    max_delay_s: float = 3600.0
    max_attempts: int = 12
    min_attempts: int = 3
    give_up_after_s: float = 72 * 3600.0
    snooze_s: float = 60.0
    absent_attempts: int = 5
    remint_limit: int = 2
    hold_s: float = 300.0


def bound(failures: int, policy: Policy) -> float:
    """The longest delay in seconds after ``failures`` failed attempts (at least one).

    >>> [bound(n, Policy(max_delay_s=60.0)) for n in (1, 2, 3, 4, 5000)]
    [10.0, 20.0, 40.0, 60.0, 60.0]
    """
    exponent = min(max(failures, 1) - 1, _HIGHEST_EXPONENT)
    return min(policy.max_delay_s, float(policy.base_s * 2**exponent))


def delay(failures: int, roll: float, policy: Policy) -> float:
    """Seconds to wait after ``failures`` failed attempts; ``roll`` is the dice, in [0, 1).

    >>> delay(3, 0.5, Policy(max_delay_s=60.0))
    20.0
    """
    return roll * bound(failures, policy)


def rest(failures: int, first_s: float, most_s: float) -> float:
    """Seconds that an application rests after it was tried in vain ``failures`` times in a row: doubled each time.

    >>> [rest(n, 300.0, 3600.0) for n in (0, 1, 2, 3, 4, 5000)]
    [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]
    """
    return min(most_s, first_s * 2.0 ** min(failures, _HIGHEST_EXPONENT))
