"""How SQLite goes about what people ask: never by reading a whole table that grows.

Without statistics its plans depend on the statement alone, so that those of a small ledger are those of a large one.
``benchmarks/ledger.py`` shows the times on five million attachments.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from mo_sync.ledger import Ledger, acquaintance, claims, queries, retention, stories
from mo_sync.ledger.changes import Cursor, changes, newest
from mo_sync.ledger.exports import Kind, streamed
from mo_sync.ledger.filters import Filters
from mo_sync.ledger.holdings import Owners, held_between
from mo_sync.ledger.interventions import By, Choice, Deed, intervene, would
from mo_sync.ledger.replay import Which, replayable
from mo_sync.ledger.scans import condemned
from mo_sync.ledger.scope import scope
from mo_sync.ledger.verification import filed, put_undated_first, settled_count
from mo_sync.ledger.whereabouts import unfinished
from mo_sync.lifecycle import State
from mo_sync.settings import Ledger as LedgerSettings
from tests.ledgers import items, later, recorded

GROWING = ("event", "message", "attachment", "attempt", "mark")
# Walks along an index that end as soon as there are enough, or an index that has but the few rows that are meant.
WALKS = (
    "ix_attachment_created_at",
    "ix_attachment_error",
    "ix_event_ignored",
    "ix_event_rejected",
    "ix_event_remarked",
    "ix_mark_due",
    "ix_mark_failed",
)

Asked = Callable[[Ledger], Any]


def listed(**filters: Any) -> Asked:
    return lambda ledger: queries.list_attachments(ledger, Filters(**filters), limit=50)


def newest_events(ledger: Ledger, **filters: Any) -> list[Any]:
    with streamed(ledger, Kind.EVENTS, Filters(**filters), limit=50, newest_first=True) as found:
        return list(found)


QUESTIONS: dict[str, Asked] = {
    "status": lambda ledger: queries.status(ledger, now=later(9)),
    "counts": queries.counts,
    "heartbeat": lambda ledger: queries.at_a_glance(ledger, list(State)),
    "unfinished": lambda ledger: queries.unfinished(ledger, now=later(9)),
    "list": listed(),
    "list of events of a state": lambda ledger: [
        newest_events(ledger, event_states=[state]) for state in ("ignored", "rejected")
    ],
    "list of a state": listed(states=[State.FAILED]),
    "list of problems": listed(states=queries.PROBLEMS),
    "other problems": lambda ledger: queries.other_problems(ledger, Filters(), limit=50),
    "list of an application": listed(application_id="17226"),
    "list of a sender": listed(from_address="+14086080000"),
    "list of a receiver": listed(to_address="18322222222"),
    "list of an error": listed(error="4040"),
    "list of a time": listed(since=later(-9), until=later(9)),
    "show": lambda ledger: queries.find_story(ledger, "A1-0"),
    "show by the beginning": lambda ledger: queries.find_story(ledger, "A1"),
    "show of what is nowhere": lambda ledger: stories.find_gap(ledger, "nobody"),
    "a number that is nowhere": lambda ledger: acquaintance.heard_of(ledger, sender="+1", receiver="+1"),
    "an application that is nowhere": lambda ledger: acquaintance.strangers(ledger, ["nobody"]),
    "claim": lambda ledger: claims.claim(ledger, worker="w", count=5, now=later(9), lease_s=60),
    "changes": lambda ledger: changes(ledger, Cursor(), newest(ledger), count=50),
    "replay": lambda ledger: replayable(ledger, Which(states=["rejected"]), after=0, upto=99, count=50),
    "verify": lambda ledger: (
        put_undated_first(ledger, now=later(9)),
        settled_count(ledger),
        filed(ledger, before=later(9), after=None, count=50),
    ),
    "scope of an erasure": lambda ledger: scope(ledger, sender=["+14086080000"], message_ids=["M2"]),
    "finish erasures": unfinished,
    "condemned": lambda ledger: condemned(ledger, after="", count=50),
    "messages of an inbox": lambda ledger: list(held_between(ledger, Owners(only="17226"), later(-9), later(9))),
    "messages of the others": lambda ledger: list(
        held_between(ledger, Owners(but=frozenset({"2"})), later(-9), later(9))
    ),
    "prune": lambda ledger: retention.retire(ledger, state=State.STORED, before=later(9), now=later(9), count=50),
    "prune payloads": lambda ledger: (
        retention.old_payloads(ledger, before=later(9)),
        retention.empty_payloads(ledger, before=later(9), now=later(9), count=2),
    ),
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    path = tmp_path_factory.mktemp("plans") / "ledger.db"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as opened:
        recorded(opened, *items(5))
        yield opened


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_without_reading_a_whole_table(ledger: Ledger, name: str) -> None:
    plans = plans_of(ledger, lambda: QUESTIONS[name](ledger))

    assert plans
    scans = [plan for plan in plans if (found := re.match(r"SCAN (\w+)", plan)) and table_of(found[1]) in GROWING]
    assert [plan for plan in scans if not any(plan.endswith(index) for index in WALKS)] == []


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.EVENTS])
def test_the_newest_of_an_application_are_not_found_by_sorting_all_of_them(ledger: Ledger, kind: Kind) -> None:
    def ask() -> None:
        chosen = Filters(application_id="17226")
        with streamed(ledger, kind, chosen, limit=3, newest_first=True) as found:
            assert len(list(found)) == 3

    assert [plan for plan in plans_of(ledger, ask) if "TEMP B-TREE FOR ORDER" in plan] == []


@pytest.mark.parametrize("filters", [{}, {"states": [State.PENDING, State.FETCHING]}])
def test_the_newest_to_a_number_are_not_found_by_going_through_all_that_it_was_sent(
    ledger: Ledger, filters: dict[str, Any]
) -> None:
    def ask() -> None:
        assert len(queries.list_attachments(ledger, Filters(to_address="18322222222", **filters), limit=3)) == 3

    *walks, recent, first, second = [plan for plan in plans_of(ledger, ask) if "TEMP B-TREE" not in plan]
    assert all("ix_message_to_address (to_address=?)" in plan for plan in walks[::2])
    assert all(re.match(r"SEARCH attachment USING .*created_at>\?", plan) for plan in (recent, first))
    assert second.startswith("SEARCH message USING INDEX sqlite_autoindex_message_1")


@pytest.mark.parametrize("deed", Deed)
def test_a_deed_goes_through_all_of_a_state_once_and_then_by_ids(tmp_path: Path, deed: Deed) -> None:
    """It took the index on states again for every piece, and the time grew with the square of how many there are."""
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        recorded(ledger, *items(60))  # of a few it would go by ids anyway

        def do() -> None:
            intervene(ledger, deed, Choice(), now=later(9), give_up_after_s=9, by=By())

        if deed is Deed.RELEASE:
            intervene(ledger, Deed.HOLD, Choice(), now=later(9), give_up_after_s=9, by=By())
        plans = [plan for plan in plans_of(ledger, do) if "attachment USING" in plan]

    assert len(plans) > 2
    assert [plan for plan in plans if "autoindex_attachment" not in plan] == plans[:1]


NAMED = {
    "ids": Choice(ids=["A1-0"], message_ids=["M2"]),
    "a sender": Choice(filters=Filters(from_address="+14086080000")),
}


@pytest.mark.parametrize("name", NAMED)
def test_who_names_some_does_not_wait_for_a_look_at_all_others_in_their_state(ledger: Ledger, name: str) -> None:
    plans = plans_of(ledger, lambda: would(ledger, Deed.RETRY, NAMED[name]))

    assert [plan for plan in plans if "attachment_state" in plan or plan.startswith("SCAN attachment")] == []


def table_of(name: str) -> str:
    return {"a": "attachment", "e": "event", "m": "message"}.get(name, name)


def test_a_scan_is_seen(ledger: Ledger) -> None:
    """The test above can fail."""

    def ask() -> None:
        with ledger.read() as connection:
            connection.exec_driver_sql("select count(*) from event where topic = 'x'").all()

    assert plans_of(ledger, ask) == ["SCAN event"]


def plans_of(ledger: Ledger, ask: Callable[[], object]) -> list[str]:
    """What SQLite says of each statement that reads, while ``ask`` is done."""
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if not many and re.match(r"\s*(select|with|insert|update|delete)\b", statement, re.IGNORECASE):
            asked.append((statement, parameters))

    event.listen(ledger._engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(ledger._engine, "before_cursor_execute", note)
    file = Path(ledger.name.removeprefix("sqlite:///"))
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as reader:
        return [
            str(row[3])
            for statement, parameters in asked
            for row in reader.execute(f"explain query plan {statement}", parameters)
        ]
