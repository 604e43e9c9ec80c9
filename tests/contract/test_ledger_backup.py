"""A copy of the ledger: whole, of one moment, checked, or not there at all."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mo_sync.errors import MoSyncError, OutOfReach, UsageError
from mo_sync.ledger import Ledger, backup
from mo_sync.ledger.backup import Stopped, back_up
from mo_sync.settings import Ledger as LedgerSettings
from tests import mounts
from tests.ledgers import announced, column, recorded


@pytest.fixture
def filed(tmp_path: Path) -> Ledger:
    ledger = Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db"))
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}", f"B{n}"]) for n in range(50)))
    return ledger


def opened(path: Path) -> Ledger:
    return Ledger.open(LedgerSettings(url=f"sqlite:///{path}"))


def test_a_ledger_on_postgresql_is_left_to_its_own_tools(ledger: Ledger, tmp_path: Path) -> None:
    if ledger.dialect == "sqlite":
        assert back_up(ledger, tmp_path / "copy.db").rows["event"] == 0
        return
    with pytest.raises(UsageError, match="pg_dump") as caught:
        back_up(ledger, tmp_path / "copy.db")
    assert caught.value.code == "backup-not-here"


def test_the_copy_is_one_file_that_is_a_ledger_like_the_first(filed: Ledger, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    copied = back_up(filed, tmp_path / "copy.db", told=lambda done, of: told.append((done, of)))

    assert copied.rows == {"event": 50, "message": 50, "attachment": 100, "attempt": 0}
    assert copied.bytes == (tmp_path / "copy.db").stat().st_size
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o640
    assert told[-1][0] == told[-1][1] > 0
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"]
    with opened(tmp_path / "copy.db") as restored:
        assert column(restored, "select id from attachment order by id") == column(
            filed, "select id from attachment order by id"
        )
        recorded(restored, announced("E99", "M99", ["A99"]))


def test_it_is_of_one_moment_while_others_write_and_does_not_begin_again(
    filed: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page at a time, with a commit of another process's kind between any two of them."""
    monkeypatch.setattr(backup, "_PAGES", 1)
    writer, numbers = opened(tmp_path / "ledger.db"), iter(range(1_000, 10_000))
    steps = 0

    def write(done: int, of: int) -> None:
        nonlocal steps
        steps += 1
        assert done == min(steps, of)
        number = next(numbers)
        recorded(writer, announced(f"E{number}", f"M{number}", [f"A{number}"]))

    copied = back_up(filed, tmp_path / "copy.db", told=write)

    assert steps > 20
    assert copied.rows["event"] == 50
    assert len(column(filed, "select id from event")) == 50 + steps
    writer.close()


def test_writers_do_not_wait_for_it(filed: Ledger, tmp_path: Path) -> None:
    held, go_on = threading.Event(), threading.Event()

    def wait(_: int, __: int) -> None:
        held.set()
        assert go_on.wait(20)

    working = threading.Thread(target=back_up, args=(filed, tmp_path / "copy.db"), kwargs={"told": wait})
    working.start()
    assert held.wait(20)
    recorded(filed, announced("Enew", "Mnew", ["Anew"]))
    go_on.set()
    working.join(20)
    assert (tmp_path / "copy.db").exists()


def test_nothing_is_overwritten_unless_it_was_said_and_never_the_ledger_itself(filed: Ledger, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("something dear")
    with pytest.raises(UsageError) as caught:
        back_up(filed, target)
    assert (caught.value.code, target.read_text()) == ("backup-exists", "something dear")

    (tmp_path / "link.db").hardlink_to(tmp_path / "ledger.db")
    for itself in ("ledger.db", "link.db"):
        with pytest.raises(UsageError) as caught:
            back_up(filed, tmp_path / itself, replace=True)
        assert caught.value.code == "backup-onto-ledger"

    assert back_up(filed, target, replace=True).rows["event"] == 50


def log_left_behind(copy: Path) -> None:
    """As somebody leaves it who wrote to the copy and was killed."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as other:
        other.execute("pragma journal_mode=wal")
        other.execute("update message set body = 'changed by hand'")
        left = {path: path.read_bytes() for path in (copy, copy.with_name(f"{copy.name}-wal"))}
    for path, content in left.items():
        path.write_bytes(content)


def journal_left_behind(copy: Path) -> None:
    """The same without a log, in the middle of a transaction."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as other:
        other.execute("pragma cache_size=1")
        other.execute("begin")
        other.execute("update message set body = 'changed by hand'")
        other.execute("update attachment set error = hex(randomblob(2000))")
        left = {path: path.read_bytes() for path in (copy, copy.with_name(f"{copy.name}-journal"))}
        other.execute("rollback")
    for path, content in left.items():
        path.write_bytes(content)


@pytest.mark.parametrize("leave", [log_left_behind, journal_left_behind])
@pytest.mark.parametrize("old", ["is replaced", "was removed"])
def test_what_a_killed_program_left_beside_the_old_copy_does_not_get_into_the_new_one(
    filed: Ledger, tmp_path: Path, leave: Callable[[Path], None], old: str
) -> None:
    """The new copy was found sound, renamed, and spoiled by whoever opened it."""
    target = tmp_path / "copy.db"
    back_up(filed, target)
    leave(target)
    assert len(list(tmp_path.glob("copy.db*"))) == 2
    if old == "was removed":
        target.unlink()
    recorded(filed, *(announced(f"Z{n}", f"Z{n}", [f"Z{n}"]) for n in range(300)))

    back_up(filed, target, replace=old == "is replaced")

    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert copy.execute("select distinct body, count(*) from message").fetchall() == [("hello", 350)]


def test_a_copy_that_somebody_has_open_is_not_replaced(filed: Ledger, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    back_up(filed, target)
    recorded(filed, announced("Enew", "Mnew", ["Anew"]))
    with opened(target) as reader:
        assert column(reader, "select count(*) from event") == [50]

        with pytest.raises(OutOfReach) as caught:
            back_up(filed, target, replace=True)

        assert (caught.value.code, caught.value.exit_code) == ("backup-in-use", 75)
        assert column(reader, "select count(*) from event") == [50]
    assert list(tmp_path.glob(".copy*")) == []
    assert back_up(filed, target, replace=True).rows["event"] == 51


def test_somebody_who_was_quicker_is_not_overwritten_either(filed: Ledger, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"

    def be_quicker(_: int, __: int) -> None:
        target.write_text("something dear")

    with pytest.raises(UsageError) as caught:
        back_up(filed, target, told=be_quicker)
    assert caught.value.code == "backup-exists"
    assert target.read_text() == "something dear"
    assert list(tmp_path.glob(".copy*")) == []


def test_where_it_cannot_be_written_it_says_so_and_leaves_nothing(filed: Ledger, tmp_path: Path) -> None:
    with pytest.raises(OutOfReach) as caught:
        back_up(filed, tmp_path / "nowhere" / "copy.db")
    assert caught.value.code == "backup-not-written"

    def interrupt(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(filed, tmp_path / "copy.db", told=interrupt)
    assert list(tmp_path.glob("*copy*")) == []
    recorded(filed, announced("Enew", "Mnew", ["Anew"]))


def test_a_full_disk_is_told_and_is_as_empty_as_before(filed: Ledger, tmp_path: Path) -> None:
    mounts.needs_mounts()
    with mounts.tmpfs(tmp_path / "small", "size=100k") as small:
        with pytest.raises(OutOfReach) as caught:
            back_up(filed, small / "copy.db")
        assert caught.value.code == "backup-not-written"
        assert list(small.iterdir()) == []


def test_a_damaged_ledger_is_told_and_no_copy_of_it_is_kept(filed: Ledger, tmp_path: Path) -> None:
    filed.close()
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("pragma wal_checkpoint(truncate)")
        [(root,)] = ledger.execute("select rootpage from sqlite_master where name = 'ix_message_from_address'")
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096 + 3_300)
        file.write(os.urandom(700))

    with opened(path) as damaged, pytest.raises(MoSyncError) as caught:
        back_up(damaged, tmp_path / "copy.db")

    assert caught.value.code == "backup-damaged"
    assert list(tmp_path.glob("*copy*")) == []


def test_sqlites_own_program_finds_the_copy_sound(filed: Ledger, tmp_path: Path) -> None:
    back_up(filed, tmp_path / "copy.db")
    command = ["sqlite3", "-readonly", str(tmp_path / "copy.db"), "pragma integrity_check; select count(*) from event"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["ok", "50"]


@pytest.mark.parametrize("where", ["copying", "checking"])
def test_a_stop_is_heard_while_it_is_copied_and_checked_and_leaves_nothing(
    filed: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The look through a large copy takes minutes, in which Python hears of no signal."""
    monkeypatch.setattr(backup, "_STEPS", 10)
    stopped: list[str] = []
    reached = {where: lambda *_: stopped.append(where)}

    with pytest.raises(Stopped):
        back_up(
            filed,
            tmp_path / "copy.db",
            told=reached.get("copying", lambda *_: None),
            checking=reached.get("checking", lambda: None),
            stop=lambda: bool(stopped) or where == "copying",
        )

    assert [path.name for path in tmp_path.glob("*copy*")] == []
