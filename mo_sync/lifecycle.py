"""The life of an attachment: the state machine on one screen.

:func:`next_state` is a pure function of (claim, outcome, now, policy, roll). It is the only place that decides what
becomes of an attachment after an attempt; the ledger merely writes down what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from mo_sync.backoff import Policy, delay, rest
from mo_sync.verdicts import Step, Verdict

__all__ = [
    "Claim",
    "Failed",
    "Interrupted",
    "Outcome",
    "Refused",
    "Rest",
    "Settlement",
    "Standing",
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
    ``application_failures`` is how often in a row its application was tried in vain; above 0, this claim probes it.
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
    application_failures: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes rest whole and durable at ``key``. ``sha256`` is lower-case hex, ``size`` counts bytes.

    ``content_type`` was sniffed from the bytes (else it is what the gateway said), ``header_type`` is the gateway's,
    ``declared_type`` is that of its metadata, where they were asked for.
    ``quarantined`` when they rest under the store's ``quarantine/`` because of ``reason``.
    """

    key: str
    size: int
    sha256: str
    content_type: str
    header_type: str | None = None
    filename: str | None = None
    declared_type: str | None = None
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
    """The work was given back unfinished (a stop, a full disk). Uses up no attempt.

    ``everybody`` when every other attachment would meet the same now: nothing is begun for ``delay_s`` seconds.
    """

    reason: str = "stopped"
    delay_s: float = 0.0
    everybody: bool = False


Outcome: TypeAlias = Stored | Failed | Refused | Interrupted

_SERVER_ERROR: Final = 500


class Standing(StrEnum):
    """How an application stands with the gateway."""

    ACTIVE = "active"
    THROTTLED = "throttled"
    HELD = "held"


_ALL_TROUBLES: Final = frozenset({Standing.HELD, Standing.THROTTLED})


@dataclass(frozen=True, slots=True)
class Rest:
    """The claims of an application rest until ``until`` (UTC); ``failures`` tries in a row were in vain."""

    standing: Standing
    until: datetime
    failures: int


@dataclass(frozen=True, slots=True)
class Transition:
    """What the ledger writes: the next state, attempts used up, when it is due, why.

    ``due_at`` is None for states that wait for nothing. ``rest`` is what the application's own trouble asks for;
    ``mends`` are the troubles of an application that this outcome shows to be over.
    """

    state: State
    attempts: int
    due_at: datetime | None
    reason: str | None
    absences: int = 0
    rest: Rest | None = None
    mends: frozenset[Standing] = frozenset()


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
    return replace(_next(claim, outcome, now=now, policy=policy, roll=roll), mends=_mends(outcome))


def _next(claim: Claim, outcome: Outcome, *, now: datetime, policy: Policy, roll: float) -> Transition:
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


def _mends(outcome: Outcome) -> frozenset[Standing]:
    """Which troubles of an application are over when this can be. A token that was minted was paid for and accepted."""
    match outcome:
        case Stored():
            return _ALL_TROUBLES
        case Failed(status=int(), verdict=verdict) if verdict in (Verdict.HOLD, Verdict.THROTTLED):
            return frozenset()
        case Failed(status=int(status), step=step):
            served = frozenset({Standing.THROTTLED}) if status < _SERVER_ERROR else frozenset[Standing]()
            known = step is Step.CONTENT or status < _SERVER_ERROR
            return served | (frozenset({Standing.HELD}) if known else frozenset())
        case _:
            return frozenset()


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
    always = again.state is State.FAILED and absences > claim.attempts
    if absences >= policy.absent_attempts or always:
        reason = f"{failed.reason}; said so {absences} times"
        return Transition(State.MISSING, claim.attempts + 1, None, reason, absences)
    return Transition(again.state, again.attempts, again.due_at, again.reason, absences)


def _snooze(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    if now >= claim.deadline_at:
        return _retry(claim, failed, now=now, policy=policy, roll=roll)
    wait_s = max(policy.snooze_s, _asked(failed, policy))
    return Transition(State.PENDING, claim.attempts, _due(claim, now, wait_s), failed.reason, claim.absences)


def _hold(claim: Claim, failed: Failed, *, policy: Policy, now: datetime) -> Transition:
    """The application rests. No deadline ends this: mended credentials bring back what waited, however long it was.

    The attachment itself is due: it goes as soon as its application does.
    """
    failures = claim.application_failures
    rest_s = max(rest(failures, policy.hold_s, max(policy.max_delay_s, policy.hold_s)), _asked(failed, policy))
    until = now + timedelta(seconds=rest_s)
    waiting = Transition(State.PENDING, claim.attempts, now, failed.reason, claim.absences)
    return replace(waiting, rest=Rest(Standing.HELD, until, failures + 1))


def _throttled(claim: Claim, failed: Failed, *, now: datetime, policy: Policy, roll: float) -> Transition:
    """A slower pace mends this, unless the gateway named a time, is out of reach, or was tried again in vain.

    Then the application rests, longer each time. The attachment's own wait is spread over one to two times ``base_s``:
    one of (nearly) nothing would hammer who asked for less. Past the deadline this counts as any failure, else it could
    go on for ever.
    """
    failures, spread_s, asked_s = claim.application_failures, policy.base_s * (1.0 + roll), _asked(failed, policy)
    grown_s = rest(failures, spread_s, max(policy.hold_s, spread_s))
    # Whoever names a time knows best, until that has been tried in vain.
    wait_s = asked_s if asked_s and not failures else max(grown_s, asked_s)
    until = now + timedelta(seconds=wait_s)
    waiting = Transition(State.PENDING, claim.attempts, until, failed.reason, claim.absences)
    if now >= claim.deadline_at:
        waiting = _retry(claim, failed, now=now, policy=policy, roll=roll)
    if failed.status is not None and not asked_s and not failures:
        return waiting
    due_at = now if waiting.due_at is not None else None
    return replace(waiting, due_at=due_at, rest=Rest(Standing.THROTTLED, until, failures + 1))


def _due(claim: Claim, now: datetime, wait_s: float) -> datetime:
    """``wait_s`` from now, but not past a deadline that is still ahead: the last try is made at the deadline."""
    due_at = now + timedelta(seconds=wait_s)
    return min(due_at, claim.deadline_at) if claim.deadline_at > now else due_at


def _asked(failed: Failed, policy: Policy) -> float:
    """What the gateway asked for, within reason: a Retry-After of a year, or one that is no number, is not obeyed."""
    asked_s = failed.retry_after_s or 0.0
    return min(asked_s, policy.max_delay_s) if asked_s > 0.0 else 0.0
