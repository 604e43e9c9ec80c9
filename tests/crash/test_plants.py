"""Every check of the campaign can fail: mistakes are planted in the program, and each shows where it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.campaign import play
from tests.crash.plants import PLANTS
from tests.crash.power import cut_power
from tests.crash.scripts import SCRIPTS, Arena
from tests.mounts import needs_mounts

SEED = 3
CAUGHT = [
    ("place-before-whole", "mid-body", 2, "damaged"),
    ("settle-before-place", "settled", 2, "damaged"),
    ("acknowledge-before-commit", "intake-committing", 2, "lost"),
    ("record-without-transaction", "intake-writing", 8, "lost"),
    ("never-rescue", "received", 2, "lost"),
    ("never-sweep", "received", 3, "leftovers"),
    ("keys-by-chance", "placed", 2, "double"),
    ("settle-without-lease", "stalled", 1, "double"),
]
"""The mistake, the script that must see it, after how many kills, and what it must count."""
CAUGHT_BY_POWER_CUTS = [
    ("place-before-harden", "settled", "damaged"),
    ("ledger-in-memory", "drop-filed", "lost"),
]


def test_every_plant_is_tried() -> None:
    assert {row[0] for row in CAUGHT} | {row[0] for row in CAUGHT_BY_POWER_CUTS} == set(PLANTS)


@pytest.mark.parametrize(("plant", "script", "kills", "what"), CAUGHT, ids=[row[0] for row in CAUGHT])
def test_a_planted_mistake_is_seen(
    arena: Arena, tmp_path: Path, plant: str, script: str, kills: int, what: str
) -> None:
    figures = play(SCRIPTS[script], tmp_path, arena, kills=kills, seed=SEED, plant=plant, settle_s=5.0)

    assert getattr(figures.damage, what) > 0, f"{figures}\n{figures.damage.evidence}"


@pytest.mark.root
@pytest.mark.parametrize(("plant", "point", "what"), CAUGHT_BY_POWER_CUTS, ids=[row[0] for row in CAUGHT_BY_POWER_CUTS])
def test_a_mistake_that_only_a_power_cut_shows_is_seen(
    arena: Arena, tmp_path: Path, plant: str, point: str, what: str
) -> None:
    needs_mounts()

    figures = cut_power(tmp_path / "power", arena, cuts=2, seed=SEED, plant=plant, points=[point])

    assert getattr(figures.damage, what) > 0, f"{figures}\n{figures.damage.evidence}"
