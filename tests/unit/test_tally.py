"""How one pass is counted and what it exits with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mo_sync.errors import ExitCode
from mo_sync.lifecycle import Claim, Failed, Outcome, Settlement, State, Stored, Transition
from mo_sync.tally import Tally, exit_code
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


def test_a_tally_counts_states_bytes_and_held_applications() -> None:
    tally = tally_of(settled(FILE, State.STORED), settled(FILE, State.STORED), settled(REFUSED_TOKEN, State.PENDING))

    assert tally.states == {State.STORED: 2, State.PENDING: 1}
    assert tally.stored_bytes == 20
    assert tally.held_applications == {"17226"}


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
