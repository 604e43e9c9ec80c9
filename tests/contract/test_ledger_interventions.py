"""What a person may do to attachments, on every database: what is chosen, what is left alone, what becomes of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from mo_sync.ledger import Ledger, queries
from mo_sync.ledger import interventions as module
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.filters import Filters
from mo_sync.ledger.interventions import FROM, By, Choice, Deed, intervene, would
from mo_sync.lifecycle import Interrupted, State
from mo_sync.verdicts import Verdict
from tests.contract.conftest import House
from tests.ledgers import announced, column, failed, later, one, recorded, rows, settlement

BECOMES = {Deed.RETRY: "pending", Deed.HOLD: "held", Deed.RELEASE: "pending", Deed.CANCEL: "cancelled"}


ME = By("me", "why not")


def in_each_state(ledger: Ledger) -> None:
    recorded(ledger, *(announced(f"E{state}", f"M{state}", [f"A{state}"], application_id="1") for state in State))
    with ledger.begin() as connection:
        for state in State:
            lease = "'x'" if state is State.FETCHING else "null"
            connection.exec_driver_sql(
                f"update attachment set state = '{state}', lease = {lease}, attempts = 5, absences = 2, "
                f"error = 'because', error_code = '4{len(state)}' where id = 'A{state}'"
            )


def do(ledger: Ledger, deed: Deed, choice: Choice | None = None, *, at: float = 100, by: By = ME) -> int:
    return intervene(ledger, deed, choice or Choice(), now=later(at), give_up_after_s=500.0, by=by)


@pytest.mark.parametrize("deed", Deed)
def test_each_takes_out_of_the_states_that_a_person_may_end_and_of_no_other(ledger: Ledger, deed: Deed) -> None:
    in_each_state(ledger)

    assert would(ledger, deed, Choice()) == dict.fromkeys(FROM[deed], 1)
    assert do(ledger, deed) == len(FROM[deed])

    found = {row["id"]: row for row in rows(ledger, "select id, state, attempts, error, due_at, lease from attachment")}
    for state in State:
        row = found[f"A{state}"]
        assert row["state"] == (BECOMES[deed] if state in FROM[deed] else state)
        if state not in FROM[deed]:
            assert (row["attempts"], row["error"]) == (5, "because")
    assert do(ledger, deed, at=101) == (1 if deed is Deed.RETRY else 0) * len(FROM[deed])


def test_what_is_retried_or_released_is_due_now_with_all_attempts_before_it(ledger: Ledger) -> None:
    in_each_state(ledger)

    do(ledger, Deed.RETRY)
    do(ledger, Deed.RELEASE)

    again = queries.list_attachments(ledger, Filters(states=[State.PENDING]), limit=None)
    assert {(row.due_at, row.deadline_at) for row in again} == {(later(100), later(600))}
    assert {(row.attempts, row.id == "Aheld") for row in again} == {(0, True), (0, False)}
    assert one(ledger, "select absences, error from attachment where id = 'Aheld'") == {"absences": 0, "error": None}
    assert one(ledger, "select error from attachment where id = 'Afailed'") == {"error": "because"}


def test_what_is_held_is_claimed_by_nobody_and_says_why_until_it_is_released(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))

    assert do(ledger, Deed.HOLD, Choice(ids=["A1"])) == 1
    lent = claim(ledger, worker="w", count=9, now=later(200), lease_s=60)
    assert [lease.attachment_id for lease in lent] == ["A2"]
    assert one(ledger, "select error, due_at from attachment where id = 'A1'") == {
        "error": "held by me: why not",
        "due_at": None,
    }
    assert do(ledger, Deed.HOLD, Choice(ids=["A2"])) == 0  # it is being fetched
    assert do(ledger, Deed.RELEASE, Choice(message_ids=["M1"]), at=300) == 1
    assert [lease.attachment_id for lease in claim(ledger, worker="w", count=9, now=later(301), lease_s=60)] == ["A1"]


TRACES = "select error, error_step, error_status, error_code from attachment where id = 'A1'"
FAILED = {"error": "the gateway answered an error", "error_step": "content", "error_status": 500, "error_code": "5000"}


@pytest.mark.parametrize(
    ("decide", "undo", "said"),
    [(Deed.HOLD, Deed.RELEASE, "held by me: why not"), (Deed.CANCEL, Deed.RETRY, "cancelled by me: why not")],
)
def test_what_a_person_had_decided_leaves_no_code_without_a_sentence(
    ledger: Ledger, decide: Deed, undo: Deed, said: str
) -> None:
    """By that code nobody found it any more; and what was retried was called cancelled."""
    recorded(ledger, announced("E1"))
    [lent] = claim(ledger, worker="w", count=1, now=later(0), lease_s=60)
    settle(ledger, [settlement(lent, failed())], worker="w")

    do(ledger, decide)
    assert one(ledger, TRACES) == {**FAILED, "error": said}
    assert [row.id for row in queries.list_attachments(ledger, Filters(error="5000"), limit=9)] == ["A1"]
    do(ledger, undo)

    assert one(ledger, TRACES) == dict.fromkeys(FAILED)
    assert column(ledger, "select code from attempt") == ["5000"]


def test_what_failed_says_so_until_it_is_tried_again(ledger: Ledger) -> None:
    recorded(ledger, announced("E1"))
    [lent] = claim(ledger, worker="w", count=1, now=later(0), lease_s=60)
    settle(ledger, [settlement(lent, failed(Verdict.PERMANENT))], worker="w")

    do(ledger, Deed.RETRY)

    assert one(ledger, TRACES) == FAILED
    assert [row.id for row in queries.list_attachments(ledger, Filters(error="5000"), limit=9)] == ["A1"]


CHOICES: dict[str, tuple[Choice, int]] = {
    "an attachment": (Choice(ids=["Afailed"]), 1),
    "one that is stored": (Choice(ids=["Astored"]), 0),
    "a message": (Choice(message_ids=["Mmissing"]), 1),
    "both": (Choice(ids=["Afailed"], message_ids=["Mmissing"]), 2),
    "states": (Choice(filters=Filters(states=[State.FAILED, State.MISSING, State.STORED])), 2),
    "ids and states": (Choice(ids=["Afailed", "Amissing"], filters=Filters(states=[State.MISSING])), 1),
    "an application": (Choice(filters=Filters(application_id="1")), 5),
    "another application": (Choice(filters=Filters(application_id="2")), 0),
    "a number": (Choice(filters=Filters(from_address="14086080000")), 5),
    "another number": (Choice(filters=Filters(to_address="1")), 0),
    "an error": (Choice(filters=Filters(error="47")), 3),
    "a time": (Choice(filters=Filters(since=later(1))), 0),
    "all": (Choice(filters=Filters(since=later(-1), until=later(1), application_id="1", error="because")), 5),
    "an id that is none": (Choice(ids=["nothing"]), 0),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_would_be_done_is_what_is_done(ledger: Ledger, name: str) -> None:
    in_each_state(ledger)
    chosen, count = CHOICES[name]

    assert sum(would(ledger, Deed.RETRY, chosen).values()) == count
    assert do(ledger, Deed.RETRY, chosen) == count
    assert len(column(ledger, "select id from attachment where attempts = 0")) == count


@pytest.mark.parametrize(
    ("deed", "looked_up", "pieces"), [(Deed.RETRY, 4, [3, 4, 7, 8, 10]), (Deed.HOLD, 99, [3, 6, 9, 10])]
)
def test_many_are_done_in_small_transactions_each_once(
    ledger: Ledger, deed: Deed, looked_up: int, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where many were announced at the same moment, and what was retried is still in a state to be retried in."""
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    monkeypatch.setattr(module, "_LOOKED_UP", looked_up)
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(8)))
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in (8, 9)), now=later(1))
    told: list[int] = []

    done = intervene(ledger, deed, Choice(), now=later(100), give_up_after_s=1, by=ME, told=told.append)

    assert (done, told) == (10, pieces)
    assert column(ledger, "select attachment_id from intervention order by id") == [f"A{n}" for n in range(10)]


def test_what_became_another_meanwhile_is_left_alone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be cancelled still, but is none of those that were meant."""
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(3)))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'failed', error = 'HTTP 500'")

    def meanwhile(_: int) -> None:
        do(ledger, Deed.RETRY, Choice(ids=["A1"]))
        with ledger.begin() as connection:
            connection.exec_driver_sql("update attachment set error = 'HTTP 404' where id = 'A2'")

    meant = Choice(filters=Filters(states=[State.FAILED], error="500"))
    done = intervene(ledger, Deed.CANCEL, meant, now=later(100), give_up_after_s=1, by=ME, told=meanwhile)

    assert (done, column(ledger, "select state from attachment order by id")) == (1, ["cancelled", "pending", "failed"])


@pytest.mark.parametrize(("limit", "pieces"), [(4, [3, 4]), (3, [3]), (1, [1]), (99, [3, 6, 9, 10])])
def test_no_more_than_the_limit_are_done_the_oldest_first(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: int, pieces: list[int]
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    for n in reversed(range(10)):
        recorded(ledger, announced(f"E{n}", f"M{n}", [f"A{n}"]), now=later(n))
    told: list[int] = []

    few = Choice(limit=limit)
    assert would(ledger, Deed.HOLD, few) == {State.PENDING: min(limit, 10)}
    done = intervene(ledger, Deed.HOLD, few, now=later(100), give_up_after_s=1, by=ME, told=told.append)

    assert (done, told) == (min(limit, 10), pieces)
    held = column(ledger, "select id from attachment where state = 'held' order by id")
    assert held == [f"A{n}" for n in range(min(limit, 10))]


def test_what_was_done_before_an_interruption_stays_and_the_rest_can_be_done_later(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(10)))
    patience = itertools.count()

    def interrupt(_: int) -> None:
        if next(patience) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        intervene(ledger, Deed.CANCEL, Choice(), now=later(100), give_up_after_s=1, by=ME, told=interrupt)
    assert len(column(ledger, "select id from attachment where state = 'cancelled'")) == 6
    assert do(ledger, Deed.CANCEL) == 4


@pytest.mark.parametrize("deed", [Deed.HOLD, Deed.CANCEL])
def test_what_a_worker_returns_meanwhile_is_not_changed_without_a_note(
    ledger: Ledger, house: House, monkeypatch: pytest.MonkeyPatch, deed: Deed
) -> None:
    """It was being fetched when the note was written, and waited again when it was changed."""
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))
    [lease] = claim(ledger, worker="w", count=1, now=later(1), lease_s=60)
    meant = [["A1", "A2"]]  # looked up before it was lent
    monkeypatch.setattr(module, "_pieces", lambda *_: iter(meant))
    write = module.note

    def note_and_settle(connection: Connection, *what: Any, **more: Any) -> None:
        write(connection, *what, **more)
        if house.kind == "postgresql":  # nobody writes beside us in SQLite
            with house.open() as other:
                settle(other, [settlement(lease, Interrupted(), now=later(2))], worker="w")

    monkeypatch.setattr(module, "note", note_and_settle)

    assert do(ledger, deed) == 1
    noted = column(ledger, "select attachment_id from intervention")
    assert column(ledger, "select id from attachment where state in ('held', 'cancelled')") == noted


def of_a_resting_application(ledger: Ledger) -> Sequence[Any]:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", ["A2"]))
    [lease, *_] = claim(ledger, worker="w", count=1, now=later(0), lease_s=60)
    settle(ledger, [settlement(lease, failed(Verdict.HOLD, status=401, code="4010"), now=later(1))], worker="w")
    return claim(ledger, worker="w", count=9, now=later(2), lease_s=60)


@pytest.mark.parametrize("deed", [Deed.RETRY, Deed.HOLD])
def test_an_application_that_rests_is_tried_at_once_when_something_of_it_is_to_go_on(
    ledger: Ledger, deed: Deed
) -> None:
    assert of_a_resting_application(ledger) == []

    do(ledger, deed, at=3)

    tried = claim(ledger, worker="w", count=9, now=later(3), lease_s=60)
    assert len(tried) == (1 if deed is Deed.RETRY else 0)


@pytest.mark.parametrize("deed", Deed)
def test_who_did_it_and_why_stays_in_the_history_of_what_was_changed(ledger: Ledger, deed: Deed) -> None:
    in_each_state(ledger)

    do(ledger, deed, by=By(None, "because"))

    told = rows(ledger, "select attachment_id, deed, state, who, reason from intervention order by attachment_id")
    assert [row["attachment_id"] for row in told] == sorted(f"A{state}" for state in FROM[deed])
    assert [row["state"] for row in told] == sorted(FROM[deed])
    assert {(row["deed"], row["who"], row["reason"]) for row in told} == {(deed, None, "because")}
    story = queries.find_story(ledger, f"A{FROM[deed][0]}")
    assert [(one.deed, one.at) for one in story.interventions] == [(deed, later(100))]


def test_a_retried_attachment_keeps_its_history(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["B1"]))
    [lease] = claim(ledger, worker="w", count=9, now=later(0), lease_s=9)
    settle(ledger, [settlement(lease, failed(Verdict.PERMANENT, status=410, code="1"), now=later(1))], worker="w")
    do(ledger, Deed.RETRY)
    [lease] = claim(ledger, worker="w", count=9, now=later(100), lease_s=9)
    settle(ledger, [settlement(lease, Interrupted(), now=later(101))], worker="w")

    assert column(ledger, "select number from attempt where attachment_id = 'B1' order by id") == [1, 2]
