"""What a person decides, by the command line, on every database: what an option says is heeded, or refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mo_sync.errors import UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.verdicts import Verdict
from tests.commands import Called, call
from tests.contract.conftest import House
from tests.ledgers import announced, column, failed, later, recorded, rows, settlement, stored

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


def test_all_of_them_and_some_by_name_is_a_contradiction(resting: Ledger, asked: Ask) -> None:
    before = rows(resting, "select * from attachment order by id")

    for deed in Deed:
        with pytest.raises(UsageError, match="two-choices"):
            asked(deed, "A1", "--all")

    assert rows(resting, "select * from attachment order by id") == before


@pytest.fixture
def judged(ledger: Ledger) -> Ledger:
    """Two attachments that are held, then three that are quarantined."""
    recorded(ledger, *(announced(f"H{n}", f"MH{n}", [f"H{n}"]) for n in range(2)))
    intervene(ledger, Deed.HOLD, Choice(), now=later(0), give_up_after_s=9.0, by=By())
    recorded(ledger, *(announced(f"Q{n}", f"MQ{n}", [f"Q{n}"]) for n in range(3)), now=later(1))
    leases = claim(ledger, worker="w", count=9, now=later(1), lease_s=60)
    condemned = [settlement(lease, stored(lease, quarantined=True, reason="virus"), now=later(2)) for lease in leases]
    settle(ledger, condemned, worker="w")
    return ledger


@pytest.mark.parametrize(
    ("words", "released", "let_out"),
    [
        (["--state", "quarantined", "--limit", "1"], 0, 1),
        (["Q0", "Q1", "Q2", "--limit", "2"], 0, 2),
        (["--state", "held,quarantined", "--limit", "3"], 2, 1),
        (["--state", "held,quarantined", "--limit", "2"], 2, 0),
        (["--state", "held,quarantined"], 2, 3),
    ],
)
def test_no_more_than_the_limit_are_released_whichever_they_are(
    judged: Ledger, asked: Ask, words: list[str], released: int, let_out: int
) -> None:
    dry = asked("release", *words, "--dry-run", "--json").document
    assert (dry["released"], dry["let_out"]) == (released, let_out)

    done = asked("release", *words, "--json")

    # Their files were never there, so that whichever was tried is told.
    assert done.document["released"] == released
    assert len(done.document["still_quarantined"]) == let_out
    assert column(judged, "select count(*) from attachment where state = 'held'") == [2 - released]
