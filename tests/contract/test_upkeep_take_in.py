"""What was stored before its scan was known goes into quarantine, if it may not be seen, whatever happens meanwhile."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from mo_sync.ledger import Ledger, scans
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.interventions import By, Choice
from mo_sync.ledger.verification import quarantined
from mo_sync.lifecycle import Claim
from mo_sync.settings import Limits
from mo_sync.store import LocalStore, Placement
from mo_sync.upkeep import quarantine
from mo_sync.upkeep.quarantine import release, take_in
from mo_sync.upkeep.verify import verify
from tests.clocks import HandClock
from tests.ledgers import announced, column, later, one, recorded, rows, settlement, stored
from tests.stores import put_in_place

FILE = b"stored before anybody knew"
SHA256 = hashlib.sha256(FILE).hexdigest()


def place(ledger: Ledger, store: LocalStore, item: Claim) -> None:
    outcome = replace(stored(item), size=len(FILE), sha256=SHA256)
    staged = store.stage(item.lease)
    staged.write(FILE)
    staged.finish()
    put_in_place(store, Placement(staged, outcome.key))
    assert settle(ledger, [settlement(item, outcome, now=later(1))], worker="w") == [True]


@pytest.fixture
def filled(ledger: Ledger, store: LocalStore) -> Ledger:
    """Two messages that the inbox showed, without a scan status, and all of them stored."""
    recorded(
        ledger,
        announced("E1", "M1", ["A1", "A2"], anti_virus_scan_status=None),
        announced("E2", "M2", ["A3"], anti_virus_scan_status=None),
    )
    for item in claim(ledger, worker="w", count=9, now=later(0), lease_s=60):
        place(ledger, store, item)
    return ledger


def told(ledger: Ledger, status: str) -> None:
    recorded(ledger, announced("E9", "M1", ["A1", "A2"], anti_virus_scan_status=status), now=later(5))


def judge(ledger: Ledger, store: LocalStore, limits: Limits | None = None) -> int:
    clock = HandClock(later(9))
    return take_in(ledger, store, limits or Limits(), clock=clock, stop=lambda: False)


def files(store: LocalStore) -> list[str]:
    return sorted(one.key for one in store.resting())


PLAIN = ["2026/11/19/M1/0-A1.jpg", "2026/11/19/M1/1-A2.jpg"]
OTHER = "2026/11/19/M2/0-A3.jpg"


def test_what_is_infected_is_seen_no_more_and_what_is_not_stays(filled: Ledger, store: LocalStore) -> None:
    told(filled, "INFECTED")

    assert judge(filled, store) == 2
    assert judge(filled, store) == 0

    assert files(store) == [OTHER, *(f"quarantine/{key}" for key in PLAIN)]
    found = rows(filled, "select id, state, location, error from attachment order by id")
    assert [(row["id"], row["state"]) for row in found] == [
        ("A1", "quarantined"),
        ("A2", "quarantined"),
        ("A3", "stored"),
    ]
    assert found[0]["location"] == f"quarantine/{PLAIN[0]}"
    assert "INFECTED" in found[0]["error"]
    assert column(filled, "select scan_told_at from message where id = 'M1'") == [None]
    assert verify(filled, store, clock=HandClock(later(99_999))).found == []


@pytest.mark.parametrize("status", ["OK", "NONE"])
def test_a_status_that_is_let_through_changes_nothing(filled: Ledger, store: LocalStore, status: str) -> None:
    told(filled, status)
    assert column(filled, "select id from message where scan_told_at is not null") == ["M1"]

    assert judge(filled, store) == 0
    assert files(store) == [*PLAIN, OTHER]
    assert column(filled, "select id from message where scan_told_at is not null") == []


def test_a_status_that_is_not_even_fetched_is_quarantined_too(filled: Ledger, store: LocalStore) -> None:
    told(filled, "ODD")

    assert judge(filled, store, Limits(scan_status={"ODD": "refuse"})) == 2


def test_what_a_person_lets_out_afterwards_stays_out(filled: Ledger, store: LocalStore) -> None:
    told(filled, "INFECTED")
    judge(filled, store)
    for item in quarantined(filled, Choice(ids=["A1"])):
        assert release(filled, store, item, By("me"), clock=HandClock(later(20))) is None
    told(filled, "INFECTED")

    assert judge(filled, store) == 0
    assert one(filled, "select state from attachment where id = 'A1'") == {"state": "stored"}


def test_what_a_person_lets_out_stays_out_while_its_neighbour_resists(filled: Ledger, store: LocalStore) -> None:
    """Every minute it was put into quarantine again."""
    (store.root / PLAIN[1]).unlink()
    told(filled, "INFECTED")
    assert judge(filled, store) == 1
    [item] = quarantined(filled, Choice(ids=["A1"]))
    assert release(filled, store, item, By("me"), clock=HandClock(later(20))) is None

    assert judge(filled, store) == 0
    assert one(filled, "select state from attachment where id = 'A1'") == {"state": "stored"}


def test_a_file_on_its_way_is_waited_for(ledger: Ledger, store: LocalStore) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"], anti_virus_scan_status=None))
    [item] = claim(ledger, worker="w", count=1, now=later(0), lease_s=60)
    told(ledger, "INFECTED")

    assert judge(ledger, store) == 0
    place(ledger, store, item)
    assert judge(ledger, store) >= 1
    assert column(ledger, "select state from attachment where id = 'A1'") == ["quarantined"]


def test_who_was_killed_after_the_ledger_knew_leaves_nothing_to_be_seen(
    filled: Ledger, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(filled, "INFECTED")
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            judge(filled, store)
    assert set(PLAIN) <= set(files(store))

    judge(filled, store)
    assert files(store) == [OTHER, *(f"quarantine/{key}" for key in PLAIN)]


def test_a_file_that_is_gone_or_damaged_is_told_and_keeps_no_other_from_it(filled: Ledger, store: LocalStore) -> None:
    store.remove(PLAIN[0])
    told(filled, "INFECTED")

    assert judge(filled, store) == 1
    assert column(filled, "select state from attachment where id in ('A1', 'A2') order by id") == [
        "stored",
        "quarantined",
    ]
    assert column(filled, "select id from message where scan_told_at is not null") == ["M1"]


def test_those_that_cannot_be_moved_keep_nobody_behind_them_waiting(
    filled: Ledger, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_AT_ONCE", 1)
    for key in PLAIN:
        store.remove(key)
    told(filled, "INFECTED")
    recorded(filled, announced("E8", "M2", ["A3"], anti_virus_scan_status="INFECTED"), now=later(5))

    monkeypatch.setattr(quarantine, "_MOST_TOLD", 0)

    with capture_logs() as logs:
        assert judge(filled, store) == 1

    assert [line.get("more") for line in logs if line["event"] == "attachment.not-quarantined"] == [1]
    assert files(store) == [f"quarantine/{OTHER}"]
    assert column(filled, "select id from message where scan_told_at is not null") == ["M1"]


def test_a_copy_that_cannot_be_removed_ends_nothing_and_is_tried_again(
    filled: Ledger, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(filled, "INFECTED")
    recorded(filled, announced("E8", "M2", ["A3"], anti_virus_scan_status="INFECTED"), now=later(5))
    remove = LocalStore.remove

    def refused(store: LocalStore, key: str) -> bool:
        if key == PLAIN[0]:
            raise PermissionError(errno.EACCES, "Permission denied")
        return remove(store, key)

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(LocalStore, "remove", refused)
        assert judge(filled, store) == 3
    [left] = [line for line in logs if line["event"] == "attachment.copy-left"]
    assert (left["log_level"], left["file"], left["error"]) == ("warning", PLAIN[0], "Permission denied")
    assert column(filled, "select id from message where scan_told_at is not null") == ["M1"]

    assert judge(filled, store) == 0
    assert files(store) == [f"quarantine/{key}" for key in [*PLAIN, OTHER]]
    assert column(filled, "select id from message where scan_told_at is not null") == []


def test_what_is_let_out_between_the_look_and_the_removal_is_not_removed(
    filled: Ledger, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(filled, "INFECTED")
    keys = scans.quarantined_keys

    def meanwhile(ledger: Ledger, message_id: str) -> list[str]:
        found = keys(ledger, message_id)
        for item in quarantined(ledger, Choice(ids=["A1"])):
            assert release(ledger, store, item, By("me"), clock=HandClock(later(20))) is None
        return found

    monkeypatch.setattr(scans, "quarantined_keys", meanwhile)
    judge(filled, store)

    assert files(store) == [PLAIN[0], OTHER, f"quarantine/{PLAIN[1]}"]
    assert one(filled, "select state, location from attachment where id = 'A1'") == {
        "state": "stored",
        "location": PLAIN[0],
    }


def test_what_was_removed_before_the_ledger_knew_that_it_is_let_out_is_put_there_again(
    filled: Ledger, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(filled, "INFECTED")
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "remove", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        judge(filled, store)
    let_out = quarantine.let_out

    def meanwhile(*given: Any, **more: Any) -> bool:
        judge(filled, store)
        assert PLAIN[0] not in files(store)
        return let_out(*given, **more)

    monkeypatch.setattr(quarantine, "let_out", meanwhile)
    for item in quarantined(filled, Choice(ids=["A1"])):
        assert release(filled, store, item, By("me"), clock=HandClock(later(20))) is None

    assert files(store) == [PLAIN[0], OTHER, f"quarantine/{PLAIN[1]}"]
    assert column(filled, "select state from attachment where id = 'A1'") == ["stored"]
