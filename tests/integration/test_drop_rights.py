"""Folders and files that we may not use, disks that are full: said once, nothing lost, and it goes on by itself.

Rights mean nothing to root, so there the work is done by a forked process that is ``nobody``.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mo_sync.errors import ConfigurationError, OutOfReach
from mo_sync.intake import Receipt
from tests.clocks import HandClock
from tests.drops import Drops, event, forked, never, repeated
from tests.mounts import tmpfs

BAD = b'{"topic": "SCG-Message", "event": '


@pytest.fixture
def drops(tmp_path: Path) -> Iterator[Drops]:
    """Owned by the one who will do the work, in a place that one can reach."""
    Drops(
        tmp_path / "first"
    ).ingest()  # what is imported at first use is imported now: nobody may not read Python's files
    root = Path(tempfile.mkdtemp(prefix="mo-sync-test-"))
    drops = Drops(root / "site")
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        for path in (root, drops.root, drops.folder):
            os.chown(path, user.pw_uid, user.pw_gid)
    yield drops
    shutil.rmtree(root)


def unprivileged(work: Callable[[], object]) -> None:
    """Run ``work`` as nobody if we are root, and as ourselves if not; it must return."""
    if os.geteuid() != 0:
        work()
        return

    def as_nobody() -> None:
        user = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        work()

    assert forked(as_nobody) == 0


def complaints(log: list[dict[str, object]]) -> list[object]:
    return [entry["file"] for entry in log if entry["event"] == "drop.left-alone"]


def test_an_unreadable_file_is_reported_once_and_again_when_it_changed_and_taken_when_mended(drops: Drops) -> None:
    def work() -> None:
        path = drops.put("a.json", event(1))
        path.chmod(0)
        drops.put("b.json", event(2))
        with drops.feed() as feed, capture_logs() as log:
            assert [feed.ingest(never) for _ in range(3)] == [Receipt(new=1), Receipt(), Receipt()]
            assert complaints(log) == ["a.json"]
            path.chmod(0o100)
            feed.ingest(never)
            feed.ingest(never)
            assert complaints(log) == ["a.json", "a.json"]
            assert drops.tree()[0] == "a.json"
            path.chmod(0o640)
            assert feed.ingest(never) == Receipt(new=1)

    unprivileged(work)

    assert drops.tree() == ["done/a.json", "done/b.json"]


def test_files_that_cannot_be_moved_out_of_the_drop_folder_are_reported_once_each(drops: Drops) -> None:
    def work() -> None:
        drops.ingest()
        for number in range(3):
            drops.put(f"{number}.json", event(number))
        with drops.feed() as feed, capture_logs() as log:
            feed.ingest(lambda: True)
            drops.folder.chmod(0o500)
            assert feed.ingest(never) + feed.ingest(never) == Receipt()
            assert len(complaints(log)) == len(set(complaints(log))) > 0
            drops.folder.chmod(0o750)
            feed.ingest(never)

    unprivileged(work)

    assert drops.messages() == {"m0", "m1", "m2"}


def test_a_file_that_cannot_be_filed_away_waits_in_processing_without_holding_up_others(drops: Drops) -> None:
    def work() -> None:
        drops.ingest()
        rejected = drops.folder / "rejected"
        rejected.chmod(0o500)
        drops.put("bad.json", BAD)
        with drops.feed(clock=(clock := HandClock())) as feed, capture_logs() as log:
            feed.ingest(never)
            drops.put("good.json", event(1))
            feed.ingest(never)
            feed.ingest(never)
            assert complaints(log) == ["bad.json"]
            assert [name.split("/")[0] for name in drops.tree()] == ["done", "processing", "processing"]
            assert drops.query("select state, deliveries from event order by state") == [
                ("accepted", 1),
                ("rejected", 1),
            ]
            rejected.chmod(0o750)
            clock.advance(61)
            feed.ingest(never)

    unprivileged(work)

    assert drops.tree() == ["done/good.json", "rejected/bad.json", "rejected/bad.json.error.txt"]


def test_a_drop_folder_that_cannot_be_worked_with_is_out_of_reach_and_works_again_when_mended(drops: Drops) -> None:
    def work() -> None:
        drops.put("a.json", event(1))
        drops.folder.chmod(0)
        with drops.feed() as feed:
            with pytest.raises(OutOfReach, match="drop-out-of-reach"):
                feed.ingest(never)
            drops.folder.chmod(0o750)
            assert feed.ingest(never) == Receipt(new=1)

    unprivileged(work)


@pytest.fixture
def mounted() -> Iterator[Callable[[Path, str], object]]:
    """Mounts small file systems; they are gone after the test."""
    with contextlib.ExitStack() as made:
        yield lambda folder, size: made.enter_context(tmpfs(folder, f"size={size}"))


@pytest.mark.root
@pytest.mark.parametrize("name", ["processing", "done", "rejected"])
def test_a_file_system_mounted_inside_the_drop_folder_is_a_configuration_error(
    tmp_path: Path, mounted: Callable[[Path, str], object], name: str
) -> None:
    drops = Drops(tmp_path / "site")
    mounted(drops.folder / name, "1m")
    drops.put("a.json", event(1))

    with pytest.raises(ConfigurationError, match="drop-folder-elsewhere") as caught:
        drops.ingest()

    assert caught.value.item == str(drops.folder / name)
    assert (drops.folder / "a.json").read_bytes() == event(1)


@pytest.mark.root
def test_on_a_full_disk_nothing_is_lost_and_the_rejected_events_are_kept_when_there_is_room(
    tmp_path: Path, mounted: Callable[[Path, str], object]
) -> None:
    drops = Drops(tmp_path / "site")
    mounted(drops.folder, "4m")
    content = repeated(600) + b"".join(b"{%d}\n" % number for number in range(2_000))
    drops.put("mixed.ndjson", content)
    filler = drops.folder / ".filler"
    with filler.open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        while True:
            full.write(bytes(4096))

    with drops.feed(clock=(clock := HandClock())) as feed, capture_logs() as log:
        feed.ingest(never)
        assert complaints(log) == ["mixed.ndjson"]
        assert drops.events() == {"accepted": 600, "rejected": 2_000}
        filler.unlink()
        clock.advance(61)
        feed.ingest(never)

    assert drops.read("done/*/mixed.ndjson") == content
    assert len(drops.read("rejected/mixed.ndjson").splitlines()) == 2_000
    assert json.dumps(drops.events()) == json.dumps({"accepted": 600, "rejected": 2_000})
    assert not [name for name in drops.tree() if name.startswith("processing")]
