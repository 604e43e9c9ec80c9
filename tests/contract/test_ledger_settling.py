"""What came of a claim is written down whole, once, and only by who still holds the lease."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mo_sync.backoff import Policy
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, expire, extend, give_back, owned, settle
from mo_sync.lifecycle import Claim, Interrupted, Outcome, Refused, Rest, Standing, State, Transition
from mo_sync.verdicts import Step, Verdict
from tests.ledgers import announced, column, failed, items, later, one, recorded, rows, settlement, stored

POLICY = Policy()


def lent(ledger: Ledger, count: int = 10, *, at_s: float = 0.0) -> list[Claim]:
    return claim(ledger, worker="w1", count=count, now=later(at_s), lease_s=60.0)


@pytest.fixture
def got(ledger: Ledger) -> Claim:
    """The only attachment, lent."""
    recorded(ledger, announced("E1"))
    [lease] = lent(ledger)
    return lease


def settled(ledger: Ledger, lease: Claim, outcome: Outcome, *, at_s: float = 10.0) -> bool:
    [mine] = settle(ledger, [settlement(lease, outcome, now=later(at_s))], worker="w1")
    return mine


def everything(ledger: Ledger) -> list[list[dict[str, Any]]]:
    return [rows(ledger, f"select * from {table} order by 1") for table in ("attachment", "attempt", "application")]


ATTACHMENT = (
    "state, attempts, absences, lease, lease_until, location, size, sha256, content_type, header_type, filename, "
    "error, error_step, error_status, error_code"
)
NOTHING = dict.fromkeys(ATTACHMENT.split(", ")) | {"attempts": 1, "absences": 0}
FILE = {
    "location": "2026/11/19/M1/0-A1.jpg",
    "size": 20_480,
    "sha256": "ab" * 32,
    "content_type": "image/jpeg",
    "header_type": "image/jpg",
    "filename": "cat.jpg",
}
ANSWER = {"error": "the gateway answered an error", "error_step": "content", "error_status": 500, "error_code": "5000"}
TRY = {"step": None, "status": None, "code": None, "bytes": None, "error": None}

OUTCOMES: dict[str, tuple[Outcome, dict[str, Any], dict[str, Any]]] = {
    "stored": (
        "stored",  # type: ignore[dict-item]  # needs the claim: made in the test
        {"state": "stored", **FILE},
        {"outcome": "stored", "bytes": 20_480},
    ),
    "quarantined": (
        "quarantined",  # type: ignore[dict-item]
        {"state": "quarantined", "error": "its scan says INFECTED", **FILE},
        {"outcome": "quarantined", "bytes": 20_480, "error": "its scan says INFECTED"},
    ),
    "refused": (
        Refused("too-large", "600 MB is more than 500 MB", received_bytes=5),
        {
            "state": "refused",
            "error": "600 MB is more than 500 MB",
            "error_step": "policy",
            "error_code": "too-large",
        },
        {"outcome": "refused", "code": "too-large", "bytes": 5, "error": "600 MB is more than 500 MB"},
    ),
    "interrupted": (
        Interrupted("the disk is full"),
        {"state": "pending", "attempts": 0, "error": "the disk is full"},
        {"outcome": "interrupted", "error": "the disk is full"},
    ),
    "failed for now": (
        failed(),
        {"state": "pending", **ANSWER},
        {"outcome": "retry", "step": "content", "status": 500, "code": "5000", "bytes": 17, "error": ANSWER["error"]},
    ),
    "failed for good": (
        failed(Verdict.PERMANENT, status=410),
        {"state": "failed", **ANSWER, "error_status": 410},
        {
            "outcome": "permanent",
            "step": "content",
            "status": 410,
            "code": "5000",
            "bytes": 17,
            "error": ANSWER["error"],
        },
    ),
    "absent": (
        failed(Verdict.ABSENT, status=404),
        {"state": "pending", "absences": 1, **ANSWER, "error_status": 404},
        {"outcome": "absent", "step": "content", "status": 404, "code": "5000", "bytes": 17, "error": ANSWER["error"]},
    ),
    "no answer": (
        failed(status=None, code="connect-failed"),
        {"state": "pending", **ANSWER, "error_status": None, "error_code": "connect-failed"},
        {"outcome": "retry", "step": "content", "code": "connect-failed", "bytes": 17, "error": ANSWER["error"]},
    ),
}


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_outcome_writes_its_columns_and_its_attempt(ledger: Ledger, got: Claim, kind: str) -> None:
    outcome, attachment, attempt = OUTCOMES[kind]
    if isinstance(outcome, str):
        quarantined = {"quarantined": True, "reason": "its scan says INFECTED"} if kind == "quarantined" else {}
        outcome = stored(got, filename="cat.jpg", **quarantined)

    assert settled(ledger, got, outcome) is True

    assert one(ledger, f"select {ATTACHMENT} from attachment") == NOTHING | attachment
    assert one(ledger, f"select number, worker, {', '.join(TRY)}, outcome from attempt") == TRY | attempt | {
        "number": 1,
        "worker": "w1",
    }
    due, at_rest = one(ledger, "select due_at, stored_at from attachment").values()
    assert (due is not None) == (attachment["state"] == "pending")
    assert (at_rest is not None) == (attachment["state"] in ("stored", "quarantined"))


def test_an_attempt_knows_when_it_began_and_ended(ledger: Ledger, got: Claim) -> None:
    settled(ledger, got, stored(got), at_s=10)

    [row] = rows(ledger, "select started_at, finished_at from attempt")
    shown = [str(value).replace(" ", "T")[:26] for value in row.values()]
    assert [text[:19] for text in shown] == ["2026-11-20T12:00:09", "2026-11-20T12:00:10"]


def test_a_file_that_is_stored_at_last_leaves_no_error_behind(ledger: Ledger, got: Claim) -> None:
    settled(ledger, got, failed(), at_s=1)
    [again] = lent(ledger, at_s=4000)
    assert again.attempts == 1

    settled(ledger, again, stored(again), at_s=4001)

    found = one(ledger, "select state, attempts, error, error_step, error_status, error_code from attachment")
    assert found == {
        "state": "stored",
        "attempts": 2,
        "error": None,
        "error_step": None,
        "error_status": None,
        "error_code": None,
    }
    assert column(ledger, "select outcome from attempt order by number") == ["retry", "stored"]


def test_an_interruption_does_not_hide_what_the_last_failure_was(ledger: Ledger, got: Claim) -> None:
    """``error`` says why it is not stored now; the other columns are about the last failure."""
    settled(ledger, got, failed(), at_s=1)
    [again] = lent(ledger, at_s=4000)

    settled(ledger, again, Interrupted("stopped"), at_s=4001)

    found = one(ledger, "select attempts, error, error_step, error_status, error_code from attachment")
    assert found == {"attempts": 1, **ANSWER, "error": "stopped"}


LOSSES = {
    "ran out": lambda ledger, lease: expire(ledger, now=later(60)),
    "was given back": lambda ledger, lease: give_back(ledger, [lease], now=later(1), reason="stopped"),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("lent_again", [False, True], ids=["waits", "lent again"])
@pytest.mark.parametrize("verdict", [None, Verdict.HOLD], ids=["stored", "held"])
def test_who_lost_the_lease_changes_nothing_at_all(
    ledger: Ledger, got: Claim, loss: str, lent_again: bool, verdict: Verdict | None
) -> None:
    """P7: no attachment, no attempt, no application."""
    LOSSES[loss](ledger, got)
    if lent_again:
        assert len(lent(ledger, at_s=70)) == 1
    before = everything(ledger)

    assert settled(ledger, got, failed(verdict, status=401) if verdict else stored(got), at_s=80) is False

    assert everything(ledger) == before


def test_a_batch_settles_what_is_ours_and_tells_what_is_not(ledger: Ledger) -> None:
    recorded(ledger, *items(4))
    first, lost, third, fourth = lent(ledger)
    give_back(ledger, [lost], now=later(1), reason="stopped")
    batch = [
        settlement(first, stored(first), now=later(5)),
        settlement(lost, stored(lost), now=later(5)),
        settlement(third, failed(), now=later(5)),
        settlement(fourth, Refused("type", "text/html is not allowed"), now=later(5)),
    ]

    assert settle(ledger, batch, worker="w1") == [True, False, True, True]

    found = rows(ledger, "select id, state from attachment")
    assert {row["id"]: row["state"] for row in found} == {
        first.attachment_id: "stored",
        lost.attachment_id: "pending",
        third.attachment_id: "pending",
        fourth.attachment_id: "refused",
    }
    assert settle(ledger, [], worker="w1") == []
    assert settle(ledger, batch, worker="w1") == [False] * 4


def test_a_settlement_that_fails_in_its_middle_leaves_the_claims_as_they_were(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, *items(3))
    batch = [settlement(lease, stored(lease), now=later(5)) for lease in lent(ledger)]
    before = everything(ledger)

    def trouble(*_: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("mo_sync.ledger.applications.tell", trouble)
    with pytest.raises(RuntimeError, match="in the middle"):
        settle(ledger, batch, worker="w1")
    monkeypatch.undo()

    assert everything(ledger) == before
    assert settle(ledger, batch, worker="w1") == [True] * 3


def test_ten_thousand_claims_are_lent_extended_and_settled_at_once(ledger: Ledger) -> None:
    """The most that sync.batch allows: a statement has only so many parameters."""
    recorded(ledger, *items(100, attachments=100))
    leases = lent(ledger, 10_000)
    batch = [settlement(lease, stored(lease), now=later(5)) for lease in leases]

    assert len(extend(ledger, leases, until=later(500))) == 10_000
    assert len(owned(ledger, leases)) == 10_000
    assert settle(ledger, batch, worker="w1") == [True] * 10_000

    assert one(ledger, "select count(*) n from attempt where number = 1") == {"n": 10_000}


def test_two_who_settle_the_same_claim_at_the_same_moment_leave_one_attempt(ledger: Ledger) -> None:
    recorded(ledger, *items(60))
    leases = lent(ledger, 60)
    outcomes: list[list[bool]] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        mine = leases[number * 15 :] + leases[: number * 15]  # another order for each, as for a deadlock
        start.wait()
        for begin in range(0, 60, 20):
            batch = [settlement(lease, stored(lease), now=later(5)) for lease in mine[begin : begin + 20]]
            outcomes.append(settle(ledger, batch, worker=f"w{number}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(sum(told) for told in outcomes) == 60
    assert len(outcomes) == 12
    assert one(ledger, "select count(*) n from attempt") == {"n": 60}


def application(ledger: Ledger) -> dict[str, Any]:
    return one(ledger, "select state, reason from application")


def hold(
    ledger: Ledger, leases: Sequence[Claim], verdict: Verdict, *, at_s: float, after_s: float | None = None
) -> None:
    outcome = failed(verdict, status=429 if verdict is Verdict.THROTTLED else 401)
    batch = [settlement(lease, outcome, now=later(at_s), took_s=9.0) for lease in leases]
    if after_s is not None:
        standing = Standing.HELD if verdict is Verdict.HOLD else Standing.THROTTLED
        asked = Transition(State.PENDING, 0, later(after_s), "asked to wait", rest=Rest(standing, later(after_s), 1))
        batch = [replace(said, transition=asked) for said in batch]
    assert settle(ledger, batch, worker="w1") == [True] * len(batch)


def test_trouble_of_an_application_is_written_once_for_a_whole_batch(ledger: Ledger) -> None:
    """P10."""
    recorded(ledger, *items(20))
    leases = lent(ledger, 20)

    hold(ledger, leases, Verdict.HOLD, at_s=10)

    assert application(ledger) == {"state": "held", "reason": "the gateway answered an error"}
    assert column(ledger, "select distinct attempts from attachment") == [0]
    assert lent(ledger, at_s=10) == []


@pytest.mark.parametrize(("first_s", "second_s", "resting_s"), [(500, 100, 500), (100, 500, 500)])
def test_a_rest_never_becomes_shorter(ledger: Ledger, first_s: float, second_s: float, resting_s: float) -> None:
    recorded(ledger, *items(3))
    one_, other, waiting = lent(ledger)
    give_back(ledger, [waiting], now=later(1), reason="test")

    hold(ledger, [one_], Verdict.HOLD, at_s=10, after_s=first_s)
    hold(ledger, [other], Verdict.THROTTLED, at_s=11, after_s=second_s)

    assert lent(ledger, at_s=resting_s - 1) == []
    assert waiting.attachment_id in [lease.attachment_id for lease in lent(ledger, at_s=resting_s)]
    assert application(ledger)["state"] == ("held" if first_s > second_s else "throttled")


def test_in_one_batch_the_longest_rest_counts(ledger: Ledger) -> None:
    recorded(ledger, *items(3))
    leases = lent(ledger)
    outcome = failed(Verdict.THROTTLED, status=429)
    asked = [
        settlement(
            lease,
            type(outcome)(Step.MINT, 429, None, Verdict.THROTTLED, "slow down", retry_after_s=wait),
            now=later(10),
        )
        for lease, wait in zip(leases, (100.0, 900.0, 200.0), strict=True)
    ]
    settle(ledger, asked, worker="w1")

    assert lent(ledger, at_s=10 + 899) == []
    assert len(lent(ledger, at_s=10 + 900)) >= 1


def test_a_file_that_comes_after_the_rest_ends_the_trouble(ledger: Ledger) -> None:
    recorded(ledger, *items(2))
    one_, other = lent(ledger)
    hold(ledger, [one_], Verdict.HOLD, at_s=10, after_s=100)

    early = settlement(other, stored(other), now=later(50), took_s=45.0)
    assert settle(ledger, [early], worker="w1") == [True]
    assert application(ledger)["state"] == "held"

    [again] = lent(ledger, at_s=101)
    assert settle(ledger, [settlement(again, stored(again), now=later(110))], worker="w1") == [True]
    assert application(ledger) == {"state": "active", "reason": None}
    assert one(ledger, "select until from application") == {"until": None}


def test_what_was_asked_for_before_the_trouble_does_not_end_it(ledger: Ledger) -> None:
    """A long fetch that began before the token was refused proves nothing about the token."""
    recorded(ledger, *items(2))
    one_, other = lent(ledger)
    hold(ledger, [one_], Verdict.HOLD, at_s=10, after_s=100)

    said = settlement(other, stored(other), now=later(200), took_s=195.0)
    assert said.started_at == later(200) - timedelta(seconds=195)
    settle(ledger, [said], worker="w1")

    assert application(ledger)["state"] == "held"


def test_one_outcome_that_cannot_be_written_ends_by_itself_and_costs_no_other(ledger: Ledger) -> None:
    """P3, for what comes out as for what comes in: PostgreSQL takes no NUL, SQLite no number of 70 bits."""
    recorded(ledger, *items(3))
    first, bad, last = lent(ledger)
    poison = stored(bad, header_type="image/jpeg\0x") if ledger.dialect == "postgresql" else stored(bad, size=1 << 70)
    batch = [
        settlement(lease, outcome) for lease, outcome in ((first, stored(first)), (bad, poison), (last, stored(last)))
    ]

    assert settle(ledger, batch, worker="w1") == [True] * 3

    assert column(ledger, "select state from attachment order by id") == ["stored", "failed", "stored"]
    told = one(ledger, "select error_code, error, attempts from attachment where state = 'failed'")
    assert (told["error_code"], told["attempts"]) == ("unwritable", 1)
    assert "could not be recorded" in told["error"]
    assert one(ledger, "select count(*) n from attempt") == {"n": 3}
