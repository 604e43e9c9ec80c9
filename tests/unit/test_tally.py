"""How one pass is counted, what it exits with, and what the log says of applications."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from mo_sync.errors import ExitCode
from mo_sync.lifecycle import Claim, Failed, Outcome, Rest, Settlement, Standing, State, Stored, Transition
from mo_sync.tally import Standings, Tally, exit_code
from mo_sync.verdicts import Step, Verdict

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SILENCE = Failed(Step.MINT, None, "connect-failed", Verdict.RETRY, "no answer")
ANSWER = Failed(Step.MINT, 500, "5000", Verdict.RETRY, "server error")
REFUSED_TOKEN = Failed(Step.MINT, 401, "4010", Verdict.HOLD, "token refused")
FILE = Stored("k", 10, "00", "image/png")


def settled(outcome: Outcome, state: State) -> Settlement:
    claim = Claim("A", "M", "17226", 0, "lease", NOON, 0, NOON + timedelta(hours=72), NOON)
    return Settlement(claim, outcome, Transition(state, 1, None, None), NOON, NOON)


def tally_of(*settlements: Settlement) -> Tally:
    tally = Tally()
    tally.add(settlements)
    return tally


def test_a_tally_counts_states_and_bytes() -> None:
    tally = tally_of(settled(FILE, State.STORED), settled(FILE, State.STORED), settled(REFUSED_TOKEN, State.PENDING))

    assert tally.states == {State.STORED: 2, State.PENDING: 1}
    assert tally.stored_bytes == 20


@pytest.mark.parametrize(
    ("outcomes", "silent"),
    [
        ([], False),
        ([SILENCE, SILENCE], True),
        ([SILENCE, ANSWER], False),
        ([SILENCE, FILE], False),
    ],
)
def test_the_gateway_is_silent_only_when_every_attempt_went_unanswered(outcomes: list[Outcome], silent: bool) -> None:
    assert tally_of(*(settled(outcome, State.PENDING) for outcome in outcomes)).gateway_silent is silent


@pytest.mark.parametrize(
    ("counts", "outcomes", "paused", "code"),
    [
        ({}, [], False, ExitCode.SETTLED),
        ({State.STORED: 3}, [FILE], False, ExitCode.SETTLED),
        ({State.STORED: 3, State.PENDING: 1}, [FILE, ANSWER], False, ExitCode.WORK_REMAINS),
        ({State.FETCHING: 1}, [], False, ExitCode.WORK_REMAINS),
        ({State.PENDING: 1, State.FAILED: 1}, [ANSWER], False, ExitCode.WORK_REMAINS),
        ({State.FAILED: 1}, [], False, ExitCode.NEEDS_A_PERSON),
        ({State.MISSING: 1}, [], False, ExitCode.NEEDS_A_PERSON),
        ({State.REFUSED: 1}, [], False, ExitCode.NEEDS_A_PERSON),
        ({State.QUARANTINED: 1}, [], False, ExitCode.NEEDS_A_PERSON),
        ({State.HELD: 1, State.CANCELLED: 1, State.ERASED: 1}, [], False, ExitCode.SETTLED),
        ({State.PENDING: 2}, [SILENCE, SILENCE], False, ExitCode.NOTHING_POSSIBLE_NOW),
        ({State.PENDING: 2}, [], True, ExitCode.NOTHING_POSSIBLE_NOW),
        ({}, [], True, ExitCode.SETTLED),
    ],
)
def test_the_exit_code_says_whether_to_come_back_or_to_look(
    counts: dict[State, int], outcomes: list[Outcome], paused: bool, code: ExitCode
) -> None:
    tally = tally_of(*(settled(outcome, State.PENDING) for outcome in outcomes))

    assert exit_code(tally, counts, paused=paused) is code


@pytest.mark.parametrize(
    ("counts", "interrupted", "unread", "code"),
    [
        ({State.STORED: 1}, True, 0, ExitCode.WORK_REMAINS),
        ({State.FAILED: 1}, True, 0, ExitCode.WORK_REMAINS),
        ({State.STORED: 1}, False, 1, ExitCode.NEEDS_A_PERSON),
        ({State.PENDING: 1}, False, 1, ExitCode.WORK_REMAINS),
    ],
)
def test_what_was_not_looked_at_or_could_not_be_taken_is_never_all_settled(
    counts: dict[State, int], interrupted: bool, unread: int, code: ExitCode
) -> None:
    assert exit_code(tally_of(), counts, paused=False, interrupted=interrupted, unread=unread) is code


@pytest.mark.parametrize("code", ["unexpected-error", "eisdir", "no-resources", "id-unusable"])
def test_a_failure_of_our_own_is_not_taken_for_a_silent_gateway(code: str) -> None:
    ours = Failed(Step.CONTENT, None, code, Verdict.RETRY, "our own")

    assert not tally_of(settled(ours, State.PENDING)).gateway_silent


def trouble(standing: Standing, minutes: int = 0) -> Settlement:
    then = NOON + timedelta(minutes=minutes)
    rest = Rest(standing, then + timedelta(minutes=5), 1)
    said = settled(REFUSED_TOKEN, State.PENDING)
    asked = replace(said.transition, reason="token refused", rest=rest)
    return replace(said, transition=asked, started_at=then, finished_at=then)


def well(minutes: int, *mends: Standing) -> Settlement:
    then = NOON + timedelta(minutes=minutes)
    said = settled(FILE, State.STORED)
    return replace(said, transition=replace(said.transition, mends=frozenset(mends)), started_at=then, finished_at=then)


def told(*settlements: Settlement) -> list[tuple[str, str]]:
    with capture_logs() as events:
        standings = Standings()
        for settlement in settlements:
            standings.tell([settlement])
    return [(event["event"], event["log_level"]) for event in events if event["log_level"] != "debug"]


def test_the_trouble_of_an_application_and_its_end_are_logged_once_however_many_say_so() -> None:
    refused = [trouble(Standing.HELD)] * 64
    mended = [well(10, Standing.HELD, Standing.THROTTLED)] * 64

    assert told(*refused, *mended, *refused) == [
        ("application.held", "error"),
        ("application.active", "info"),
        ("application.held", "error"),
    ]


def test_what_began_before_the_trouble_or_mends_another_does_not_end_it() -> None:
    assert told(trouble(Standing.HELD, 5), well(3, Standing.HELD), well(6, Standing.THROTTLED)) == [
        ("application.held", "error")
    ]


def test_a_trouble_that_turns_into_another_is_logged_as_such() -> None:
    assert told(trouble(Standing.THROTTLED), trouble(Standing.HELD, 1), trouble(Standing.HELD, 2)) == [
        ("application.throttled", "warning"),
        ("application.held", "error"),
    ]
