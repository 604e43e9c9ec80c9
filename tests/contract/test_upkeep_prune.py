"""Pruning on every database: what resists keeps nothing else from going, and a store that refuses is let alone."""

from __future__ import annotations

import errno
from collections import Counter
from typing import cast

import pytest
from sqlalchemy import text

from mo_sync.events import RawEvent, parse
from mo_sync.ledger import Ledger
from mo_sync.settings import Retention
from mo_sync.store import Store
from mo_sync.upkeep import prune as upkeep
from mo_sync.upkeep.prune import Pruned, prune
from tests.clocks import HandClock
from tests.ledgers import NOW, announced, column, recorded

COUNT = 23
DAY_S = 86_400.0
KEPT = Retention(stored=DAY_S, quarantined=DAY_S, missing=DAY_S, events=DAY_S, done=DAY_S)


class FakeStore:
    """One whose files resist, if their keys begin so."""

    def __init__(self, *resisting: str) -> None:
        self.resisting = resisting
        self.asked: Counter[str] = Counter()

    def purge(self, key: str) -> int:
        self.asked[key] += 1
        if key.removeprefix("quarantine/").startswith(self.resisting):
            raise OSError(errno.EROFS, "Read-only file system")
        return 1


@pytest.fixture
def filled(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Old ones, stored, and missing; each is pruned five at a time."""
    monkeypatch.setattr(upkeep, "_AT_ONCE", 5)
    states = ("stored", "missing")
    recorded(ledger, *(announced(f"E{s}{n}", f"M{s}{n}", [f"{s}-{n:02}"]) for s in states for n in range(COUNT)))
    with ledger.begin() as connection:
        for state in states:
            key = "'2026/' || id" if state == "stored" else "null"
            values = f"state = '{state}', due_at = null, location = {key}"
            connection.execute(text(f"update attachment set {values} where id like '{state}-%'"))
    recorded(ledger, announced("Elast", "Mlast", ["last"]))
    return ledger


def pruned(ledger: Ledger, store: FakeStore, **more: object) -> Pruned:
    clock = HandClock()
    clock.advance(DAY_S + 60.0)
    return prune(ledger, cast("Store", store), KEPT, clock=clock, **more)  # type: ignore[arg-type]


def states(ledger: Ledger) -> Counter[str]:
    return Counter(column(ledger, "select state from attachment where id <> 'last'"))


def test_where_nothing_resists_all_of_it_goes(filled: Ledger) -> None:
    done = pruned(filled, FakeStore())

    assert (done.counts, done.left_count) == ({"stored": COUNT, "missing": COUNT}, 0)
    assert states(filled) == {}


def test_a_store_that_refuses_is_not_asked_for_ever_more_files_and_costs_nothing_else(filled: Ledger) -> None:
    """It was asked for every file again with each five more that were retired: of 20,000 files 430,000 times."""
    broken = RawEvent("drop:1", b"{", NOW)
    recorded(filled, (broken, parse(broken)), announced("Enewest", "Mlast", ["last"]))
    store = FakeStore("2026/")

    done = pruned(filled, store)

    assert (done.counts, done.left_count) == ({"stored": 5, "events": 1}, 5)
    assert states(filled) == {"erased": 5, "stored": COUNT - 5, "missing": COUNT}
    assert max(store.asked.values()) <= 9
    assert pruned(filled, store).counts == {}
    assert pruned(filled, FakeStore()).counts == {"stored": COUNT - 5, "missing": COUNT}
    assert states(filled) == {}


def test_some_that_resist_are_told_and_the_others_go(filled: Ledger) -> None:
    done = pruned(filled, FakeStore("2026/stored-01", "2026/stored-20"))

    assert done.counts == {"stored": COUNT, "missing": COUNT}
    assert done.left_count == len(done.left) == 2
    assert states(filled) == {"erased": 2}


def test_what_resists_is_named_up_to_a_bound(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NAMED", 3)

    done = pruned(filled, FakeStore("2026/"), forget_days=lambda _: (0, {"done/2026-11-01": "it resists"}))

    assert (len(done.left), done.left_count) == (3, 6)


def test_a_stop_is_heard_also_while_files_are_removed(filled: Ledger) -> None:
    heard: list[int] = []

    def stop() -> bool:
        heard.append(1)
        return len(heard) > 4

    done = pruned(filled, FakeStore("2026/stored"), stop=stop)

    assert sum(done.counts.values()) <= 5
    assert states(filled)["missing"] == COUNT


def test_days_that_resist_are_told_beside_those_that_went(filled: Ledger) -> None:
    done = pruned(filled, FakeStore(), forget_days=lambda _: (2, {"done/2026-11-01": "it resists"}))

    assert done.counts["days of done/"] == 2
    assert (done.left, done.left_count) == ({"done/2026-11-01": "it resists"}, 1)
