"""What is listed, by the command line, on every database: each option narrows, whatever stands beside it."""

from __future__ import annotations

from mo_sync.ledger import Ledger
from tests.contract.conftest import Ask
from tests.ledgers import announced, recorded


def test_of_the_problems_only_those_in_a_state_that_was_named(ledger: Ledger, asked: Ask) -> None:
    states = ("failed", "held", "missing")
    recorded(ledger, *(announced(f"E{state}", f"M{state}", [f"A{state}"]) for state in states))
    with ledger.begin() as connection:
        for state in states:
            connection.exec_driver_sql(f"update attachment set state = '{state}' where id = 'A{state}'")

    def listed(*words: str) -> list[str]:
        found = asked("list", "--problems", "--json", *words).document["attachments"]
        return sorted(row["state"] for row in found)

    assert listed() == ["failed", "missing"]
    assert listed("--state", "failed") == ["failed"]
    assert listed("--state", "held,missing") == ["missing"]
    assert listed("--state", "held") == []
