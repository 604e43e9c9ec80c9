"""Trouble with the ledger, met by the real process: locked, read-only, damaged, newer, gone, restarted, shared."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from mo_sync.sandbox import Gateway, named
from tests.postgres import Server
from tests.trouble import BODY, LIMIT_S, TOKEN, Bed, events_of, eventually, secretive, shows_no_secret


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


@contextmanager
def running(bed: Bed) -> Iterator[subprocess.Popen[str]]:
    """``mo-sync run``, its log in ``said``; at the end SIGTERM, which must end it well."""
    with (bed.site.root / "said").open("w") as log, bed.site.start("run", stdout=log, stderr=log) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()


def said(bed: Bed) -> str:
    return (bed.site.root / "said").read_text()


@contextmanager
def locked(bed: Bed) -> Iterator[None]:
    """Another program writes to the ledger and does not end."""
    other = sqlite3.connect(bed.site.root / "ledger.db", isolation_level=None, timeout=10)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.rollback()
        other.close()


def migrated(bed: Bed) -> None:
    """A first pass, so that there is a ledger."""
    assert bed.site.run("--sync-now").returncode == 0


def test_a_locked_ledger_ends_a_pass_with_75_takes_nothing_and_the_next_goes_on(
    tmp_path: Path, gateway: Gateway
) -> None:
    bed = Bed(tmp_path / "site", gateway)
    migrated(bed)
    bed.announce("it")
    with locked(bed):
        done = bed.site.run("--sync-now")

    assert done.returncode == 75, done.stderr
    assert "ledger-locked" in done.stderr
    assert "hint:" in done.stderr
    assert bed.site.run("--sync-now").returncode == 0
    bed.all_well()


def test_a_daemon_waits_for_a_locked_ledger_and_settles_what_was_fetched_meanwhile(
    tmp_path: Path, gateway: Gateway
) -> None:
    """Longer than its patience with one lock: it says so once, fetches nothing twice, and uses up no attempt."""
    bed = Bed(tmp_path / "site", gateway, settings={"sync": {"lease": "60s", "interval": "200ms"}})
    migrated(bed)
    with running(bed):
        bed.announce("it", named("stall-body", seconds=0.5))
        assert gateway.requests.wait_for(1, step="mint", timeout_s=LIMIT_S)
        with locked(bed):
            bed.announce("dropped meanwhile")
            eventually(lambda: "settle.waiting" in said(bed), what=lambda: said(bed))
            eventually(lambda: "tick.out-of-reach" in said(bed), what=lambda: said(bed))
            assert bed.state("it") == ("fetching", 0)
        eventually(lambda: bed.site.states() == {"stored": 2}, what=bed.reasons)
        eventually(lambda: "tick.recovered" in said(bed), what=lambda: said(bed))

    bed.all_well()
    assert bed.attempts("it") == [("stored", None, None, None)]
    assert gateway.requests.count(step="content", attachment_id=bed.ids["it"]) == 1
    troubles = [line["job"] for line in events_of(said(bed)) if line["event"] == "tick.out-of-reach"]
    assert len(troubles) == len(set(troubles)), "each job says it once"
    shows_no_secret(bed.site, said(bed))


def test_a_daemon_whose_ledger_is_moved_away_acknowledges_nothing_until_it_is_back(
    tmp_path: Path, gateway: Gateway
) -> None:
    """What it wrote to a file without a name would be lost."""
    bed = Bed(tmp_path / "site", gateway, settings={"sync": {"interval": "200ms"}, "drop": {"interval": "200ms"}})
    ledger, away = bed.site.root / "ledger.db", bed.site.root / "away"
    with running(bed):
        bed.announce("before")
        eventually(lambda: bed.site.states() == {"stored": 1}, what=bed.reasons)
        ledger.rename(away)
        bed.announce("meanwhile")
        eventually(lambda: "moved, removed or replaced" in said(bed), what=lambda: said(bed))
        done = [path.name for path in (bed.site.drop_folder / "done").rglob("*.json")]
        assert len(done) == 1, "only what is recorded is filed away"
        assert not ledger.exists()
        away.rename(ledger)
        eventually(lambda: bed.site.states() == {"stored": 2}, what=lambda: said(bed))

    bed.all_well()
    shows_no_secret(bed.site, said(bed))


@pytest.mark.parametrize("command", ["--sync-now", "run"])
def test_a_damaged_ledger_is_told_with_75_and_neither_it_nor_the_drop_folder_is_touched(
    tmp_path: Path, gateway: Gateway, command: str
) -> None:
    bed = Bed(tmp_path / "site", gateway)
    migrated(bed)
    bed.announce("it")
    ledger = bed.site.root / "ledger.db"
    before = b"SQLite format 3\0" + b"\xa5" * 20_000
    ledger.write_bytes(before)

    done = bed.site.run(command)

    assert done.returncode == 75, done.stderr
    assert "ledger-damaged" in done.stderr
    assert "restore a backup" in done.stderr
    assert ledger.read_bytes() == before
    assert [path.name for path in bed.site.drop_folder.iterdir() if path.is_file()] == ["0001-canonical.json"]


@pytest.mark.parametrize("command", ["--sync-now", "run"])
def test_a_ledger_of_a_newer_program_is_refused_with_3_and_not_touched(
    tmp_path: Path, gateway: Gateway, command: str
) -> None:
    """P22."""
    bed = Bed(tmp_path / "site", gateway)
    migrated(bed)
    with contextlib.closing(sqlite3.connect(bed.site.root / "ledger.db")) as ledger, ledger:
        ledger.execute("update alembic_version set version_num = '9999'")
    bed.announce("it")

    done = bed.site.run(command)

    assert done.returncode == 3, done.stderr
    assert "ledger-too-new" in done.stderr
    assert bed.site.query("select count(*) from event") == [(0,)]
    assert [path.name for path in bed.site.drop_folder.iterdir() if path.is_file()] == ["0001-canonical.json"]


def test_a_daemon_lives_through_a_restart_of_postgresql_in_the_midst_of_its_work_and_catches_up(
    tmp_path: Path, gateway: Gateway
) -> None:
    """P13. What was fetched while it was gone is settled when it is back, by the same attempt."""
    server = Server()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        url = server.database()
        settings = {"ledger": {"url": url, "busy_timeout": "2s"}, "sync": {"interval": "200ms", "lease": "60s"}}
        bed = Bed(tmp_path / "site", gateway, settings=settings)
        with running(bed):
            bed.announce("before")
            eventually(lambda: gateway.requests.count(step="content") == 1)
            bed.announce("amid", named("stall-body", seconds=0.8))
            assert gateway.requests.wait_for(1, step="mint", attachment_id=bed.ids["amid"], timeout_s=LIMIT_S)
            server.halt()
            eventually(lambda: "settle.waiting" in said(bed), what=lambda: said(bed))
            bed.announce("dropped while it is gone")
            eventually(lambda: "tick.out-of-reach" in said(bed), what=lambda: said(bed))
            server.start()
            eventually(lambda: states(url) == {"stored": 3}, what=lambda: said(bed))
        attempts = ask(url, "select outcome, count(*) from attempt group by outcome")

    assert attempts == [("stored", 3)]
    assert sorted(bed.site.files().values()) == sorted(bed.truth.values())
    assert "Traceback" not in said(bed)
    for secret in (TOKEN, BODY):
        assert secret not in said(bed)


def test_a_daemon_lives_through_a_postgresql_that_stands_still_and_catches_up(tmp_path: Path, gateway: Gateway) -> None:
    """Its connections stay open and nothing comes: each is given up after a while, and the daemon goes on."""
    server = Server()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        url = server.database()
        settings = {"ledger": {"url": url, "busy_timeout": "1s"}, "sync": {"interval": "200ms", "lease": "60s"}}
        bed = Bed(tmp_path / "site", gateway, settings=settings)
        with running(bed):
            bed.announce("before")
            eventually(lambda: "attachment.stored" in said(bed), what=lambda: said(bed))
            bed.announce("amid", named("stall-body", seconds=0.8))
            assert gateway.requests.wait_for(1, step="mint", attachment_id=bed.ids["amid"], timeout_s=LIMIT_S)
            with server.frozen():
                bed.announce("dropped meanwhile")
                eventually(lambda: "settle.waiting" in said(bed), what=lambda: said(bed))
                eventually(lambda: "tick.out-of-reach" in said(bed), what=lambda: said(bed))
            eventually(lambda: states(url) == {"stored": 3}, what=lambda: said(bed))
        attempts = ask(url, "select outcome, count(*) from attempt group by outcome")

    assert attempts == [("stored", 3)]
    assert sorted(bed.site.files().values()) == sorted(bed.truth.values())
    assert "Traceback" not in said(bed)


def ask(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[arg-type]


def states(url: str) -> dict[object, object]:
    return dict(ask(url, "select state, count(*) from attachment group by state"))  # type: ignore[arg-type]


def test_an_older_ledger_is_migrated_by_one_of_many_that_start_at_once(tmp_path: Path, gateway: Gateway) -> None:
    """P22: three one-shots on a ledger that is not there yet; each ends well."""
    bed = Bed(tmp_path / "site", gateway, settings={"ledger": {"busy_timeout": "10s"}})
    for number in range(6):
        bed.announce(f"{number}")
    passes = [bed.site.start("--sync-now") for _ in range(3)]
    ends = [(process.communicate(timeout=100), process.returncode) for process in passes]

    assert {code for _, code in ends} <= {0, 4}, ends
    assert bed.site.sync_until_settled().returncode == 0
    bed.all_well()
    assert bed.site.query("select distinct attempts from attachment") == [(1,)]
