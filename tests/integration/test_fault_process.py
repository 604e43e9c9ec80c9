"""A machine that is short of everything, and a process that stands still: told, waited for, nothing lost."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Gateway
from tests.crash.nursery import Nursery
from tests.trouble import Bed, secretive, shows_no_secret

POSSIBLE = (0, 4, 75)
"""All settled, work remains, nothing could be done now: never an error that nobody foresaw."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def bed_of(tmp_path: Path, gateway: Gateway, count: int = 8, **sync: object) -> Bed:
    bed = Bed(tmp_path / "site", gateway, settings={"sync": {"workers": 8, **sync}})
    assert bed.site.run("--sync-now").returncode == 0  # begins the ledger
    for number in range(count):
        bed.announce(f"{number}")
    return bed


def settle(bed: Bed) -> None:
    """What waits for better times (a disk is given a minute) is asked for now."""
    bed.site.run("ledger", "retry", "--state", "pending")
    assert bed.site.sync_until_settled().returncode == 0
    bed.all_well()


@pytest.mark.parametrize("files", [12, 16, 20, 24])
def test_without_file_descriptors_nothing_is_lost_and_no_error_of_ours_is_raised(
    tmp_path: Path, gateway: Gateway, files: int
) -> None:
    """Which of sockets, temporary files, ledger or drop folder meets the limit first depends on its height."""
    bed = bed_of(tmp_path, gateway)
    done = bed.site.run("--sync-now", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))

    assert done.returncode in POSSIBLE, done.stderr
    assert "Too many open files" in done.stderr
    assert "Traceback" not in done.stderr
    shows_no_secret(bed.site, done.stdout + done.stderr)
    settle(bed)


@pytest.mark.parametrize("threads", [0, 1, 2, 3, 4, 7, 11])
def test_without_threads_nothing_is_lost_and_no_error_of_ours_is_raised(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, threads: int
) -> None:
    """No more than so many at once: of the finisher, the keeper, the workers, those that wait for the disk."""
    bed = bed_of(tmp_path, gateway)
    ended = nursery.run(bed.site.root, "--sync-now", threads=threads)

    log = (bed.site.root / "log").read_text()
    assert ended.code in POSSIBLE, log[-2000:]
    assert "Traceback" not in log
    assert ended.code == 0 or "thread" in log
    assert nursery.run(bed.site.root, "ledger", "retry", "--state", "pending").code == 0
    for _ in range(10):
        ended = nursery.run(bed.site.root, "--sync-now")
        if ended.code != 4:
            break
    assert ended.code == 0, (bed.site.root / "log").read_text()[-2000:]
    bed.all_well()


@pytest.mark.parametrize("spare_mb", [1, 4, 16, 64])
def test_without_memory_nothing_is_lost(tmp_path: Path, gateway: Gateway, nursery: Nursery, spare_mb: int) -> None:
    """How far it gets depends on the height; what it did not get to is done by the next pass."""
    bed = bed_of(tmp_path, gateway)
    ended = nursery.run(bed.site.root, "--sync-now", spare_mb=spare_mb)

    log = (bed.site.root / "log").read_text()
    assert ended.code in POSSIBLE, log[-2000:]
    assert nursery.run(bed.site.root, "ledger", "retry", "--state", "pending").code == 0
    assert bed.site.sync_until_settled().returncode == 0
    bed.all_well()
