"""Applications: turns and rooms, one probe at a time, rests that grow, and what ends them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from mo_sync.ledger import Ledger, applications
from mo_sync.ledger.claims import claim, settle
from mo_sync.lifecycle import Claim, Failed, Outcome
from mo_sync.verdicts import Step, Verdict
from tests.contract.conftest import House
from tests.ledgers import announced, column, failed, later, one, recorded, rows, settlement, stored

LEASE_S = 120.0
REFUSED = failed(Verdict.HOLD, status=401, code="4010")
HOUR_S = 3600.0


def announce(ledger: Ledger, application: str, count: int, *, at_s: float = 0.0) -> None:
    batch = [
        announced(f"E{application}-{n}", f"M{application}-{n}", [f"A{application}-{n}"], application_id=application)
        for n in range(count)
    ]
    recorded(ledger, *batch, now=later(at_s))


def lent(
    ledger: Ledger, count: int = 10, *, at_s: float = 1.0, room: Callable[[str, bool], int] | None = None
) -> list[Claim]:
    return claim(ledger, worker="w1", count=count, now=later(at_s), lease_s=LEASE_S, room=room)


def by_application(claims: list[Claim]) -> dict[str, int]:
    return dict(Counter(one.application_id for one in claims))


def settled(ledger: Ledger, lease: Claim, outcome: Outcome, *, at_s: float, took_s: float = 1.0) -> None:
    assert settle(ledger, [settlement(lease, outcome, now=later(at_s), took_s=took_s)], worker="w1") == [True]


def standing(ledger: Ledger) -> dict[str, object]:
    return one(ledger, "select state, failures from application")


def test_every_application_has_a_row_from_its_first_attachment_on(ledger: Ledger) -> None:
    announce(ledger, "1", 2)
    announce(ledger, "2", 1)
    announce(ledger, "1", 3)

    told = rows(ledger, "select id, state, failures, workers, until from application order by id")
    assert told == [
        {"id": name, "state": "active", "failures": 0, "workers": None, "until": None} for name in ("1", "2")
    ]


def test_applications_take_turns_so_that_a_backlog_of_one_slows_no_other(ledger: Ledger) -> None:
    """P10."""
    announce(ledger, "1", 60)
    announce(ledger, "2", 3, at_s=0.5)

    assert by_application(lent(ledger, 10)) == {"1": 5, "2": 3}
    assert by_application(lent(ledger, 10)) == {"1": 10}


def test_each_gets_no_more_than_its_room_and_the_others_get_the_rest(ledger: Ledger) -> None:
    for name in ("1", "2", "3"):
        announce(ledger, name, 20)
    rooms = {"1": 2, "2": 0, "3": 50}

    got = lent(ledger, 12, room=lambda name, alone: rooms[name])

    assert by_application(got) == {"1": 2, "3": 10}


@pytest.mark.parametrize(("names", "alone"), [(["1"], True), (["1", "2"], False)])
def test_the_room_is_asked_whether_it_is_the_only_one(ledger: Ledger, names: list[str], alone: bool) -> None:
    for name in names:
        announce(ledger, name, 1)
    asked: list[bool] = []

    def room(name: str, only: bool) -> int:
        asked.append(only)
        return 1

    lent(ledger, room=room)

    assert asked == [alone] * len(names)


def test_when_a_rest_is_over_one_attachment_alone_probes_until_it_is_settled(ledger: Ledger) -> None:
    announce(ledger, "1", 5)
    first, *others = lent(ledger, 5)
    for lease in (first, *others):
        settled(ledger, lease, REFUSED, at_s=10)
    assert standing(ledger) == {"state": "held", "failures": 1}
    assert lent(ledger, at_s=309.9) == []

    [probe] = lent(ledger, at_s=310)
    assert probe.application_failures == 1
    assert lent(ledger, at_s=310) == []
    assert lent(ledger, at_s=310 + LEASE_S - 1) == []


def test_a_probe_in_vain_lets_it_rest_for_longer_each_time_and_uses_up_no_attempt(ledger: Ledger) -> None:
    announce(ledger, "1", 3)
    now_s = 1.0
    for in_vain, rest_s in enumerate((300, 600, 1200, 2400, 3600, 3600)):
        taken = lent(ledger, 1, at_s=now_s)
        assert [one.application_failures for one in taken] == [in_vain]
        settled(ledger, taken[0], REFUSED, at_s=now_s + 2)
        assert lent(ledger, at_s=now_s + 2 + rest_s - 0.001) == []
        now_s += 2 + rest_s

    assert column(ledger, "select distinct attempts from attachment") == [0]


def test_a_probe_that_went_well_frees_all_of_it(ledger: Ledger) -> None:
    announce(ledger, "1", 5)
    for lease in lent(ledger, 5):
        settled(ledger, lease, REFUSED, at_s=10)
    [probe] = lent(ledger, at_s=400)

    settled(ledger, probe, stored(probe), at_s=402)

    assert standing(ledger) == {"state": "active", "failures": 0}
    assert len(lent(ledger, at_s=402)) == 4


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        (Failed(Step.MINT, 404, "4040", Verdict.ABSENT, "no such attachment"), "active"),
        (Failed(Step.MINT, 503, None, Verdict.RETRY, "unavailable"), "held"),
        (Failed(Step.MINT, None, "reset", Verdict.RETRY, "the connection broke"), "held"),
    ],
)
def test_whatever_shows_that_its_credentials_are_taken_ends_the_hold(
    ledger: Ledger, outcome: Failed, after: str
) -> None:
    announce(ledger, "1", 2)
    for lease in lent(ledger, 2):
        settled(ledger, lease, REFUSED, at_s=10)
    [probe] = lent(ledger, at_s=400)

    settled(ledger, probe, outcome, at_s=402)

    assert standing(ledger)["state"] == after


def test_a_dead_probe_is_followed_by_another_within_a_lease(ledger: Ledger) -> None:
    announce(ledger, "1", 2)
    for lease in lent(ledger, 2):
        settled(ledger, lease, REFUSED, at_s=10)

    [dead] = lent(ledger, at_s=400)
    [next_one] = lent(ledger, at_s=400 + LEASE_S)

    assert dead.attachment_id != next_one.attachment_id


def test_the_attachment_that_failed_least_is_the_probe(ledger: Ledger) -> None:
    """One that the gateway can never serve must not keep the others from being tried."""
    announce(ledger, "1", 2)
    bad, good = lent(ledger, 2)
    settled(ledger, bad, failed(Verdict.RETRY), at_s=5)
    settled(ledger, good, REFUSED, at_s=10)

    [probe] = lent(ledger, at_s=HOUR_S)

    assert probe.attachment_id == good.attachment_id


def test_many_workers_that_come_at_once_send_one_probe(house: House) -> None:
    with house.open() as ledger:
        announce(ledger, "1", 20)
        for lease in lent(ledger, 20):
            settled(ledger, lease, REFUSED, at_s=10)
        together, taken = threading.Barrier(8), []

        def come() -> None:
            together.wait(30)
            taken.extend(lent(ledger, at_s=400))

        crowd = [threading.Thread(target=come) for _ in range(8)]
        for one_ in crowd:
            one_.start()
        for one_ in crowd:
            one_.join(60)

        assert len(taken) == 1


def test_released_it_is_probed_at_once_and_only_those_that_rest_are_told(ledger: Ledger) -> None:
    for name in ("1", "2", "3"):
        announce(ledger, name, 2)
    for lease in lent(ledger, 6):
        if lease.application_id != "3":
            settled(ledger, lease, REFUSED, at_s=10)

    assert applications.release(ledger, now=later(20), ids=["1", "3", "unknown"]) == ["1"]
    assert by_application(lent(ledger, at_s=20)) == {"1": 1}
    assert applications.release(ledger, now=later(30)) == ["1", "2"]
    assert by_application(lent(ledger, at_s=30)) == {"1": 1, "2": 1}


def test_what_an_older_program_recorded_gets_its_row(ledger: Ledger) -> None:
    announce(ledger, "1", 2)
    announce(ledger, "2", 1)
    with ledger.begin() as connection:
        connection.exec_driver_sql("delete from application where id = '1'")
    assert by_application(lent(ledger)) == {"2": 1}

    assert applications.adopt(ledger, now=later(2)) == 1
    assert applications.adopt(ledger, now=later(2)) == 0
    assert by_application(lent(ledger, at_s=3)) == {"1": 2}


def test_the_pace_is_noted_for_people(ledger: Ledger) -> None:
    announce(ledger, "1", 1)
    announce(ledger, "2", 1)

    applications.note_pace(ledger, {"1": 4, "2": None})

    assert rows(ledger, "select id, workers from application order by id") == [
        {"id": "1", "workers": 4},
        {"id": "2", "workers": None},
    ]
