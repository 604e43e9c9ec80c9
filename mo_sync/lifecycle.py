"""The life of an attachment: the state machine on one screen.

:func:`next_state` is a pure function of (claim, outcome, now, policy, roll). It is the only place that decides what
becomes of an attachment after an attempt; the ledger merely writes down what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias, assert_never

from mo_sync.backoff import Policy, delay
from mo_sync.verdicts import Step, Verdict

__all__ = [
    "Claim",
    "Failed",
    "Interrupted",
    "Outcome",
    "Refused",
    "Settlement",
    "State",
    "Stored",
    "Transition",
    "next_state",
]


class State(StrEnum):
    """Where an attachment is in its life; the words are the same in code, schema, commands and docs."""

    PENDING = "pending"
    FETCHING = "fetching"
    STORED = "stored"
    MISSING = "missing"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Claim:
    """One attachment, lent to one worker until ``lease_until`` (UTC).

    ``lease`` is a random token: whoever settles must show it. ``attempts`` are those used up before this one,
    ``absences`` those among them that ended in "no such attachment". ``filed_at`` is the message's own time (else when
    it was recorded): it chooses the folder, so that a second fetch of the same attachment finds the same key.
    """

    attachment_id: str
    message_id: str
    application_id: str
    position: int
    lease: str
    lease_until: datetime
    attempts: int
    deadline_at: datetime
    filed_at: datetime
    declared_type: str | None = None
    av_status: str | None = None
    absences: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes rest whole and durable at ``key``. ``sha256`` is lower-case hex, ``size`` counts bytes.

    ``content_type`` was sniffed from the bytes (else it is what the gateway said), ``header_type`` is the gateway's.
    ``quarantined`` when they rest under the store's ``quarantine/`` because of ``reason``.
    """

    key: str
    size: int
    sha256: str
    content_type: str
    header_type: str | None = None
    filename: str | None = None
    quarantined: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed at ``step``. ``status`` is HTTP's, ``code`` SCG's (or a kebab-case kind of error).

    ``reason`` is one sentence for people, without secrets. ``retry_after_s`` is what the gateway asked for.
    """

    step: Step
    status: int | None
    code: str | None
    verdict: Verdict
    reason: str
    retry_after_s: float | None = None
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Our own policy said no; ``reason`` names the rule and the numbers. Nothing was kept."""

    code: str
    reason: str
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The work was given back unfinished (a stop, a full disk). Uses up no attempt."""

    reason: str = "stopped"
    delay_s: float = 0.0


Outcome: TypeAlias = Stored | Failed | Refused | Interrupted


@dataclass(frozen=True, slots=True)
class Transition:
    """What the ledger writes: the next state, attempts used up, when it is due, why.

    ``due_at`` is None for states that wait for nothing. ``hold_application_until`` pauses every claim of the
    application and ``hold_state`` says how (``held`` for credentials and credit, ``throttled``).
    """

    state: State
    attempts: int
    due_at: datetime | None
    reason: str | None
    absences: int = 0
    hold_application_until: datetime | None = None
    hold_state: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """One finished claim on its way into the ledger. Times are UTC."""

    claim: Claim
    outcome: Outcome
    transition: Transition
    started_at: datetime
    finished_at: datetime


def next_state(claim: Claim, outcome: Outcome, *, now: datetime, policy: Policy, roll: float) -> Transition:
    """What becomes of the claimed attachment after ``outcome``; ``roll`` in [0, 1) is the dice for the backoff."""
    match outcome:
        case Stored(quarantined=True):
            return Transition(State.QUARANTINED, claim.attempts + 1, None, outcome.reason, claim.absences)
        case Stored():
            return Transition(State.STORED, claim.attempts + 1, None, None, claim.absences)
        case Refused():
            return Transition(State.REFUSED, claim.attempts + 1, None, outcome.reason, claim.absences)
        case Interrupted():
            due_at = now + timedelta(seconds=outcome.delay_s)
            return Transition(State.PENDING, claim.attempts, due_at, outcome.reason, claim.absences)
        case Failed():
            return _after_failure(claim, outcome, now=now, policy=policy, roll=roll)
        case _:
            assert_never(outcome)


def _after_failure(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    match failed.verdict:
        case Verdict.RETRY | Verdict.REMINT:
            return _retry(claim, failed, now=now, policy=policy, roll=roll)
        case Verdict.ABSENT:
            return _absent(claim, failed, now=now, policy=policy, roll=roll)
        case Verdict.SNOOZE:
            return _snooze(claim, failed, now=now, policy=policy, roll=roll)
        case Verdict.HOLD:
            return _hold(claim, failed, now=now, policy=policy)
        case Verdict.THROTTLED:
            return _throttled(claim, failed, now=now, policy=policy, roll=roll)
        case Verdict.PERMANENT:
            return Transition(State.FAILED, claim.attempts + 1, None, failed.reason, claim.absences)
        case _:
            assert_never(failed.verdict)


def _retry(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    attempts = claim.attempts + 1
    if attempts >= policy.max_attempts:
        reason = f"{failed.reason}; gave up after {attempts} attempts"
        return Transition(State.FAILED, attempts, None, reason, claim.absences)
    if now >= claim.deadline_at and attempts >= policy.min_attempts:
        reason = f"{failed.reason}; gave up after its deadline"
        return Transition(State.FAILED, attempts, None, reason, claim.absences)
    wait_s = max(delay(attempts, roll, policy), _asked(failed, policy))
    return Transition(State.PENDING, attempts, _due(claim, now, wait_s), failed.reason, claim.absences)


def _absent(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    absences = claim.absences + 1
    again = _retry(claim, failed, now=now, policy=policy, roll=roll)
    if absences >= policy.absent_attempts or again.state is State.FAILED:
        reason = f"{failed.reason}; said so {absences} times"
        return Transition(State.MISSING, claim.attempts + 1, None, reason, absences)
    return Transition(again.state, again.attempts, again.due_at, again.reason, absences)


def _snooze(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    if now >= claim.deadline_at:
        return _retry(claim, failed, now=now, policy=policy, roll=roll)
    wait_s = max(policy.snooze_s, _asked(failed, policy))
    return Transition(State.PENDING, claim.attempts, _due(claim, now, wait_s), failed.reason, claim.absences)


def _hold(claim: Claim, failed: Failed, *, policy: Policy, now: datetime) -> Transition:
    """The application rests. No deadline ends this: mended credentials bring back what waited, however long it was."""
    until = now + timedelta(seconds=max(policy.hold_s, _asked(failed, policy)))
    resting = Transition(State.PENDING, claim.attempts, until, failed.reason, claim.absences)
    return replace(resting, hold_application_until=until, hold_state="held")


def _throttled(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    """The application pauses. Past the deadline it counts as any failure, else it could go on for ever.

    The pause is spread over one to two times ``base_s``: one of (nearly) nothing would hammer who asked for less.
    """
    pause_s = min(policy.base_s * (1.0 + roll), policy.max_delay_s)
    until = now + timedelta(seconds=max(pause_s, _asked(failed, policy)))
    resting = Transition(State.PENDING, claim.attempts, until, failed.reason, claim.absences)
    if now >= claim.deadline_at:
        resting = _retry(claim, failed, now=now, policy=policy, roll=roll)
    return replace(resting, hold_application_until=until, hold_state="throttled")


def _due(claim: Claim, now: datetime, wait_s: float) -> datetime:
    """``wait_s`` from now, but not past a deadline that is still ahead: the last try is made at the deadline."""
    due_at = now + timedelta(seconds=wait_s)
    return min(due_at, claim.deadline_at) if claim.deadline_at > now else due_at


def _asked(failed: Failed, policy: Policy) -> float:
    """What the gateway asked for, within reason: a Retry-After of a year, or one that is no number, is not obeyed."""
    asked_s = failed.retry_after_s or 0.0
    return min(asked_s, policy.max_delay_s) if asked_s > 0.0 else 0.0
