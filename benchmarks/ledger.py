"""How long a person waits for an answer: each under a second, about a ledger of five million attachments, and all else
that is asked before anything is done about one of 100,000.

The peer is ``sqlite3``, the shell, that answers the simplest question of the same kind in the same run: what is left is
the start of Python and our words. The ledger is made by SQL, once, and kept in ``$BENCH_LEDGER`` if that is set:
``BENCH_LEDGER=/tmp/five.db python -m benchmarks.ledger``; ``BENCH_ATTACHMENTS`` makes it smaller or larger.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mo_sync.ledger import Ledger, totals
from mo_sync.settings import Ledger as LedgerSettings

COUNT = int(os.environ.get("BENCH_ATTACHMENTS", "5000000"))
SMALLER = 100_000
RUNS = 5
LIMIT_S = 1.0
_ANSWERED = (0, 4, 5)  # there is more, or something needs a person

_AT = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1600000000 + i * 40, 'unixepoch')"
_ID = "printf('%020d', i * 2654435761 % 99999999999)"
_STATE = (
    "case when i % 1000 = 1 then 'failed' when i % 2000 = 2 then 'missing' when i % 5000 = 3 then 'quarantined' "
    "when i % 9000 = 5 then 'held' when i > {count} - 200 then 'pending' else 'stored' end"
)
FILL = (
    f"""insert into message (id, application_id, company_id, from_address, to_address, body, av_status, occurred_at,
        recorded_at, filed_at)
      select 'M' || {_ID}, case when i % 50 = 0 then '2' else '17226' end, '11837',
        '+1408' || printf('%07d', i * 7919 % 1000000), '18322222222', 'hello '||i, 'OK', {_AT}, {_AT}, {_AT} from n""",
    f"""insert into attachment (id, message_id, application_id, position, state, due_at, deadline_at, attempts, worker,
        content_type, size, sha256, location, stored_at, error, error_code, created_at, updated_at, verified_at)
      select 'A' || {_ID}, 'M' || {_ID}, case when i % 50 = 0 then '2' else '17226' end, 0, s,
        case when s = 'pending' then t end, t, 1, 'host-1', 'image/jpeg', 20000 + i % 100000, printf('%064x', i),
        case when s in ('stored', 'quarantined') then '2026/11/20/M' || i || '/0-A.jpg' end,
        case when s = 'stored' then t end,
        case when s in ('failed', 'missing') then 'the gateway answered 404' end,
        case when s in ('failed', 'missing') then '4040' end, t, t,
        case when s in ('stored', 'quarantined') then t end
      from (select i, {_STATE} as s, {_AT} as t from n)""",
    f"""insert into event (event_key, content_key, source, topic, type, state, message_id, occurred_at, received_at,
        payload)
      select 'E' || {_ID}, printf('%064x', i * 7919), 'drop:x.json:byte 0', 'SCG-Message', 'mo_message_received',
        'accepted', 'M' || {_ID}, {_AT}, {_AT}, '{{"message_body": "hello"}}' from n""",
    f"""insert into attempt (attachment_id, number, started_at, finished_at, outcome, bytes, worker)
      select 'A' || {_ID}, 1, {_AT}, {_AT}, case when i % 1000 = 1 then 'permanent' else 'stored' end, 20000, 'host-1'
      from n""",
    """insert into application (id, state, updated_at) values ('17226', 'active', '2026-01-01T00:00:00.000000Z'),
        ('2', 'active', '2026-01-01T00:00:00.000000Z')""",
)

QUESTIONS: dict[str, list[str]] = {
    "status": ["status"],
    "list": ["list", "--limit", "50"],
    "list of a state": ["list", "--state", "failed", "--limit", "50"],
    "list of problems": ["list", "--problems", "--limit", "50"],
    "list of a sender": ["list", "--from", "+14080007919"],
    "list of a receiver": ["list", "--to", "18322222222"],
    "list of an error": ["list", "--error", "4040"],
    "list events": ["list", "events", "--state", "ignored", "--limit", "50"],
    "show": ["show", "SAMPLE"],
}
ALL_ELSE: dict[str, list[str]] = {
    "retry": ["retry", "--state", "failed", "--dry-run"],
    "hold": ["hold", "--all", "--dry-run"],
    "release": ["release", "--state", "held", "--dry-run"],
    "cancel": ["cancel", "--all", "--dry-run"],
    "erase": ["erase", "--from", "+14080007919", "--dry-run"],
    "prune": ["prune", "--dry-run"],
    "replay": ["replay", "--state", "accepted", "--limit", "1000", "--dry-run"],
    "export": ["export", "attachments", "--state", "failed,missing"],
    "follow": ["follow", "--once", "--cursor", "e99000.a99000.i0"],
}


def fill(path: Path, count: int) -> None:
    """A ledger with so many attachments, each of its own message, announced and tried once."""
    Ledger.open(LedgerSettings(url=f"sqlite:///{path}")).close()
    with sqlite3.connect(path, isolation_level=None) as ledger:
        for pragma in ("journal_mode=off", "synchronous=off", "foreign_keys=off", "cache_size=-400000"):
            ledger.execute(f"pragma {pragma}")
        later = ledger.execute(
            "select type, name, sql from sqlite_master where sql is not null and type in ('index', 'trigger')"
        ).fetchall()
        for kind, name, _ in later:
            ledger.execute(f"drop {kind} {name}")
        ledger.execute("create temp table n (i integer primary key)")
        counted = f"with recursive r(i) as (select 1 union all select i + 1 from r where i < {count}) select i from r"
        ledger.execute(f"insert into n {counted}")
        for statement in FILL:
            ledger.execute(statement.replace("{count}", str(count)))
        for _, _, sql in later:
            ledger.execute(sql)
        ledger.execute("pragma journal_mode=wal")
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as opened, opened.begin() as connection:
        totals.recount(connection)


def median_s(command: Sequence[str], folder: Path) -> float:
    """Of some runs, the first of which does not count."""
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode not in _ANSWERED:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def ask(path: Path, questions: dict[str, list[str]]) -> None:
    """Print what each takes, as a multiple of what the shell takes for one row."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "mo-sync.toml").write_text(
            f'[ledger]\nurl = "sqlite:///{path}"\n[store]\nurl = "media"\n[retention]\nstored = "3650d"\n'
        )
        with sqlite3.connect(path) as ledger:
            [count] = ledger.execute("select sum(count) from total where kind = 'attachment'").fetchone()
            [sample] = ledger.execute("select id from attachment limit 1 offset 100").fetchone()
        one_row = f"select * from attachment where id = '{sample}'"
        peer_s = median_s(["sqlite3", "-readonly", str(path), one_row], folder)
        start_s = median_s([sys.executable, "-m", "mo_sync", "--version"], folder)
        print(
            f"{count:,} attachments, {path.stat().st_size / 1e9:.1f} GB; "
            f"sqlite3, one row: {peer_s:.3f} s; mo-sync --version: {start_s:.3f} s"
        )
        for name, words in questions.items():
            asked = [sample if word == "SAMPLE" else word for word in words]
            took_s = median_s([sys.executable, "-m", "mo_sync", "ledger", *asked], folder)
            verdict = "" if took_s < LIMIT_S else f"   MORE THAN {LIMIT_S} s"
            print(f"{name:20} {took_s:6.3f} s = {took_s / peer_s:6.1f} x the shell{verdict}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(os.environ.get("BENCH_LEDGER") or f"{temporary}/ledger.db")
        if not path.exists():
            print(f"making a ledger of {COUNT:,} attachments: {path}", flush=True)
            fill(path, COUNT)
        ask(path, QUESTIONS)
        smaller = Path(temporary, "smaller.db")
        fill(smaller, SMALLER)
        ask(smaller, QUESTIONS | ALL_ELSE)


if __name__ == "__main__":
    main()
