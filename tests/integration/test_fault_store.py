"""A store on a disk that is slow, short, broken, full, read-only or closed to us, met by the real process.

The same at the store's own level is in test_store_local.py and test_store_durability.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Gateway
from tests import mounts
from tests.crash.nursery import Nursery
from tests.crash.plants import TROUBLES
from tests.trouble import Bed, eventually, secretive, shows_no_secret

SOMEBODY = 61_234
MB = 1024 * 1024


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def log_of(bed: Bed) -> str:
    return (bed.site.root / "log").read_text()


def visible(bed: Bed) -> list[bytes]:
    """What a reader of the store sees. A file whose folder could not be synced is there, whole, but not called so."""
    return [content for key, content in bed.site.files().items() if not key.startswith(".")]


def settle(bed: Bed, nursery: Nursery, **more: object) -> None:
    """What waits for a better disk (a minute) is asked for now, by a process without the trouble."""
    for _ in range(20):
        assert nursery.run(bed.site.root, "ledger", "retry", "--state", "pending", **more).code == 0
        if nursery.run(bed.site.root, "--sync-now", **more).code == 0:
            break
    bed.all_well()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_whatever_the_disk_does_no_half_file_is_seen_and_no_attempt_is_used_up(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, trouble: str
) -> None:
    bed = Bed(tmp_path / "site", gateway, settings={"sync": {"workers": 4, "lease": "2s"}})
    for number in range(9):
        bed.announce(f"{number}", padding=3_000)
    ended = nursery.run(bed.site.root, "--sync-now", plant=trouble)

    assert ended.code in (0, 4, 75), log_of(bed)
    assert "Traceback" not in log_of(bed)
    assert set(visible(bed)) <= set(bed.truth.values())
    stored = bed.site.query("select location, id from attachment where state = 'stored'")
    assert {bed.site.files()[key] for key, _ in stored} == {bed.truth[id_] for _, id_ in stored}
    assert bed.site.query("select max(attempts) from attachment where state != 'stored'")[0][0] in (0, None)
    if trouble[0] == "E":
        assert ended.code == 75
        reasons = " ".join(str(row[4]) for row in bed.reasons())
        assert trouble.split(maxsplit=1)[0].lower() in reasons
    shows_no_secret(bed.site, log_of(bed))
    settle(bed, nursery)
    assert bed.site.query("select distinct attempts from attachment") == [(1,)]


@pytest.mark.root
@pytest.mark.parametrize("what", ["media", "ledger"])
def test_a_disk_that_is_mounted_read_only_ends_a_pass_with_75_and_nothing_is_taken(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, what: str
) -> None:
    """P13: a store that cannot be written is told before the drop folder is touched, a ledger likewise."""
    mounts.needs_mounts()
    with mounts.tmpfs(tmp_path / "disk", "size=16m") as disk:
        section, url = ("store", f"{disk}/media") if what == "media" else ("ledger", f"sqlite:///{disk}/ledger.db")
        bed = Bed(tmp_path / "site", gateway, settings={section: {"url": url}})
        assert nursery.run(bed.site.root, "--sync-now").code == 0
        bed.announce("it")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        refused = nursery.run(bed.site.root, "--sync-now")
        told = log_of(bed)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)

        assert refused.code == 75, told
        words = ["store-not-writable"] if what == "media" else ["ledger-read-only", "ledger-gone"]
        assert any(word in told for word in words), told
        assert "hint:" in told
        assert nursery.run(bed.site.root, "--sync-now").code == 0
        shown = list(disk.rglob("*.gif")) or list(bed.site.media.rglob("*.gif"))
        assert [path.read_bytes() for path in shown] == [bed.truth[bed.ids["it"]]]


@pytest.mark.root
def test_a_daemon_below_min_free_records_but_fetches_nothing_and_goes_on_by_itself(
    tmp_path: Path, gateway: Gateway
) -> None:
    mounts.needs_mounts()
    with mounts.tmpfs(tmp_path / "disk", "size=24m") as disk:
        settings = {"store": {"url": f"{disk}/media"}, "limits": {"min_free": "8MB"}, "sync": {"interval": "200ms"}}
        bed = Bed(tmp_path / "site", gateway, settings=settings)
        bed.site.media = disk / "media"
        (disk / "others").write_bytes(bytes(20 * MB))
        log = bed.site.root / "log"
        with log.open("w") as lines, bed.site.start("run", stdout=lines, stderr=lines) as process:
            try:
                for number in range(3):
                    bed.announce(f"{number}")
                eventually(lambda: "reconcile.paused" in log_of(bed), what=lambda: log_of(bed))
                eventually(lambda: bed.site.states() == {"pending": 3}, what=bed.reasons)
                asked = gateway.requests.count()
                (disk / "others").unlink()
                eventually(lambda: bed.site.states() == {"stored": 3}, what=bed.reasons)
                # One that announces to be more than there is room for waits, and holds up no other.
                bed.announce("large", padding=19 * MB)
                eventually(lambda: "bytes are announced" in str(bed.reasons()), what=bed.reasons)
                bed.announce("small")
                eventually(lambda: bed.state("small")[0] == "stored", what=bed.reasons)
                process.terminate()
                assert process.wait(30) == 0
            finally:
                process.kill()

        assert asked == 0
        assert "limits.min_free asks for 8,000,000" in log_of(bed)
        assert "reconcile.resumed" in log_of(bed)
        assert bed.state("large") == ("pending", 0)
        assert bed.site.run("--sync-now").returncode == 4
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert bed.site.run("ledger", "retry", "--state", "pending").returncode == 0
        assert bed.site.run("--sync-now").returncode == 0
        bed.all_well()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that any user can reach: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="mo-sync-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def give(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, SOMEBODY, SOMEBODY)


@pytest.mark.root
@pytest.mark.parametrize(
    ("closed", "mode", "code", "word"),
    [
        ("media", 0o555, 75, "Permission denied (eacces)"),
        ("media/.incoming", 0o555, 75, "store-not-writable"),
        ("drop", 0o555, 5, "drop.left-alone"),
        ("drop/processing", 0o555, 75, "drop-out-of-reach"),
        ("ledger.db", 0o444, 75, "ledger-read-only"),
    ],
)
def test_what_may_not_be_written_is_told_and_the_work_goes_on_when_it_may(
    reachable: Path, gateway: Gateway, nursery: Nursery, closed: str, mode: int, code: int, word: str
) -> None:
    """EACCES, for a user who is not root."""
    bed = Bed(reachable / "site", gateway)
    give(reachable / "site")
    assert nursery.run(bed.site.root, "--sync-now", user=SOMEBODY).code == 0, log_of(bed)
    bed.announce("it")
    give(reachable / "site")
    (bed.site.root / closed).chmod(mode)

    refused = nursery.run(bed.site.root, "--sync-now", user=SOMEBODY)

    assert refused.code == code, log_of(bed)
    assert word in log_of(bed)
    assert "Traceback" not in log_of(bed)
    assert bed.state("it")[1] == 0
    for path in bed.site.root.glob(f"{closed}*"):  # SQLite gives what lies beside its file the mode of its file
        path.chmod(mode | 0o200)
    settle(bed, nursery, user=SOMEBODY)
