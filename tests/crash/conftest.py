"""One arena for all crash tests of a process: starting the nurseries costs more than most of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.scripts import Arena


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena]:
    """A gateway and two nurseries."""
    with Arena.open() as opened:
        yield opened
