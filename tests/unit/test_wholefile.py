"""A file is there whole or not at all, on any file system, whoever else writes it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mo_sync.errors import UsageError
from mo_sync.wholefile import BeingWritten, written


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("replace", [True, False])
def test_it_has_its_name_when_all_of_it_is_there(tmp_path: Path, replace: bool) -> None:
    target = tmp_path / "a.csv"

    with written(target, replace=replace) as part:
        part.write_bytes(b"half")
        assert not target.exists()
        part.write_bytes(b"whole")

    assert (target.read_bytes(), names(tmp_path)) == (b"whole", ["a.csv"])
    assert target.stat().st_mode & 0o007 == 0


def test_nothing_is_left_of_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written(tmp_path / "a", replace=True) as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    assert names(tmp_path) == []


def test_what_is_there_is_replaced_only_when_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")

    with pytest.raises(FileExistsError), written(target, replace=False):
        raise AssertionError("it begins, though it cannot end well")
    assert target.read_bytes() == b"old"
    with written(target, replace=True) as part:
        part.write_bytes(b"new")
    assert (target.read_bytes(), names(tmp_path)) == (b"new", ["a"])


@pytest.mark.parametrize("number", [None, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_what_came_meanwhile_is_not_replaced_also_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no links here")

    if number is not None:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "a"

    with pytest.raises(FileExistsError), written(target, replace=False) as part:
        part.write_bytes(b"mine")
        target.write_bytes(b"theirs")
    assert (target.read_bytes(), names(tmp_path)) == (b"theirs", ["a"])
    target.unlink()
    with written(target, replace=False) as part:
        part.write_bytes(b"mine")
    assert (target.read_bytes(), names(tmp_path)) == (b"mine", ["a"])


def test_two_do_not_write_the_same_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a"

    with written(target, replace=True) as part:
        part.write_bytes(b"first")
        with pytest.raises(BeingWritten), written(target, replace=True):
            raise AssertionError("both write")

    assert (target.read_bytes(), names(tmp_path)) == (b"first", ["a"])


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_bytes(b"the long beginning of something")

    with written(tmp_path / "a", replace=False) as part:
        part.write_bytes(b"short")

    assert ((tmp_path / "a").read_bytes(), names(tmp_path)) == (b"short", ["a"])


def killed_before_its_first_name_goes(target: Path) -> None:
    """A real process is killed when the whole has its name, and has the hidden one yet."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from mo_sync.wholefile import written\n"
        "link = os.link\n"
        "def link_and_die(*names): link(*names); os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.link = link_and_die\n"
        "with written(Path(sys.argv[1]), replace=False) as part: part.write_bytes(b'monday')\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(target)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert names(target.parent) == [f".{target.name}.part", target.name]


def test_what_a_killed_process_had_finished_is_not_written_over_by_whatever_name_it_goes(tmp_path: Path) -> None:
    """Tuesday's copy became Monday's too, which had been renamed."""
    target = tmp_path / "a"
    killed_before_its_first_name_goes(target)
    target.rename(tmp_path / "monday")

    with written(target, replace=False) as part:
        assert (tmp_path / "monday").read_bytes() == b"monday"
        part.write_bytes(b"tuesday")

    assert (target.read_bytes(), (tmp_path / "monday").read_bytes()) == (b"tuesday", b"monday")
    assert names(tmp_path) == ["a", "monday"]


def test_nor_is_it_lost_when_what_is_to_replace_it_goes_wrong(tmp_path: Path) -> None:
    target = tmp_path / "a"
    killed_before_its_first_name_goes(target)

    with pytest.raises(OSError, match="No space"), written(target, replace=True):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert (target.read_bytes(), names(tmp_path)) == (b"monday", ["a"])


def test_what_is_finished_and_still_locked_is_left_to_whoever_ends_it(tmp_path: Path) -> None:
    """Its two names are those of a moment, of a process that lives."""
    target = tmp_path / "a"

    with written(target, replace=True) as part:
        part.write_bytes(b"first")
        os.link(part, tmp_path / "b")
        with pytest.raises(BeingWritten), written(target, replace=True):
            raise AssertionError("both write")
        assert part.exists()

    assert target.read_bytes() == b"first"


def test_a_link_in_its_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".a.part").symlink_to(victim)

    with pytest.raises(OSError), written(tmp_path / "a", replace=True):
        raise AssertionError("it writes to what a stranger chose")
    assert victim.read_bytes() == b"precious"


def make(path: Path, what: str) -> None:
    match what:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(str(path))
        case "a link":
            path.symlink_to("somewhere")


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a socket", "a link"])
@pytest.mark.parametrize("replace", [True, False])
def test_what_is_no_plain_file_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, replace: bool
) -> None:
    """Root's `--force` put a file in the place of /dev/null, which a machine cannot do without."""
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    make(Path("there"), what)
    before = Path("there").lstat()

    with (
        pytest.raises(UsageError, match=f"target-no-file: there: {what} is there"),
        written(Path("there"), replace=replace),
    ):
        raise AssertionError("it begins, though it cannot end well")

    assert os.path.samestat(before, Path("there").lstat())
    assert names(tmp_path) == ["there"]


def test_nor_is_what_came_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "a"

    with pytest.raises(UsageError, match="target-no-file"), written(target, replace=True) as part:
        part.write_bytes(b"mine")
        os.mkfifo(target)

    assert (target.is_fifo(), names(tmp_path)) == (True, ["a"])


def test_what_a_link_leads_to_is_left_alone_and_so_is_the_link(tmp_path: Path) -> None:
    (tmp_path / "far").write_bytes(b"precious")
    (tmp_path / "a").symlink_to("far")

    with pytest.raises(UsageError, match="of a link, what it leads to"), written(tmp_path / "a", replace=True):
        raise AssertionError("it begins, though it cannot end well")

    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "far").read_bytes() == b"precious"
