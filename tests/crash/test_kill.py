"""A sample of the crash campaign; ``make crash N=5000`` is the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.campaign import run


@pytest.mark.timeout(600)
def test_fifty_kills_at_random_moments_lose_double_and_damage_nothing(tmp_path: Path) -> None:
    damage = run(tmp_path / "site", kills=50, seed=20261123)

    assert damage.none, damage
    assert damage.at_work >= 10, f"hardly any kill met a process at work: {damage}"
