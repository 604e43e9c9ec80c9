"""When more arrives than the ledger takes, and when that has passed."""

from __future__ import annotations

import pytest

from mo_sync.feeds.relay.crowding import Crowding

CROWD = Crowding(crowded=True, since_s=10.0, bears=2_000.0)


def after(*batches: tuple[int, float, float]) -> Crowding:
    """After batches, each of so many events, recorded from when till when."""
    crowding = Crowding()
    for events, began_s, ended_s in batches:
        crowding = crowding.recorded(events, began_s=began_s, ended_s=ended_s)
    return crowding


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([(64, 0.00, 0.02), (64, 0.02, 0.04)], id="two large ones are a burst"),
        pytest.param([(15, n * 0.02, n * 0.02 + 0.02) for n in range(50)], id="small ones without end are no crowd"),
        pytest.param([(64, n, n + 0.02) for n in range(50)], id="large ones with time between them are bursts"),
        pytest.param([(64, 0.0, 0.02), (64, 0.02, 0.04), (1, 0.04, 0.05), (64, 0.05, 0.07)], id="a small one ends it"),
        pytest.param(
            [(64, 0.0, 0.02), (64, 0.02, 0.04), (64, 0.5, 0.52), (64, 0.52, 0.54)], id="time between begins anew"
        ),
    ],
)
def test_the_ledger_that_keeps_up_is_not_passed_by(batches: list[tuple[int, float, float]]) -> None:
    assert not after(*batches).crowded


def test_large_batches_with_hardly_any_time_between_them_are_a_crowd_and_tell_what_the_ledger_bears() -> None:
    crowding = after((20, 0.00, 0.01), (40, 0.02, 0.03), (60, 0.04, 0.06))

    assert crowding.crowded
    assert crowding.bears == pytest.approx(120 / 0.06)
    assert crowding.since_s == 0.06


def test_a_crowd_stays_while_more_than_half_of_what_the_ledger_bears_arrives() -> None:
    crowding = CROWD
    for tick in range(1, 60):
        crowding = crowding.arrived(110, now_s=10.0 + tick / 10)
        assert crowding.crowded

    assert crowding.bears == CROWD.bears


def test_a_crowd_has_gone_when_half_of_that_arrives_for_a_second() -> None:
    crowding = CROWD
    for tick in range(1, 10):
        crowding = crowding.arrived(90, now_s=10.0 + tick / 10)
        assert crowding.crowded, tick

    assert not crowding.arrived(90, now_s=11.0).crowded
    assert crowding.arrived(90, now_s=11.0) == Crowding()


def test_a_crowd_has_gone_when_nothing_comes_any_more() -> None:
    assert not CROWD.has_gone(now_s=10.9)
    assert CROWD.has_gone(now_s=11.0)
    assert not CROWD.arrived(1, now_s=60.0).crowded


def test_where_there_is_no_crowd_arrivals_change_nothing() -> None:
    quiet = after((64, 0.0, 0.02))

    assert quiet.arrived(1_000, now_s=0.03) == quiet
    assert Crowding().has_gone(now_s=0.0)
