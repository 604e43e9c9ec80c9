"""Segments: what is acknowledged is on the disk, and what a dead writer left is found, cut and taken."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.errors import OutOfReach
from mo_sync.feeds.relay.spool import Spool, adopt
from tests.clocks import HandClock

A, B, C = b'{"a":1}\n', b'{"b":2}\n', b'{"c":3}\n'


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


@pytest.fixture
def spool(folder: Path, clock: HandClock) -> Iterator[Spool]:
    made = Spool(folder, "host-1-abc", clock, rotate_s=1.0, rotate_bytes=100)
    yield made
    made.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def taken(folder: Path) -> bytes:
    """What the drop feed would take, in order."""
    return b"".join((folder / name).read_bytes() for name in names(folder) if not name.startswith("."))


def test_what_is_appended_is_in_the_open_segment_at_once_and_not_yet_taken(spool: Spool, folder: Path) -> None:
    spool.append([A, B])
    spool.append([C])

    assert names(folder) == [".relay-host-1-abc-000001.open"]
    assert (folder / names(folder)[0]).read_bytes() == A + B + C
    assert taken(folder) == b""


def test_a_segment_is_handed_over_when_it_is_old_enough_and_not_before(
    spool: Spool, folder: Path, clock: HandClock
) -> None:
    spool.append([A])
    assert 0 < spool.tend() <= 1.0
    assert taken(folder) == b""
    clock.advance(1.0)
    spool.tend()

    assert taken(folder) == A
    assert all(name.startswith("relay-") and name.endswith("-host-1-abc-000001.ndjson") for name in names(folder))


def test_a_segment_is_handed_over_when_it_is_large_enough(spool: Spool, folder: Path) -> None:
    spool.append([b"x" * 99 + b"\n"])
    spool.append([A])

    assert taken(folder) == b"x" * 99 + b"\n"
    assert len(names(folder)) == 2


def test_the_end_hands_over_what_is_open_and_nothing_where_nothing_is(spool: Spool, folder: Path) -> None:
    spool.close()
    assert names(folder) == []
    spool.append([A])
    spool.close()

    assert taken(folder) == A


def test_where_it_cannot_be_renamed_it_stays_open_and_is_tried_again(
    spool: Spool, folder: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append([A])
    clock.advance(2.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        spool.tend()
    spool.append([B])
    clock.advance(2.0)
    spool.tend()

    assert taken(folder) == A + B


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "none", "w", HandClock(), rotate_s=1, rotate_bytes=100)
    for attempt in (spool.probe, lambda: spool.append([A])):
        with pytest.raises(OutOfReach, match=r"spool-not-writable.*No such file"):
            attempt()


def test_the_probe_leaves_nothing(spool: Spool, folder: Path) -> None:
    spool.probe()

    assert names(folder) == []


def test_after_an_error_in_the_middle_what_was_acknowledged_is_handed_over_and_nothing_else(
    spool: Spool, folder: Path
) -> None:
    """A file may grow to a limit only: the second write stops half-way."""
    spool.append([A])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(A) + 4, hard))
    try:
        with pytest.raises(OutOfReach, match="spool-not-writable"):
            spool.append([B])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert taken(folder) == A
    spool.append([C])
    spool.close()

    assert taken(folder) == A + C


# what the dead left


def left_by_the_dead(folder: Path, content: bytes, name: str = ".relay-dead-000007.open") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "rest"),
    [(A + B, A + B), (A + B[:-1], A), (A + B[:3], A), (B[:3], b""), (b"", b""), (A + b"\n", A + b"\n")],
)
def test_a_dead_writers_segment_is_taken_without_its_torn_last_line(
    folder: Path, clock: HandClock, content: bytes, rest: bytes
) -> None:
    left_by_the_dead(folder, content)

    assert adopt(folder, clock) == (1 if rest else 0)
    assert taken(folder) == rest
    assert [name for name in names(folder) if name.startswith(".")] == []
    assert adopt(folder, clock) == 0


def test_a_living_writers_segment_is_left_alone(spool: Spool, folder: Path, clock: HandClock) -> None:
    spool.append([A])

    assert adopt(folder, clock) == 0
    spool.append([B])
    spool.close()
    assert taken(folder) == A + B


def test_an_adoption_that_was_cut_off_is_done_again(folder: Path, clock: HandClock) -> None:
    left_by_the_dead(folder, A + b"{torn")
    left_by_the_dead(folder, b"half", ".relay-dead-000007.open.adopted")

    assert adopt(folder, clock) == 1
    assert taken(folder) == A
    assert [name for name in names(folder) if name.startswith(".")] == []


@pytest.mark.parametrize("what", ["link", "folder", "fifo"])
def test_what_only_looks_like_a_segment_is_not_followed(
    folder: Path, clock: HandClock, tmp_path: Path, what: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(A)
    path = folder / ".relay-evil-000001.open"
    match what:
        case "link":
            path.symlink_to(secret)
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)

    assert adopt(folder, clock) == 0
    assert taken(folder) == b""
    assert secret.read_bytes() == A


def test_a_new_segment_that_was_taken_for_a_dead_ones_is_made_again(
    spool: Spool, folder: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of the file and its lock, somebody who looks for the dead may remove it."""
    lock = fcntl.flock
    calls = []

    def late(file: int, how: int) -> None:
        calls.append(file)
        if len(calls) == 1:
            monkeypatch.setattr(fcntl, "flock", lock)
            adopt(folder, clock)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    spool.append([A])
    spool.close()

    assert taken(folder) == A


_WRITER = """
import os, sys
from pathlib import Path
from mo_sync.clock import SystemClock
from mo_sync.feeds.relay.spool import Spool
spool = Spool(Path(sys.argv[1]), f"w-{os.getpid()}", SystemClock(), rotate_s=0.05, rotate_bytes=3_000)
number = 0
while True:
    number += 1
    spool.append([f"{number}\\n".encode()])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    spool.tend()
"""


@pytest.mark.parametrize("after", [1, 50, 400])
def test_after_a_kill_every_line_that_was_acknowledged_is_taken_once(
    folder: Path, clock: HandClock, after: int
) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(after)]
        process.kill()
        said += process.stdout.readlines()
    acknowledged = [int(line) for line in said if line.endswith("\n") and line[:-1].isdecimal()]
    adopt(folder, clock)
    found = sorted(int(line) for line in taken(folder).splitlines())

    assert found[: len(acknowledged)] == acknowledged
    assert len(found) == len(set(found))
    assert len(found) <= len(acknowledged) + 1
