"""The way out of quarantine, on every database, while others do something about the same file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.interventions import By, Choice
from mo_sync.ledger.scope import scope
from mo_sync.ledger.verification import Filed, let_out, quarantined, send_back
from mo_sync.store import LocalStore, Placement
from mo_sync.upkeep import quarantine
from mo_sync.upkeep.erase import erase
from tests.clocks import HandClock
from tests.ledgers import announced, column, later, recorded, settlement, stored
from tests.stores import put_in_place

ME = By("me")
FREE = "2026/11/19/M1/0-A1.jpg"
FILE, OTHER = b"judged to be harmless", b"half of an earlier try"


class Interrupted(LocalStore):
    """A store in which something happens while a file is read."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def open(self, key: str) -> BinaryIO:
        file = super().open(key)
        self.meanwhile()
        return file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Interrupted]:
    store = Interrupted(tmp_path / "media", "worker-1")
    yield store
    store.close()


@pytest.fixture
def item(ledger: Ledger, store: LocalStore) -> Filed:
    """A file in quarantine."""
    recorded(ledger, announced("E1", "M1", ["A1"]))
    [lease] = claim(ledger, worker="w", count=1, now=later(0), lease_s=60)
    sha256, key = hashlib.sha256(FILE).hexdigest(), f"quarantine/{FREE}"
    put(store, FILE, key)
    outcome = stored(lease, key=key, size=len(FILE), sha256=sha256, quarantined=True, reason="VIRUS")
    assert settle(ledger, [settlement(lease, outcome, now=later(1))], worker="w") == [True]
    return quarantined(ledger, Choice(ids=["A1"]))[0]


def put(store: LocalStore, content: bytes, key: str = FREE) -> None:
    staged = store.stage(hashlib.sha256(content).hexdigest())
    staged.write(content)
    staged.finish()
    put_in_place(store, Placement(staged, key))


def released(ledger: Ledger, store: LocalStore, item: Filed) -> str | None:
    return quarantine.release(ledger, store, item, ME, clock=HandClock(later(9)))


@pytest.mark.parametrize("occupied", [False, True])
def test_what_is_erased_while_it_is_let_out_is_not_put_back(
    ledger: Ledger, store: Interrupted, item: Filed, monkeypatch: pytest.MonkeyPatch, occupied: bool
) -> None:
    chosen = scope(ledger, message_ids=["M1"])
    if occupied:
        put(store, OTHER)

    def erase_it() -> None:
        erase(ledger, store, chosen, by=ME, clock=HandClock(later(8)), patience_s=0.0)

    def too_late(*arguments: object, **more: object) -> bool:
        erase_it()
        return let_out(*arguments, **more)  # type: ignore[arg-type]

    if occupied:
        monkeypatch.setattr(quarantine, "let_out", too_late)
    else:
        store.meanwhile = erase_it

    assert released(ledger, store, item) == "it was erased meanwhile"

    assert list(store.resting()) == []
    assert column(ledger, "select state from attachment") == ["erased"]


def test_nobody_else_puts_a_file_there_until_the_ledger_was_told(
    ledger: Ledger, store: Interrupted, item: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, OTHER)
    other = LocalStore(store.root, "worker-2")
    staged = other.stage("lease")
    seen: list[object] = []

    def told(*arguments: object, **more: object) -> bool:
        with other.exchange(Placement(staged, FREE)) as exchange:
            seen.append(exchange)
        return let_out(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(quarantine, "let_out", told)
    assert released(ledger, store, item) is None
    other.close()

    assert seen == [None]
    assert column(ledger, "select location from attachment") == [FREE]


def test_what_is_called_stored_by_now_is_not_replaced(ledger: Ledger, store: Interrupted, item: Filed) -> None:
    """As when verify sent it back, and it was fetched again, while a large file was copied."""
    newer = b"what the gateway has now"

    def fetched_again() -> None:
        send_back(ledger, item, now=later(2), give_up_after_s=9.0, reason="damaged", who="me")
        [lease] = claim(ledger, worker="w", count=1, now=later(3), lease_s=60)
        put(store, newer)
        sha256 = hashlib.sha256(newer).hexdigest()
        outcome = stored(lease, key=FREE, size=len(newer), sha256=sha256)
        settle(ledger, [settlement(lease, outcome, now=later(4))], worker="w")

    store.meanwhile = fetched_again
    assert released(ledger, store, item) == "it changed meanwhile"

    store.meanwhile = lambda: None
    with store.open(FREE) as file:
        assert file.read() == newer
    assert column(ledger, "select state from attachment") == ["stored"]


class Killed(BaseException):
    """At the worst moment."""


def test_what_was_killed_while_it_was_let_out_is_seen_no_more(
    ledger: Ledger, store: Interrupted, item: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> bool:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(quarantine, "let_out", killed)
        released(ledger, store, item)
    assert FREE in [one.key for one in store.resting()]

    quarantine.take_back(ledger, store, stop=lambda: False)

    assert [one.key for one in store.resting()] == [f"quarantine/{FREE}"]
    assert released(ledger, store, item) is None
    quarantine.take_back(ledger, store, stop=lambda: False)
    assert [one.key for one in store.resting()] == [FREE]


def test_what_is_quarantined_where_it_lies_is_not_removed(ledger: Ledger, store: Interrupted) -> None:
    """As rows are that somebody wrote by hand."""
    recorded(ledger, announced("E1", "M1", ["A1"]))
    [lease] = claim(ledger, worker="w", count=1, now=later(0), lease_s=60)
    put(store, FILE)
    outcome = stored(lease, key=FREE, quarantined=True, reason="VIRUS")
    settle(ledger, [settlement(lease, outcome, now=later(1))], worker="w")

    quarantine.take_back(ledger, store, stop=lambda: False)

    assert [one.key for one in store.resting()] == [FREE]
