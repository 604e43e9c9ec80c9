"""What the drop feed remembers from one scan to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mo_sync.feeds import dropmemory
from mo_sync.feeds.dropfiles import LeftAlone
from mo_sync.feeds.dropmemory import Memory
from mo_sync.feeds.dropready import Moment, Observation

UNREADABLE = LeftAlone("EACCES", "cannot read it: Permission denied")
SEEN = Observation(inode=1, size=2, mtime_ns=3, ctime_ns=3)


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def complain(memory: Memory, name: str, left: LeftAlone = UNREADABLE, found: os.stat_result | None = None) -> None:
    """One round in which only this is said."""
    memory.begin()
    memory.left_alone(name, left, found)
    memory.end()


def test_a_complaint_is_made_once_while_nothing_changes(log: list[Any]) -> None:
    memory = Memory()

    for _ in range(5):
        complain(memory, "a.json")

    assert len(log) == 1


def test_it_is_made_again_when_the_file_or_the_reason_changes(log: list[Any], tmp_path: Path) -> None:
    memory = Memory()
    path = tmp_path / "a.json"
    path.touch()

    complain(memory, "a.json", found=path.stat())
    complain(memory, "a.json", LeftAlone("EPERM", "cannot move it"), found=path.stat())
    path.unlink()
    (tmp_path / "other").touch()
    path.write_bytes(b"another file")
    complain(memory, "a.json", LeftAlone("EPERM", "cannot move it"), found=path.stat())

    assert len(log) == 3


def test_it_is_made_again_when_the_file_was_gone_in_between(log: list[Any]) -> None:
    memory = Memory()

    complain(memory, "a.json")
    memory.begin()
    memory.end()
    complain(memory, "a.json")

    assert len(log) == 2


def test_a_complaint_that_still_holds_is_not_forgotten(log: list[Any]) -> None:
    memory = Memory()

    complain(memory, "a.json")
    memory.begin()
    memory.still("a.json")
    memory.end()
    complain(memory, "a.json")

    assert len(log) == 1


def test_names_are_logged_without_what_could_forge_a_line(log: list[Any]) -> None:
    complain(Memory(), "a\nlevel=error")

    assert log[0]["file"] == "a\\nlevel=error"


def test_it_is_bounded_however_many_files_there_are(log: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropmemory, "_MOST", 10)
    memory = Memory()
    memory.begin()
    for number in range(100):
        memory.not_ready(f"{number}.json", SEEN, Moment(5, 1.0))
        memory.left_alone(f"{number}.link", UNREADABLE)

    remembered = [number for number in range(100) if memory.previous(f"{number}.json")]
    assert len(remembered) == 10
    assert len(log) == 10
    assert memory.unsettled
