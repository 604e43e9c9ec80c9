"""A placed file survives a power cut; a full, read-only or foreign disk is told and costs nothing else.

A power cut is made by copying the image of a mounted ext4: what was not synced is not in the copy.
"""

from __future__ import annotations

import errno
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mo_sync.errors import StoreOutOfReach
from mo_sync.store import LocalStore, Placed, Placement, Staged
from tests.mounts import ext4, needs_mounts, power_cut, tmpfs
from tests.stores import put_in_place

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _mounts() -> None:
    needs_mounts()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "disk.img"


@pytest.fixture
def disk(tmp_path: Path, image: Path) -> Iterator[Path]:
    with ext4(image, tmp_path / "disk") as place:
        yield place


def content(n: int) -> bytes:
    return hashlib.sha256(b"%d" % n).digest() * (1 + n * 97)


def stage(store: LocalStore, data: bytes, lease: str) -> Staged:
    staged = store.stage(lease)
    staged.write(data)
    staged.finish()
    return staged


def place_many(store: LocalStore, count: int, *, first: int = 0) -> dict[str, bytes]:
    """Place ``count`` files as the finisher does, in a few folders; what must be there from now on."""
    files = {f"2026/11/{n % 3 + 1:02}/m{n // 2}/{n}.jpg": content(n) for n in range(first, first + count)}
    staged = [stage(store, data, f"lease{n}") for n, data in enumerate(files.values())]
    assert store.harden(staged) == [None] * count
    answers = store.place([Placement(one, key) for one, key in zip(staged, files, strict=True)])
    assert answers == [Placed()] * count
    return files


def files_below(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.relative_to(root).parts[0].startswith(".")
    }


def test_what_was_placed_survives_a_power_cut(disk: Path, image: Path, tmp_path: Path) -> None:
    with closing(LocalStore(disk / "var" / "media", "worker")) as store:
        files = place_many(store, 40)
        with power_cut(image, tmp_path / "first") as rest:
            first = files_below(rest / "var" / "media")
        files |= place_many(store, 40, first=40)  # in folders that are durable, and in new ones
        with power_cut(image, tmp_path / "second") as rest:
            second = files_below(rest / "var" / "media")

    assert first == {key: files[key] for key in list(files)[:40]}
    assert second == files


def test_the_cut_is_a_real_one(disk: Path, image: Path, tmp_path: Path) -> None:
    """Without the care that the store takes the same bytes are lost; else the test above would prove nothing."""
    with closing(LocalStore(disk / "media", "worker")) as store:
        place_many(store, 1)
        staged = stage(store, content(2), "lease")
        (disk / "media" / ".incoming" / "worker" / "lease.part").rename(disk / "media" / "careless")
        with power_cut(image, tmp_path / "rest") as rest:
            left = files_below(rest / "media")
        staged.discard()

    assert list(left.values()) == [content(0)]


def test_hardened_bytes_are_on_the_disk_before_the_file_gets_its_name(disk: Path, image: Path, tmp_path: Path) -> None:
    with closing(LocalStore(disk / "media", "worker")) as store:
        staged = [stage(store, content(n), f"lease{n}") for n in range(20)]
        store.harden(staged)
        with power_cut(image, tmp_path / "rest") as rest:
            # The names are the journal's affair; whichever of them are there have all their bytes.
            left = {path.stem: path.read_bytes() for path in (rest / "media" / ".incoming" / "worker").glob("*.part")}
        for one in staged:
            one.discard()

    assert left == {f"lease{n}": content(n) for n in range(20)}


def test_a_large_file_is_hardened_by_finishing_it(disk: Path, image: Path, tmp_path: Path) -> None:
    large = content(700)  # about 2 MB
    with closing(LocalStore(disk / "media", "worker")) as store:
        staged = stage(store, large, "lease")
        with power_cut(image, tmp_path / "rest") as rest:
            left = (rest / "media" / ".incoming" / "worker" / "lease.part").read_bytes()
        staged.discard()

    assert len(large) > 1024 * 1024
    assert left == large


def test_an_adopted_file_is_made_durable(disk: Path, image: Path, tmp_path: Path) -> None:
    """Who placed it may have died after its rename and before anything was synced."""
    home = disk / "media" / "2026" / "11"
    with closing(LocalStore(disk / "media", "worker")) as store:
        home.mkdir(parents=True)
        (home / "a.jpg").write_bytes(content(1))
        answer = put_in_place(store, Placement(stage(store, content(1), "lease"), "2026/11/a.jpg"))
        with power_cut(image, tmp_path / "rest") as rest:
            left = files_below(rest / "media")

    assert answer == Placed(adopted=True)
    assert left == {"2026/11/a.jpg": content(1)}


def test_a_replaced_file_is_the_new_one_after_a_power_cut(disk: Path, image: Path, tmp_path: Path) -> None:
    with closing(LocalStore(disk / "media", "worker")) as store:
        put_in_place(store, Placement(stage(store, b"damaged", "one"), "2026/a.jpg"))
        put_in_place(store, Placement(stage(store, content(1), "two"), "2026/a.jpg"))
        with power_cut(image, tmp_path / "rest") as rest:
            left = files_below(rest / "media")

    assert left == {"2026/a.jpg": content(1)}


def test_what_was_removed_stays_removed_after_a_power_cut(disk: Path, image: Path, tmp_path: Path) -> None:
    with closing(LocalStore(disk / "media", "worker")) as store:
        [key, *others] = place_many(store, 3)
        removed = store.remove(key)
        with power_cut(image, tmp_path / "rest") as rest:
            left = files_below(rest / "media")

    assert removed
    assert sorted(left) == sorted(others)


def test_a_full_disk_is_told_and_recovers(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=1m") as small, closing(LocalStore(small / "media", "worker")) as store:
        staged = store.stage("too-much")
        with pytest.raises(OSError, match="No space") as caught:
            staged.write(b"x" * 4_000_000)
        staged.discard()
        parts = list(small.rglob("*.part"))
        answer = store.place([Placement(stage(store, b"small", "lease"), "a/small")])

    assert caught.value.errno == errno.ENOSPC
    assert parts == []
    assert answer == [Placed()]


def test_a_disk_without_room_for_another_folder_costs_only_those_that_need_one(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=1m,nr_inodes=16") as small, closing(LocalStore(small / "m", "w")) as store:
        assert store.place([Placement(stage(store, b"first", "first"), "old/first")]) == [Placed()]
        batch = [Placement(stage(store, b"%d" % n, f"lease{n}"), f"new{n}/file") for n in range(4)]
        last = Placement(stage(store, b"last", "last"), "old/last")
        fillers = 0
        try:
            while fillers < 16:
                (small / f"filler{fillers}").touch()
                fillers += 1
        except OSError:
            pass
        answers = [*store.place(batch), put_in_place(store, last)]
        for item in batch:
            item.staged.discard()
        parts = list(small.rglob("*.part"))

    assert [isinstance(answer, OSError) and answer.errno for answer in answers[:-1]] == [errno.ENOSPC] * 4
    assert answers[-1] == Placed()
    assert parts == []


def test_ext4_without_room_is_told_at_the_latest_when_hardened(tmp_path: Path, image: Path) -> None:
    """ext4 takes bytes before it finds a place for them."""
    with ext4(image, tmp_path / "small", size_mb=8) as small, closing(LocalStore(small / "media", "worker")) as store:
        told: list[OSError] = []
        staged = [store.stage(f"lease{n}") for n in range(32)]
        for one in staged:
            try:
                one.write(b"x" * 900_000)
                one.finish()
            except OSError as error:
                told.append(error)
                one.discard()
        told += [trouble for trouble in store.harden(staged) if trouble is not None and trouble.errno != errno.EBADF]
        for one in staged:
            one.discard()
        answer = store.place([Placement(stage(store, b"small", "lease"), "a/small")])
        parts = list(small.rglob("*.part"))

    assert {error.errno for error in told} == {errno.ENOSPC}
    assert answer == [Placed()]
    assert parts == []


def test_a_disk_that_breaks_down_is_told_and_nothing_is_called_placed(disk: Path) -> None:
    """ext4 turns read-only when its journal cannot go on; what was not synced before is lost."""
    with closing(LocalStore(disk / "media", "worker")) as store:
        soft, hard = stage(store, content(1), "soft"), stage(store, content(2), "hard")
        hardened = store.harden([hard])
        subprocess.run(["mount", "-o", "remount,abort", disk], check=True)
        with pytest.raises(OSError, match=r".+") as caught:
            store.stage("another")
        answers = store.place([Placement(soft, "2026/soft"), Placement(hard, "2026/hard")])
        again = store.harden([soft])
        findings = [finding.level for finding in store.check()]
        with pytest.raises(StoreOutOfReach, match=r"store-not-writable: .*Read-only"):
            LocalStore(disk / "media", "another-worker")
        for one in (soft, hard):
            one.discard()

    assert hardened == [None]
    assert caught.value.errno == errno.EROFS
    assert [isinstance(answer, OSError) and answer.errno in (errno.EROFS, errno.EIO) for answer in answers] == [
        True
    ] * 2
    assert again[0] is not None, "a second fsync may say that all is well; it must not be believed"
    assert findings[0] == "failed"


def test_another_file_system_inside_the_store_is_told_and_found_by_the_check_up(tmp_path: Path) -> None:
    with closing(LocalStore(tmp_path / "media", "worker")) as store, tmpfs(tmp_path / "media" / "2026", "size=1m"):
        staged = stage(store, b"picture", "lease")
        [answer] = store.place([Placement(staged, "2026/a.jpg")])
        findings = [finding for finding in store.check() if finding.subject == "file system"]
        staged.discard()

    assert isinstance(answer, OSError)
    assert answer.errno == errno.EXDEV
    assert [finding.level for finding in findings] == ["failed"]
