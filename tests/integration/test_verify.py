"""``mo-sync ledger verify`` on a real store: every planted damage is found, and nothing that is sound."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mo_sync.clock import SystemClock
from mo_sync.errors import StoreOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.record import record
from mo_sync.lifecycle import Stored
from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.media import make
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.store.local import LocalStore
from mo_sync.upkeep.faults import Fault
from mo_sync.upkeep.verify import verify
from tests.announcements import announcement
from tests.ledgers import announced, later, settlement
from tests.site import Site
from tests.terminal import in_terminal

FILES = 600
OLD_S = 2 * 3600


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger and a store that agree about :data:`FILES` files, some of them odd or quarantined."""
    root = tmp_path_factory.mktemp("template")
    with Ledger.open(LedgerSettings(url=f"sqlite:///{root / 'ledger.db'}")) as ledger:
        ids = [f"A{n:04}" if n % 50 else f"odd/{n}" for n in range(FILES)]
        record(ledger, [announced(f"E{a}", f"M{a}", [a]) for a in ids], now=later(0), give_up_after_s=9.0)
        leases = [lease for _ in range(9) for lease in claim(ledger, worker="w", count=FILES, now=later(0), lease_s=60)]
        batch = [
            settlement(lease, put(root / "media", lease.attachment_id, number), now=later(1))
            for number, lease in enumerate(leases)
        ]
        assert len(batch) == FILES
        assert all(settle(ledger, batch, worker="w"))
    return root


def put(media: Path, attachment_id: str, number: int) -> Stored:
    digest = hashlib.sha256(attachment_id.encode()).hexdigest()
    named = attachment_id if "/" not in attachment_id else f"odd~{digest}"
    key = f"{'quarantine/' if number % 40 == 7 else ''}2026/11/{number % 20 + 1:02}/M{number}/0-{named}.jpg"
    content = random.Random(number).randbytes(1 + number * 37 % 5_000)
    path = media / key
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    age(path)
    reason = "because" if key.startswith("quarantine/") else None
    sha256 = hashlib.sha256(content).hexdigest()
    return Stored(key, len(content), sha256, "image/jpeg", quarantined=bool(reason), reason=reason)


def age(path: Path) -> None:
    os.utime(path, (time.time() - OLD_S, time.time() - OLD_S))


class Filled:
    """A site with a copy of the template."""

    def __init__(self, root: Path, template: Path) -> None:
        self.site = Site(root, "http://127.0.0.1:9")
        shutil.copy(template / "ledger.db", root / "ledger.db")
        shutil.copytree(template / "media", root / "media")
        found = self.site.query("select id, location from attachment")
        self.keys = {attachment_id: self.path(key) for attachment_id, key in found}

    def path(self, key: str) -> Path:
        return self.site.media / key

    def verify(self, *arguments: str, code: int) -> dict[str, Any]:
        done = self.site.run("ledger", "verify", "--json", *arguments)
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def filled(tmp_path: Path, template: Path) -> Filled:
    return Filled(tmp_path / "site", template)


def planted(filled: Filled) -> dict[str, str]:
    """A hundred damages: the fault by the key."""
    dice = random.Random(4)
    ids = dice.sample(sorted(filled.keys), 75)
    faults: dict[str, str] = {}
    for number, attachment_id in enumerate(ids):
        path = filled.keys[attachment_id]
        content = bytearray(path.read_bytes())
        if number < 25:
            path.unlink()
            fault = "missing"
        elif number < 50:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
            path.write_bytes(content)
            fault = "damaged"
        else:
            path.write_bytes(content + b"x" if number % 2 else content[:-1])
            fault = "wrong-size"
        faults[str(path.relative_to(filled.site.media))] = fault
    for number in range(25):
        key = f"2026/11/{number + 1:02}/X{number}/0-nobody{number}.jpg" if number else "stray"
        path = filled.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an orphan")
        age(path)
        faults[key] = "orphan"
    return faults


def test_a_store_that_is_as_the_ledger_says_has_no_fault(filled: Filled) -> None:
    found = filled.verify(code=0)

    assert (found["files"], found["resting"], found["found"], found["whole"]) == (FILES, FILES, [], True)


def test_every_one_of_a_hundred_damages_is_found_and_no_other(filled: Filled) -> None:
    faults = planted(filled)
    before = {path: path.read_bytes() for path in filled.site.media.rglob("*") if path.is_file()}

    found = filled.verify(code=5)

    assert {one["key"]: one["fault"] for one in found["found"]} == faults
    assert found["faults"] == Counter(faults.values())
    assert {path: path.read_bytes() for path in before} == before
    assert filled.site.query("select count(*) from attachment where state = 'pending'") == [(0,)]


def test_repair_sends_back_what_is_bad_and_moves_aside_what_was_there(filled: Filled) -> None:
    faults = planted(filled)

    mended = filled.verify("--repair", code=0)

    assert all(one["mended"] for one in mended["found"])
    bad = {key for key, fault in faults.items() if fault != "orphan"}
    pending = filled.site.query("select id, error from attachment where state = 'pending'")
    assert len(pending) == mended["pending_again"] == len(bad)
    assert all(" in the store: " in error for _, error in pending)
    lost = {
        str(path.relative_to(filled.site.media / "lost+found"))
        for path in (filled.site.media / "lost+found").rglob("*")
        if path.is_file()
    }
    assert lost == {key for key, fault in faults.items() if fault != "missing"}
    assert filled.verify(code=0)["found"] == []


def test_what_was_sent_back_is_fetched_again_and_all_is_well(tmp_path: Path) -> None:
    """Deleted and damaged files come back by the next pass, byte for byte, under the same names."""
    contents = {f"A{n}": make("gif", f"number {n}") for n in range(4)}
    with Gateway() as gateway:
        site = Site(tmp_path / "site", gateway.base_url)
        for name, content in contents.items():
            gateway.add_attachment(Attachment(name, content, "image/gif"))
        for n, name in enumerate(contents):
            site.drop(f"{n}.json", json.dumps(announcement(n, attachment_ids=name)).encode())
        assert site.run("--sync-now").returncode == 0
        site.check_store(contents)
        paths = sorted(path for path in site.media.rglob("*.gif"))
        paths[0].unlink()
        paths[1].write_bytes(b"x" * paths[1].stat().st_size)

        assert site.run("ledger", "verify").returncode == 5
        repaired = site.run("ledger", "verify", "--repair")
        assert repaired.returncode == 0
        assert "pending again: `mo-sync --sync-now`, or the daemon, goes on" in repaired.stdout
        assert site.run("--sync-now").returncode == 0

        (site.media / "lost+found").rename(site.root / "lost")
        site.check_store(contents)
        assert sorted(path for path in site.media.rglob("*.gif")) == paths
        assert site.run("ledger", "verify").stdout.startswith("4 files looked at")


def test_files_on_their_way_and_young_ones_are_nobodys_orphans(filled: Filled) -> None:
    young = filled.path("2026/11/01/Y/0-young.jpg")
    young.parent.mkdir(parents=True)
    young.write_bytes(b"just placed")
    with Ledger.open(LedgerSettings(url=f"sqlite:///{filled.site.root / 'ledger.db'}")) as ledger:
        record(ledger, [announced("Enew", "Mnew", ["Anew"])], now=later(0), give_up_after_s=9.0)
    coming = filled.path("2026/11/01/Mnew/0-Anew.jpg")
    coming.parent.mkdir(parents=True)
    coming.write_bytes(b"placed before a power cut")
    age(coming)

    assert filled.verify(code=0)["found"] == []


@pytest.mark.parametrize("share", ["10%", "0.1"])
def test_a_sample_looks_at_a_part_and_at_no_orphans(filled: Filled, share: str) -> None:
    planted(filled)

    found = filled.verify("--sample", share, "--force", code=5)

    assert found["files"] == FILES / 10
    assert found["resting"] == 0
    assert "orphan" not in found["faults"]


@pytest.mark.parametrize("share", ["0", "101%", "-1", "some", "nan"])
def test_what_is_no_share_is_an_error_of_usage(filled: Filled, share: str) -> None:
    assert filled.site.run("ledger", "verify", f"--sample={share}").returncode == 2


def test_a_store_that_is_not_mounted_is_not_repaired(filled: Filled) -> None:
    filled.site.media.rename(filled.site.root / "elsewhere")

    told = filled.site.run("ledger", "verify", "--repair")

    assert told.returncode == 75
    assert "store-looks-empty" in told.stderr
    assert "mounted" in told.stderr
    assert filled.site.query("select count(*) from attachment where state = 'pending'") == [(0,)]


class Foreign(LocalStore):
    """A store whose files belong to somebody else."""

    def open(self, key: str) -> BinaryIO:
        raise PermissionError(errno.EACCES, "Permission denied", key)


def test_a_store_of_another_user_is_not_repaired_by_one_who_cannot_read_it(filled: Filled) -> None:
    """Every file answers "permission denied" to whoever is not its owner, and none of them is damaged."""
    store = Foreign(filled.site.media, "somebody")
    with Ledger.open(LedgerSettings(url=f"sqlite:///{filled.site.root / 'ledger.db'}")) as ledger:
        with pytest.raises(StoreOutOfReach) as caught:
            verify(ledger, store, clock=SystemClock())
        forced = verify(ledger, store, clock=SystemClock(), force=True)
    store.close()

    assert caught.value.code == "store-looks-empty"
    assert {one.fault for one in forced.found} == {Fault.UNREADABLE}
    assert len(forced.found) == FILES


def test_the_only_file_of_a_small_sample_is_reported_when_others_rest_there(filled: Filled) -> None:
    first = filled.site.query("select id from attachment order by verified_at, id limit 1")[0][0]
    filled.keys[first].unlink()

    found = filled.verify("--sample", "0.1%", code=5)

    assert [(one["fault"], one["attachment"]) for one in found["found"]] == [("missing", first)]


def test_a_sample_all_of_which_is_gone_is_no_damage_but_another_store(filled: Filled) -> None:
    """Its disk is not mounted, and something was stored below the mount point since."""
    elsewhere = filled.site.root / "elsewhere"
    filled.site.media.rename(elsewhere)
    (filled.site.media / "2026/11/30/Mnew").mkdir(parents=True)
    (filled.site.media / "2026/11/30/Mnew/0-new.jpg").write_bytes(b"stored since")

    told = filled.site.run("ledger", "verify", "--sample", "1%", "--repair")

    assert (told.returncode, "store-looks-empty" in told.stderr) == (75, True)
    assert filled.site.query("select count(*) from attachment where state = 'pending'") == [(0,)]


def test_samples_go_through_all_of_them_before_any_comes_again(filled: Filled) -> None:
    for _ in range(4):
        assert filled.verify("--sample", "25%", code=0)["files"] == FILES / 4
        known = filled.site.query("select count(*), count(distinct verified_at) from attachment")

    assert known[0][0] == FILES
    assert filled.site.query("select count(*) from attachment where verified_at = stored_at") == [(0,)]


def test_with_the_wrong_ledger_nothing_is_moved_away(filled: Filled, tmp_path: Path) -> None:
    """An old copy of the ledger knows little of what is in the store."""
    with Ledger.open(LedgerSettings(url=f"sqlite:///{filled.site.root / 'ledger.db'}")) as ledger, ledger.begin() as on:
        on.exec_driver_sql("delete from attempt where attachment_id > 'A0100'")
        on.exec_driver_sql("delete from attachment where id > 'A0100'")
    before = {path for path in filled.site.media.rglob("*") if path.is_file()}

    assert filled.verify(code=5)["faults"]["orphan"] > 400
    told = filled.site.run("ledger", "verify", "--repair")

    assert (told.returncode, "ledger-looks-old" in told.stderr) == (75, True), told.stderr
    assert "looked at" in told.stdout, "what was found by reading for hours was thrown away"
    assert {path for path in filled.site.media.rglob("*") if path.is_file()} == before
    assert filled.verify("--repair", "--force", code=0)["faults"]["orphan"] > 400


def test_an_interrupted_run_says_what_it_saw_also_in_the_middle_of_a_large_file(filled: Filled) -> None:
    size = 200 * 10**9
    os.truncate(filled.keys["A0599"], size)
    with Ledger.open(LedgerSettings(url=f"sqlite:///{filled.site.root / 'ledger.db'}")) as ledger, ledger.begin() as on:
        on.exec_driver_sql(f"update attachment set size = {size} where id = 'A0599'")
    with filled.site.start("ledger", "verify") as process:
        wait_until_it_reads(process.pid, filled.keys["A0599"])
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)

    assert process.returncode == 130
    assert said.startswith("interrupted: 587 files looked at")
    assert said.endswith("all is well\n")


def wait_until_it_reads(process: int, path: Path) -> None:
    end = time.monotonic() + 60.0
    while not any(leads_to(link, path) for link in Path(f"/proc/{process}/fd").iterdir()):
        assert time.monotonic() < end, "it does not come to that file"
        time.sleep(0.05)


def leads_to(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except FileNotFoundError:  # it was closed meanwhile
        return False


def test_at_a_terminal_it_shows_a_bar_and_a_table(filled: Filled) -> None:
    planted(filled)

    told = in_terminal(filled.site.start, "ledger", "verify", columns=160)

    assert told.returncode == 5
    assert any("wrong-size" in line for line in told.lines)
    assert "to mend it: mo-sync ledger verify --repair" in "\n".join(told.lines)


@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_narrow_terminal_what_it_found_and_did_can_be_read_and_copied(filled: Filled, columns: int) -> None:
    gone, cut, *_ = filled.keys.values()
    gone.unlink()
    cut.write_bytes(b"x")
    found = json.loads(filled.site.run("ledger", "verify", "--json").stdout)["found"]

    looked, mended = (
        in_terminal(filled.site.start, "ledger", "verify", *words, columns=columns, COLUMNS=str(columns))
        for words in ([], ["--repair"])
    )

    assert len(found) == 2
    for one in found:
        assert one["key"] in looked.raw
        assert one["key"] in mended.raw
        assert one["detail"] in " ".join(looked.raw.split())
    assert " ".join(mended.raw.split()).count("it is fetched again") == 2
    assert "…" not in looked.raw + mended.raw
