"""A dead process is seen at once, a living one never taken for dead; with real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mo_sync.presence import Presence, abandoned, present, worker_name

ENTER = """
import sys
from pathlib import Path
from mo_sync.presence import Presence
presence = Presence.enter(Path(sys.argv[1]), sys.argv[2])
(presence.folder / "half.part").write_bytes(b"half")
print("ready", flush=True)
sys.stdin.read()
"""
ENTER_AND_LEAVE = """
import sys
from pathlib import Path
from mo_sync.presence import Presence
print("ready", flush=True)
sys.stdin.readline()
for n in range(200):
    presence = Presence.enter(Path(sys.argv[1]), f"{sys.argv[2]}-{n}")
    (presence.folder / "busy.part").write_bytes(b"busy")
    (presence.folder / "busy.part").unlink()  # raises if a rescuer took it
    presence.leave()
"""
RESCUE = """
import sys
from pathlib import Path
from mo_sync.presence import abandoned
print("ready", flush=True)
sys.stdin.readline()
while True:
    with abandoned(Path(sys.argv[1])) as folders:
        for folder in folders:
            (folder / "half.part").unlink()  # raises if another rescuer was faster
            print(folder.name, flush=True)
    if (Path(sys.argv[1]) / "enough").exists():
        break
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program and waits until it says that it is ready."""
    running: list[subprocess.Popen[str]] = []

    def started(program: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield started
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def rescued(root: Path) -> list[str]:
    with abandoned(root) as folders:
        return [folder.name for folder in folders]


def test_a_killed_process_is_found_at_once(tmp_path: Path, start: Start) -> None:
    process = start(ENTER, tmp_path, "worker")
    alive = (rescued(tmp_path), present(tmp_path))
    process.kill()
    process.wait()
    with abandoned(tmp_path) as folders:
        left = [(folder.name, (folder / "half.part").read_bytes()) for folder in folders]

    assert alive == ([], ["worker"])
    assert left == [("worker", b"half")]
    assert present(tmp_path) == []


def test_a_stopped_process_is_not_taken_for_dead(tmp_path: Path, start: Start) -> None:
    process = start(ENTER, tmp_path, "worker")
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    assert rescued(tmp_path) == []
    assert present(tmp_path) == ["worker"]


def test_what_a_rescuer_leaves_is_found_again_and_what_it_empties_is_removed(tmp_path: Path, start: Start) -> None:
    process = start(ENTER, tmp_path, "worker")
    process.kill()
    process.wait()

    assert rescued(tmp_path) == ["worker"]
    assert rescued(tmp_path) == ["worker"]
    (tmp_path / "worker" / "half.part").unlink()
    assert rescued(tmp_path) == ["worker"]
    assert list(tmp_path.iterdir()) == []


def test_two_rescuers_never_get_the_same_folder(tmp_path: Path, start: Start) -> None:
    process = start(ENTER, tmp_path, "worker")
    process.kill()
    process.wait()
    with abandoned(tmp_path) as first, abandoned(tmp_path) as second:
        names = ([folder.name for folder in first], [folder.name for folder in second])

    assert names == (["worker"], [])


def test_racing_rescuers_share_the_dead_among_them(tmp_path: Path, start: Start) -> None:
    dead = [start(ENTER, tmp_path, f"worker-{n}") for n in range(12)]
    for process in dead:
        process.kill()
        process.wait()
    rescuers = [start(RESCUE, tmp_path) for _ in range(3)]
    for rescuer in rescuers:
        go(rescuer)
    (tmp_path / "enough").touch()
    found = [rescuer.communicate(timeout=60)[0].split() for rescuer in rescuers]

    assert [rescuer.returncode for rescuer in rescuers] == [0, 0, 0]
    assert sorted(name for names in found for name in names) == sorted(f"worker-{n}" for n in range(12))
    assert [path.name for path in tmp_path.iterdir()] == ["enough"]


def test_workers_that_come_and_go_are_never_rescued(tmp_path: Path, start: Start) -> None:
    """Rescuers look all the time; who finds a living worker's folder would fail or print its name."""
    workers = [start(ENTER_AND_LEAVE, tmp_path, f"worker-{n}") for n in range(2)]
    rescuers = [start(RESCUE, tmp_path) for _ in range(2)]
    for process in (*rescuers, *workers):
        go(process)
    for worker in workers:
        worker.communicate(timeout=100)
    (tmp_path / "enough").touch()
    found = [rescuer.communicate(timeout=60)[0] for rescuer in rescuers]

    assert [process.returncode for process in (*workers, *rescuers)] == [0, 0, 0, 0]
    assert found == ["", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["enough"]


def test_leaving_twice_does_nothing_more_and_survives_that_the_folder_is_gone(tmp_path: Path) -> None:
    presence = Presence.enter(tmp_path / "root", "worker")
    (tmp_path / "root" / "worker" / ".lock").unlink()
    (tmp_path / "root" / "worker").rmdir()
    presence.leave()
    presence.leave()

    assert present(tmp_path / "root") == []


def test_a_folder_with_something_in_it_is_not_removed_by_leaving(tmp_path: Path) -> None:
    presence = Presence.enter(tmp_path, "worker")
    (presence.folder / "precious").touch()
    presence.leave()

    assert (tmp_path / "worker" / "precious").exists()
    assert rescued(tmp_path) == ["worker"]


def test_a_rescuer_that_comes_late_does_not_take_a_folder_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at a dead worker's lock and its taking it, another rescuer cleared up and the worker is back."""
    lock = fcntl.flock
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / ".lock").touch()

    def meanwhile(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        assert rescued(tmp_path) == ["worker"]
        back.append(Presence.enter(tmp_path, "worker"))
        lock(file, operation)

    back: list[Presence] = []
    monkeypatch.setattr(fcntl, "flock", meanwhile)

    assert rescued(tmp_path) == []
    assert present(tmp_path) == ["worker"]


@pytest.mark.parametrize("with_lock", [False, True])
def test_a_worker_that_died_while_it_entered_is_cleared_away_and_is_nobody(tmp_path: Path, with_lock: bool) -> None:
    half_way = tmp_path / ".entering-worker-0123"
    half_way.mkdir()
    if with_lock:
        (half_way / ".lock").touch()

    assert rescued(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_lock_but_with_a_file_is_left_alone_until_nothing_changed_in_it_for_long(
    tmp_path: Path,
) -> None:
    """A cleaner may have removed the lock of a worker that lives; its mtime says nothing, cleaners put it back."""
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "half.part").touch()
    os.utime(tmp_path / "worker", (1, 1))

    assert rescued(tmp_path) == []
    with abandoned(tmp_path, lockless_s=0.0) as folders:
        assert [folder.name for folder in folders] == ["worker"]


def test_a_worker_whose_lock_was_removed_makes_it_anew_and_is_not_taken_for_dead(tmp_path: Path) -> None:
    presence = Presence.enter(tmp_path, "worker")
    (presence.folder / "half.part").touch()
    (presence.folder / ".lock").unlink()

    assert (rescued(tmp_path), present(tmp_path)) == ([], [])
    assert [presence.keep(), presence.keep()] == [True, False]
    assert (rescued(tmp_path), present(tmp_path)) == ([], ["worker"])
    with abandoned(tmp_path, lockless_s=0.0) as folders:
        assert folders == []


def test_nobody_takes_its_own_folder_for_that_of_a_dead_worker(tmp_path: Path) -> None:
    presence = Presence.enter(tmp_path, "worker")
    (presence.folder / "half.part").touch()
    (presence.folder / ".lock").unlink()

    with abandoned(tmp_path, own="worker", lockless_s=0.0) as folders:
        assert folders == []
    assert presence.keep() is True


def test_a_lock_that_a_rescuer_made_meanwhile_is_not_taken_from_it(tmp_path: Path) -> None:
    presence = Presence.enter(tmp_path, "worker")
    (presence.folder / "half.part").touch()
    (presence.folder / ".lock").unlink()

    with abandoned(tmp_path, lockless_s=0.0) as folders:
        assert [folder.name for folder in folders] == ["worker"]
        assert presence.keep() is False
    assert presence.keep() is True


def test_keeping_a_folder_that_is_gone_says_so_and_one_that_was_left_does_nothing(tmp_path: Path) -> None:
    presence = Presence.enter(tmp_path, "worker")
    (presence.folder / ".lock").unlink()
    presence.folder.rmdir()

    with pytest.raises(FileNotFoundError):
        presence.keep()
    presence.leave()
    assert presence.keep() is False


def test_a_lock_that_is_a_link_is_not_followed_and_costs_no_other(tmp_path: Path) -> None:
    for name in ("a-strange", "b-dead"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.part").touch()
    (tmp_path / "b-dead" / ".lock").touch()
    (tmp_path / "a-strange" / ".lock").symlink_to("/etc/passwd")

    assert rescued(tmp_path) == ["b-dead"]


def test_files_and_links_among_the_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").touch()
    (root / "link").symlink_to(tmp_path / "elsewhere")

    assert rescued(root) == []
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_a_root_that_is_not_there_holds_nobody(tmp_path: Path) -> None:
    assert rescued(tmp_path / "nowhere") == []
    assert present(tmp_path / "nowhere") == []


def test_entering_where_nothing_can_be_made_is_an_error_and_ends(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=r".+"):
        Presence.enter(tmp_path / "file" / "root", "worker")


def test_a_name_that_is_taken_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    Presence.enter(tmp_path, "worker")
    with pytest.raises(OSError, match=r".+"):
        Presence.enter(tmp_path, "worker")

    assert [path.name for path in tmp_path.iterdir()] == ["worker"]


def test_many_threads_enter_at_once(tmp_path: Path) -> None:
    entered: list[Presence] = []
    threads = [threading.Thread(target=lambda n=n: entered.append(Presence.enter(tmp_path, f"w{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(present(tmp_path)) == sorted(presence.worker for presence in entered)
    assert len(entered) == 8
    assert rescued(tmp_path) == []


def test_worker_names_are_fit_for_folders_and_never_the_same() -> None:
    names = {worker_name() for _ in range(100)}

    assert len(names) == 100
    assert all(name.isascii() and "/" not in name and not name.startswith((".", "-")) for name in names)
