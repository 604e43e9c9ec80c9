"""Events a second from the drop folder into the ledger, against sqlite3's own import of the same lines.

The peer is ``sqlite3 FILE ".import lines.csv event"`` into a table with a unique key, synchronous=FULL: one row an
event, nothing parsed, no message, no attachment, and for the single files it is given one concatenated file. Ours
parses each event, writes an event, a message and an attachment row, and moves every file to ``done/``. Both run three
times, in turn; what counts is the ratio of the medians.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from mo_sync.clock import SystemClock
from mo_sync.feeds.drop import DropFeed
from mo_sync.intake import Intake
from mo_sync.ledger import Ledger
from mo_sync.presence import worker_name
from mo_sync.settings import Drop, Limits
from mo_sync.settings import Ledger as LedgerSettings

LINES = 50_000
FILES = 5_000
ROUNDS = 3


def main() -> None:
    """Measure both ways of dropping, print a row for each."""
    if shutil.which("sqlite3") is None:
        sys.exit("drop: needs the sqlite3 command line as its peer")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"{'dropped as':<24}{'events/s':>12}{'sqlite3 .import/s':>20}{'ratio':>8}")
    for name, count, put in (
        (f"one file of {LINES}", LINES, _put_one_file),
        (f"{FILES} single files", FILES, _put_single_files),
    ):
        rounds = [(_ours(count, put), _peer(count)) for _ in range(ROUNDS)]
        ours, peer = (count / statistics.median(seconds) for seconds in zip(*rounds, strict=True))
        print(f"{name:<24}{ours:>12,.0f}{peer:>20,.0f}{ours / peer:>8.2f}", flush=True)


def _event(number: int) -> bytes:
    fields = {
        "message_id": f"m{number:021d}",
        "from_address": "+14086080000",
        "to_address": "18322222222",
        "message_body": "A picture of the damage, as you asked",
        "has_attachment": "true",
        "attachment_ids": f" a{number:021d}",
        "fragments_count": "1",
        "mo_price": "0.0",
        "sender_id_id": "VBpTmGkhSbqUR6gcwsRuI1",
        "sender_id_alias": "18322222222",
        "application_id": "17226",
        "company-id": "1234",
        "anti_virus_scan_status": "OK",
    }
    inner = {"fld-val-list": fields, "evt-tp": "mo_message_received", "timestamp": "2026-11-20T16:16:17.579Z"}
    return json.dumps({"topic": "SCG-Message", "attempt": 1, "event": inner, "event-id": f"e{number:021d}"}).encode()


def _put_one_file(folder: Path) -> None:
    with (folder / "many.ndjson").open("wb") as out:
        out.writelines(_event(number) + b"\n" for number in range(LINES))


def _put_single_files(folder: Path) -> None:
    for number in range(FILES):
        (folder / f"{number}.json").write_bytes(_event(number))


def _ours(count: int, put: Callable[[Path], None]) -> float:
    with tempfile.TemporaryDirectory(prefix="mo-sync-bench-") as name:
        root, clock = Path(name), SystemClock()
        (root / "drop").mkdir()
        put(root / "drop")
        with Ledger.open(LedgerSettings(url=f"sqlite:///{root / 'ledger.db'}")) as ledger:
            intake = Intake(ledger, clock, give_up_after_s=3600.0)
            feed = DropFeed(Drop(path=root / "drop", settle=0.0), Limits(), intake, clock, worker_name())
            began = time.perf_counter()
            receipt = feed.ingest(lambda: False)
            took = time.perf_counter() - began
            feed.close()
        assert receipt.new == count, receipt
        return took


def _peer(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="mo-sync-bench-") as name:
        lines, ledger = Path(name) / "lines.csv", Path(name) / "peer.db"
        with lines.open("w", newline="") as out:
            csv.writer(out).writerows((f"e{number:021d}", _event(number).decode()) for number in range(count))
        setup = "pragma journal_mode=wal; create table event(event_key text primary key, payload text);"
        subprocess.run(["sqlite3", ledger, setup], check=True, capture_output=True)
        began = time.perf_counter()
        commands = ["pragma synchronous=full", ".mode csv", f".import {lines} event"]
        subprocess.run(["sqlite3", ledger, *commands], check=True, capture_output=True)
        took = time.perf_counter() - began
        [found] = subprocess.run(
            ["sqlite3", ledger, "select count(*) from event"], check=True, capture_output=True
        ).stdout.split()
        assert int(found) == count, found
        return took


if __name__ == "__main__":
    main()
