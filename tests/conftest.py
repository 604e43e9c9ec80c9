"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.lacking import lacking

# A machine that does much else besides is slow; that says nothing about what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked as for root is left out, loudly, for everybody else."""
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        lacking("NOT ROOT, so no disk was filled, no user changed, no network cut: run the tests as root to prove it")
