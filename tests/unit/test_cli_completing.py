"""What a shell offers at Tab: states, behind a comma too, and what the ledger knows; nothing without one."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mo_sync.cli import completing
from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as LedgerSettings
from tests.ledgers import announced, recorded


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(completing).attempted
    assert doctest.testmod(completing).failed == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mo-sync.toml").write_text("")
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        recorded(ledger, announced("E1", "M1", ["Alpha1", "Beta1"], application_id="17226"))
    return tmp_path


def offered(folder: Path, *words: str) -> list[str]:
    environ = {
        "_MO_SYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["mo-sync", *words]),
        "COMP_CWORD": str(len(words)),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", "from mo_sync.cli.main import app; app(prog_name='mo-sync')"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ledger", "list", "--state", "fa"], ["failed"]),
        (["ledger", "list", "events", "--state", "rejected,i"], ["rejected,ignored"]),
        (["ledger", "replay", "--state", "r"], ["rejected"]),
        (["ledger", "export", "events", "--state", "a"], ["accepted"]),
        (["ledger", "hold", "--application", "17"], ["17226"]),
        (["ledger", "show", "Al"], ["Alpha1"]),
        (["ledger", "retry", "Alpha1", "Be"], ["Beta1"]),
    ],
)
def test_what_begins_so_is_offered(folder: Path, words: list[str], expected: list[str]) -> None:
    assert offered(folder, *words) == expected


def test_without_a_ledger_nothing_is_offered_and_nothing_is_said(tmp_path: Path) -> None:
    assert offered(tmp_path, "ledger", "show", "Al") == []
