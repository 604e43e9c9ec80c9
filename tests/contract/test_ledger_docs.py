"""``docs/ledger.md`` says what the schema says, and every query on it runs."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.schema import metadata
from mo_sync.ledger.views import COMMENTS, statements
from mo_sync.lifecycle import State
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.verdicts import Verdict
from tests.ledgers import announced, failed, items, later, recorded, settlement, stored

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
[BLOCK] = re.findall(r"^```sql\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
QUERIES = [query.strip() for query in BLOCK.split(";") if query.strip()]
QUERIES += re.findall(r'^sqlite3 -readonly ledger.db "(.*)"$', PAGE, flags=re.MULTILINE)


def test_every_table_is_there_and_no_other() -> None:
    assert SECTIONS.keys() == metadata.tables.keys()


@pytest.mark.parametrize("name", metadata.tables)
def test_a_table_and_its_columns_mean_what_the_schema_says(name: str) -> None:
    table = metadata.tables[name]

    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", SECTIONS[name], flags=re.MULTILINE))

    assert told == {column.name: column.comment for column in table.columns}
    assert SECTIONS[name].startswith(f"{table.comment}\n")


def test_every_view_is_there_and_means_what_the_code_says() -> None:
    told = dict(re.findall(r"^- `(v_\w+)`: (.*)$", PAGE, flags=re.MULTILINE))

    assert told == COMMENTS
    assert COMMENTS.keys() == statements("sqlite").keys()


def test_every_state_is_there() -> None:
    states = PAGE.partition("## States of an attachment")[2].partition("## ")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", states, flags=re.MULTILINE) for name in row.split(", ")}

    assert told == {f"`{state}`" for state in State}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with something of everything, still open elsewhere when it is read."""
    path = tmp_path_factory.mktemp("docs") / "ledger.db"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        recorded(ledger, *items(6), announced("E0", "M0", ["A0-0"]))
        leases = claim(ledger, worker="w", count=5, now=later(0), lease_s=60)
        outcomes = [stored(leases[0]), stored(leases[1]), failed(), failed(Verdict.HOLD, status=401)]
        batch = [settlement(lease, outcome, now=later(1)) for lease, outcome in zip(leases, outcomes, strict=False)]
        settle(ledger, batch, worker="w")
    return path


def test_there_are_queries() -> None:
    assert len(QUERIES) >= 12


@pytest.mark.parametrize("query", QUERIES, ids=[query.splitlines()[0].strip("- ") for query in QUERIES])
def test_a_query_runs_on_a_ledger_that_is_in_use(sample: Path, query: str) -> None:
    with Ledger.open(LedgerSettings(url=f"sqlite:///{sample}")) as ledger, ledger.begin():
        reader = sqlite3.connect(f"file:{sample}?mode=ro", uri=True, timeout=0)
        found = reader.execute(query)
        names = [column[0] for column in found.description]
        rows = found.fetchall()
        reader.close()

    assert names
    assert all(len(row) == len(names) for row in rows)


def test_the_queries_find_what_they_look_for(sample: Path) -> None:
    reader = sqlite3.connect(f"file:{sample}?mode=ro", uri=True)
    found = {query.splitlines()[0]: len(reader.execute(query).fetchall()) for query in QUERIES}
    reader.close()

    for title in ("How much there is", "What waits", "Who works", "Applications that rest", "came more than once"):
        assert any(count for name, count in found.items() if title in name), title
