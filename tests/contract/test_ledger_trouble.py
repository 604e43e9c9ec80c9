"""A ledger that is locked, full, read-only, damaged or gone says so, loses nothing, and goes on when it is well."""

from __future__ import annotations

import contextlib
import gc
import os
import pwd
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, select

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger import Ledger, in_transaction, queries
from mo_sync.ledger.claims import claim, expire
from mo_sync.ledger.schema import attachment
from mo_sync.settings import Ledger as LedgerSettings
from tests import mounts
from tests.contract.conftest import House, on_postgresql
from tests.drops import forked
from tests.ledgers import NOW, announced, column, items, later, one, recorded
from tests.postgres import Server


@pytest.fixture
def file(tmp_path: Path, template_file: Path) -> Path:
    """A ledger's file, in SQLite alone."""
    path = tmp_path / "ledger.db"
    path.write_bytes(template_file.read_bytes())
    return path


def opened(path: Path, *, busy_timeout: float = 5.0) -> Ledger:
    return Ledger.open(LedgerSettings(url=f"sqlite:///{path}", busy_timeout=busy_timeout))


def test_sqlite_is_set_up_so_that_what_is_committed_stays(file: Path) -> None:
    with opened(file) as ledger:
        for look in (ledger.begin, ledger.read):
            with look() as connection:
                found = [
                    connection.exec_driver_sql(f"pragma {name}").scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys")
                ]
            assert found == ["wal", 2, 1]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_but_owner_and_group_may_read_the_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with opened(tmp_path / "ledger.db") as ledger:
            recorded(ledger, announced("E1"))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)

    assert set(modes) == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert set(modes.values()) == {0o640 & ~umask}


def test_times_in_sqlite_are_text_of_one_width_and_read_back_equal(file: Path) -> None:
    whole = datetime(2026, 11, 20, 12, tzinfo=UTC)
    zone = timezone(timedelta(hours=-5))
    with opened(file) as ledger:
        recorded(ledger, announced("E1"), now=whole)
        recorded(ledger, announced("E2", "M2", ["A2"]), now=datetime(2026, 11, 20, 7, 0, 0, 7, tzinfo=zone))
        with ledger.read() as connection:
            times = connection.execute(select(attachment.c.created_at).order_by(attachment.c.id)).scalars().all()

    plain = sqlite3.connect(file)
    found = plain.execute("select created_at, typeof(created_at) from attachment order by id").fetchall()
    plain.close()
    assert found == [("2026-11-20T12:00:00.000000Z", "text"), ("2026-11-20T12:00:00.000007Z", "text")]
    assert times == [whole, whole + timedelta(microseconds=7)]


def test_times_read_back_equal_and_in_utc(ledger: Ledger) -> None:
    odd = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
    recorded(ledger, announced("E1"), now=odd)

    with ledger.read() as connection:
        [found] = connection.execute(select(attachment.c.created_at)).scalars()

    assert found == odd
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="a time without a zone"), ledger.begin() as connection:
        connection.execute(attachment.update().values(due_at=NOW.replace(tzinfo=None)))


def plans(ledger: Ledger, work: Callable[[], object]) -> list[str]:
    """How SQLite finds its rows for every statement on attachments that ``work`` runs."""
    statements: list[tuple[str, Any]] = []

    def remember(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "attachment" in statement and statement.startswith(("SELECT", "UPDATE")):
            statements.append((statement, parameters))

    event.listen(ledger._engine, "before_cursor_execute", remember)
    work()
    event.remove(ledger._engine, "before_cursor_execute", remember)
    with ledger.read() as connection:
        return [
            str(row[3])
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"explain query plan {statement}", parameters)
        ]


def test_a_look_for_work_never_reads_all_attachments(file: Path) -> None:
    """What is stored piles up for years; a claim must not get slower by it."""
    with opened(file) as ledger:
        recorded(ledger, *items(200))
        claiming = plans(ledger, lambda: claim(ledger, worker="w", count=5, now=later(1), lease_s=10))
        expiring = plans(ledger, lambda: expire(ledger, now=later(100)))

    assert any("ix_attachment_due" in step for step in claiming), claiming
    assert any("ix_attachment_leased" in step for step in expiring)
    assert [step for step in claiming + expiring if step.startswith("SCAN attachment") and "ix_" not in step] == []


def test_a_reader_sees_one_moment_and_does_not_keep_a_writer_waiting(house: House) -> None:
    with house.open() as ledger, house.open(busy_timeout=0.1) as other:
        with ledger.read() as connection:
            before = connection.exec_driver_sql("select count(*) from message").scalar_one()
            recorded(other, *items(3))
            after = connection.exec_driver_sql("select count(*) from message").scalar_one()
        now = column(ledger, "select count(*) from message")

    assert (before, after, now) == (0, 0, [3])


def test_a_writer_waits_for_anothers_commit_instead_of_failing(house: House) -> None:
    with house.open() as ledger, house.open() as other:
        recorded(ledger, *items(1))
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with ledger.begin() as connection:
                connection.exec_driver_sql("update attachment set attempts = attempts + 1")
                holding.set()
                done.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        assert holding.wait(10)
        threading.Timer(0.2, done.set).start()
        with other.begin() as connection:
            connection.exec_driver_sql("update attachment set attempts = attempts + 1")
        holder.join(10)

        assert column(other, "select attempts from attachment") == [2]


def test_a_lock_that_lasts_longer_than_our_patience_is_told_and_nothing_is_written(house: House) -> None:
    with house.open() as ledger, house.open(busy_timeout=0.1) as other:
        recorded(ledger, *items(1))
        with ledger.begin() as connection:
            connection.exec_driver_sql("update attachment set attempts = 7")
            with pytest.raises(LedgerOutOfReach, match="ledger-locked") as caught, other.begin() as late:
                late.exec_driver_sql("update attachment set attempts = 9")
        if house.kind == "sqlite":  # by hand, perhaps, in another terminal: who that is can be seen
            assert f"`fuser -v {house.url.removeprefix('sqlite:///')}`" in str(caught.value.hint)
        assert not in_transaction()
        assert column(other, "select attempts from attachment") == [7]
        with other.begin() as connection:
            connection.exec_driver_sql("update attachment set attempts = 8")
        assert column(ledger, "select attempts from attachment") == [8]


@on_postgresql
def test_what_a_url_says_of_its_connections_holds(house: House, ledger: Ledger) -> None:
    """Its options were dropped without a word, and the ledger was made in another schema."""
    with ledger.begin() as connection:
        connection.exec_driver_sql("create schema mine")
    said = "options=-csearch_path%3Dmine&application_name=theirs&connect_timeout=7&keepalives_idle=8"
    with Ledger.open(LedgerSettings(url=f"{house.url}&{said}", busy_timeout=3.0)) as theirs:
        recorded(theirs, *items(1))
        found = one(theirs, "select current_setting('application_name') a, current_setting('lock_timeout') b")
        with theirs.read() as connection:
            driver: Any = connection.connection.dbapi_connection
            given = driver.info.get_parameters()

    assert found == {"a": "theirs", "b": "3s"}
    assert (given["connect_timeout"], given["keepalives_idle"]) == ("7", "8")
    assert (column(ledger, "select id from mine.message"), column(ledger, "select id from message")) == (["M0"], [])


@on_postgresql
def test_what_the_server_breaks_off_since_it_takes_too_long_is_no_lock(ledger: Ledger) -> None:
    with pytest.raises(LedgerOutOfReach, match="ledger-slow") as caught, ledger.read() as connection:
        connection.exec_driver_sql("set local statement_timeout = 1")
        connection.exec_driver_sql("select pg_sleep(9)")

    assert "broke off what took it too long" in str(caught.value)
    assert "ledger.busy_timeout" in str(caught.value.hint)


def test_a_file_that_is_no_ledger_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("dear diary " * 200)
    before = path.read_bytes()

    with pytest.raises(LedgerOutOfReach, match="ledger-damaged"):
        opened(path)

    assert path.read_bytes() == before


def test_a_damaged_page_is_told(file: Path) -> None:
    with opened(file) as ledger:
        recorded(ledger, *items(300))
    content = bytearray(file.read_bytes())
    content[8192 : len(content) : 1] = b"\xa5" * (len(content) - 8192)
    file.write_bytes(content)

    with pytest.raises(LedgerOutOfReach, match="ledger-damaged"), opened(file) as ledger:
        column(ledger, "select body from message")


@pytest.mark.parametrize("place", ["a folder that is not there", "a folder"])
def test_a_ledger_that_cannot_be_opened_is_gone(tmp_path: Path, place: str) -> None:
    path = tmp_path if place == "a folder" else tmp_path / "not there" / "ledger.db"

    with pytest.raises(LedgerOutOfReach, match="ledger-gone"):
        opened(path)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that any user can reach: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="mo-sync-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(work: Callable[[], None]) -> None:
    """Run ``work`` in a process without rights: root may write everything."""

    def lowered() -> None:
        if os.getuid() == 0:
            user = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        work()

    assert forked(lowered) == 0


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "codes"),
    [
        (0o444, 0o777, {"ledger-read-only"}),
        (0o666, 0o555, {"ledger-read-only", "ledger-forbidden"}),
        (0o444, 0o555, {"ledger-read-only", "ledger-forbidden"}),
        (0o000, 0o777, {"ledger-forbidden"}),
        (0o666, 0o000, {"ledger-forbidden"}),
    ],
    ids=["file", "folder", "both", "closed file", "closed folder"],
)
def test_a_ledger_that_may_not_be_written_is_told(
    reachable: Path, template_file: Path, file_mode: int, folder_mode: int, codes: set[str]
) -> None:
    """P13."""
    folder = reachable / "place"
    folder.mkdir()
    path = folder / "ledger.db"
    path.write_bytes(template_file.read_bytes())
    path.chmod(file_mode)
    folder.chmod(folder_mode)

    def work() -> None:
        with pytest.raises(LedgerOutOfReach) as caught, opened(path) as ledger:
            recorded(ledger, announced("E1"))
        assert caught.value.code in codes, caught.value
        assert str(path) in str(caught.value)
        shut = path if file_mode in (0o444, 0o000) else folder
        assert f" {shut} (" in caught.value.summary
        assert caught.value.summary.startswith("nobody may not ")
        assert "sudo -u root" in str(caught.value.hint)

    as_nobody(work)
    folder.chmod(0o755)


def test_a_full_disk_is_told_and_the_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """P13. What was recorded before stays; what was not is recorded later, whole."""
    mounts.needs_mounts()
    with mounts.tmpfs(tmp_path / "disk", "size=1m") as disk, opened(disk / "ledger.db") as ledger:
        recorded(ledger, *items(10))
        ballast = disk / "ballast"
        free = os.statvfs(disk)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 16_384))

        with pytest.raises(LedgerOutOfReach, match=f"ledger-full: .*what {disk} lies on is full.*df -h {disk}"):
            for n in range(100):
                recorded(ledger, *(announced(f"F{n}-{k}", f"N{n}-{k}", [f"B{n}-{k}"]) for k in range(20)))
        with pytest.raises(LedgerOutOfReach, match=f"what {disk} lies on is full"), opened(disk / "another.db"):
            raise AssertionError("there is no room for one")
        gc.collect()  # what could not be set up is closed with it, and the disk can be unmounted
        held = one(ledger, "select count(*) n from message")["n"]
        assert held >= 10
        assert held % 20 == 10
        assert column(ledger, "select count(*) from attachment") == [held]

        ballast.unlink()
        recorded(ledger, *(announced(f"G{k}", f"O{k}", [f"C{k}"]) for k in range(20)))
        assert column(ledger, "select count(*) from message") == [held + 20]
        with ledger.read() as connection:
            assert connection.exec_driver_sql("pragma integrity_check").scalar_one() == "ok"


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A PostgreSQL that a test may stop."""
    running = Server()
    yield running
    running.stop()


def test_a_postgresql_that_stops_is_told_and_used_again_when_it_is_back(own_server: Server) -> None:
    """P13."""
    url = own_server.database()
    with Ledger.open(LedgerSettings(url=url, busy_timeout=2.0)) as ledger:
        recorded(ledger, *items(5))

        with pytest.raises(LedgerOutOfReach, match="ledger-gone"), ledger.begin() as connection:
            connection.exec_driver_sql("update attachment set attempts = 9")
            own_server.halt()
            connection.exec_driver_sql("select 1")
        with pytest.raises(LedgerOutOfReach, match="ledger-gone"):
            recorded(ledger, announced("late", "late", ["late"]))
        with pytest.raises(LedgerOutOfReach, match="ledger-gone"):
            Ledger.open(LedgerSettings(url=url, busy_timeout=2.0))
        assert not in_transaction()

        own_server.start()
        recorded(ledger, announced("late", "late", ["late"]))
        assert column(ledger, "select distinct attempts from attachment") == [0]
        assert one(ledger, "select count(*) n from message") == {"n": 6}


@pytest.mark.parametrize("what", ["moved", "removed", "replaced"])
def test_a_file_that_is_no_longer_the_ledger_is_written_to_no_more(tmp_path: Path, what: str) -> None:
    """Who has a file open could go on for days with one that nobody will ever find again (P1)."""
    file, away = tmp_path / "ledger.db", tmp_path / "away.db"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{file}")) as ledger:
        recorded(ledger, *items(3))
        os.link(file, away)
        file.unlink()
        if what == "replaced":
            file.write_bytes(b"")
        elif what == "removed":
            away.unlink()

        for _ in range(2):
            with pytest.raises(LedgerOutOfReach, match="moved, removed or replaced while it was open"):
                recorded(ledger, announced("late", "late", ["late"]))
            with pytest.raises(LedgerOutOfReach, match="ledger-gone"):
                queries.counts(ledger)
        assert file.exists() == (what == "replaced"), "an empty one would be taken for a ledger"
        if what == "removed":
            return
        away.replace(file)
        assert recorded(ledger, announced("late", "late", ["late"]))[0] == "new"
        assert one(ledger, "select count(*) n from message") == {"n": 4}


def test_what_was_committed_to_a_file_that_is_gone_is_not_called_recorded(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{file}")) as ledger:
        with pytest.raises(LedgerOutOfReach, match="ledger-gone"), ledger.begin() as connection:
            connection.exec_driver_sql("delete from event")
            file.rename(tmp_path / "away.db")
        assert not in_transaction()


def test_threads_whose_connections_are_new_find_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{file}")) as ledger, ledger.read():
        file.rename(tmp_path / "away.db")
        with ThreadPoolExecutor(3) as pool:
            errors = [pool.submit(queries.counts, ledger).exception(10) for _ in range(3)]

    assert {type(error) for error in errors} == {LedgerOutOfReach}
    assert not file.exists()


def test_a_postgresql_that_stands_still_is_given_up_in_time_and_used_again_when_it_goes_on(own_server: Server) -> None:
    """P13. Nothing of TCP's helps here: the server's machine is alive, and answers in its place."""
    url = own_server.database()
    with Ledger.open(LedgerSettings(url=url, busy_timeout=0.5)) as ledger:
        recorded(ledger, *items(5))
        with own_server.frozen():
            began = time.monotonic()
            with pytest.raises(LedgerOutOfReach, match="ledger-gone"):
                recorded(ledger, announced("late", "late", ["late"]))
            with pytest.raises(LedgerOutOfReach, match="ledger-gone"):
                Ledger.open(LedgerSettings(url=url, busy_timeout=0.5))
            took_s = time.monotonic() - began
            assert not in_transaction()

        assert took_s < 60
        assert recorded(ledger, announced("late", "late", ["late"]))[0] == "new"
        assert one(ledger, "select count(*) n from message") == {"n": 6}


def test_a_commit_that_was_not_answered_is_tried_again_and_done_once(own_server: Server) -> None:
    """Nobody knows whether the server did it: an event's key and a lease tell."""
    with Ledger.open(LedgerSettings(url=own_server.database(), busy_timeout=0.5)) as ledger:
        event_to_record = announced("one", "one", ["one"])
        frozen = contextlib.ExitStack()
        with pytest.raises(LedgerOutOfReach, match="ledger-gone"), frozen:

            @event.listens_for(ledger._engine, "commit", once=True)
            def freeze(_: Any) -> None:
                frozen.enter_context(own_server.frozen())

            recorded(ledger, event_to_record)
        again = recorded(ledger, event_to_record)

        assert again[0] in ("new", "duplicate")
        assert one(ledger, "select count(*) n from event") == {"n": 1}
        assert one(ledger, "select count(*) n from attachment") == {"n": 1}


@on_postgresql
def test_connections_that_an_administrator_ends_are_made_anew(house: House) -> None:
    """SQLite has no connections that somebody could end."""
    with house.open() as ledger:
        recorded(ledger, *items(3))
        with psycopg.connect(house.url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mo-sync'")

        assert recorded(ledger, announced("after", "after", ["after"]))[0] == "new"


def test_a_database_that_is_not_there_is_gone_and_its_password_is_not_told(server: Server) -> None:
    """P16."""
    url = server.database().replace("mosync@/ledger_", "mosync:geheim@/nowhere_")

    with pytest.raises(LedgerOutOfReach, match="ledger-gone") as caught:
        Ledger.open(LedgerSettings(url=url))

    assert "geheim" not in str(caught.value)
    assert "***" in str(caught.value)


_COME_AND_GO = """
import sys
from mo_sync.ledger import Ledger
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.settings import Ledger as LedgerSettings
from tests.ledgers import NOW
with Ledger.open(LedgerSettings(url=sys.argv[1])) as ledger:
    intervene(ledger, Deed.RETRY, Choice(), now=NOW, give_up_after_s=1.0, by=By())
"""


def test_a_process_that_comes_and_goes_takes_nothing_away_from_one_that_stays(file: Path) -> None:
    """SQLite's locks are a process's: had one of our threads dropped them, what is written next would be lost."""
    with opened(file) as ledger:
        recorded(ledger, announced("E1", "M1", ["A1"]))
        with ledger.read() as first, ledger.read() as second:  # a second connection is made while the first is open
            assert first.connection.dbapi_connection is not second.connection.dbapi_connection
        log = file.with_name(file.name + "-wal").stat().st_ino
        subprocess.run([sys.executable, "-c", _COME_AND_GO, f"sqlite:///{file}"], check=True, timeout=60)

        recorded(ledger, announced("E2", "M2", ["A2"]))

        assert file.with_name(file.name + "-wal").stat().st_ino == log
        with contextlib.closing(sqlite3.connect(file)) as other:
            assert other.execute("select count(*) from attachment").fetchone() == (2,)
