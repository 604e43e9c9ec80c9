"""A token's file is replaced whole and durably, and what a killed process left beside it is found again."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mo_sync.gateway import tokenfile
from mo_sync.gateway.tokenfile import room_beside, take_left_behind

NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old\n")
    path.chmod(0o640)
    return path


def put(path: Path, token: str = "new") -> None:
    with room_beside(path) as room:
        room.put(token)


def beside(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir() if found != path)


def test_a_new_token_takes_the_place_of_the_old_and_is_its_owners_alone(file: Path) -> None:
    before = file.stat().st_ino

    put(file)

    assert file.read_text() == "new\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_ino != before
    assert beside(file) == []


@pytest.mark.root
def test_the_owner_is_kept(file: Path) -> None:
    os.chown(file, NOBODY, NOBODY)

    put(file)

    assert (file.stat().st_uid, file.stat().st_gid) == (NOBODY, NOBODY)


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to("../token")

    put(link)

    assert link.is_symlink()
    assert file.read_text() == "new\n"
    assert beside(link) == []


def test_a_file_that_is_gone_meanwhile_gets_the_token_all_the_same(file: Path) -> None:
    with room_beside(file) as room:
        file.unlink()
        room.put("new")

    assert file.read_text() == "new\n"


def test_when_no_token_came_nothing_is_left(file: Path) -> None:
    with room_beside(file):
        [made] = beside(file)
        assert stat.S_IMODE((file.parent / made).stat().st_mode) == 0o600

    assert beside(file) == []
    assert file.read_text() == "old\n"


def test_where_no_room_can_be_made_it_is_known_before_anybody_is_asked(tmp_path: Path) -> None:
    asked = []
    with pytest.raises(OSError, match="No such file"), room_beside(tmp_path / "gone" / "token"):
        asked.append(1)

    assert asked == []


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_before_anybody_uses_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.pread(descriptor, 9, 0).decode().strip()
        done.append(f"fsync {kind or 'room'}")
        real_fsync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        done.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(tokenfile.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)

    put(file)

    assert done == ["fsync room", "fsync new", "rename", "fsync folder"]


def killed_at(patch: str, path: Path) -> None:
    """A real process is killed where ``patch`` calls ``die``."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from mo_sync.gateway import tokenfile\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{patch}\n"
        "with tokenfile.room_beside(Path(sys.argv[1])) as room:\n"
        "    room.put('new')\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL


def test_a_token_that_a_killed_process_had_written_is_put_in_place(file: Path) -> None:
    killed_at("tokenfile._into_place = die", file)
    assert file.read_text() == "old\n"
    [rest] = beside(file)
    assert stat.S_IMODE((file.parent / rest).stat().st_mode) == 0o600

    assert take_left_behind(file)

    assert file.read_text() == "new\n"
    assert beside(file) == []
    assert not take_left_behind(file)


def test_one_that_was_not_yet_cut_to_its_length_too(file: Path) -> None:
    killed_at("tokenfile.os.ftruncate = die", file)

    assert take_left_behind(file)
    assert file.read_text().strip() == "new"


def test_room_without_a_token_is_removed(file: Path) -> None:
    killed_at("tokenfile.Room.put = die", file)
    assert len(beside(file)) == 1

    assert not take_left_behind(file)

    assert beside(file) == []
    assert file.read_text() == "old\n"


def test_a_token_left_behind_does_not_replace_one_that_was_written_since(file: Path) -> None:
    killed_at("tokenfile._into_place = die", file)
    [rest] = beside(file)
    file.write_text("operators")
    os.utime(file.parent / rest, ns=(1, file.stat().st_mtime_ns - 1))

    assert not take_left_behind(file)

    assert file.read_text() == "operators"
    assert beside(file) == []


def test_links_pipes_and_files_of_other_names_are_no_tokens(file: Path) -> None:
    other = file.with_name(".other.ab.new")
    other.write_text("x\n")
    file.with_name(".token.1.new").symlink_to(other)
    os.mkfifo(file.with_name(".token.2.new"))

    assert not take_left_behind(file)

    assert file.read_text() == "old\n"
    assert beside(file) == [other.name]


def test_a_name_with_wildcards_is_taken_as_it_is(tmp_path: Path) -> None:
    file, other = tmp_path / "t[ab]*", tmp_path / ".ta-.1.new"
    file.write_text("old\n")
    other.write_text("x\n")
    killed_at("tokenfile._into_place = die", file)

    assert take_left_behind(file)
    assert file.read_text() == "new\n"
    assert beside(file) == [other.name]
