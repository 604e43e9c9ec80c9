"""``docs/datasette.yaml`` in a real Datasette: every canned query answers, with what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from mo_sync.clock import SystemClock
from mo_sync.events import RawEvent, parse
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.erasure import erase_message
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.ledger.schema import metadata
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.verdicts import Verdict
from tests.ledgers import announced, failed, later, raw, recorded, settlement, stored

PAGE = Path(__file__).parents[2] / "docs" / "datasette.yaml"
DATABASE = yaml.safe_load(PAGE.read_text())["databases"]["ledger"]
PARAMETERS = {"attachment": "A1", "message": "M1", "number": "+14086080000"}


@pytest.fixture(scope="module")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with something for every query."""
    path = tmp_path_factory.mktemp("datasette") / "ledger.db"
    now = SystemClock().now()
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(5)), now=later(0))
        bad = raw(b"nonsense")
        recorded(ledger, (bad, parse(bad)))
        lost, said = announced("E9", "M9", ["A9"])
        recorded(ledger, (RawEvent("inbox:17226", lost.body, now), said))
        leases = {one.attachment_id: one for one in claim(ledger, worker="w", count=3, now=later(0), lease_s=60)}
        names = sorted(leases)
        settle(ledger, [settlement(leases[names[0]], stored(leases[names[0]]), now=now)], worker="w")
        settle(ledger, [settlement(leases[names[1]], failed(Verdict.PERMANENT), now=now)], worker="w")
        intervene(ledger, Deed.HOLD, Choice(ids=["A1", "A4"]), now=now, give_up_after_s=9.0, by=By("me", "why not"))
        intervene(ledger, Deed.RETRY, Choice(ids=[names[1]]), now=now, give_up_after_s=9.0, by=By("me"))
        idle = next(n for n in range(5) if f"A{n}" not in names)
        erase_message(ledger, f"M{idle}", By("me"), now=now)
    return path


def answer(ledger_file: Path, path: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "datasette", "serve", str(ledger_file), "--metadata", str(PAGE), "--get", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", DATABASE["queries"])
def test_a_canned_query_answers(ledger_file: Path, name: str) -> None:
    asked = urlencode({**PARAMETERS, "_shape": "objects"})

    found = answer(ledger_file, f"/ledger/{name}.json?{asked}")

    assert found["ok"], found
    assert found["rows"], "it finds nothing, though there is something of everything"


def test_every_table_that_is_described_is_there() -> None:
    assert set(DATABASE["tables"]) <= {*metadata.tables, "alembic_version"}
    described = {name: table["description"] for name, table in DATABASE["tables"].items() if "description" in table}
    for name, words in described.items():
        assert metadata.tables[name].comment.startswith(words.rstrip(".").split(",")[0])
