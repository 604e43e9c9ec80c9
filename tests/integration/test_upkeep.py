"""What mo-sync does for what it keeps: pruning by hand, and the daemon's rounds, on a real site."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.media import make
from tests.announcements import announcement
from tests.site import Site

CONTENTS = {f"A{n}": make("gif", f"file {n}") for n in range(5)}
LONG_AGO = "2020-01-01T00:00:00.000000Z"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Five messages, whose files are stored but for one, which is quarantined. The last one came last."""
    with Gateway() as gateway:
        site = Site(tmp_path / "site", gateway.base_url)
        for name, content in CONTENTS.items():
            gateway.add_attachment(Attachment(name, content, "image/gif"))
        for n, name in enumerate(CONTENTS):
            event = announcement(n, attachment_ids=name, anti_virus_scan_status="VIRUS" if n == 3 else "OK")
            site.drop(f"{n}.json", json.dumps(event).encode())
            if n >= 3:
                assert site.run("--sync-now").returncode == 5
        yield site


def write(site: Site, sql: str) -> None:
    with closing(sqlite3.connect(site.root / "ledger.db", timeout=10)) as ledger, ledger:
        ledger.execute(sql)


def keeping(site: Site, **kept: str) -> None:
    site.configure({**site.tables, "retention": kept})


def wait_for(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def test_what_is_old_goes_with_its_file_and_its_message_and_what_is_young_stays(site: Site) -> None:
    keeping(site, stored="1d", messages="1d")
    for table, times in (("attachment", "created_at = '{0}', updated_at"), ("message", "recorded_at")):
        column = "message_id" if table == "attachment" else "id"
        write(site, f"update {table} set {times.format(LONG_AGO)} = '{LONG_AGO}' where {column} in ('M0', 'M1', 'M3')")

    dry = site.run("ledger", "prune", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "2 stored would be pruned\n")
    done = site.run("ledger", "prune", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pruned"] == {"stored": 2, "messages": 2}
    assert site.states() == {"stored": 2, "quarantined": 1}
    assert sorted(row for (row,) in site.query("select id from message")) == ["M2", "M3", "M4"]
    site.check_store(CONTENTS)
    assert site.run("ledger", "verify").returncode == 0
    assert site.run("ledger", "prune").stdout == "pruned: nothing\n"


def test_without_a_retention_nothing_is_pruned(site: Site) -> None:
    write(site, f"update attachment set created_at = '{LONG_AGO}', updated_at = '{LONG_AGO}'")

    told = site.run("ledger", "prune")

    assert (told.returncode, told.stdout.partition(":")[0]) == (0, "nothing is pruned")
    assert site.states() == {"stored": 4, "quarantined": 1}


def test_days_of_the_drop_folder_are_forgotten(site: Site) -> None:
    keeping(site, done="30d")
    old = site.drop_folder / "done" / "2020-01-01"
    old.mkdir()
    (old / "a.json").write_text("{}")

    assert site.run("ledger", "prune").stdout == "pruned: 1 days of done/\n"

    assert not old.exists()
    assert len(list(site.drop_folder.rglob("done/*/*.json"))) == 5


def test_a_file_that_cannot_be_removed_is_told_and_goes_the_next_time(site: Site) -> None:
    keeping(site, stored="1d")
    write(site, f"update attachment set created_at = '{LONG_AGO}', updated_at = '{LONG_AGO}' where id = 'A0'")
    [(key,)] = site.query("select location from attachment where id = 'A0'")
    path = site.media / key
    path.unlink()
    path.mkdir()
    (path / "in the way").touch()

    told = site.run("ledger", "prune")

    assert (told.returncode, "cannot be removed" in told.stderr) == (4, True)
    (path / "in the way").unlink()
    path.rmdir()
    assert site.run("ledger", "prune").returncode == 0
    assert site.query("select count(*) from attachment where id = 'A0'") == [(0,)]


def test_the_daemon_verifies_repairs_and_prunes_by_itself_and_each_once(site: Site) -> None:
    keeping(site, quarantined="1d")
    site.configure({**site.tables, "verify": {"share": 1.0}})
    write(site, f"update attachment set created_at = '{LONG_AGO}', updated_at = '{LONG_AGO}' where id = 'A3'")
    keys = dict(site.query("select id, location from attachment"))
    (site.media / keys["A0"]).unlink()
    (site.media / keys["A1"]).write_bytes(b"x" * len(CONTENTS["A1"]))
    log = (site.root / "log").open("w+")

    with log, site.start("run", stdout=log, stderr=log) as daemon:
        wait_for(lambda: site.query("select count(*) from intervention where deed = 'verify'") == [(2,)])
        wait_for(lambda: site.states() == {"stored": 4})
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
        log.seek(0)
        said = log.read()

    assert (site.media / keys["A0"]).read_bytes() == CONTENTS["A0"]
    assert (site.media / keys["A1"]).read_bytes() == CONTENTS["A1"]
    assert not (site.media / keys["A3"]).exists()
    assert said.count("verify.fault") == 2
    assert "prune.done" in said
    assert {name for (name,) in site.query("select name from duty")} >= {"verify", "prune"}

    (site.media / keys["A2"]).unlink()
    with site.start("run") as daemon:
        time.sleep(3.0)
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=30)
    assert not (site.media / keys["A2"]).exists()


def test_the_status_tells_of_the_daemon_that_works_and_of_one_that_was_killed(site: Site) -> None:
    def told() -> str:
        return site.run("ledger", "status").stdout

    assert "daemon" not in told()
    with site.start("run") as daemon:
        wait_for(lambda: site.query("select count(*) from process") == [(1,)])
        assert re.search(r"^daemon \S+ works since \d+ s: drop .* ago, .*reconcile .* ago", told(), re.MULTILINE)
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=30)
    assert re.search(r"^daemon on \S+ was stopped \d+ s ago, and no other has begun there$", told(), re.MULTILINE)

    with site.start("run") as daemon:
        wait_for(lambda: site.query("select count(*) from process") == [(1,)])
        daemon.kill()
        daemon.communicate(timeout=30)
    write(site, f"update process set seen_at = '{LONG_AGO}'")
    assert re.search(r"^daemon \S+ has said nothing for \d+ d: killed, or it stands still", told(), re.MULTILINE)


def test_the_daemon_finishes_what_an_erasure_could_not(site: Site) -> None:
    [(key,)] = site.query("select location from attachment where id = 'A0'")
    write(site, "update attachment set state = 'erased' where id = 'A0'")

    with site.start("run") as daemon:
        wait_for(lambda: site.query("select location from attachment where id = 'A0'") == [(None,)])
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=30)

    assert not (site.media / key).exists()
