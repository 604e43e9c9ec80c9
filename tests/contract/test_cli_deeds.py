"""What a person decides, by the command line, on every database: what an option says is heeded, or refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mo_sync.errors import UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.verdicts import Verdict
from tests.commands import Called, call
from tests.contract.conftest import House
from tests.ledgers import announced, column, failed, later, recorded, rows, settlement

Ask = Callable[..., Called]


@pytest.fixture
def asked(house: House, tmp_path: Path) -> Ask:
    """Call ``mo-sync ledger …`` on the test's ledger."""

    def ask(*words: str) -> Called:
        return call(house.url, tmp_path, "ledger", *words)

    return ask


@pytest.fixture
def resting(ledger: Ledger) -> Ledger:
    """Two applications that are held."""
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"], application_id=n) for n in "12"))
    leases = claim(ledger, worker="w", count=9, now=later(0), lease_s=60)
    refused = failed(Verdict.HOLD, status=401, code="4010")
    settle(ledger, [settlement(lease, refused, now=later(1)) for lease in leases], worker="w")
    return ledger


@pytest.mark.parametrize(("words", "meant"), [(["--application", "2"], ["2"]), (["--all-applications"], ["1", "2"])])
def test_a_dry_run_only_tells_which_applications_would_be_tried(
    resting: Ledger, asked: Ask, words: list[str], meant: list[str]
) -> None:
    before = rows(resting, "select * from application order by id")

    dry, document = asked("release", *words, "--dry-run"), asked("release", *words, "--dry-run", "--json").document

    assert dry.out == f"would be tried at once: {', '.join(meant)}\n"
    assert document == {"released": meant, "dry_run": True}
    assert rows(resting, "select * from application order by id") == before
    assert asked("release", *words).out == f"tried at once: {', '.join(meant)}\n"
    assert asked("release", "--application", "3", "--dry-run").out == "none of them rests\n"


@pytest.mark.parametrize("option", ["--limit", "--reason"])
def test_what_says_nothing_about_applications_is_refused(resting: Ledger, asked: Ask, option: str) -> None:
    before = column(resting, "select until from application order by id")

    with pytest.raises(UsageError, match="option-without-meaning") as caught:
        asked("release", "--all-applications", option, "1")

    assert caught.value.item == option
    assert column(resting, "select until from application order by id") == before
