"""What holds for every attachment, whatever happens to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mo_sync.backoff import Policy
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome, Refused, State, Stored, Transition, next_state
from mo_sync.service import furthest_s
from mo_sync.verdicts import Step, Verdict

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WAITING = {State.PENDING}
UNTIL_MENDED = Verdict.HOLD
FREE = {Verdict.SNOOZE, Verdict.HOLD, Verdict.THROTTLED}

seconds = st.floats(0.001, 10 * 86400.0)
rolls = st.floats(0, 1, exclude_max=True)
policies = st.builds(
    Policy,
    base_s=st.floats(0.001, 600.0),
    max_delay_s=st.floats(0.001, 86400.0),
    max_attempts=st.integers(1, 20),
    min_attempts=st.integers(1, 5),
    give_up_after_s=seconds,
    snooze_s=st.floats(0.01, 86400.0),
    absent_attempts=st.integers(1, 10),
    hold_s=st.floats(0.01, 86400.0),
)
claims = st.builds(
    Claim,
    attachment_id=st.just("Mno4Xayql1oVOYAvP7Iy25"),
    message_id=st.just("m"),
    application_id=st.just("17226"),
    position=st.just(0),
    lease=st.just("lease"),
    lease_until=st.just(NOW),
    attempts=st.integers(0, 30),
    deadline_at=st.timedeltas(timedelta(days=-30), timedelta(days=30)).map(lambda away: NOW + away),
    filed_at=st.just(NOW),
    absences=st.integers(0, 10),
    application_failures=st.integers(0, 2000),
)


def failures(*verdicts: Verdict) -> st.SearchStrategy[Failed]:
    return st.builds(
        Failed,
        step=st.sampled_from(Step),
        status=st.none() | st.integers(100, 599),
        code=st.none(),
        verdict=st.sampled_from(verdicts or tuple(Verdict)),
        reason=st.just("it broke"),
        retry_after_s=st.none() | st.floats(),
    )


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        Stored,
        key=st.just("k"),
        size=st.just(1),
        sha256=st.just("s"),
        content_type=st.just("t"),
        quarantined=st.booleans(),
    ),
    failures(),
    st.just(Refused("too-large", "too large")),
    st.builds(Interrupted, delay_s=st.floats(0, 3600)),
)


def longest_wait_s(policy: Policy) -> float:
    return max(policy.max_delay_s, policy.snooze_s, policy.hold_s, 2 * policy.base_s, 3600.0) + 1.0


@given(claims, outcomes, policies, rolls)
def test_attempts_never_decrease_and_grow_by_one_at_the_most(
    claim: Claim, outcome: Outcome, policy: Policy, roll: float
) -> None:
    after = next_state(claim, outcome, now=NOW, policy=policy, roll=roll)

    assert claim.attempts <= after.attempts <= claim.attempts + 1
    assert claim.absences <= after.absences <= claim.absences + 1


@given(claims, outcomes, policies, rolls)
def test_what_waits_is_due_within_bounds_and_what_ended_is_never_due(
    claim: Claim, outcome: Outcome, policy: Policy, roll: float
) -> None:
    after = next_state(claim, outcome, now=NOW, policy=policy, roll=roll)

    if after.state in WAITING:
        assert after.due_at is not None
        assert NOW <= after.due_at <= NOW + timedelta(seconds=longest_wait_s(policy))
    else:
        assert after.due_at is None
        assert after.state not in (State.FETCHING, State.HELD)


@given(claims, outcomes, policies, rolls)
def test_whatever_did_not_end_well_says_why(claim: Claim, outcome: Outcome, policy: Policy, roll: float) -> None:
    after = next_state(claim, outcome, now=NOW, policy=policy, roll=roll)

    assert after.reason or isinstance(outcome, Stored)


@given(claims, failures(*FREE), policies, rolls)
def test_nobody_pays_an_attempt_for_a_snooze_or_for_the_applications_trouble(
    claim: Claim, outcome: Failed, policy: Policy, roll: float
) -> None:
    early = replace(claim, deadline_at=NOW + timedelta(seconds=1))

    after = next_state(early, outcome, now=NOW, policy=policy, roll=roll)

    assert (after.state, after.attempts) == (State.PENDING, claim.attempts)


@given(claims, failures(Verdict.RETRY, Verdict.REMINT, Verdict.ABSENT, Verdict.PERMANENT), policies, rolls)
def test_every_other_failure_costs_an_attempt(claim: Claim, outcome: Failed, policy: Policy, roll: float) -> None:
    after = next_state(claim, outcome, now=NOW, policy=policy, roll=roll)

    assert after.attempts == claim.attempts + 1


@given(claims, failures(), policies, rolls)
def test_a_pause_of_the_application_ends_at_a_known_time(
    claim: Claim, outcome: Failed, policy: Policy, roll: float
) -> None:
    after = next_state(claim, outcome, now=NOW, policy=policy, roll=roll)

    if after.rest is not None:
        assert NOW < after.rest.until <= NOW + timedelta(seconds=longest_wait_s(policy))
        assert after.rest.failures == claim.application_failures + 1
        assert not after.mends


@given(claims, outcomes, policies, rolls)
def test_no_rest_and_no_wait_is_longer_than_what_the_times_are_held_to(
    claim: Claim, outcome: Outcome, policy: Policy, roll: float
) -> None:
    """What is written further ahead was written by a clock that ran ahead."""
    after = next_state(claim, outcome, now=NOW, policy=policy, roll=roll)

    latest = NOW + timedelta(seconds=furthest_s(policy))
    assert after.due_at is None or after.due_at <= max(latest, NOW + timedelta(hours=1))
    assert after.rest is None or after.rest.until <= latest


def lived(failing: list[Failed], policy: Policy, roll: float) -> list[Transition]:
    """A life of failures: the last of ``failing`` goes on for ever, each attempt is made when it is due."""
    claim = Claim("a", "m", "17226", 0, "lease", NOW, 0, NOW + timedelta(seconds=policy.give_up_after_s), NOW)
    now, life = NOW, []
    for number in range(most_steps(policy)):
        outcome = failing[min(number, len(failing) - 1)]
        after = next_state(claim, outcome, now=now, policy=policy, roll=roll)
        life.append(after)
        if after.due_at is None:
            break
        assert after.due_at >= now
        in_vain = after.rest.failures if after.rest else 0
        claim = replace(claim, attempts=after.attempts, absences=after.absences, application_failures=in_vain)
        now = max(after.due_at, after.rest.until if after.rest else now) + timedelta(milliseconds=1)
    return life


def most_steps(policy: Policy) -> int:
    """Attempts that cost, and those that do not: at least a snooze or a pause apart until the deadline."""
    apart_s = min(policy.snooze_s, policy.base_s, policy.max_delay_s)
    return int(policy.max_attempts + policy.give_up_after_s / apart_s + 3)


patient = st.builds(
    Policy,
    base_s=st.floats(10.0, 600.0),
    max_delay_s=st.floats(60.0, 3600.0),
    max_attempts=st.integers(1, 20),
    min_attempts=st.integers(1, 5),
    give_up_after_s=st.floats(1.0, 3600.0),
    snooze_s=st.floats(10.0, 600.0),
    absent_attempts=st.integers(1, 10),
)


@given(st.lists(failures(*(set(Verdict) - {UNTIL_MENDED})), min_size=1, max_size=40), patient, rolls)
def test_nothing_that_fails_is_retried_for_ever(failing: list[Failed], policy: Policy, roll: float) -> None:
    life = lived(failing, policy, roll)

    assert life[-1].state in (State.FAILED, State.MISSING)
    assert life[-1].attempts <= max(policy.max_attempts, 1)


@given(st.lists(failures(Verdict.RETRY, Verdict.REMINT, Verdict.ABSENT), min_size=1, max_size=40), policies, rolls)
def test_retries_are_at_most_max_attempts(failing: list[Failed], policy: Policy, roll: float) -> None:
    life = lived(failing[:], replace(policy, snooze_s=10.0, base_s=10.0, max_delay_s=60.0), roll)

    assert len(life) <= policy.max_attempts
    assert life[-1].due_at is None


@given(st.integers(0, 400), policies, rolls)
def test_refused_credentials_are_waited_for_however_long_and_cost_nothing(
    days: int, policy: Policy, roll: float
) -> None:
    late = NOW + timedelta(days=days)
    claim = Claim("a", "m", "17226", 0, "lease", NOW, 0, NOW + timedelta(days=3), NOW)

    after = next_state(claim, Failed(Step.MINT, 401, None, Verdict.HOLD, "refused"), now=late, policy=policy, roll=roll)

    assert (after.state, after.attempts) == (State.PENDING, 0)
    assert after.due_at is not None
    assert after.rest is not None
    assert after.rest.until > late
