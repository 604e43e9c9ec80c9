"""What the ledger says of files, on every database."""

from __future__ import annotations

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.filters import Filters
from mo_sync.ledger.interventions import By, Choice
from mo_sync.ledger.verification import (
    Filed,
    filed,
    found_whole,
    known_locations,
    let_out,
    put_undated_first,
    quarantined,
    send_back,
    settled_count,
    still,
    unsettled,
)
from mo_sync.lifecycle import State
from tests.ledgers import announced, column, later, one, recorded, settlement, stored


@pytest.fixture
def sample(ledger: Ledger) -> Ledger:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(7)))
    leases = claim(ledger, worker="w", count=5, now=later(0), lease_s=60)
    assert (
        settle(ledger, [settlement(lease, stored(lease), now=later(1)) for lease in leases], worker="w") == [True] * 5
    )
    return ledger


def test_files_are_told_in_pieces_each_once(sample: Ledger) -> None:
    found: list[Filed] = []
    while some := filed(sample, before=later(9), after=found[-1] if found else None, count=2):
        assert len(some) <= 2
        found += some

    assert settled_count(sample) == len(found) == 5
    expected = column(sample, "select id from attachment where state = 'stored' order by id")
    assert [item.id for item in found] == expected
    assert all(item.location and item.size and len(item.sha256) == 64 for item in found)
    assert known_locations(sample, [*(item.location for item in found), "other"]) == {item.location for item in found}
    assert known_locations(sample, [found[0].location, found[1].location], ids=[found[0].id]) == {found[0].location}
    assert len(unsettled(sample, [f"A{n}" for n in range(7)])) == 2


def test_what_is_sent_back_is_due_with_its_reason_and_only_once(sample: Ledger) -> None:
    [item, *_] = filed(sample, before=later(9), after=None, count=1)
    assert still(sample, item)

    assert send_back(sample, item, now=later(9), give_up_after_s=100.0, reason="damaged", who="me")

    row = one(sample, f"select state, attempts, error, location from attachment where id = '{item.id}'")
    assert row == {"state": "pending", "attempts": 0, "error": "damaged", "location": None}
    assert not still(sample, item)
    assert not send_back(sample, item, now=later(9), give_up_after_s=100.0, reason="damaged", who="me")
    told = one(sample, "select attachment_id, deed, state, who, reason from intervention")
    assert list(told.values()) == [item.id, "verify", "stored", "me", "damaged"]
    assert item.id in {lease.attachment_id for lease in claim(sample, worker="w", count=9, now=later(9), lease_s=60)}


def test_what_is_another_file_by_now_is_left_alone(sample: Ledger) -> None:
    [item, *_] = filed(sample, before=later(9), after=None, count=1)
    with sample.begin() as connection:
        connection.exec_driver_sql(f"update attachment set sha256 = '{'0' * 64}' where id = '{item.id}'")

    assert not still(sample, item)
    assert not send_back(sample, item, now=later(9), give_up_after_s=100.0, reason="damaged", who="me")
    assert one(sample, f"select state from attachment where id = '{item.id}'") == {"state": "stored"}


def test_what_was_found_whole_since_is_sent_back_by_nobody(sample: Ledger) -> None:
    """Also what was fetched anew since: it has the same place and the same bytes, and another time."""
    [item, *_] = filed(sample, before=later(9), after=None, count=1)
    found_whole(sample, [item], now=later(8))

    assert not still(sample, item)
    assert not send_back(sample, item, now=later(9), give_up_after_s=100.0, reason="damaged", who="me")
    assert one(sample, f"select state from attachment where id = '{item.id}'") == {"state": "stored"}
    assert column(sample, "select count(*) from intervention") == [0]


def test_what_was_judged_is_let_out_also_when_it_was_verified_meanwhile(sample: Ledger) -> None:
    with sample.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'quarantined' where state = 'stored'")
    [item, *_] = quarantined(sample, Choice())
    found_whole(sample, [item], now=later(8))

    assert let_out(sample, item, "elsewhere", By("me"), now=later(9))


def test_the_longest_unverified_come_first_and_what_was_just_verified_not_at_all(sample: Ledger) -> None:
    everything = filed(sample, before=later(9), after=None, count=9)
    assert [item.verified_at for item in everything] == [later(1)] * 5

    found_whole(sample, everything[1:3], now=later(5))
    found_whole(sample, everything[3:], now=later(7))

    again = filed(sample, before=later(7), after=None, count=9)
    assert [item.id for item in again] == [everything[number].id for number in (0, 1, 2)]
    after = filed(sample, before=later(9), after=again[0], count=9)
    assert [item.id for item in after] == [everything[number].id for number in (1, 2, 3, 4)]


def test_what_became_another_file_meanwhile_is_not_called_verified(sample: Ledger) -> None:
    [item] = filed(sample, before=later(9), after=None, count=1)
    with sample.begin() as connection:
        connection.exec_driver_sql(f"update attachment set sha256 = '{'0' * 64}' where id = '{item.id}'")

    found_whole(sample, [item], now=later(8))

    assert column(sample, f"select id from attachment where id = '{item.id}' and verified_at is not null") == [item.id]
    assert filed(sample, before=later(2), after=None, count=1) != []
    assert len(filed(sample, before=later(9), after=None, count=9)) == 5


def test_what_was_verified_while_a_clock_was_ahead_is_looked_at_again(sample: Ledger) -> None:
    """Else nobody would look at it before that time has come."""
    everything = filed(sample, before=later(9), after=None, count=9)
    found_whole(sample, everything[:2], now=later(86_400))
    with sample.begin() as connection:
        ahead = f"set created_at = '2036-11-20T12:00:00.000000Z' where id = '{everything[0].id}'"
        connection.exec_driver_sql(f"update attachment {ahead}")

    assert put_undated_first(sample, now=later(9))

    assert len(filed(sample, before=later(9), after=None, count=9)) == len(everything)
    assert not put_undated_first(sample, now=later(9))


def test_a_row_that_somebody_wrote_by_hand_can_be_looked_at_and_sent_back(sample: Ledger) -> None:
    with sample.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'stored', due_at = null where state = 'pending'")

    assert put_undated_first(sample, now=later(9))
    assert not put_undated_first(sample, now=later(9))

    odd = filed(sample, before=later(9), after=None, count=2)
    assert [(item.location, item.size, item.sha256) for item in odd] == [("", -1, "")] * 2
    assert still(sample, odd[0])
    assert send_back(sample, odd[0], now=later(9), give_up_after_s=9.0, reason="no file", who="me")


def test_no_more_than_the_limit_may_leave_quarantine_the_oldest_first(ledger: Ledger) -> None:
    for second, name in enumerate("BCA"):
        recorded(ledger, announced(f"E{name}", f"M{name}", [name]), now=later(second))
    leases = claim(ledger, worker="w", count=9, now=later(9), lease_s=60)
    condemned = [settlement(lease, stored(lease, quarantined=True, reason="virus"), now=later(9)) for lease in leases]
    settle(ledger, condemned, worker="w")

    def chosen(limit: int | None) -> list[str]:
        return [
            item.id for item in quarantined(ledger, Choice(filters=Filters(states=[State.QUARANTINED]), limit=limit))
        ]

    assert chosen(None) == chosen(9) == ["B", "C", "A"]
    assert chosen(2) == ["B", "C"]
    assert chosen(0) == []
