"""Messages are marked as PROCESSED when all of them is stored: never before, at least once, no one pays for another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from mo_sync.feeds.inbox.marking import Marking
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.duties import Duties
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.sandbox import Attachment, Gateway, named
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.verdicts import Step, Verdict
from tests.clocks import HandClock
from tests.inboxes import ago, received
from tests.ledgers import NOW, announced, column, recorded, rows, settlement, stored
from tests.site import Site

Answer = Failed | Interrupted | None


def failure(verdict: Verdict, status: int = 500, **more: float) -> Failed:
    return Failed(Step.MARK, status, None, verdict, "it answered so", **more)  # type: ignore[arg-type]


class Bench:
    """A ledger with a message of application ``n`` for each ``n``, all of it stored; and who is told of them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clock = HandClock(NOW + timedelta(seconds=10))
        self.told: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.marking = Marking(self._mark, ledger, self.clock, Duties(ledger, "tester-1-aa", self.clock))

    def _mark(self, message_id: str, application_id: str, stop: Callable[[], bool]) -> Answer:
        self.meanwhile()
        self.told.append(message_id)
        return self.answers.get(message_id)

    def hold(self, *messages: tuple[str, str]) -> None:
        recorded(
            self.ledger,
            *(announced(f"E{name}", name, [f"A{name}"], application_id=application) for name, application in messages),
        )
        for item in claim(self.ledger, worker="tester", now=NOW, lease_s=60, count=100):
            settle(self.ledger, [settlement(item, stored(item))], worker="tester", marking=True)

    def states(self) -> dict[str, str]:
        return {row["message_id"]: row["state"] for row in rows(self.ledger, "select message_id, state from mark")}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        yield Bench(ledger)


def never() -> bool:
    return False


def test_each_is_told_once_and_has_been_committed_by_then(bench: Bench) -> None:
    bench.hold(("M1", "1"), ("M2", "2"))
    seen: list[list[str]] = []
    bench.meanwhile = lambda: seen.append(column(bench.ledger, "select state from attachment"))

    assert bench.marking.tell(never) == 2
    assert bench.marking.tell(never) == 0

    assert sorted(bench.told) == ["M1", "M2"]
    assert seen == [["stored", "stored"]] * 2
    assert bench.states() == {"M1": "done", "M2": "done"}


def test_what_fails_is_told_again_later_and_in_the_end_a_person(bench: Bench) -> None:
    bench.hold(("M1", "1"), ("M2", "1"))
    bench.answers["M1"] = failure(Verdict.RETRY)
    bench.answers["M2"] = failure(Verdict.PERMANENT, 400)

    for _ in range(30):
        bench.marking.tell(never)
        bench.clock.advance(3_700.0)

    assert bench.told.count("M1") == 12
    assert bench.told.count("M2") == 1
    assert bench.states() == {"M1": "failed", "M2": "failed"}
    assert column(bench.ledger, "select kind from v_problem") == ["not marked"] * 2


@pytest.mark.parametrize("verdict", [Verdict.HOLD, Verdict.THROTTLED])
def test_the_trouble_of_an_application_is_asked_about_once_and_no_message_pays_for_it(
    bench: Bench, verdict: Verdict
) -> None:
    bench.hold(("M1", "1"), ("M2", "1"), ("M3", "1"), ("M4", "2"))
    bench.answers.update(dict.fromkeys(("M1", "M2", "M3"), failure(verdict, 401, retry_after_s=60.0)))

    bench.marking.tell(never)
    bench.marking.tell(never)
    assert len(bench.told) == 2
    assert bench.states()["M4"] == "done"

    bench.answers.clear()
    bench.clock.advance(901.0)
    bench.marking.tell(never)
    assert set(bench.states().values()) == {"done"}
    assert column(bench.ledger, "select distinct attempts from mark") == [0]


def test_who_is_stopped_in_the_middle_tells_of_the_rest_the_next_time(bench: Bench) -> None:
    bench.hold(("M1", "1"), ("M2", "1"), ("M3", "1"))

    bench.marking.tell(lambda: len(bench.told) >= 2)
    assert sorted(bench.states().values()) == ["done", "done", "pending"]

    bench.marking.tell(never)
    assert len(bench.told) == 3
    assert set(bench.states().values()) == {"done"}


def test_one_process_tells_at_a_time(bench: Bench) -> None:
    bench.hold(("M1", "1"))
    other = Marking(bench._mark, bench.ledger, bench.clock, Duties(bench.ledger, "other-2-bb", bench.clock))
    inside: list[int] = []
    bench.meanwhile = lambda: inside.append(other.tell(never)) if not inside else None

    bench.marking.tell(never)

    assert inside == [0]
    assert bench.told == ["M1"]


def test_a_pass_marks_what_is_stored_at_the_gateway_itself(tmp_path: Path) -> None:
    whole, broken, text = received(1, ago(1), 2), received(2, ago(1), 2), received(3, ago(1), 0, type="SMS")
    with Gateway() as gateway:
        for one in (whole, broken, text):
            gateway.add_message(one)
        for name in (*whole.attachments, broken.attachments[0]):
            gateway.add_attachment(Attachment(name, b"GIF89a", "image/gif"))
        gateway.add_fault("*", named("server-error", step="other", times=1))
        site = Site(tmp_path / "site", gateway.base_url, settings={"inbox": {"enabled": True, "mark_processed": True}})
        site.run("--sync-now")
        states = {one.id: one.state for one in gateway.inventory.messages("17226")}
        assert states[broken.id] == states[text.id] == "RECEIVED"

        with closing(sqlite3.connect(site.root / "ledger.db", isolation_level=None, timeout=10)) as ledger:
            ledger.execute("update mark set due_at = '2026-01-01T00:00:00.000000Z'")
        site.run("--sync-now")
        states = {one.id: one.state for one in gateway.inventory.messages("17226")}

    assert states == {whole.id: "PROCESSED", broken.id: "RECEIVED", text.id: "RECEIVED"}
    assert site.query("select message_id, state, marked_at is not null from mark") == [(whole.id, "done", 1)]
