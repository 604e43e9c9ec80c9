"""What a person decides, by the command line, on every database: what an option says is heeded, or refused in words."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence

import pytest

from mo_sync.cli import lettingout
from mo_sync.errors import UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.erasure import erase_attachment
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.ledger.retention import retire
from mo_sync.lifecycle import State
from mo_sync.upkeep import quarantine
from mo_sync.verdicts import Verdict
from tests.contract.conftest import Ask
from tests.ledgers import announced, column, failed, later, recorded, rows, settlement, stored


@pytest.fixture
def resting(ledger: Ledger) -> Ledger:
    """Two applications that are held."""
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"], application_id=n) for n in "12"))
    leases = claim(ledger, worker="w", count=9, now=later(0), lease_s=60)
    refused = failed(Verdict.HOLD, status=401, code="4010")
    settle(ledger, [settlement(lease, refused, now=later(1)) for lease in leases], worker="w")
    return ledger


def test_a_dry_run_only_tells_which_applications_would_be_tried(resting: Ledger, asked: Ask) -> None:
    before = rows(resting, "select * from application order by id")

    assert asked("release", "--application", "2", "--dry-run").out == "would be tried at once: 2\n"
    assert asked("release", "--application", "3", "--dry-run").out == "none of them rests\n"
    dry = asked("release", "--all-applications", "--dry-run", "--json").document
    assert dry == {"released": ["1", "2"], "dry_run": True}

    assert rows(resting, "select * from application order by id") == before
    assert asked("release", "--all-applications").out == "tried at once: 1, 2\n"


def test_what_says_nothing_about_applications_is_refused(resting: Ledger, asked: Ask) -> None:
    before = column(resting, "select until from application order by id")

    for option in ("--limit", "--reason"):
        with pytest.raises(UsageError, match="option-without-meaning"):
            asked("release", "--all-applications", option, "1")

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


def test_no_more_than_the_limit_are_released_whichever_they_are(judged: Ledger, asked: Ask) -> None:
    def would(*words: str) -> tuple[int, int]:
        told = asked("release", *words, "--dry-run", "--json").document
        return told["released"], told["let_out"]

    assert would("--state", "quarantined", "--limit", "1") == (0, 1)
    assert would("Q0", "Q1", "Q2", "--limit", "2") == (0, 2)
    assert would("--state", "held,quarantined", "--limit", "2") == (2, 0)
    assert would("--state", "held,quarantined") == (2, 3)

    done = asked("release", "--state", "held,quarantined", "--limit", "3", "--json").document

    # No file of theirs was ever there, so that those that were tried are told.
    assert (done["released"], list(done["still_quarantined"])) == (2, ["Q0"])
    assert column(judged, "select count(*) from attachment where state = 'held'") == [0]


def test_what_is_being_pruned_was_not_erased_on_request(ledger: Ledger, asked: Ask) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'failed' where id = 'A1'")
    retire(ledger, state=State.FAILED, before=later(9), now=later(9), count=9)
    stand_in = erase_attachment(ledger, "A2", By("me"), now=later(9)).attachments[0]

    assert asked("retry", "A1").out == "A1 was left alone: it was kept long enough, and is being pruned\n"
    assert asked("retry", "A2").out == f"{stand_in} was left alone: it was erased on request\n"


def test_a_dry_run_counts_by_state_for_a_program_too(judged: Ledger, asked: Ask) -> None:
    would = asked("cancel", "--all", "--dry-run", "--json").document

    assert (would["cancelled"], would["by_state"]) == (2, {"held": 2})
    assert "by_state" not in asked("cancel", "--all", "--json").document


def test_who_is_interrupted_lets_out_the_one_that_was_begun_and_says_how_many_are_left(
    judged: Ledger, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[Callable[[int], object]] = []

    @contextlib.contextmanager
    def hearing(_: Sequence[int], act: Callable[[int], object], **__: object) -> Iterator[None]:
        acts.append(act)
        yield

    def interrupted(*_: object, **__: object) -> None:
        acts[0](signal.SIGINT)

    monkeypatch.setattr(lettingout, "heard", hearing)
    monkeypatch.setattr(quarantine, "release", interrupted)
    called = asked("release", "--state", "quarantined")

    assert called.exit_code == 130
    assert called.out.startswith("1 let out of quarantine")
    assert called.err == "interrupted: 2 are still quarantined\n"


def test_where_all_is_kept_for_ever_pruning_is_no_error(ledger: Ledger, asked: Ask) -> None:
    told, document = asked("prune"), asked("prune", "--json", "--dry-run").document

    assert (told.exit_code, told.out.split(":")[0]) == (0, "nothing is pruned")
    assert document == {"dry_run": True, "pruned": {}, "left": {}, "left_count": 0, "whole": True}


@pytest.mark.parametrize("given", ["", " ", "\t"])
def test_an_option_that_was_told_nothing_does_not_mean_all(ledger: Ledger, asked: Ask, given: str) -> None:
    recorded(ledger, announced("E1"), announced("E2", "M2", ["A2"]))
    choosing = ("--error", "--application", "--from", "--to", "--since", "--until")
    taking = {("list",): choosing, ("export", "attachments"): choosing}
    taking |= {(deed.value,): choosing for deed in Deed}
    taking |= dict.fromkeys([("gaps",), ("backfill", "--since", "1d")], ("--application", "--until"))
    before = rows(ledger, "select * from attachment order by id")

    for words, options in taking.items():
        for option in options:
            with pytest.raises(UsageError, match=f"option-empty: {option}: it was told nothing"):
                asked(*words, option, given)
    with pytest.raises(UsageError, match="option-empty: --application"):
        asked("release", "--state", "held", "--application", given)

    assert rows(ledger, "select * from attachment order by id") == before
