"""The ways to kill: one-shot and daemon, at every named point and at random, alone and with another beside it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mo_sync.sandbox import Gateway
from tests.crash.evidence import Watcher
from tests.crash.nursery import Ended, Nursery
from tests.crash.points import POINTS
from tests.crash.traffic import Dropper
from tests.site import Site

__all__ = ["SCRIPTS", "SETTLE_S", "Arena", "Script", "Stand"]

SETTLE_S = 60.0
_DAEMON_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Arena:
    """Where scripts are played: a gateway, and two nurseries so that two processes can run at once."""

    gateway: Gateway
    nursery: Nursery
    other: Nursery

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Arena]:
        """For as long as the block runs."""
        with ExitStack() as stack:
            yield cls(*(stack.enter_context(part) for part in (Gateway(latency_s=0.004), Nursery(), Nursery())))


@dataclass(slots=True)
class Stand:
    """One tree in use: its site, what was dropped there, and the dice."""

    arena: Arena
    site: Site
    dropper: Dropper
    watcher: Watcher
    dice: random.Random
    plant: str | None
    settle_s: float = SETTLE_S
    pass_s: float = 0.5
    errors: list[str] = field(default_factory=list)


Kill = Callable[[Stand, int], list[Ended]]
"""Drops something and kills once; how those that were to be killed ended."""


@dataclass(frozen=True, slots=True)
class Script:
    """One way to kill. ``share``: its part of a campaign, in kills of 1,000. ``fresh``: each kill on a new tree."""

    name: str
    kill: Kill
    share: int
    fresh: bool = False


def _at_point(name: str) -> Kill:
    point = POINTS[name]

    def kill(stand: Stand, turn: int) -> list[Ended]:
        stand.dropper.drop(2 if point.intake else 1)
        if name in ("swept", "rescuing"):
            _leave_claims_of_the_dead(stand)
        passing = stand.dice.randint(1, point.often)
        return [stand.arena.nursery.run(stand.site.root, "--sync-now", point=name, passing=passing, plant=stand.plant)]

    return kill


def _leave_claims_of_the_dead(stand: Stand) -> None:
    stand.dropper.drop(1)
    stand.arena.nursery.run(stand.site.root, "--sync-now", point="minted")


def _at_random(stand: Stand, turn: int) -> list[Ended]:
    """The moment is drawn from as long as a pass with something to do takes."""
    stand.dropper.drop(1)
    moment = stand.dice.uniform(0.0, stand.pass_s * 1.1)
    ended = stand.arena.nursery.run(stand.site.root, "--sync-now", kill_after_s=moment, plant=stand.plant)
    return [ended]


_DAEMON_POINTS: Final = [name for name in POINTS if name not in ("swept", "rescuing", "migrating", "migrated")]


def _daemon_at_point(stand: Stand, turn: int) -> list[Ended]:
    """Half of the files are there when it starts, half are dropped while it runs."""
    name = _DAEMON_POINTS[turn % len(_DAEMON_POINTS)]
    stand.dropper.drop(1)
    running = stand.arena.nursery.start(
        stand.site.root,
        "run",
        point=name,
        passing=stand.dice.randint(1, POINTS[name].often),
        plant=stand.plant,
        patience_s=_DAEMON_PATIENCE_S,
    )
    time.sleep(stand.dice.uniform(0.0, stand.pass_s))  # the moment of the drop is what varies
    stand.dropper.drop(2)
    return [running.wait()]


def _daemon_at_random(stand: Stand, turn: int) -> list[Ended]:
    stand.dropper.drop(1)
    moment = stand.dice.uniform(0.05, stand.pass_s * 1.5)
    running = stand.arena.nursery.start(stand.site.root, "run", kill_after_s=moment, plant=stand.plant)
    time.sleep(moment / 3)  # the moment of the drop is what varies
    stand.dropper.drop(1)
    return [running.wait()]


def _one_of_two(stand: Stand, turn: int) -> list[Ended]:
    """Two passes on one ledger; one is killed, at a point or at random, and the other goes on as if alone. The one that
    is killed begins, or on a busy machine nothing would be left for it to be killed at."""
    name = list(_DAEMON_POINTS)[turn % len(_DAEMON_POINTS)]
    stand.dropper.drop(3)
    if turn % 3 == 2:
        moment = stand.dice.uniform(0.0, stand.pass_s)
        running = stand.arena.nursery.start(stand.site.root, "--sync-now", kill_after_s=moment, plant=stand.plant)
    else:
        running = stand.arena.nursery.start(stand.site.root, "--sync-now", point=name, plant=stand.plant)
    survived = stand.arena.other.run(stand.site.root, "--sync-now", plant=stand.plant)
    if survived.code not in (0, 4):  # it may find work left to the dead one's lease, never an error
        stand.errors.append(f"the survivor of two ended with {survived.code}")
    return [running.wait()]


_STALLS: Final = ("claimed", "minted", "mid-body", "received", "hardened", "renamed", "placed")


def _stalled(stand: Stand, turn: int) -> list[Ended]:
    """A process is stopped until its leases ran out and another did its work; when it wakes it may change nothing."""
    stand.dropper.drop(1)
    running = stand.arena.nursery.start(
        stand.site.root, "--sync-now", point=_STALLS[turn % len(_STALLS)], number=signal.SIGSTOP, plant=stand.plant
    )
    until = time.monotonic() + SETTLE_S
    while not _is_stopped(running.pid) and time.monotonic() < until:
        time.sleep(0.01)
    while stand.arena.other.run(stand.site.root, "--sync-now").code == 4 and time.monotonic() < until:
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGCONT)
    ended = running.wait()
    return [replace(ended, code=-signal.SIGKILL if ended.code == 0 else ended.code)]


def _is_stopped(pid: int) -> bool:
    """Whether every thread stands still; a process that ended counts too."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "TZ"
    return True


def _first_start(name: str) -> Kill:
    def kill(stand: Stand, turn: int) -> list[Ended]:
        stand.dropper.drop(1)
        passing = stand.dice.randint(1, POINTS[name].often)
        return [stand.arena.nursery.run(stand.site.root, "--sync-now", point=name, passing=passing, plant=stand.plant)]

    return kill


_FIRST: Final = ("migrating", "migrated")
SCRIPTS: Final[dict[str, Script]] = {
    script.name: script
    for script in (
        *(Script(name, _at_point(name), 40) for name in POINTS if name not in _FIRST),
        *(Script(name, _first_start(name), 15, fresh=True) for name in _FIRST),
        Script("random", _at_random, 100),
        Script("daemon-at-points", _daemon_at_point, 70),
        Script("daemon-random", _daemon_at_random, 40),
        Script("one-of-two", _one_of_two, 80),
        Script("stalled", _stalled, 30),
    )
}
"""Every way to kill, by its name."""
