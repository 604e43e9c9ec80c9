"""Whose claims are made due again: those of the dead, whatever a store says of the living."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_sync.clock import SystemClock
from mo_sync.ledger import claims
from mo_sync.service import Service
from mo_sync.settings import Drop, Gateway, Ledger, Settings, Store
from tests.announcements import announcement, compact


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "event.json").write_bytes(compact(announcement(1, attachment_ids="A1")))
    return Settings(
        gateway=Gateway(base_url="http://127.0.0.1:9", token="sandbox-token"),
        drop=Drop(path=tmp_path / "drop", settle=0.0),
        ledger=Ledger(url=f"sqlite:///{tmp_path}/ledger.db"),
        store=Store(url=str(tmp_path / "media")),
    )


def claimed(service: Service) -> int:
    lent = claims.claim(
        service.ledger, worker=service.worker, count=1, now=service.clock.now(), lease_s=60.0, room=lambda *_: 1
    )
    return len(lent)


def test_a_worker_never_takes_its_own_claims_for_those_of_a_dead_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Service.open(settings, clock=SystemClock()) as service:
        service.ingest(lambda: False, wait_for_settle=True)
        assert claimed(service) == 1
        monkeypatch.setattr(service.store, "sweep", lambda: [service.worker])

        assert service.rescue() == 0


def test_claims_of_a_worker_that_lives_and_whose_lock_was_removed_stay_its_own(
    settings: Settings, tmp_path: Path
) -> None:
    with Service.open(settings, clock=SystemClock()) as service, Service.open(settings, clock=SystemClock()) as other:
        service.ingest(lambda: False, wait_for_settle=True)
        assert claimed(service) == 1
        staged = service.store.stage("lease")
        (tmp_path / "media" / ".incoming" / service.worker / ".lock").unlink()

        assert [process.rescue() for process in (other, service, other)] == [0, 0, 0]
        assert other.store.neighbours() == [service.worker]
        staged.discard()
