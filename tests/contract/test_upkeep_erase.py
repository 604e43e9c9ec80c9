"""Files of what was erased or pruned, on every database: removed, or still known for when they can be."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from mo_sync.errors import StoreOutOfReach
from mo_sync.events import RawEvent, parse
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.interventions import By
from mo_sync.ledger.retention import retire
from mo_sync.ledger.scope import scope
from mo_sync.ledger.whereabouts import unfinished
from mo_sync.lifecycle import State
from mo_sync.settings import Retention
from mo_sync.store import LocalStore, Placement
from mo_sync.upkeep.erase import Report, erase
from mo_sync.upkeep.faults import Fault, Found, Mended
from mo_sync.upkeep.forgotten import forget
from mo_sync.upkeep.prune import prune
from mo_sync.upkeep.repair import repair
from mo_sync.upkeep.verify import verify
from tests.clocks import HandClock
from tests.ledgers import NOW, announced, column, later, recorded, settlement, stored
from tests.stores import put_in_place

ME = By("me")

ANNA, BERT = "+14085550100", "+14085550199"
KEYS = {"A1": "2026/11/19/M1/0-A1.jpg", "A2": "2026/11/19/M1/1-A2.jpg", "A3": "2026/11/19/M2/0-A3.jpg"}


def always() -> bool:
    return True


@pytest.fixture
def filled(ledger: Ledger, store: LocalStore) -> Ledger:
    """Two files of Anna and one of Bert, all of them stored."""
    recorded(
        ledger, announced("E1", "M1", ["A1", "A2"], from_address=ANNA), announced("E2", "M2", ["A3"], from_address=BERT)
    )
    leases = claim(ledger, worker="w", count=9, now=later(0), lease_s=60)
    for lease in leases:
        put(store, KEYS[lease.attachment_id])
    batch = [settlement(lease, stored(lease, key=KEYS[lease.attachment_id]), now=later(1)) for lease in leases]
    assert all(settle(ledger, batch, worker="w"))
    return ledger


def put(store: LocalStore, key: str) -> None:
    staged = store.stage(hashlib.sha256(key.encode()).hexdigest())
    staged.write(key.encode())
    staged.finish()
    put_in_place(store, Placement(staged, key))


def erased(ledger: Ledger, store: LocalStore, sender: str = ANNA) -> Report:
    clock = HandClock(later(9))
    return erase(ledger, store, scope(ledger, sender=[sender]), by=ME, clock=clock, patience_s=0.0)


def files(store: LocalStore) -> list[str]:
    return [one.key for one in store.resting()]


@pytest.mark.parametrize("others", ["another's file is known", "nothing else is known"])
def test_a_store_that_is_not_mounted_is_not_one_whose_files_are_gone(
    filled: Ledger, store: LocalStore, tmp_path: Path, others: str
) -> None:
    if others == "nothing else is known":
        assert erased(filled, store, BERT).files == 1
    disk = store.root.rename(tmp_path / "unmounted")
    store.root.mkdir()

    first, again = erased(filled, store), erased(filled, store)

    assert (len(first.messages), first.files, again.messages) == (1, 0, [])
    assert first.left == again.left
    assert first.left["store"].startswith("store-looks-empty: 2 of 2 files are not there")
    assert sorted(unfinished(filled).values()) == [KEYS["A1"], KEYS["A2"]]
    store.root.rmdir()
    disk.rename(store.root)
    assert (erased(filled, store).files, unfinished(filled)) == (2, {})
    assert files(store) == ([KEYS["A3"]] if others == "another's file is known" else [])


def test_nothing_is_pruned_for_good_while_the_store_is_not_mounted(
    filled: Ledger, store: LocalStore, tmp_path: Path
) -> None:
    disk = store.root.rename(tmp_path / "unmounted")
    store.root.mkdir()
    kept, clock = Retention(stored="1d"), HandClock(later(2 * 86_400))

    with pytest.raises(StoreOutOfReach, match="store-looks-empty"):
        prune(filled, store, kept, clock=clock)

    assert sorted(unfinished(filled).values()) == sorted(KEYS.values())
    store.root.rmdir()
    disk.rename(store.root)
    prune(filled, store, kept, clock=clock)
    assert files(store) == []
    assert column(filled, "select id from attachment where location is not null") == []


def test_a_store_that_goes_in_the_middle_is_not_one_whose_files_are_gone(
    filled: Ledger, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge, disk = store.purge, tmp_path / "unmounted"

    def vanishing(key: str) -> int:
        removed = purge(key)
        if removed and not disk.exists():
            store.root.rename(disk)
            store.root.mkdir()
        return removed

    monkeypatch.setattr(store, "purge", vanishing)
    first = erased(filled, store)

    assert first.files == 1
    assert first.left["store"].startswith("store-looks-empty: 1 of 1 files are not there")
    assert len(unfinished(filled)) == 1
    store.root.rmdir()
    disk.rename(store.root)
    assert (erased(filled, store).files, unfinished(filled)) == (1, {})


def test_a_file_that_is_gone_from_a_store_with_others_is_gone(filled: Ledger, store: LocalStore) -> None:
    shutil.rmtree(store.root / "2026/11/19/M1")

    assert (erased(filled, store).left, unfinished(filled)) == ({}, {})


def test_who_was_killed_between_the_last_files_and_the_ledger_is_no_obstacle(filled: Ledger, store: LocalStore) -> None:
    erased(filled, store, BERT)
    for name in ("A1", "A2"):
        store.remove(KEYS[name])

    assert (erased(filled, store).left, unfinished(filled)) == ({}, {})


def test_a_repair_removes_an_erased_file_that_was_put_back(filled: Ledger, store: LocalStore) -> None:
    """By who was killed right after; in lost+found nobody would look for it."""
    erased(filled, store)
    put(store, KEYS["A1"])
    put(store, "2026/11/19/M3/0-A9.jpg")
    clock = HandClock(datetime.now(UTC) + timedelta(hours=2))

    found = [one for one in verify(filled, store, clock=clock).found if one.fault is Fault.ORPHAN]
    mended = [repair(filled, store, one, clock=clock, give_up_after_s=9.0, who="me").remark for one in found]

    assert mended == [
        "it was erased, and is removed again",
        "what lay there is now lost+found/2026/11/19/M3/0-A9.jpg",
    ]
    assert files(store) == [KEYS["A3"]]
    assert not list(store.root.rglob("*A1*"))


def test_what_never_had_a_file_needs_no_store_to_be_forgotten(ledger: Ledger, store: LocalStore) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"], from_address=ANNA))

    assert (erased(ledger, store).left, unfinished(ledger)) == ({}, {})


def test_a_report_counts_no_file_that_was_only_kept_long_enough(filled: Ledger, store: LocalStore) -> None:
    """It would name its id, which is somebody's, in the records of another's request."""
    assert retire(filled, state=State.STORED, before=later(99), now=later(99), count=9) == 3

    report = erased(filled, store)

    assert (len(report.attachments), report.files, report.left) == (2, 2, {})
    assert unfinished(filled) == {"A3": KEYS["A3"]}
    assert files(store) == [KEYS["A3"]]


def test_what_was_set_aside_goes_with_what_is_pruned_and_is_found_by_nobody_else(
    filled: Ledger, store: LocalStore
) -> None:
    """It was damaged; then the gateway had it no more."""
    store.set_aside(KEYS["A1"])
    with filled.begin() as connection:
        values = "state = 'missing', location = null"
        connection.execute(text(f"update attachment set {values} where id = 'A1'"))

    done = prune(filled, store, Retention(missing="1d"), clock=HandClock(later(2 * 86_400)))

    assert done.counts == {"missing": 1}
    assert not [path for path in store.root.rglob("*A1*") if path.is_file()]
    assert column(filled, "select id from attachment order by id") == ["A2", "A3"]


def test_what_a_killed_erasure_left_is_found_by_verify_and_removed_by_a_repair(
    filled: Ledger, store: LocalStore
) -> None:
    erase(filled, store, scope(filled, sender=[ANNA]), by=ME, clock=HandClock(later(9)), patience_s=0.0, give_up=always)
    assert sorted(unfinished(filled).values()) == [KEYS["A1"], KEYS["A2"]]
    soon, clock = HandClock(later(60)), HandClock(later(7_200))
    assert erased_ones(verify(filled, store, clock=soon).found) == [], "a daemon may be at it"

    found = erased_ones(verify(filled, store, clock=clock).found)
    left = forget(filled, store, found, stop=always)
    mended = forget(filled, store, found, stop=lambda: False)

    assert [one.key for one in found] == [KEYS["A1"], KEYS["A2"]]
    assert [one.mended for one in left] == [Mended.LEFT] * 2
    assert [one.mended for one in mended] == [Mended.DONE] * 2
    assert files(store) == [KEYS["A3"]]
    assert erased_ones(verify(filled, store, clock=clock).found) == []


def erased_ones(found: list[Found]) -> list[Found]:
    return sorted((one for one in found if one.fault is Fault.ERASED), key=lambda one: one.key)


def test_a_report_says_how_many_files_are_left_by_who_was_stopped(filled: Ledger, store: LocalStore) -> None:
    chosen = scope(filled, sender=[ANNA])
    report = erase(filled, store, chosen, by=ME, clock=HandClock(later(9)), patience_s=0.0, give_up=always)

    assert (report.files, len(report.messages)) == (0, 1)
    assert report.left == {"files": "of 2 attachments that were erased, not removed yet"}


def test_who_is_stopped_after_the_first_message_has_emptied_what_names_any_of_them(
    ledger: Ledger, store: LocalStore
) -> None:
    """The next time the ledger has but stand-ins for the ids by which it was found."""
    cut = RawEvent("drop:1", b'{"message_body": "my secret", "message_id": "MessageOfAnna1", "att', NOW)
    items = (announced(f"E{n}", f"MessageOfAnna{n}", [], from_address=ANNA) for n in range(3))
    recorded(ledger, *items, (cut, parse(cut)))
    chosen, done = scope(ledger, sender=[ANNA]), list[int]()

    def stop() -> bool:
        return bool(done)

    erase(
        ledger,
        store,
        chosen,
        by=ME,
        clock=HandClock(later(9)),
        patience_s=0.0,
        stop=stop,
        told=lambda: done.append(1),
    )

    assert len(done) == 1
    assert column(ledger, "select id from event where payload like '%secret%'") == []


def test_who_says_that_the_files_are_gone_is_stuck_nowhere(filled: Ledger, store: LocalStore, tmp_path: Path) -> None:
    """What was stored once and is missing since was taken for a file of a store that is not mounted, for ever."""
    store.root.rename(tmp_path / "lost")
    store.root.mkdir()
    clock = HandClock(later(99))
    for found in verify(filled, store, clock=clock, force=True).found:
        repair(filled, store, found, clock=clock, give_up_after_s=9.0, who="me")
    with filled.begin() as connection:
        connection.execute(text("update attachment set state = 'missing', due_at = null"))

    done = prune(filled, store, Retention(missing="1d"), clock=HandClock(later(2 * 86_400)))

    assert done.counts == {"missing": 3}
    assert unfinished(filled) == {}


def test_what_was_retired_with_its_file_goes_by_force_when_the_store_is_lost(
    filled: Ledger, store: LocalStore, tmp_path: Path
) -> None:
    retire(filled, state=State.STORED, before=later(99), now=later(99), count=9)
    store.root.rename(tmp_path / "lost")
    store.root.mkdir()
    with pytest.raises(StoreOutOfReach):
        forget(filled, store, [], stop=lambda: False)

    forget(filled, store, [], stop=lambda: False, force=True)

    assert unfinished(filled) == {}
