"""Events a second over HTTP, each acknowledged when it is durable: 64 connections of wrk, all servers in one run.

- *hosted*: the relay beside a ledger, one transaction for all that arrive together;
- *alone*: the relay with segments in the drop folder, one sync for all that arrive together;
- *one by one*: the hosted relay with one commit a request;
- *native*: a C program with epoll and SQLite, two rows an event, one transaction a turn (``native/cing.c``).

Every acknowledged event is counted in the ledger, or in the segments, afterwards.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 5
ROUNDS = 3
CONNECTIONS = 64
NATIVE = Path(__file__).parent / "native"


@dataclass(frozen=True, slots=True)
class Measured:
    """What wrk saw, and how many of the acknowledged events are not there afterwards."""

    rate: float
    p99_ms: float
    errors: int
    lost: int


def main() -> None:
    """Build the native peer, measure all in turn, print a row each and the ratios."""
    for program, package in (("wrk", "wrk"), ("gcc", "gcc libsqlite3-dev")):
        if shutil.which(program) is None:
            print(f"skipped: {program} is missing (Debian: apt-get install {package})")
            return
    with tempfile.TemporaryDirectory(prefix="mo-sync-bench-") as folder:
        root = Path(folder)
        subprocess.run(
            ["gcc", "-O2", "-w", "-pthread", NATIVE / "cing.c", "-o", root / "cing", "-lsqlite3"], check=True
        )
        rows: dict[str, list[Measured]] = {name: [] for name in ("hosted", "alone", "one by one", "native")}
        for number in range(ROUNDS):
            for name, measured in rows.items():
                place = root / f"{name.replace(' ', '-')}-{number}"
                place.mkdir()
                measured.append(_measure(name, root, place))
        _print(rows)


def _print(rows: dict[str, list[Measured]]) -> None:
    rate = {name: statistics.median(one.rate for one in measured) for name, measured in rows.items()}
    p99 = {name: statistics.median(one.p99_ms for one in measured) for name, measured in rows.items()}
    for name, measured in rows.items():
        errors, lost = sum(one.errors for one in measured), sum(one.lost for one in measured)
        print(f"{name:12} {rate[name]:8.0f}/s  p99 {p99[name]:6.1f} ms  errors {errors}  lost {lost}")
    for name in ("hosted", "alone"):
        print(
            f"{name}/one by one {rate[name] / rate['one by one']:.2f}  {name}/native {rate[name] / rate['native']:.2f}"
            f"  p99 {name}/native {p99[name] / p99['native']:.2f}"
        )


def _measure(name: str, root: Path, place: Path) -> Measured:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if name == "native":
        command: list[str | Path] = [root / "cing", str(port), place / "ledger.db"]
    else:
        command = [sys.executable, "-m", "benchmarks.relay", name, str(port), place]
    with _serving(command, port):
        acknowledged, seconds, p99_ms, errors = _load(port)
    return Measured(acknowledged / seconds, p99_ms, errors, max(0, acknowledged - _kept(name, place)))


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


def _load(port: int) -> tuple[int, float, float, int]:
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}", "-s", NATIVE / "post.lua", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    numbers = next(line for line in said.splitlines() if line.startswith("RESULT")).split()[1:]
    requests, duration_us, p99_us, errors = map(int, numbers)
    return requests, duration_us / 1e6, p99_us / 1e3, errors


def _kept(name: str, place: Path) -> int:
    """How many different events are there."""
    if name == "alone":
        lines = (line for path in place.glob("drop/*") for line in path.read_bytes().splitlines())
        return len(set(lines))
    import sqlite3

    table = "ev" if name == "native" else "event"
    with sqlite3.connect(place / "ledger.db") as ledger:
        return int(ledger.execute(f"select count(*) from {table}").fetchone()[0])


def serve(name: str, port: int, place: Path) -> None:
    """One of our servers, until it is terminated."""
    import logging
    import signal
    import threading

    import structlog

    from mo_sync.clock import SystemClock
    from mo_sync.feeds.relay import commit
    from mo_sync.feeds.relay.setting_up import Listening
    from mo_sync.intake import Intake
    from mo_sync.ledger import Ledger
    from mo_sync.settings import Drop, Relay, Settings
    from mo_sync.settings import Ledger as LedgerSettings

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if name == "one by one":
        commit._MOST_EVENTS = 1
    (place / "drop").mkdir()
    clock = SystemClock()
    settings = Settings(relay=Relay(listen=f"127.0.0.1:{port}"), drop=Drop(path=place / "drop"))
    ledger = None if name == "alone" else Ledger.open(LedgerSettings(url=f"sqlite:///{place}/ledger.db"))
    intake = None if ledger is None else Intake(ledger, clock, give_up_after_s=72 * 3600)
    listening = Listening(settings, "bench", clock, environ={}, intake=intake)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    listening.start()
    stop.wait()
    listening.stop(grace_s=10)
    if ledger is not None:
        ledger.close()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
