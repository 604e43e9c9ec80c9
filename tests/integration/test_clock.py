"""A wall clock that is set while mo-sync works: nothing stalls, nothing is taken from who lives (P14)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway, named
from mo_sync.service import Service
from mo_sync.settings import Drop, Limits, Settings, Store, Sync
from mo_sync.settings import Gateway as GatewaySettings
from mo_sync.settings import Ledger as LedgerSettings
from tests.announcements import announcement, compact
from tests.clocks import SetClock

HOURS_S = 5 * 3600.0
LIMIT_S = 30.0
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(20_000)


@pytest.fixture
def settings(tmp_path: Path, gateway: Gateway) -> Settings:
    (tmp_path / "drop").mkdir()
    return Settings(
        gateway=GatewaySettings(base_url=gateway.base_url, token="sandbox-token"),
        drop=Drop(path=tmp_path / "drop", settle=0.0),
        ledger=LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db"),
        store=Store(url=str(tmp_path / "media")),
        sync=Sync(workers=4, lease=60.0),
        limits=Limits(min_free=0),
    )


def announce(tmp_path: Path, count: int) -> None:
    lines = [compact(announcement(number, attachment_ids=f"A{number}")) for number in range(count)]
    (tmp_path / "drop" / "events.ndjson").write_bytes(b"\n".join(lines))


def states(service: Service) -> list[tuple[object, ...]]:
    with service.ledger.read() as connection:
        found = connection.exec_driver_sql("select state, sum(attempts), count(*) from attachment group by state")
        return [tuple(row) for row in found]


def test_what_was_recorded_while_the_clock_ran_ahead_is_fetched_when_it_is_right_again(
    settings: Settings, tmp_path: Path, gateway: Gateway
) -> None:
    clock = SetClock()
    announce(tmp_path, 3)
    for number in range(3):
        gateway.add_attachment(Attachment(f"A{number}", JPEG, "image/jpeg"))
    with Service.open(settings, clock=clock) as service:
        clock.ahead_s = HOURS_S
        assert service.ingest(lambda: False, wait_for_settle=True).new == 3
        clock.ahead_s = 0.0
        assert service.reconciler.work(threading.Event()).claimed == 0

        service.rescue()

        assert service.reconciler.work(threading.Event()).claimed == 3
        assert states(service) == [("stored", 3, 3)]


@pytest.mark.parametrize("seconds", [HOURS_S, -HOURS_S])
def test_a_jump_forward_takes_no_lease_from_a_worker_that_lives(
    settings: Settings, tmp_path: Path, gateway: Gateway, seconds: float
) -> None:
    """Nor does one backward: both processes see the jump, and neither takes the other's claim for lost."""
    clock = SetClock()
    announce(tmp_path, 1)
    gateway.add_attachment(Attachment("A0", JPEG, "image/jpeg"), named("stall-body"))
    with Service.open(settings, clock=clock) as service, Service.open(settings, clock=clock) as other:
        service.ingest(lambda: False, wait_for_settle=True)
        stop = threading.Event()
        working = threading.Thread(target=service.reconciler.work, args=[stop])
        working.start()
        assert gateway.requests.wait_for(1, step="content", timeout_s=LIMIT_S)

        clock.ahead_s = seconds
        for process in (other, service, other):
            assert process.rescue() == 0

        assert states(service) == [("fetching", 0, 1)]
        service.gateway.abort()
        stop.set()
        working.join(LIMIT_S)
    assert not working.is_alive()
