"""The manual page is what the commands' help makes it, and a formatter finds no fault with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mo_sync.cli.commands import COMMANDS
from mo_sync.cli.ledger import COMMANDS as LEDGER_COMMANDS
from mo_sync.cli.manual import manual
from tests.lacking import need

PAGE = Path(__file__).parents[2] / "docs" / "mo-sync.1"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == manual(), "python -m mo_sync.cli.manual > docs/mo-sync.1"


def test_every_command_is_on_it_with_its_example() -> None:
    text = PAGE.read_text().replace("\\-", "-")

    for name in [*(name for name in COMMANDS if name != "ledger"), *(f"ledger {name}" for name in LEDGER_COMMANDS)]:
        assert f"\n.SS mo-sync {name}" in text
        assert f"\nmo-sync {name}" in text or f"mo-sync.toml {name}" in text


def test_a_formatter_finds_no_fault_with_it() -> None:
    need("groff", package="groff-base")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", str(PAGE)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
