"""What is done about a file that is not as the ledger says, on every database: and what of it is called mended."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.interventions import By
from mo_sync.ledger.scope import scope
from mo_sync.ledger.verification import Filed, found_whole
from mo_sync.naming import key
from mo_sync.store import LocalStore, Placed, Placement
from mo_sync.upkeep.erase import erase
from mo_sync.upkeep.faults import Fault, Found, Mended
from mo_sync.upkeep.repair import repair, sweep
from mo_sync.upkeep.verify import verify
from tests.clocks import HandClock
from tests.ledgers import GIVE_UP_AFTER_S, announced, column, recorded, settlement, stored
from tests.stores import put_in_place

CONTENT = b"a picture, as it came from the gateway"
BAD = b"A PICTURE, as it came from the gateway"
LONG_AGO_S = 1_000_000_000.0


@dataclass
class Kept:
    """A ledger and a store that agree about some files, and the means to fetch one again."""

    ledger: Ledger
    store: LocalStore
    clock: HandClock

    def fetch(self) -> None:
        """What is due is fetched and settled, as the reconciler does."""
        for lease in claim(self.ledger, worker="w", count=99, now=self.clock.now(), lease_s=60):
            outcome = stored(lease, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
            staged = self.store.stage(lease.lease)
            staged.write(CONTENT)
            staged.finish()
            assert isinstance(put_in_place(self.store, Placement(staged, outcome.key)), Placed)
            assert settle(self.ledger, [settlement(lease, outcome, now=self.clock.now())], worker="w") == [True]

    def path(self, name: str) -> Path:
        return self.store.root / f"2026/11/19/M{name}/0-A{name}.jpg"

    def found(self) -> list[Found]:
        return verify(self.ledger, self.store, clock=self.clock).found

    def repaired(self, found: Found, *, stop: Callable[[], bool] = lambda: False) -> Found:
        return repair(
            self.ledger, self.store, found, clock=self.clock, give_up_after_s=GIVE_UP_AFTER_S, who="me", stop=stop
        )

    def states(self) -> dict[str, str]:
        names = column(self.ledger, "select id from attachment order by id")
        return dict(zip(names, column(self.ledger, "select state from attachment order by id"), strict=True))


@pytest.fixture
def kept(ledger: Ledger, tmp_path: Path) -> Iterator[Kept]:
    store = LocalStore(tmp_path / "media", "w")
    made = Kept(ledger, store, HandClock())
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(3)))
    made.fetch()
    made.clock.advance(60.0)
    yield made
    store.close()


def orphan(kept: Kept, key: str = "2026/11/stray.jpg") -> Path:
    path = kept.store.root / key
    path.write_bytes(b"nobody's")
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return path


def test_a_damaged_file_is_moved_away_and_fetched_again(kept: Kept) -> None:
    kept.path("1").write_bytes(BAD)

    [found] = kept.found()
    mended = kept.repaired(found)

    assert (found.fault, mended.mended) == (Fault.DAMAGED, Mended.DONE)
    assert "it is fetched again" in mended.remark
    assert kept.states() == {"A0": "stored", "A1": "pending", "A2": "stored"}
    assert (kept.store.root / "lost+found/2026/11/19/M1/0-A1.jpg").read_bytes() == BAD
    kept.fetch()
    assert kept.found() == []


def test_what_nobody_knows_is_moved_away_or_left_if_it_resists(kept: Kept) -> None:
    """That it could not be moved was told in words, and words of any kind passed for mended."""
    path = orphan(kept)
    blocking = kept.store.root / "lost+found"
    blocking.write_bytes(b"no folder")

    [found] = kept.found()
    resisting = kept.repaired(found)
    assert (resisting.mended, path.exists()) == (Mended.LEFT, True)
    assert "cannot be moved away" in resisting.remark

    blocking.unlink()
    assert kept.repaired(found).mended is Mended.DONE
    assert not path.exists()
    assert kept.repaired(found).mended is Mended.CHANGED


def test_a_name_that_is_no_utf_8_is_an_orphans_of_which_no_database_is_asked(kept: Kept) -> None:
    path = orphan(kept, os.fsdecode(b"2026/11/0-caf\xe9.jpg"))
    orphan(kept)

    found = kept.found()

    assert [one.fault for one in found] == [Fault.ORPHAN] * 2
    assert [kept.repaired(one).mended for one in found] == [Mended.DONE] * 2
    assert not path.exists()


def test_what_is_known_by_now_is_nobodys_orphan_any_more(kept: Kept) -> None:
    path = orphan(kept, "2026/11/0-A9.jpg")
    [found] = kept.found()
    recorded(kept.ledger, announced("E9", "M9", ["A9"]))

    assert kept.repaired(found).mended is Mended.CHANGED
    assert path.exists()


def test_what_was_fetched_anew_since_it_was_found_is_left_alone(kept: Kept) -> None:
    """Two look at once. What the first one mends is fetched before the second one comes to it: the same place, the same
    bytes, and yet another file, which must not be moved away."""
    kept.path("1").write_bytes(BAD)
    [found], [again] = kept.found(), kept.found()
    assert kept.repaired(found).mended is Mended.DONE
    kept.clock.advance(60.0)
    kept.fetch()

    assert kept.repaired(again).mended is Mended.CHANGED
    assert kept.path("1").read_bytes() == CONTENT
    assert kept.states()["A1"] == "stored"
    assert kept.found() == []


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_what_somebody_put_right_since_is_left_alone(kept: Kept, harm: str) -> None:
    path = kept.path("1")
    path.unlink() if harm == "gone" else path.write_bytes(BAD)
    [found] = kept.found()
    path.write_bytes(CONTENT)

    assert kept.repaired(found).mended is Mended.CHANGED
    assert path.read_bytes() == CONTENT
    assert kept.states()["A1"] == "stored"


def test_what_is_wrong_in_another_way_by_now_is_for_the_next_run(kept: Kept) -> None:
    path = kept.path("1")
    path.write_bytes(BAD)
    [found] = kept.found()
    path.unlink()

    assert kept.repaired(found).mended is Mended.LEFT
    assert kept.states()["A1"] == "stored"


def test_what_changes_during_the_look_is_left_alone(kept: Kept) -> None:
    """The look at a large file takes minutes."""
    kept.path("1").write_bytes(BAD)
    [found], [again] = kept.found(), kept.found()

    def mend_meanwhile() -> bool:
        if kept.states()["A1"] == "stored" and not column(kept.ledger, "select id from intervention"):
            assert kept.repaired(again).mended is Mended.DONE
            kept.clock.advance(60.0)
            kept.fetch()
        return False

    assert kept.repaired(found, stop=mend_meanwhile).mended is Mended.CHANGED
    assert kept.path("1").read_bytes() == CONTENT


def test_a_stop_during_the_look_leaves_it_as_it_was(kept: Kept) -> None:
    kept.path("1").write_bytes(BAD)
    [found] = kept.found()

    assert kept.repaired(found, stop=lambda: True) == found
    assert kept.path("1").read_bytes() == BAD


def test_what_somebody_sent_back_already_is_left_alone(kept: Kept) -> None:
    kept.path("1").unlink()
    [found] = kept.found()
    assert kept.repaired(found).mended is Mended.DONE

    assert kept.repaired(found).mended is Mended.CHANGED
    assert column(kept.ledger, "select count(*) from intervention") == [1]


def test_a_stop_is_heard_before_each_file(kept: Kept) -> None:
    """It was asked for once in five hundred, which at 20 MB a file took minutes."""
    for name in range(3):
        kept.path(str(name)).unlink()
    orphan(kept)
    for before_the_stop in range(3):
        answers = iter([False] * before_the_stop)

        verified = verify(kept.ledger, kept.store, clock=kept.clock, force=True, stop=partial(next, answers, True))

        assert (verified.files, len(verified.found), verified.whole) == (before_the_stop, before_the_stop, False)


def test_what_cannot_be_noted_costs_nothing_of_what_was_found(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is locked for long threw away what was found by reading for hours."""

    def locked(*_: object, **__: object) -> None:
        raise LedgerOutOfReach("ledger-locked", "the ledger is locked")

    monkeypatch.setattr("mo_sync.upkeep.verify.found_whole", locked)
    kept.path("0").write_bytes(BAD)

    verified = verify(kept.ledger, kept.store, clock=kept.clock)

    assert [one.fault for one in verified.found] == [Fault.DAMAGED]
    assert verified.whole
    assert "ledger-locked" in str(verified.unnoted)


def locked_for(times: int, code: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ledger cannot be written for the first so many times; how much was to be noted, each time."""
    asked: list[int] = []

    def noted(ledger: Ledger, items: Sequence[Filed], *, now: datetime) -> None:
        asked.append(len(items))
        if len(asked) <= times:
            raise LedgerOutOfReach(code, "it cannot be written")
        found_whole(ledger, items, now=now)

    monkeypatch.setattr("mo_sync.upkeep.verify.found_whole", noted)
    monkeypatch.setattr("mo_sync.upkeep.verify._AT_ONCE", 1)
    return asked


def undone(kept: Kept) -> int:
    [count] = column(kept.ledger, "select count(*) from attachment where verified_at < '2026-11-20T12:01:00.000000Z'")
    return int(count)


def test_a_lock_that_passes_costs_nothing_of_what_was_read_before_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = locked_for(1, "ledger-locked", monkeypatch)

    verified = verify(kept.ledger, kept.store, clock=kept.clock)

    assert (verified.whole, verified.unnoted, asked) == (True, None, [1, 2, 1])
    assert undone(kept) == 0


def test_a_ledger_that_is_read_only_is_asked_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = locked_for(9, "ledger-read-only", monkeypatch)

    verified = verify(kept.ledger, kept.store, clock=kept.clock)

    assert (verified.whole, verified.files, asked) == (True, 3, [1])
    assert "ledger-read-only" in str(verified.unnoted)


def test_who_insists_reads_no_further_than_what_can_be_noted(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = locked_for(1, "ledger-locked", monkeypatch)
    read: list[int] = []

    with pytest.raises(LedgerOutOfReach):
        verify(kept.ledger, kept.store, clock=kept.clock, insist=True, told=read.append)

    assert (read, asked) == ([], [1])
    assert undone(kept) == 3


def test_what_a_dead_worker_held_is_due_again_when_its_files_are_swept(kept: Kept) -> None:
    dead = kept.store.root / ".incoming/dead-2-bb"
    dead.mkdir()
    (dead / ".lock").touch()
    (dead / "lease.part").write_bytes(b"half")
    recorded(kept.ledger, announced("E9", "M9", ["A9"]))
    assert claim(kept.ledger, worker=dead.name, count=1, now=kept.clock.now(), lease_s=3600)

    [swept] = sweep(kept.ledger, kept.store, kept.found(), clock=kept.clock)

    assert (swept.fault, swept.mended, dead.exists()) == (Fault.TEMPORARY, Mended.DONE, False)
    assert kept.states()["A9"] == "pending"


def test_who_mends_at_the_same_time_does_not_move_the_new_file_away(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.path("0").write_bytes(BAD)
    [found] = kept.found()
    others: list[Found] = []
    move = kept.store.set_aside

    def meanwhile(key: str) -> str:
        monkeypatch.setattr(kept.store, "set_aside", move)
        others.append(kept.repaired(found))
        kept.fetch()
        return move(key)

    monkeypatch.setattr(kept.store, "set_aside", meanwhile)
    done = kept.repaired(found)
    kept.fetch()

    assert (done.mended, [one.mended for one in others]) == (Mended.DONE, [Mended.LEFT])
    assert others[0].remark == "left alone: somebody else is at it"
    assert (kept.path("0").read_bytes(), kept.found()) == (CONTENT, [])


def test_what_another_repair_has_moved_away_and_sent_back_is_mended(kept: Kept) -> None:
    """Two of them at once: both said that it could not be mended."""
    kept.path("0").write_bytes(BAD)
    [found] = kept.found()
    assert kept.repaired(found).mended is Mended.DONE

    assert kept.repaired(found).mended is Mended.CHANGED


@pytest.mark.parametrize("seen", [Fault.DAMAGED, Fault.MISSING])
def test_who_comes_between_moving_and_telling_waits_and_finds_it_mended(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, seen: Fault
) -> None:
    """Of two at once one sent it back while the other had only moved it, and both ended badly."""
    kept.path("0").write_bytes(BAD)
    [found] = kept.found()
    others: list[Found] = []
    move, wait = kept.store.set_aside, kept.clock.wait
    moved = threading.Event()

    def slowly(key: str) -> str:
        there = move(key)
        moved.set()
        time.sleep(0.3)
        return there

    def other() -> None:
        moved.wait(10)
        others.append(kept.repaired(found if seen is Fault.DAMAGED else replace(found, fault=Fault.MISSING)))

    def waiting(event: threading.Event, seconds: float) -> bool:
        time.sleep(0.02)
        return wait(event, seconds / 100)

    monkeypatch.setattr(kept.store, "set_aside", slowly)
    monkeypatch.setattr(kept.clock, "wait", waiting)
    thread = threading.Thread(target=other)
    thread.start()
    done = kept.repaired(found)
    thread.join()

    assert (done.mended, [one.mended for one in others]) == (Mended.DONE, [Mended.CHANGED])


def test_what_was_set_aside_leaves_no_empty_folder_when_it_is_erased(kept: Kept) -> None:
    """It bears the id of the message."""
    kept.path("0").write_bytes(BAD)
    [found] = kept.found()
    kept.repaired(found)
    assert kept.path("0").parent.is_dir()

    erase(
        kept.ledger, kept.store, scope(kept.ledger, message_ids=["M0"]), by=By("me"), clock=kept.clock, patience_s=0.0
    )

    assert not list(kept.store.root.rglob("*M0*"))


def test_what_was_moved_away_is_fetched_again_also_if_somebody_has_verified_it_meanwhile(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that gives other bytes the second time."""
    kept.path("0").write_bytes(BAD)
    [found] = kept.found()
    assert found.filed is not None
    filed, move = found.filed, kept.store.set_aside

    def meanwhile(key: str) -> str:
        kept.clock.advance(1.0)
        found_whole(kept.ledger, [filed], now=kept.clock.now())
        return move(key)

    monkeypatch.setattr(kept.store, "set_aside", meanwhile)

    assert kept.repaired(found).mended is Mended.DONE
    assert kept.states()["A0"] == "pending"


def test_what_is_erased_while_it_is_moved_away_is_kept_nowhere(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.path("0").write_bytes(BAD)
    [found] = kept.found()
    move = kept.store.set_aside
    chosen = scope(kept.ledger, message_ids=["M0"])

    def meanwhile(key: str) -> str:
        kept.path("0").rename(kept.store.root / "elsewhere")  # who erased it looked for it while it was moved
        erase(kept.ledger, kept.store, chosen, by=By("me"), clock=kept.clock, patience_s=0.0)
        kept.path("0").parent.mkdir(exist_ok=True)
        (kept.store.root / "elsewhere").rename(kept.path("0"))
        return move(key)

    monkeypatch.setattr(kept.store, "set_aside", meanwhile)
    done = kept.repaired(found)

    assert (done.mended, done.remark) == (Mended.DONE, "it was erased, and is removed again")
    assert not [path for path in kept.store.root.rglob("*A0*") if path.is_file()]


@pytest.mark.parametrize("odd", ["A/odd", "A" * 200])
def test_what_was_erased_is_removed_again_whatever_its_id_is(kept: Kept, odd: str) -> None:
    recorded(kept.ledger, announced("E9", "M9", [odd]), now=kept.clock.now())
    chosen = scope(kept.ledger, message_ids=["M9"])
    erase(kept.ledger, kept.store, chosen, by=By("me"), clock=kept.clock, patience_s=0.0)
    late = kept.store.root / key(
        filed_at=kept.clock.now(), message_id="M9", position=0, attachment_id=odd, extension="jpg"
    )
    late.parent.mkdir(parents=True)
    late.write_bytes(CONTENT)
    os.utime(late, (LONG_AGO_S, LONG_AGO_S))

    [done] = map(kept.repaired, kept.found())

    assert (done.mended, done.remark) == (Mended.DONE, "it was erased, and is removed again")
    assert not late.exists()
