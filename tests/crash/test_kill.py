"""More than 200 kills, at every named point and at random; ``make crash N=5000`` is the whole campaign.

Whatever is killed whenever: nothing is lost, double, damaged or left over.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.campaign import play, shares
from tests.crash.nursery import Nursery
from tests.crash.points import POINTS
from tests.crash.power import cut_power
from tests.crash.scripts import SCRIPTS, Arena
from tests.mounts import needs_mounts
from tests.site import Site

SEED = 20261123
KILLS = shares(205)


def test_there_are_at_least_two_hundred_kills_and_some_at_every_point() -> None:
    assert sum(KILLS.values()) >= 200
    assert set(POINTS) <= set(KILLS)
    assert min(KILLS.values()) >= 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCRIPTS)
def test_kills_lose_double_damage_and_leave_nothing(name: str, arena: Arena, tmp_path: Path) -> None:
    figures = play(SCRIPTS[name], tmp_path, arena, kills=KILLS[name], seed=SEED)

    print(figures)
    assert figures.damage.none, f"{figures}\n{figures.damage.evidence}"
    assert figures.met >= 0.6 * figures.kills, f"hardly any kill met the process where it should: {figures}"


@pytest.mark.root
@pytest.mark.timeout(300)
def test_the_power_cut_at_a_kill_costs_nothing_either(arena: Arena, tmp_path: Path) -> None:
    """P21: what was acknowledged, and what is called stored, was on the disk."""
    needs_mounts()

    figures = cut_power(tmp_path / "power", arena, cuts=len(POINTS), seed=SEED)

    assert figures.damage.none, f"{figures}\n{figures.damage.evidence}"
    assert figures.met >= 0.6 * figures.kills, figures


def test_a_process_started_afresh_is_killed_in_its_first_steps_and_costs_nothing(arena: Arena, tmp_path: Path) -> None:
    """The nursery's children have imported all: this one has not, and is killed while it imports and opens."""
    from tests.crash.evidence import Watcher, count
    from tests.crash.traffic import Dropper

    site = Site(tmp_path / "site", arena.gateway.base_url, settings={"sync": {"lease": "2s"}})
    dropper = Dropper(site, arena.gateway, SEED)
    watcher = Watcher(site)
    for tenths in (2, 8, 11, 14):
        dropper.drop()
        with site.start("--sync-now", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(tenths / 10)
            except subprocess.TimeoutExpired:
                process.kill()
        assert watcher.look(dropper.truth).none

    assert site.sync_until_settled().returncode == 0
    assert count(site, dropper.truth).none, count(site, dropper.truth)


def test_a_nursery_says_how_its_children_end(tmp_path: Path) -> None:
    with Nursery() as nursery:
        wrong = nursery.run(tmp_path, "--no-such-option")
        slow = nursery.run(tmp_path, "run", "--help", kill_after_s=0.0)

    assert (wrong.code, wrong.killed) == (2, False)
    assert slow.killed
    assert "no-such-option" in (tmp_path / "log").read_text()


def test_the_command_line_prints_a_line_a_script_and_fails_on_damage(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.campaign", "--kills", "2", "--only", "minted"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["minted", "all"]
    assert "lost 0  double 0  damaged 0  leftovers 0" in done.stdout
