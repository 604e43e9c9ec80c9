"""Who wakes late, on every database: what was erased meanwhile is not put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from mo_sync.backoff import Policy
from mo_sync.fetch import Fetched
from mo_sync.ledger import Ledger, claims
from mo_sync.ledger.interventions import By
from mo_sync.ledger.scope import scope
from mo_sync.lifecycle import Claim
from mo_sync.reconciler.crew import Result
from mo_sync.reconciler.finisher import Finisher
from mo_sync.reconciler.flight import Flight
from mo_sync.store import LocalStore, Placement
from mo_sync.upkeep.erase import erase
from tests.clocks import HandClock
from tests.ledgers import announced, column, later, recorded
from tests.stores import put_in_place

KEY = "2026/11/19/M1/0-A1.jpg"
FILE = b"private"
Finish = Callable[[], list[str]]


@pytest.fixture
def finish(ledger: Ledger, store: LocalStore) -> Finish:
    """Claim the attachment, and finish its download; what the log says."""
    clock = HandClock(later(0))
    flight = Flight(1, backlog=1)
    finisher = Finisher(
        ledger=ledger,
        store=store,
        policy=Policy(),
        clock=clock,
        worker="worker-1",
        flight=flight,
        batch=5,
        watcher=lambda _: None,
    )

    def finished() -> list[str]:
        recorded(ledger, announced("E1", "M1", ["A1"]))
        [lease] = claims.claim(ledger, worker="worker-1", count=1, now=clock.now(), lease_s=30)
        staged = store.stage("lease")
        staged.write(FILE)
        staged.finish()
        product = Fetched(staged, KEY, len(FILE), staged.sha256, "image/jpeg")
        with capture_logs() as log:
            finisher._finish_safely([Result(lease, product, clock.now())])
        return [line["event"] for line in log]

    return finished


def sleeps_at(monkeypatch: pytest.MonkeyPatch, look: int, meanwhile: Callable[[], object]) -> None:
    """The worker stands still right after its look at the lease, the first or the second one."""
    looks: list[int] = []
    owned = claims.owned

    def looked(ledger: Ledger, some: Sequence[Claim]) -> set[str]:
        found = owned(ledger, some)
        looks.append(len(looks) + 1)
        if looks[-1] == look:
            meanwhile()
        return found

    monkeypatch.setattr(claims, "owned", looked)


def lose_the_lease_and_erase(ledger: Ledger, store: LocalStore) -> None:
    assert claims.expire(ledger, now=later(60)) == ["A1"]
    chosen = scope(ledger, message_ids=["M1"])
    report = erase(ledger, store, chosen, by=By("me"), clock=HandClock(later(61)), patience_s=0.0)
    assert (len(report.messages), report.left) == (1, {})


@pytest.mark.parametrize("look", [1, 2], ids=["before its place", "before the exchange"])
def test_a_file_that_was_erased_on_its_way_is_removed_again(
    ledger: Ledger, store: LocalStore, finish: Finish, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    if look == 2:
        earlier = store.stage("earlier")
        earlier.write(b"half of an earlier try")
        earlier.finish()
        put_in_place(store, Placement(earlier, KEY))
    sleeps_at(monkeypatch, look, lambda: lose_the_lease_and_erase(ledger, store))

    told = finish()

    assert told == ["claim.lost", "claim.erased"]
    assert list(store.resting()) == []
    assert column(ledger, "select state from attachment") == ["erased"]


def test_a_file_of_a_claim_that_is_only_lost_stays_for_who_has_it_now(
    ledger: Ledger, store: LocalStore, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps_at(monkeypatch, 1, lambda: claims.expire(ledger, now=later(60)))

    assert finish() == ["claim.lost"]

    assert [one.key for one in store.resting()] == [KEY]
