"""The table of faults names tests that exist, and every fault that a person may look for."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (Path(__file__).parent / "README.md").read_text()


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`((?:integration|contract|unit|properties|crash)/[\w/]+\.py)(?:::(\w+))?`", TABLE)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (TESTS / file).exists() or (test and f"def {test}(" not in (TESTS / file).read_text())
    ]

    assert len(named) > 50
    assert missing == []


def test_every_suite_of_faults_is_in_the_table() -> None:
    suites = [*TESTS.glob("integration/test_fault_*.py"), TESTS / "integration/test_network.py"]

    assert [path.name for path in suites if path.name not in TABLE and path != Path(__file__)] == []
