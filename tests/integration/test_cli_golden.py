"""What every command about the ledger says, word for word, on a generated ledger of 100,000 attachments.

``tests/data/golden/`` holds it, once as a pipe gets it and once as it stands on a terminal. After a change that is
meant: ``MO_SYNC_GOLDEN=write python -m pytest tests/integration/test_cli_golden.py``, and look at the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from benchmarks.ledger import fill
from tests.site import Site
from tests.terminal import in_terminal

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
COUNT = 100_000
WRITE = os.environ.get("MO_SYNC_GOLDEN") == "write"

READING = {
    "status": ["status", "--utc"],
    "status-json": ["status", "--json"],
    "list": ["list", "--utc", "--limit", "5"],
    "list-json": ["list", "--json", "--limit", "2"],
    "list-failed": ["list", "--utc", "--state", "failed,missing", "--limit", "5"],
    "list-problems": ["list", "--utc", "--problems", "--limit", "5"],
    "list-sender": ["list", "--utc", "--from", "+14080007919", "--reveal"],
    "list-receiver": ["list", "--utc", "--to", "18322222222", "--limit", "3"],
    "list-error": ["list", "--utc", "--error", "4040", "--limit", "3"],
    "list-nothing": ["list", "--application", "nobody"],
    "show": ["show", "--utc", "SAMPLE"],
    "show-json": ["show", "--json", "SAMPLE"],
    "show-unknown": ["show", "nobody"],
    "show-ambiguous": ["show", "A0000"],
    "retry": ["retry", "--state", "failed", "--dry-run"],
    "hold": ["hold", "--application", "2", "--dry-run"],
    "release": ["release", "--state", "held", "--dry-run"],
    "cancel": ["cancel", "--state", "missing", "--dry-run", "--json"],
    "erase": ["erase", "--from", "+14080007919", "--dry-run"],
    "prune": ["prune", "--dry-run"],
    "replay": ["replay", "--state", "rejected", "--dry-run"],
    "export": ["export", "attempts", "--since", "2020-10-29T19:32:00Z", "--format", "csv"],
    "follow": ["follow", "--once", "--cursor", "e99998.a99998.i0"],
    "gaps": ["gaps", "--since", "1d"],
    "gaps-json": ["gaps", "--since", "1d", "--json"],
    "backfill": ["backfill", "--since", "1d", "--dry-run"],
    "verify-empty": ["verify", "--sample", "0.05%"],
    "retry-nothing": ["retry"],
    "list-state-unknown": ["list", "--state", "faild"],
}
# What depends on when and where it is asked.
CHANGING = (
    (re.compile(r"\d+(\.\d+)? (d|h|min|s)\b( \d+ (h|min|s))?"), "AGE"),
    (re.compile(r"[\d.,]+ [kMGT]?B are free"), "ROOM are free"),
    (re.compile(r'"free_bytes": \d+'), '"free_bytes": ROOM'),
    (re.compile(r"/\S*/site\b"), "/site"),
    (re.compile(r"20(2[6-9]|[3-9]\d)-\d\d-\d\dT[\d:.]+Z"), "NOW"),  # the ledger's own are of 2020
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("golden") / "site", "http://127.0.0.1:9")
    site.configure({**site.tables, "retention": {"failed": "1d", "messages": "1d"}})
    site.media.mkdir()
    fill(site.root / "ledger.db", COUNT)
    return site


def sample(site: Site) -> str:
    """One that failed."""
    [(attachment_id,)] = site.query("select id from attachment where state = 'failed' order by created_at limit 1")
    return str(attachment_id)


def told(text: str) -> str:
    for changing, name in CHANGING:
        text = changing.sub(name, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def check(name: str, said: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(said)
    assert said == path.read_text()


@pytest.mark.parametrize("name", READING)
def test_what_a_command_says_to_a_pipe(site: Site, name: str) -> None:
    words = [sample(site) if word == "SAMPLE" else word for word in READING[name]]

    done = site.run("ledger", *words)

    check(name, f"exit code {done.returncode}\n{told(done.stdout)}---\n{told(done.stderr)}")


ON_A_TERMINAL = (
    *("status", "list", "list-problems", "list-nothing", "show", "show-unknown", "verify-empty", "gaps", "backfill"),
    *("retry", "hold", "release", "cancel", "erase", "prune", "replay", "export", "follow"),
)


@pytest.mark.parametrize("name", ON_A_TERMINAL)
def test_what_stands_on_a_terminal(site: Site, name: str) -> None:
    words = [sample(site) if word == "SAMPLE" else word for word in READING[name]]

    seen = in_terminal(site.start, "ledger", *words, columns=120, COLUMNS="120")

    check(f"{name}-terminal", f"exit code {seen.returncode}\n{told(chr(10).join(seen.lines))}")


def test_every_command_is_among_them() -> None:
    from mo_sync.cli.ledger import COMMANDS

    there = COMMANDS.keys() - {"backup"}  # tested by what it wrote
    assert {words[0] for words in READING.values()} == there
    assert {READING[name][0] for name in ON_A_TERMINAL} == there


def test_there_is_nothing_among_the_golden_that_nobody_asks_for() -> None:
    wanted = {f"{name}.txt" for name in (*READING, *(f"{name}-terminal" for name in ON_A_TERMINAL))}

    assert {path.name for path in GOLDEN.iterdir()} == wanted
