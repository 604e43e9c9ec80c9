"""The daemon's rounds: each duty has its turn whatever the others meet, at a pace, with a sign of life all the time."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.settings import Settings
from mo_sync.store import LocalStore
from mo_sync.upkeep.prune import Forget
from mo_sync.upkeep.rounds import Rounds, _Pace
from tests.clocks import HandClock
from tests.ledgers import column, items, recorded


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}")) as opened:
        recorded(opened, *items(2))
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "media", "w")
    yield opened
    opened.close()


def rounds(ledger: Ledger, store: LocalStore, forget_days: Forget) -> Rounds:
    settings = Settings.model_validate({"retention": {"done": "1d"}})
    return Rounds(ledger, store, settings, HandClock(), "w", forget_days=forget_days)


def taken(ledger: Ledger) -> dict[str, bool]:
    """The duties that were taken, and whether each is still held."""
    until = column(ledger, "select until > '2026-11-20T12:00:00.000001Z' from duty order by name")
    return dict(zip(column(ledger, "select name from duty order by name"), map(bool, until), strict=True))


def test_what_fails_keeps_no_other_duty_from_its_turn_and_is_told_after_that(ledger: Ledger, store: LocalStore) -> None:
    """And a daemon is not started anew for it, over and over: it would meet the same again."""
    signs: list[int] = []

    def fail(_: date) -> tuple[int, dict[str, str]]:
        signs.clear()
        raise PermissionError(errno.EPERM, "Operation not permitted", "x.json")

    with capture_logs() as log, pytest.raises(PermissionError):
        rounds(ledger, store, fail).make(threading.Event(), lambda: signs.append(1))

    assert taken(ledger) == {"quarantine": True, "silence": True, "prune": False, "verify": True}
    assert [entry["event"] for entry in log] == ["verify.done"]
    assert signs


def test_the_first_trouble_is_the_one_that_is_told(
    ledger: Ledger, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> Any:
        raise OSError(number, "trouble")

    monkeypatch.setattr("mo_sync.upkeep.rounds.finish", lambda *_, **__: fail(1))
    monkeypatch.setattr("mo_sync.upkeep.rounds.verify", lambda *_, **__: fail(3))

    with pytest.raises(OSError) as caught:
        rounds(ledger, store, lambda _: fail(2)).make(threading.Event(), lambda: None)

    assert caught.value.errno == 1
    assert taken(ledger) == {"quarantine": True, "silence": True, "prune": False, "verify": False}


def test_a_day_that_resists_is_logged_and_is_no_trouble_of_the_round(ledger: Ledger, store: LocalStore) -> None:
    left = {f"done/2026-10-{day:02}": "x.json cannot be removed" for day in range(1, 13)}

    with capture_logs() as log:
        rounds(ledger, store, lambda _: (1, left)).make(threading.Event(), lambda: None)

    told = [entry for entry in log if entry["event"] == "prune.left"]
    assert [entry["item"] for entry in told[:-1]] == list(left)[:10]
    assert told[-1]["more"] == 2
    assert taken(ledger) == {"quarantine": True, "silence": True, "prune": True, "verify": True}


def test_a_large_file_is_waited_for_with_a_sign_of_life_every_few_seconds() -> None:
    clock, signs = HandClock(), []
    pace = _Pace(1_000, clock, threading.Event(), lambda: signs.append(clock.monotonic()))
    began = clock.monotonic()

    pace.spend(60_000)

    assert clock.monotonic() - began == 60.0
    assert len(signs) >= 11
    pace.spend(0)
    assert clock.monotonic() - began == 60.0


def test_who_is_slow_anyway_does_not_wait_and_who_is_stopped_neither() -> None:
    clock, stop = HandClock(), threading.Event()
    pace = _Pace(1_000, clock, stop, lambda: None)
    clock.advance(30.0)
    began = clock.monotonic()

    pace.spend(29_000)
    pace.spend(-1)
    assert clock.monotonic() == began
    stop.set()
    pace.spend(900_000)
    assert clock.monotonic() - began <= 5.0
