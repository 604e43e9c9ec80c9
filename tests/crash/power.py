"""The same with the power cut at the moment of the kill: what was not synced is gone too. Needs root, to mount."""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

from tests.crash.campaign import Figures, settled
from tests.crash.evidence import Damage, Watcher, count
from tests.crash.points import POINTS
from tests.crash.scripts import Arena, Stand
from tests.crash.traffic import Dropper
from tests.mounts import ext4, power_cut
from tests.site import Site

__all__ = ["cut_power"]


def cut_power(
    root: Path, arena: Arena, *, cuts: int, seed: int, plant: str | None = None, points: Sequence[str] = ()
) -> Figures:
    """Kill at one of ``points`` (by default all) after the other, and look at what the disk holds at that moment."""
    began = time.monotonic()
    dice = random.Random(f"power {seed}")
    met, damage = 0, Damage()
    root.mkdir(parents=True, exist_ok=True)
    with ext4(root / "disk.img", root / "disk", size_mb=256) as disk:
        site = Site(disk / "site", arena.gateway.base_url, settings={"sync": {"lease": "2s", "workers": 4}})
        dropper = Dropper(site, arena.gateway, f"power {seed}")
        for turn in range(cuts):
            name = (points or tuple(POINTS))[turn % len(points or POINTS)]
            dropper.drop(2)
            _sync(site.root)
            passing = dice.randint(1, POINTS[name].often)
            met += arena.nursery.run(site.root, "--sync-now", point=name, passing=passing, plant=plant).killed
            with power_cut(root / "disk.img", root / "after") as rest:
                damage += _after_the_cut(arena, site, rest / "site", dropper)
    return Figures("power-cut", cuts, met, len(dropper.truth.content), time.monotonic() - began, damage)


def _after_the_cut(arena: Arena, site: Site, root: Path, dropper: Dropper) -> Damage:
    there = copy.copy(site)
    there.root, there.drop_folder, there.media = root, root / "drop", root / "media"
    watcher = Watcher(there)
    stand = Stand(arena, there, dropper, watcher, random.Random(0), None)
    return watcher.look(dropper.truth) + settled(stand) + count(there, dropper.truth)


def _sync(folder: Path) -> None:
    """Who drops files, or configures, sees to it that these are durable before it calls that done."""
    for path in [folder / "token", folder / "mo-sync.toml", *(folder / "drop").glob("*.*"), folder / "drop", folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
