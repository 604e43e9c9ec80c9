"""Kill a working mo-sync again and again, then count what was lost, double, damaged or left over: it must be nothing.

    make crash N=5000
    python -m tests.crash.campaign --kills 200 --seed 7 --only minted

Each script kills in its own way, at a named point or a random moment, the one-shot, the daemon, or one of two processes
on one ledger. After each kill, before anything mends it, what can be seen must be true; at the end of a script passes
are made until all is settled, and ledger, store and drop folder are held against what was dropped.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.crash.evidence import Damage, Watcher, count
from tests.crash.scripts import SCRIPTS, SETTLE_S, Arena, Script, Stand
from tests.crash.traffic import Dropper
from tests.site import Site

__all__ = ["Figures", "play", "settled", "shares"]

_LEASE = "2s"
_KILLS_A_TREE = 60


@dataclass(frozen=True, slots=True)
class Figures:
    """What a script did and broke. ``met``: of its kills, those that met the process where they should."""

    script: str
    kills: int
    met: int
    attachments: int
    took_s: float
    damage: Damage

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.script,
            self.kills + other.kills,
            self.met + other.met,
            self.attachments + other.attachments,
            self.took_s + other.took_s,
            self.damage + other.damage,
        )

    def __str__(self) -> str:
        broke = self.damage
        return (
            f"{self.script:24} kills {self.kills:5}  met {self.met:5}  attachments {self.attachments:6}  "
            f"lost {broke.lost}  double {broke.double}  damaged {broke.damaged}  leftovers {broke.leftovers}  "
            f"{self.took_s:6.1f} s"
        )


def play(
    script: Script,
    root: Path,
    arena: Arena,
    *,
    kills: int,
    seed: int,
    plant: str | None = None,
    settle_s: float = SETTLE_S,
) -> Figures:
    """Kill ``kills`` times by ``script``, below ``root``; at the end all must be settled within ``settle_s``.

    ``plant`` names a fault to plant in every process.
    """
    most = 1 if script.fresh else _KILLS_A_TREE
    total = Figures(script.name, 0, 0, 0, 0.0, Damage())
    for tree, done in enumerate(range(0, kills, most)):
        name = f"{script.name} {seed} {tree}"
        site = Site(root / f"tree-{tree}", arena.gateway.base_url, settings={"sync": {"lease": _LEASE, "workers": 4}})
        dropper = Dropper(site, arena.gateway, name)
        stand = Stand(arena, site, dropper, Watcher(site), random.Random(name), plant, settle_s)
        total += _on_one_tree(script, stand, kills=min(most, kills - done))
    return total


def _on_one_tree(script: Script, stand: Stand, *, kills: int) -> Figures:
    began = time.monotonic()
    if not script.fresh:
        _warm_up(stand)
    met, damage = 0, Damage()
    for turn in range(kills):
        met += all(ended.killed for ended in script.kill(stand, turn))
        damage += stand.watcher.look(stand.dropper.truth)
    damage += settled(stand) + count(stand.site, stand.dropper.truth)
    damage += Damage(lost=len(stand.errors), evidence=tuple(stand.errors))
    return Figures(script.name, kills, met, len(stand.dropper.truth.content), time.monotonic() - began, damage)


def _warm_up(stand: Stand) -> None:
    """A first pass, which makes the ledger; how long one takes sets the range of random moments."""
    for _ in range(2):
        stand.dropper.drop(2)
        began = time.monotonic()
        stand.arena.nursery.run(stand.site.root, "--sync-now")
        stand.pass_s = time.monotonic() - began


def settled(stand: Stand) -> Damage:
    """Make passes until nothing remains to be done; what never ends is lost."""
    until = time.monotonic() + stand.settle_s
    while time.monotonic() < until:
        ended = stand.arena.nursery.run(stand.site.root, "--sync-now", plant=stand.plant)
        if ended.code == 0:
            return Damage()
        if ended.code != 4:
            return Damage(lost=1, evidence=(f"a pass after the kills ended with {ended.code}",))
        time.sleep(0.1)
    return Damage(lost=1, evidence=("passes after the kills never settled everything",))


def shares(kills: int) -> dict[str, int]:
    """How many kills each script gets of so many."""
    whole = sum(script.share for script in SCRIPTS.values())
    return {name: -(-kills * script.share // whole) for name, script in SCRIPTS.items()}


def main() -> int:
    """The command line of ``make crash``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(SCRIPTS), action="append", help="one script (may be repeated)")
    arguments = parser.parse_args()
    wanted = shares(arguments.kills)
    if arguments.only:
        wanted = dict.fromkeys(arguments.only, arguments.kills)
    total = Figures("all", 0, 0, 0, 0.0, Damage())
    with Arena.open() as arena:
        for name, kills in wanted.items():
            with tempfile.TemporaryDirectory(prefix="mo-sync-crash-") as folder:
                figures = play(SCRIPTS[name], Path(folder), arena, kills=kills, seed=arguments.seed)
            total = _told(total, figures)
        if not arguments.only:
            total = _told(total, _power(arena, max(1, arguments.kills // 20), arguments.seed))
    print(total)
    return 0 if total.damage.none else 1


def _told(total: Figures, figures: Figures) -> Figures:
    print(figures, *figures.damage.evidence, sep="\n    ", flush=True)
    return total + figures


def _power(arena: Arena, cuts: int, seed: int) -> Figures:
    """The power cuts, where this machine lets us mount a disk of our own."""
    from tests.crash.power import cut_power
    from tests.mounts import cannot_mount

    if reason := cannot_mount():
        print(f"power-cut                SKIPPED: {reason}", flush=True)
        return Figures("power-cut", 0, 0, 0, 0.0, Damage())
    with tempfile.TemporaryDirectory(prefix="mo-sync-crash-") as folder:
        return cut_power(Path(folder), arena, cuts=cuts, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
