"""Kill a working mo-sync again and again, then count what was lost, double or damaged: it must be nothing.

    make crash N=5000
    python -m tests.crash.campaign --kills 200 --seed 7

Each round drops a few more events, starts ``mo-sync --sync-now`` and kills it (SIGKILL) after a random time. At the end
passes are made until all is settled, and the ledger, the store and the drop folder are held against what was dropped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mo_sync.sandbox import Gateway
from mo_sync.sandbox.traffic import make_traffic
from tests.site import Site

__all__ = ["Damage", "run"]

_LEASE = "3s"
_START_S = 20.0


@dataclass(frozen=True, slots=True)
class Damage:
    """What a campaign did (``kills``, of which ``at_work`` met a process that had begun to write) and broke."""

    kills: int
    at_work: int
    attachments: int
    lost: int
    double: int
    damaged: int
    leftovers: int

    @property
    def none(self) -> bool:
        """Whether every promise held."""
        return not (self.lost or self.double or self.damaged or self.leftovers)


def run(root: Path, *, kills: int, seed: int) -> Damage:
    """One campaign in ``root``, an empty folder."""
    dice = random.Random(seed)
    scenario = make_traffic(seed, events=max(20, kills * 4), attachments=max(30, kills * 8), permanent_share=0)
    names = sorted(scenario.files)
    with Gateway(latency_s=0.02) as gateway:
        site = Site(root, gateway.base_url, settings={"sync": {"lease": _LEASE, "workers": 8}})
        for attachment in scenario.attachments:
            gateway.add_attachment(attachment)
        at_work = 0
        for round_ in range(kills):
            for name in names[round_ * len(names) // kills : (round_ + 1) * len(names) // kills]:
                site.drop(name, scenario.files[name])
            # Most kills wait until the process is at work; some hit its start, its migration, its imports.
            at_work += _kill(site, at_work=dice.random() < 0.8, after_s=dice.uniform(0.0, 0.8))
        site.sync_until_settled()
        return _count(site, scenario.content, {row.id for row in scenario.attachments}, kills=kills, at_work=at_work)


def _kill(site: Site, *, at_work: bool, after_s: float) -> bool:
    """Start a pass and kill it ``after_s`` after its start, or after it is at work; whether it was at work by then."""
    with site.start("--sync-now", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + _START_S
        while at_work and process.poll() is None and time.monotonic() < until and not _busy(site, process.pid):
            time.sleep(0.005)
        time.sleep(after_s)  # the moment of the kill is what varies
        busy = _busy(site, process.pid)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL and busy


def _busy(site: Site, pid: int) -> bool:
    """Whether this process has its folder in the store, in which downloads begin."""
    return any(site.media.glob(f".incoming/*-{pid}-*/.lock"))


def _count(site: Site, content: object, wanted: set[str], *, kills: int, at_work: int) -> Damage:
    assert callable(content)
    rows = site.query("select id, state, location, sha256 from attachment")
    files = site.files()
    stored = {row[0]: row for row in rows if row[1] == "stored"}
    damaged = [
        attachment
        for attachment, (_, _, key, sha256) in stored.items()
        if files.get(key) != content(attachment) or hashlib.sha256(content(attachment)).hexdigest() != sha256
    ]
    known = {row[2] for row in stored.values()}
    leftovers = [p for p in site.drop_folder.rglob("*") if p.is_file() and p.parent.parent.name != "done"]
    return Damage(
        kills=kills,
        at_work=at_work,
        attachments=len(wanted),
        lost=len(wanted - set(stored)),
        double=len([key for key in files if key not in known]) + len(rows) - len({row[0] for row in rows}),
        damaged=len(damaged),
        leftovers=len(leftovers) + len(list(site.media.rglob("*.part"))),
    )


def main() -> int:
    """The command line of ``make crash``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mo-sync-crash-") as folder:
        damage = run(Path(folder) / "site", kills=arguments.kills, seed=arguments.seed)
    print(json.dumps(asdict(damage)))
    return 0 if damage.none else 1


if __name__ == "__main__":
    sys.exit(main())
