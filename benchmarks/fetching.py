"""Attachments a second, from a due row in the ledger to a durable file and a settled row; against two peers.

The peers do the same two calls an attachment to the same gateway (``native/gw.c``) on this machine in the same run:

- *native*: eight C threads, fsync of file and folder for each, no ledger (``native/cclient.c``);
- *plain*: thirty-two Python threads with ``requests`` as its front page shows it, fsync and an SQLite commit each.

Ours runs the real program's parts: claims, leases, the finisher, SQLite with synchronous=FULL.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import requests

from mo_sync import log
from mo_sync.clock import SystemClock
from mo_sync.events import RawEvent
from mo_sync.service import Service
from mo_sync.settings import Gateway, Ledger, Limits, Log, Settings, Store, Sync

ATTACHMENTS = 1_000
SIZE = "20k"
ROUNDS = 3
DELAYS = {0: 0, 50: 2}
NATIVE = Path(__file__).parent / "native"


def main() -> None:
    """Build the native parts, measure, print a row for each latency."""
    if shutil.which("gcc") is None:
        print("skipped: gcc is missing (Debian: apt-get install gcc libssl-dev)")
        return
    with tempfile.TemporaryDirectory(prefix="mo-sync-bench-") as folder:
        root = Path(folder)
        for program, libraries in (("gw", []), ("cclient", ["-lcrypto"])):
            source = NATIVE / f"{program}.c"
            subprocess.run(["gcc", "-O2", "-w", "-pthread", source, "-o", root / program, *libraries], check=True)
        base = _free_ports()
        gateway = subprocess.Popen([root / "gw", str(base)])
        try:
            _wait_for(base)
            for delay_ms, offset in DELAYS.items():
                _row(root, base + offset, delay_ms)
        finally:
            gateway.kill()
            gateway.wait()


def _row(root: Path, port: int, delay_ms: int) -> None:
    workers = 4 if delay_ms == 0 else 64
    rates: dict[str, list[float]] = {"ours": [], "native": [], "plain": []}
    for round_ in range(ROUNDS):
        place = root / f"{delay_ms}-{round_}"
        rates["native"].append(_native(root / "cclient", port, place / "native", threads=8 if delay_ms == 0 else 64))
        rates["plain"].append(_plain(port, place / "plain", threads=32 if delay_ms == 0 else 64))
        rates["ours"].append(_ours(port, place / "ours", workers=workers))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print(
        f"{delay_ms:3} ms, {SIZE}B: ours {middle['ours']:7.0f}/s ({workers} workers)"
        f"  native {middle['native']:7.0f}/s  plain {middle['plain']:7.0f}/s"
        f"  ours/native {middle['ours'] / middle['native']:.2f}  ours/plain {middle['ours'] / middle['plain']:.2f}"
    )


def _native(program: Path, port: int, place: Path, *, threads: int) -> float:
    place.mkdir(parents=True)
    command = [program, str(port), str(ATTACHMENTS), SIZE, str(threads), place, "2", "0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert told["ok"] == ATTACHMENTS
    return ATTACHMENTS / float(told["wall"])


def _plain(port: int, place: Path, *, threads: int) -> float:
    place.mkdir(parents=True)
    base = f"http://127.0.0.1:{port}"
    ledger = sqlite3.connect(place / "ledger.db", check_same_thread=False, isolation_level=None)
    ledger.executescript(
        "pragma journal_mode=wal; pragma synchronous=full; create table done(id text primary key, sha text)"
    )
    lock = threading.Lock()

    def fetch(number: int) -> None:
        attachment = f"{SIZE}-{number:06d}"
        bearer = {"Authorization": "Bearer token"}
        wanted = {"resource": "ATTACHMENT", "resource_id": attachment}
        token = requests.post(f"{base}/scg-external-api/api/v1/access_tokens", json=wanted, headers=bearer, timeout=30)
        where = f"{base}/scg-attachment/api/v1/messaging/attachments/{token.json()['id']}/content"
        body = requests.get(where, headers=bearer, timeout=30).content
        with (place / f"{attachment}.tmp").open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        (place / f"{attachment}.tmp").rename(place / attachment)
        with lock:
            ledger.execute("insert into done values (?, ?)", (attachment, hashlib.sha256(body).hexdigest()))

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fetch, range(ATTACHMENTS)))
    took = time.perf_counter() - began
    ledger.close()
    return ATTACHMENTS / took


def _ours(port: int, place: Path, *, workers: int) -> float:
    place.mkdir(parents=True)
    settings = Settings(
        gateway=Gateway(base_url=f"http://127.0.0.1:{port}", token="token"),
        ledger=Ledger(url=f"sqlite:///{place}/ledger.db"),
        store=Store(url=str(place / "media")),
        sync=Sync(workers=workers),
        limits=Limits(min_free=0),
    )
    with (place / "log").open("w") as stream, Service.open(settings, clock=SystemClock()) as service:
        log.configure(Log(format="json"), stream=stream, terminal=False)
        service.intake.record([_event(number) for number in range(ATTACHMENTS)])
        began = time.perf_counter()
        service.reconciler.work(threading.Event())
        took = time.perf_counter() - began
    ledger = sqlite3.connect(place / "ledger.db")
    [(stored,)] = ledger.execute("select count(*) from attachment where state = 'stored'").fetchall()
    ledger.close()
    assert stored == ATTACHMENTS, f"{stored} of {ATTACHMENTS} stored"
    return ATTACHMENTS / took


def _event(number: int) -> RawEvent:
    fields = {
        "message_id": f"message{number:06d}",
        "application_id": 17226,
        "attachment_ids": f"{SIZE}-{number:06d}",
        "has_attachment": True,
    }
    envelope = {
        "topic": "SCG-Message",
        "attempt": 1,
        "event": {"fld-val-list": fields, "evt-tp": "mo_message_received", "timestamp": "2026-11-20T12:00:00.000Z"},
        "event-id": f"event{number:06d}",
    }
    return RawEvent("benchmark", json.dumps(envelope).encode(), datetime(2026, 11, 20, 12, tzinfo=UTC))


def _free_ports() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the native gateway did not start")


if __name__ == "__main__":
    main()
