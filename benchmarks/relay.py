"""Events a second over HTTP, each acknowledged when it is durable: 64 connections of wrk, all servers in one run.

- *hosted*: the relay in a whole ``mo-sync run``: one transaction for all that arrive together, and segments for what is
  more than the ledger bears, which the same process records when it can: *caught up* is how long after the load that
  took;
- *alone*: the relay with segments in the drop folder, one sync for all that arrive together;
- *one by one*: the hosted relay with one commit a request;
- *native*: a C program with epoll and SQLite, two rows an event, one transaction a turn (``native/cing.c``);
- *native ledger*: the same, but it writes the ledger's own three rows with their indexes (``native/cledger.c``): what
  the ledger costs, whoever writes it;
- *sustained*: hosted, for a minute. Once. The segments' turn comes in between, which brings it nearer to what the
  ledger bears;
- *locked*: hosted, while another program holds the ledger's write lock for ten seconds. Once.

Each is warmed up for a second before. Every acknowledged event is counted afterwards: in the ledger, or in the segments
of the relay alone.
"""

from __future__ import annotations

import logging
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import SecretStr

from mo_sync.clock import SystemClock
from mo_sync.daemon import Daemon
from mo_sync.feeds.relay import commit
from mo_sync.feeds.relay.setting_up import Listening
from mo_sync.ledger import Ledger
from mo_sync.service import Service
from mo_sync.settings import Drop, Gateway, Relay, Settings, Store
from mo_sync.settings import Ledger as LedgerSettings

SECONDS = 5
WARM_UP_S = 1
LONG_S = 60
ROUNDS = 3
CONNECTIONS = 64
LOCKED_S = 10
CATCH_UP_S = 300
BESIDE_THE_LEDGER = ("hosted", "one by one", "locked", "sustained")
NATIVES = {"native": "cing", "native ledger": "cledger"}
NATIVE = Path(__file__).parent / "native"


@dataclass(frozen=True, slots=True)
class Measured:
    """What wrk saw, and how many of the acknowledged events are not there afterwards."""

    rate: float
    p99_ms: float
    longest_ms: float
    errors: int
    lost: int
    caught_up_s: float


def main() -> None:
    """Build the native peer, measure all in turn, print a row each and the ratios."""
    for program, package in (("wrk", "wrk"), ("gcc", "gcc libsqlite3-dev")):
        if shutil.which(program) is None:
            print(f"skipped: {program} is missing (Debian: apt-get install {package})")
            return
    with tempfile.TemporaryDirectory(prefix="mo-sync-bench-") as folder:
        root = Path(folder)
        for name in NATIVES.values():
            source = (NATIVE / name).with_suffix(".c")
            subprocess.run(["gcc", "-O2", "-w", "-pthread", source, "-o", root / name, "-lsqlite3"], check=True)
        rows: dict[str, list[Measured]] = {name: [] for name in ("hosted", "alone", "one by one", *NATIVES)}
        for number in range(ROUNDS):
            for name, measured in rows.items():
                place = root / f"{name.replace(' ', '-')}-{number}"
                (place / "drop").mkdir(parents=True)
                measured.append(_measure(name, root, place))
        _print(rows)
        for name in ("sustained", "locked"):
            (root / name / "drop").mkdir(parents=True)
            _print_one(name, _measure(name, root, root / name))


def _print_one(name: str, seen: Measured) -> None:
    print(
        f"{name:12} {seen.rate:8.0f}/s  p99 {seen.p99_ms:6.1f} ms  longest {seen.longest_ms:.0f} ms"
        f"  errors {seen.errors}  lost {seen.lost}  caught up {seen.caught_up_s:.1f} s"
    )


def _print(rows: dict[str, list[Measured]]) -> None:
    rate = {name: statistics.median(one.rate for one in measured) for name, measured in rows.items()}
    p99 = {name: statistics.median(one.p99_ms for one in measured) for name, measured in rows.items()}
    for name, measured in rows.items():
        errors, lost = sum(one.errors for one in measured), sum(one.lost for one in measured)
        late = f"  caught up {statistics.median(one.caught_up_s for one in measured):.1f} s" * (name == "hosted")
        print(f"{name:12} {rate[name]:8.0f}/s  p99 {p99[name]:6.1f} ms  errors {errors}  lost {lost}{late}")
    for name in ("hosted", "alone"):
        ratios = "  ".join(f"{name}/{peer} {rate[name] / rate[peer]:.2f}" for peer in ("one by one", *NATIVES))
        print(f"{ratios}  p99 {name}/native {p99[name] / p99['native']:.2f}")


def _measure(name: str, root: Path, place: Path) -> Measured:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ledger = place / "ledger.db"
    if name in NATIVES:
        command: list[str | Path] = [root / NATIVES[name], str(port), ledger]
        if name == "native ledger":
            _new_ledger(ledger).close()
    else:
        command = [sys.executable, "-m", "benchmarks.relay", name, str(port), place]
    with _serving(command, port):
        warming, *_ = _load(port, WARM_UP_S)
        _caught_up(name, place)
        time.sleep(WARM_UP_S)
        with _locked(ledger if name == "locked" else None) as locked_s:
            seconds = LONG_S if name == "sustained" else SECONDS + locked_s
            acknowledged, seconds, p99_ms, longest_ms, errors = _load(port, seconds)
            caught_up_s = _caught_up(name, place)
    lost = max(0, warming + acknowledged - _kept(name, place))
    return Measured(acknowledged / seconds, p99_ms, longest_ms, errors, lost, caught_up_s)


def _caught_up(name: str, place: Path) -> float:
    """Seconds until the daemon has recorded every segment; done/ is where they go then."""
    began = time.monotonic()
    while name in BESIDE_THE_LEDGER and any("done" not in path.parts for path in place.glob("drop/**/*relay-*")):
        if time.monotonic() - began > CATCH_UP_S:
            raise TimeoutError(f"{name}: segments are still not recorded after {CATCH_UP_S} s")
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def _locked(ledger: Path | None) -> Iterator[int]:
    """Hold the write lock of ``ledger`` from the second second on; for how many seconds."""
    if ledger is None:
        yield 0
        return

    def hold() -> None:
        time.sleep(1)
        with closing(sqlite3.connect(ledger, isolation_level=None, timeout=60)) as other:
            other.execute("begin immediate")
            time.sleep(LOCKED_S)
            other.execute("rollback")

    holder = threading.Thread(target=hold)
    holder.start()
    yield LOCKED_S
    holder.join()


def _new_ledger(path: Path) -> Ledger:
    return Ledger.open(LedgerSettings(url=f"sqlite:///{path}"))


@contextmanager
def _serving(command: list[str | Path], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _load(port: int, seconds: int) -> tuple[int, float, float, float, int]:
    """Answers, seconds, and of the times to an answer the 99th percentile and the longest, in ms; errors."""
    patience = ("--timeout", f"{2 * LOCKED_S}s")
    command = [
        "wrk",
        "-t2",
        f"-c{CONNECTIONS}",
        f"-d{seconds}",
        *patience,
        "-s",
        NATIVE / "post.lua",
        f"http://127.0.0.1:{port}/",
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    numbers = next(line for line in said.splitlines() if line.startswith("RESULT")).split()[1:]
    requests, duration_us, p99_us, longest_us, errors = map(int, numbers)
    return requests, duration_us / 1e6, p99_us / 1e3, longest_us / 1e3, errors


def _kept(name: str, place: Path) -> int:
    """How many different events are there."""
    if name == "alone":
        return len({line for path in place.glob("drop/*.ndjson") for line in path.read_bytes().splitlines()})
    table = "ev" if name == "native" else "event"
    with closing(sqlite3.connect(place / "ledger.db")) as ledger:
        return int(ledger.execute(f"select count(*) from {table}").fetchone()[0])


def serve(name: str, port: int, place: Path) -> None:
    """One of our servers, until it is terminated. The gateway is out of reach: nothing but events shall take time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if name == "one by one":
        commit._MOST_EVENTS = 1
    clock = SystemClock()
    settings = Settings(
        gateway=Gateway(base_url="http://127.0.0.1:9", token=SecretStr("a-token")),
        relay=Relay(listen=f"127.0.0.1:{port}"),
        drop=Drop(path=place / "drop"),
        ledger=LedgerSettings(url=f"sqlite:///{place / 'ledger.db'}"),
        store=Store(url=str(place / "media")),
    )
    if name == "alone":
        _serve_alone(Listening(settings, "bench", clock, environ={}))
        return
    with Service.open(settings, clock=clock) as service:
        daemon = Daemon(service, clock=clock, environ={}, reload=lambda old: (old, []))
        daemon.companions.append(
            Listening(settings, service.worker, clock, environ={}, intake=service.intake, recorded=daemon.wake)
        )
        daemon.run()


def _serve_alone(listening: Listening) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    listening.start()
    stop.wait()
    listening.stop(grace_s=10)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
