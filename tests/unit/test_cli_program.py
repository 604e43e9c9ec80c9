"""What a person is told to type finds this program, and no other."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from mo_sync.cli.program import program


def made(folder: Path, name: str = "mo-sync") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    (folder / name).chmod(0o755)
    return folder / name


def test_what_path_finds_is_called_by_its_name(tmp_path: Path) -> None:
    found = made(tmp_path / "bin")

    assert program(str(found), {"PATH": f"/nowhere:{found.parent}"}, tmp_path) == "mo-sync"


def test_a_link_to_it_on_path_is_as_good(tmp_path: Path) -> None:
    found = made(tmp_path / "opt")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mo-sync").symlink_to(found)

    assert program(str(found), {"PATH": str(tmp_path / "bin")}, tmp_path) == "mo-sync"


@pytest.mark.parametrize("path", ["/nowhere", "other"])
def test_what_path_does_not_find_is_called_by_what_it_was_started_by(tmp_path: Path, path: str) -> None:
    made(tmp_path / ".venv/bin")
    made(tmp_path / "other")

    assert program(".venv/bin/mo-sync", {"PATH": str(tmp_path / path)}, tmp_path) == ".venv/bin/mo-sync"


def test_a_path_with_a_blank_is_one_word_for_the_shell(tmp_path: Path) -> None:
    found = made(tmp_path / "our programs")

    assert shlex.split(program(str(found), {"PATH": ""}, tmp_path)) == [str(found)]


def test_a_module_is_called_as_one(tmp_path: Path) -> None:
    said = program("/lib/mo_sync/__main__.py", {"PATH": ""}, tmp_path)

    assert shlex.split(said) == [sys.executable, "-m", "mo_sync"]


def test_what_is_no_program_of_ours_is_not_named(tmp_path: Path) -> None:
    assert program("/usr/bin/pytest", {"PATH": ""}, tmp_path) == "mo-sync"
