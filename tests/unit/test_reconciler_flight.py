"""What the reconciler's threads share: who is in the air, who is idle."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from mo_sync.lifecycle import Claim
from mo_sync.reconciler.flight import Flight

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def claim(number: int) -> Claim:
    return Claim(
        attachment_id=f"A{number}",
        message_id="M",
        application_id="17226",
        position=0,
        lease=f"lease-{number}",
        lease_until=NOON,
        attempts=0,
        deadline_at=NOON + timedelta(hours=72),
        filed_at=NOON,
    )


def test_room_is_the_number_of_idle_workers() -> None:
    flight = Flight(4, backlog=10)

    flight.launch([claim(1), claim(2), claim(3)])
    flight.fetched(claim(1))

    assert flight.room() == 2
    assert len(flight) == 3


def test_unsettled_results_take_up_room_once_the_backlog_is_full() -> None:
    flight = Flight(2, backlog=1)

    for number in (1, 2, 3):
        flight.launch([claim(number)])
        flight.fetched(claim(number))

    assert flight.room() == 0
    flight.land(["lease-1"])
    assert flight.room() == 1


def test_an_extended_claim_shows_its_new_time_and_a_landed_one_does_not_come_back() -> None:
    flight = Flight(2, backlog=2)
    flight.launch([claim(1), claim(2)])
    flight.land(["lease-2"])

    flight.extended(["lease-1", "lease-2"], NOON + timedelta(minutes=2))

    assert [(c.lease, c.lease_until) for c in flight.claims()] == [("lease-1", NOON + timedelta(minutes=2))]


def test_waiting_for_room_ends_when_a_worker_is_idle() -> None:
    flight = Flight(1, backlog=1)
    flight.launch([claim(1)])
    seen: list[int] = []
    waiter = threading.Thread(target=lambda: seen.append(flight.wait_for_room(1, patience_s=30)))
    waiter.start()

    flight.fetched(claim(1))
    waiter.join(10)

    assert seen == [1]


def test_waiting_for_an_empty_sky_tells_whether_it_came_true() -> None:
    flight = Flight(1, backlog=1)
    flight.launch([claim(1)])

    assert not flight.wait_until_empty(patience_s=0)
    flight.land(["lease-1"])
    assert flight.wait_until_empty(patience_s=0)
