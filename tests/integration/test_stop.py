"""Stop and start: SIGTERM in every phase, two at once, a new version beside an old one. Nothing lost, nothing twice."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mo_sync.sandbox import Gateway, named
from tests.crash.nursery import Nursery
from tests.lacking import lacking
from tests.trouble import LIMIT_S, Bed, events_of, eventually, nothing_is_left, secretive

ROOT = Path(__file__).resolve().parents[2]
PHASES = {
    "a file is being taken": "drop-taken",
    "in the intake's transaction": "intake-writing",
    "before the file moves": "intake-committed",
    "while files move": "drop-filed",
    "claimed": "claimed",
    "minted": "minted",
    "in a body": "mid-body",
    "a body came": "received",
    "hardened": "hardened",
    "while files get their names": "renamed",
    "before the ledger is told": "settling",
    "after the ledger was told": "settled",
}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def bed_of(tmp_path: Path, gateway: Gateway, count: int = 6, **sync: object) -> Bed:
    sync = {"workers": 3, "stop_grace": "10s", "interval": "200ms", **sync}
    bed = Bed(tmp_path / "site", gateway, settings={"sync": sync, "gateway": {"read_timeout": "60s"}})
    for number in range(count):
        bed.announce(f"{number}")
    return bed


def settled_once(bed: Bed, gateway: Gateway) -> None:
    """Everything is stored, by one attempt each, and was asked for once."""
    bed.all_well()
    assert bed.site.query("select distinct attempts from attachment") == [(1,)]
    assert bed.site.query("select count(*) from attempt where outcome = 'stored'") == [(len(bed.truth),)]
    asked = [gateway.requests.count(step="content", attachment_id=id_) for id_ in bed.truth]
    assert set(asked) == {1}, asked


@contextmanager
def running(bed: Bed, name: str = "said", **more: object) -> Iterator[subprocess.Popen[str]]:
    """``mo-sync run``; killed at the end if it is still there."""
    with (bed.site.root / name).open("w") as log, bed.site.start("run", stdout=log, stderr=log, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(LIMIT_S)


@pytest.mark.parametrize("command", ["--sync-now", "run"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_in_any_phase_ends_in_order_and_the_next_pass_finishes_what_is_left(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, phase: str, command: str
) -> None:
    """Right after it nothing is half done: no half file, no claim, no lease; no attempt was used up by it."""
    bed = bed_of(tmp_path, gateway)
    point = PHASES[phase]
    ended = nursery.run(bed.site.root, command, point=point, number=signal.SIGTERM, patience_s=LIMIT_S)
    log = (bed.site.root / "log").read_text()

    assert ended.in_time, log
    assert ended.code in ((0,) if command == "run" else (0, 4)), log
    assert "Traceback" not in log
    assert list(bed.site.media.rglob("*.part")) == []
    assert bed.site.query("select id from attachment where lease is not null or state = 'fetching'") == []
    assert nursery.run(bed.site.root, "--sync-now").code == 0
    settled_once(bed, gateway)


@pytest.mark.parametrize("command", ["--sync-now", "run"])
@pytest.mark.parametrize("passing", [1, 20])
def test_a_stop_while_the_first_start_makes_the_ledger_costs_nothing(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, command: str, passing: int
) -> None:
    """No signal is heard before there is something to stop: it ends the process, as it ends any."""
    bed = bed_of(tmp_path, gateway)
    ended = nursery.run(bed.site.root, command, point="migrating", passing=passing, number=signal.SIGTERM)

    assert ended.in_time
    assert ended.code == -signal.SIGTERM
    assert nursery.run(bed.site.root, "--sync-now").code == 0
    settled_once(bed, gateway)


@pytest.mark.parametrize("after_s", [0.1, 0.5, 1.0])
def test_a_stop_while_python_starts_costs_nothing(tmp_path: Path, gateway: Gateway, after_s: float) -> None:
    bed = bed_of(tmp_path, gateway, 2)
    with running(bed) as process:
        time.sleep(after_s)  # the moment of the stop is what varies
        code = stop(process)

    assert code in (0, -signal.SIGTERM)
    assert bed.site.run("--sync-now").returncode == 0
    settled_once(bed, gateway)


LATE = """
import os, signal, threading
from mo_sync.signals import heard
told, never = threading.Event(), threading.Event()
threading.Thread(target=never.wait, daemon=True).start()
with heard([signal.SIGTERM], lambda number: told.set()):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # so another thread takes it, as happens by chance too
    threading.Timer(5.0, os._exit, [9]).start()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()  # by when the main thread waits
    told.wait()
    os._exit(0)
"""


def test_a_stop_is_heard_at_once_whichever_thread_the_system_gives_it_to() -> None:
    """One in sixty daemons heard a stop only when the main thread's wait of five seconds was over."""
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, check=False, timeout=LIMIT_S)

    assert done.returncode == 0


def test_an_idle_daemon_stops_at_once(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_of(tmp_path, gateway, 1, interval="60s")
    with running(bed) as process:
        eventually(lambda: bed.site.states() == {"stored": 1}, what=bed.reasons)
        began = time.monotonic()
        code = stop(process)

    assert code == 0
    assert time.monotonic() - began < 5.0
    assert list((bed.site.media / ".incoming").iterdir()) == []


def test_a_stop_lets_what_is_coming_in_come_and_claims_no_more(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_of(tmp_path, gateway, 0, workers=1)
    for number in range(3):
        bed.announce(f"{number}", named("dribble", seconds=1.0))
    with running(bed) as process:
        assert gateway.requests.wait_for(1, step="mint", timeout_s=LIMIT_S)
        code = stop(process)

    assert code == 0
    assert bed.site.states() == {"stored": 1, "pending": 2}
    nothing_is_left(bed.site)
    assert bed.site.run("--sync-now").returncode == 0
    settled_once(bed, gateway)


def test_two_daemons_on_one_ledger_share_the_work_and_one_goes_on_when_the_other_stops(
    tmp_path: Path, gateway: Gateway
) -> None:
    gateway.latency_s = 0.02
    bed = bed_of(tmp_path, gateway, 20)
    with running(bed, "one") as one, running(bed, "two") as two:
        for number in range(20, 40):
            bed.announce(f"{number}")
        eventually(lambda: bed.site.states().get("stored", 0) >= 20, what=bed.reasons)
        assert stop(one) == 0
        for number in range(40, 50):
            bed.announce(f"{number}")
        eventually(lambda: bed.site.states() == {"stored": 50}, what=bed.reasons)
        assert stop(two) == 0

    settled_once(bed, gateway)
    for name in ("one", "two"):
        troubles = [line for line in events_of((bed.site.root / name).read_text()) if line["level"] == "error"]
        assert troubles == []


def test_when_one_of_two_daemons_is_killed_the_other_has_its_claims_long_before_the_lease_ends(
    tmp_path: Path, gateway: Gateway
) -> None:
    """P8: the death can be seen, and is looked for four times a lease."""
    bed = bed_of(tmp_path, gateway, 0, lease="12s")
    with running(bed, "one") as one:
        bed.announce("it", named("stall-body", seconds=60.0))
        assert gateway.requests.wait_for(1, step="mint", timeout_s=LIMIT_S)
        eventually(lambda: bed.state("it")[0] == "fetching", what=bed.reasons)
        with running(bed, "two") as two:
            eventually(lambda: "daemon.ready" in (bed.site.root / "two").read_text())
            one.kill()
            one.wait(LIMIT_S)
            eventually(lambda: bed.state("it") == ("stored", 1), limit_s=9.0, what=bed.reasons)
            assert stop(two) == 0

    assert bed.site.run("--sync-now").returncode == 0  # which also clears away where the dead one took its files
    bed.all_well()
    assert [row[0] for row in bed.attempts("it")] == ["lost", "stored"]


def test_a_one_shot_beside_a_working_daemon_does_nothing_twice(tmp_path: Path, gateway: Gateway) -> None:
    gateway.latency_s = 0.02
    bed = bed_of(tmp_path, gateway, 10)
    with running(bed) as process:
        eventually(lambda: "daemon.ready" in (bed.site.root / "said").read_text())
        for number in range(10, 40):
            bed.announce(f"{number}")
        beside = bed.site.run("--sync-now")
        eventually(lambda: bed.site.states() == {"stored": 40}, what=bed.reasons)
        assert stop(process) == 0

    assert beside.returncode in (0, 4, 75), beside.stderr  # 75: on a busy machine the daemon may keep the ledger locked
    if beside.returncode != 75:
        assert "another mo-sync" in beside.stdout + beside.stderr
    settled_once(bed, gateway)


def stand_still(process: subprocess.Popen[str], bed: Bed) -> None:
    """Not while it holds the ledger's lock, which nobody else would get then."""

    def still() -> bool:
        process.send_signal(signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(bed.site.root / "ledger.db", timeout=0.2)) as ledger:
                ledger.execute("begin immediate")
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            return False
        return True

    eventually(still)


def test_a_daemon_that_stood_still_past_its_lease_wakes_and_changes_nothing_that_another_did(
    tmp_path: Path, gateway: Gateway
) -> None:
    """SIGSTOP in the middle of a body; the crash campaign does the same at every point of a fetch."""
    bed = bed_of(tmp_path, gateway, 0, lease="1s", workers=1)
    with running(bed) as process:
        bed.announce("it", named("stall-body", seconds=1.0))
        assert gateway.requests.wait_for(1, step="mint", timeout_s=LIMIT_S)
        eventually(lambda: bed.state("it")[0] == "fetching", what=bed.reasons)
        stand_still(process, bed)
        eventually(lambda: bed.site.run("--sync-now").returncode == 0 and bed.state("it")[0] == "stored")
        process.send_signal(signal.SIGCONT)
        bed.announce("after")
        eventually(lambda: bed.state("after")[0] == "stored", what=bed.reasons)
        assert stop(process) == 0

    bed.all_well()
    assert [row[0] for row in bed.attempts("it")] == ["lost", "stored"]


NEWEST = "migrations/versions/0002_applications.py"


@pytest.fixture(scope="module")
def old_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as it was before the ledger's revision 0002."""
    added = _git("log", "--diff-filter=A", "--format=%H", "--", NEWEST).stdout.split()
    before = f"{added[-1]}^" if added else ""
    if not before or _git("cat-file", "-e", before).returncode:
        lacking("NO HISTORY HERE (no git, or a shallow clone), so no old version ran beside the new one")
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(["git", "archive", before], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
    return folder


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, "", "")


def test_an_upgrade_with_the_old_one_still_running_loses_nothing_and_the_old_one_is_refused_afterwards(
    tmp_path: Path, gateway: Gateway, old_version: Path
) -> None:
    """P22: the new one migrates under the old one's feet; both go on; started again the old one touches nothing."""
    gateway.latency_s = 0.02
    bed = bed_of(tmp_path, gateway, 10)
    # The old one does not know of inboxes.
    bed.site.configure(
        {name: keys for name, keys in bed.site.tables.items() if name != "inbox"}
    )  # what is not known yet
    old = {"environ": {"PYTHONPATH": str(old_version)}}
    with running(bed, "old", **old) as before:
        eventually(lambda: bed.site.states() == {"stored": 10}, what=bed.reasons)
        assert bed.site.query("select version_num from alembic_version") == [("0001",)]
        for number in range(10, 40):
            bed.announce(f"{number}")
        with running(bed, "new") as after:
            eventually(lambda: bed.site.query("select version_num from alembic_version") > [("0001",)])
            for number in range(40, 60):
                bed.announce(f"{number}")
            eventually(lambda: bed.site.states() == {"stored": 60}, limit_s=60.0, what=bed.reasons)
            assert stop(before) == 0
            again = bed.site.run("--sync-now", **old)
            bed.announce("last")
            eventually(lambda: bed.state("last")[0] == "stored", what=bed.reasons)
            assert stop(after) == 0

    assert again.returncode == 3
    assert "ledger-too-new" in again.stderr
    settled_once(bed, gateway)
    for name in ("old", "new"):
        assert "Traceback" not in (bed.site.root / name).read_text()
