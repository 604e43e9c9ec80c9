"""What a clock that ran ahead left behind is put right, and nothing else is touched."""

from __future__ import annotations

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, expire, settle
from mo_sync.ledger.timekeeping import put_right
from mo_sync.verdicts import Verdict
from tests.ledgers import column, failed, items, later, one, recorded, rows, settlement

LEASE_S = 120.0
AHEAD_S = 5 * 3600.0
FURTHEST_S = 3660.0


def right(ledger: Ledger, *, at_s: float) -> int:
    return put_right(ledger, now=later(at_s), furthest_s=FURTHEST_S, lease_s=LEASE_S, longest_lease_s=10 * LEASE_S)


def test_what_was_announced_or_put_off_while_the_clock_ran_ahead_is_due_again_now(ledger: Ledger) -> None:
    recorded(ledger, *items(2), now=later(AHEAD_S))
    assert claim(ledger, worker="w", count=9, now=later(10), lease_s=LEASE_S) == []

    assert right(ledger, at_s=10) == 2

    assert len(claim(ledger, worker="w", count=9, now=later(10), lease_s=LEASE_S)) == 2
    assert right(ledger, at_s=10) == 0


def test_a_lease_of_then_ends_within_a_lease_and_is_not_taken_at_once(ledger: Ledger) -> None:
    recorded(ledger, *items(1))
    claim(ledger, worker="dead", count=1, now=later(AHEAD_S), lease_s=LEASE_S)

    assert right(ledger, at_s=10) == 1

    assert expire(ledger, now=later(10 + LEASE_S - 1)) == []
    assert expire(ledger, now=later(10 + LEASE_S)) == ["A0-0"]


def test_an_application_that_was_to_rest_since_then_is_tried_now(ledger: Ledger) -> None:
    recorded(ledger, *items(2))
    lease, _ = claim(ledger, worker="w", count=2, now=later(AHEAD_S), lease_s=LEASE_S)
    settle(ledger, [settlement(lease, failed(Verdict.HOLD, status=401), now=later(AHEAD_S + 5))], worker="w")

    right(ledger, at_s=10)

    [probe] = claim(ledger, worker="w", count=9, now=later(10), lease_s=LEASE_S)
    assert probe.application_failures == 1


@pytest.mark.parametrize("furthest_s", [FURTHEST_S, FURTHEST_S + 0.001])
def test_what_sound_clocks_write_is_left_alone(ledger: Ledger, furthest_s: float) -> None:
    recorded(ledger, *items(1), now=later(furthest_s))
    before = rows(ledger, "select * from attachment")

    assert right(ledger, at_s=0) == (1 if furthest_s > FURTHEST_S else 0)

    assert (rows(ledger, "select * from attachment") == before) is (furthest_s <= FURTHEST_S)


def test_attempts_and_deadlines_stay_as_they_are(ledger: Ledger) -> None:
    recorded(ledger, *items(1), now=later(AHEAD_S))
    deadline = column(ledger, "select deadline_at from attachment")

    right(ledger, at_s=10)

    assert column(ledger, "select deadline_at from attachment") == deadline
    assert one(ledger, "select attempts, (select count(*) from attempt) tries from attachment") == {
        "attempts": 0,
        "tries": 0,
    }
