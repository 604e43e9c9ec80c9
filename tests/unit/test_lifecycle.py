"""What becomes of an attachment after each outcome: a table over every (outcome, verdict)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mo_sync.backoff import Policy
from mo_sync.lifecycle import (
    Claim,
    Failed,
    Interrupted,
    Outcome,
    Refused,
    Rest,
    Standing,
    State,
    Stored,
    Transition,
    next_state,
)
from mo_sync.verdicts import Step, Verdict

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = Policy(base_s=10.0, max_delay_s=3600.0, max_attempts=12, min_attempts=3, snooze_s=60.0, hold_s=300.0)
BEFORE = timedelta(hours=1)
LATE = timedelta(seconds=-1)


def claim(attempts: int = 0, *, absences: int = 0, deadline_in: timedelta = BEFORE, in_vain: int = 0) -> Claim:
    return Claim(
        attachment_id="Mno4Xayql1oVOYAvP7Iy25",
        message_id="m",
        application_id="17226",
        position=0,
        lease="lease",
        lease_until=NOW + timedelta(minutes=2),
        attempts=attempts,
        deadline_at=NOW + deadline_in,
        filed_at=NOW,
        absences=absences,
        application_failures=in_vain,
    )


def failed(
    verdict: Verdict, retry_after_s: float | None = None, *, status: int | None = 500, step: Step = Step.CONTENT
) -> Failed:
    return Failed(step, status, None, verdict, "it broke", retry_after_s)


def after(outcome: Outcome, lent: Claim | None = None) -> Transition:
    return next_state(lent or claim(), outcome, now=NOW, policy=POLICY, roll=0.5)


def due_in(transition: Transition) -> float | None:
    return None if transition.due_at is None else (transition.due_at - NOW).total_seconds()


STORED = Stored("key", 7, "sha", "image/jpeg")

# outcome, claim, expected: state, attempts, due in seconds, absences
TABLE = [
    (STORED, claim(), State.STORED, 1, None, 0),
    (Stored("key", 7, "sha", "image/jpeg", quarantined=True), claim(), State.QUARANTINED, 1, None, 0),
    (Refused("too-large", "too large"), claim(2), State.REFUSED, 3, None, 0),
    (Interrupted(), claim(2), State.PENDING, 2, 0.0, 0),
    (Interrupted("disk full", delay_s=30.0), claim(2), State.PENDING, 2, 30.0, 0),
    (failed(Verdict.PERMANENT), claim(2), State.FAILED, 3, None, 0),
    # retries: half of 10 s doubled each time, by the dice of 0.5
    (failed(Verdict.RETRY), claim(), State.PENDING, 1, 5.0, 0),
    (failed(Verdict.RETRY), claim(3), State.PENDING, 4, 40.0, 0),
    (failed(Verdict.RETRY), claim(10), State.PENDING, 11, 1800.0, 0),
    (failed(Verdict.RETRY), claim(11), State.FAILED, 12, None, 0),
    (failed(Verdict.RETRY, 90.0), claim(), State.PENDING, 1, 90.0, 0),
    (failed(Verdict.RETRY), claim(6, deadline_in=timedelta(seconds=20)), State.PENDING, 7, 20.0, 0),
    (failed(Verdict.RETRY), claim(2, deadline_in=LATE), State.FAILED, 3, None, 0),
    (failed(Verdict.RETRY), claim(1, deadline_in=LATE), State.PENDING, 2, 10.0, 0),
    (failed(Verdict.REMINT), claim(), State.PENDING, 1, 5.0, 0),
    (failed(Verdict.REMINT), claim(11), State.FAILED, 12, None, 0),
    # absence is believed when repeated
    (failed(Verdict.ABSENT), claim(), State.PENDING, 1, 5.0, 1),
    (failed(Verdict.ABSENT), claim(4, absences=3), State.PENDING, 5, 80.0, 4),
    (failed(Verdict.ABSENT), claim(4, absences=4), State.MISSING, 5, None, 5),
    (failed(Verdict.ABSENT), claim(11), State.FAILED, 12, None, 1),
    (failed(Verdict.ABSENT), claim(5, deadline_in=LATE), State.FAILED, 6, None, 1),
    (failed(Verdict.ABSENT), claim(2, absences=2, deadline_in=LATE), State.MISSING, 3, None, 3),
    (failed(Verdict.RETRY), claim(4, absences=3), State.PENDING, 5, 80.0, 3),
    # snoozes, until the deadline
    (failed(Verdict.SNOOZE), claim(2), State.PENDING, 2, 60.0, 0),
    (failed(Verdict.SNOOZE, 90.0), claim(2), State.PENDING, 2, 90.0, 0),
    (failed(Verdict.SNOOZE), claim(2, deadline_in=timedelta(seconds=20)), State.PENDING, 2, 20.0, 0),
    (failed(Verdict.SNOOZE), claim(0, deadline_in=LATE), State.PENDING, 1, 5.0, 0),
    (failed(Verdict.SNOOZE), claim(2, deadline_in=LATE), State.FAILED, 3, None, 0),
    # trouble of the application
    (failed(Verdict.HOLD), claim(2), State.PENDING, 2, 0.0, 0),
    (failed(Verdict.HOLD, 1200.0), claim(2), State.PENDING, 2, 0.0, 0),
    (failed(Verdict.HOLD), claim(2, deadline_in=LATE), State.PENDING, 2, 0.0, 0),
    (failed(Verdict.THROTTLED), claim(2), State.PENDING, 2, 15.0, 0),
    (failed(Verdict.THROTTLED, 42.0), claim(2), State.PENDING, 2, 0.0, 0),
    (failed(Verdict.THROTTLED, status=None), claim(2), State.PENDING, 2, 0.0, 0),
    (failed(Verdict.THROTTLED), claim(0, deadline_in=LATE), State.PENDING, 1, 5.0, 0),
    (failed(Verdict.THROTTLED), claim(2, deadline_in=LATE), State.FAILED, 3, None, 0),
]


@pytest.mark.parametrize(("outcome", "lent", "state", "attempts", "due", "absences"), TABLE)
def test_each_outcome_leads_to_its_state(
    outcome: Outcome, lent: Claim, state: State, attempts: int, due: float | None, absences: int
) -> None:
    transition = after(outcome, lent)

    assert (transition.state, transition.attempts, due_in(transition)) == (state, attempts, due)
    assert transition.absences == absences


def test_the_table_knows_every_outcome_and_verdict() -> None:
    outcomes = [row[0] for row in TABLE]

    assert {type(outcome) for outcome in outcomes} == {Stored, Failed, Refused, Interrupted}
    assert {outcome.verdict for outcome in outcomes if isinstance(outcome, Failed)} == set(Verdict)


# outcome, tries of the application in vain before, how it stands then, rest in seconds
RESTS = [
    (failed(Verdict.HOLD), 0, Standing.HELD, 300.0),
    (failed(Verdict.HOLD), 1, Standing.HELD, 600.0),
    (failed(Verdict.HOLD), 3, Standing.HELD, 2400.0),
    (failed(Verdict.HOLD), 4, Standing.HELD, 3600.0),
    (failed(Verdict.HOLD), 40, Standing.HELD, 3600.0),
    (failed(Verdict.HOLD, 1200.0), 0, Standing.HELD, 1200.0),
    (failed(Verdict.THROTTLED, 42.0), 0, Standing.THROTTLED, 42.0),
    (failed(Verdict.THROTTLED, 1.0), 0, Standing.THROTTLED, 1.0),
    (failed(Verdict.THROTTLED, 1.0), 1, Standing.THROTTLED, 30.0),
    (failed(Verdict.THROTTLED, status=None), 0, Standing.THROTTLED, 15.0),
    (failed(Verdict.THROTTLED), 1, Standing.THROTTLED, 30.0),
    (failed(Verdict.THROTTLED), 3, Standing.THROTTLED, 120.0),
    (failed(Verdict.THROTTLED), 40, Standing.THROTTLED, 300.0),
]


@pytest.mark.parametrize(("outcome", "in_vain", "standing", "seconds"), RESTS)
@pytest.mark.parametrize("deadline_in", [BEFORE, LATE])
def test_trouble_of_the_application_lets_it_rest_for_longer_each_time(
    outcome: Failed, in_vain: int, standing: Standing, seconds: float, deadline_in: timedelta
) -> None:
    transition = after(outcome, claim(deadline_in=deadline_in, in_vain=in_vain))

    assert transition.rest == Rest(standing, NOW + timedelta(seconds=seconds), in_vain + 1)


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.HOLD])
def test_trouble_of_one_attachment_lets_nobody_else_rest(verdict: Verdict) -> None:
    assert after(failed(verdict)).rest is None


BOTH = {Standing.HELD, Standing.THROTTLED}
# outcome, which troubles of its application it shows to be over
MENDS = [
    (STORED, BOTH),
    (Refused("type-denied", "no"), set()),
    (Interrupted(), set()),
    (failed(Verdict.RETRY, status=None), set()),
    (failed(Verdict.HOLD, status=401), set()),
    (failed(Verdict.THROTTLED, status=429), set()),
    (failed(Verdict.RETRY, status=500, step=Step.MINT), set()),
    (failed(Verdict.RETRY, status=500), {Standing.HELD}),
    (failed(Verdict.RETRY, status=200), BOTH),
    (failed(Verdict.ABSENT, status=404, step=Step.MINT), BOTH),
    (failed(Verdict.SNOOZE, status=400, step=Step.MINT), BOTH),
    (failed(Verdict.PERMANENT, status=403, step=Step.MINT), BOTH),
]


@pytest.mark.parametrize(("outcome", "mended"), MENDS)
def test_what_the_gateway_served_shows_that_trouble_is_over(outcome: Outcome, mended: set[Standing]) -> None:
    assert after(outcome).mends == mended


@pytest.mark.parametrize("asked_s", [1e9, float("inf")])
def test_being_asked_to_wait_for_a_year_is_not_obeyed(asked_s: float) -> None:
    for verdict in (Verdict.RETRY, Verdict.SNOOZE):
        assert due_in(after(failed(verdict, asked_s))) == 3600.0
    for verdict in (Verdict.HOLD, Verdict.THROTTLED):
        rest = after(failed(verdict, asked_s)).rest
        assert rest is not None
        assert rest.until == NOW + timedelta(hours=1)


@pytest.mark.parametrize("asked_s", [-5.0, 0.0, float("nan"), float("-inf")])
def test_being_asked_to_wait_for_less_than_nothing_changes_nothing(asked_s: float) -> None:
    for verdict in (Verdict.RETRY, Verdict.SNOOZE, Verdict.HOLD, Verdict.THROTTLED):
        assert after(failed(verdict, asked_s)) == after(failed(verdict))


@pytest.mark.parametrize("roll", [0.0, 0.999])
def test_a_throttled_application_never_comes_back_at_once(roll: float) -> None:
    transition = next_state(claim(), failed(Verdict.THROTTLED), now=NOW, policy=POLICY, roll=roll)

    assert 10.0 <= (due_in(transition) or 0.0) < 20.0


@pytest.mark.parametrize(
    ("outcome", "lent", "words"),
    [
        (failed(Verdict.RETRY), claim(11), "it broke; gave up after 12 attempts"),
        (failed(Verdict.RETRY), claim(5, deadline_in=LATE), "it broke; gave up after its deadline"),
        (failed(Verdict.ABSENT), claim(4, absences=4), "it broke; said so 5 times"),
        (failed(Verdict.PERMANENT), claim(), "it broke"),
        (failed(Verdict.HOLD), claim(), "it broke"),
        (Refused("too-large", "too large"), claim(), "too large"),
        (Interrupted("disk full"), claim(), "disk full"),
        (STORED, claim(), None),
    ],
)
def test_the_reason_says_what_happened_and_why_it_ended(outcome: Outcome, lent: Claim, words: str | None) -> None:
    assert after(outcome, lent).reason == words
