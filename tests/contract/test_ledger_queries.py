"""What people ask of the ledger, and what they may do to attachments, is the same on both databases."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, update

from mo_sync.errors import UsageError
from mo_sync.events import parse
from mo_sync.ledger import Ledger, processes, queries, receivers
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.processes import ProcessRow
from mo_sync.ledger.queries import ApplicationRow, Filters, find_story
from mo_sync.ledger.schema import application as application_table
from mo_sync.ledger.schema import attachment
from mo_sync.ledger.verification import settled_count
from mo_sync.lifecycle import Refused, State
from mo_sync.verdicts import Verdict
from tests.ledgers import announced, failed, items, later, one, raw, recorded, rows, settlement, stored

HOUR = 3600.0


def test_daemons_are_told_by_what_they_said_last_until_they_end(ledger: Ledger) -> None:
    first = ProcessRow("a-1", "1.0", later(0), later(10), {"drop": later(9), "upkeep": later(3)}, None)
    second = ProcessRow("b-2", "1.1", later(5), later(11), {}, "the ledger is locked")
    for row in (replace(first, seen_at=later(1), jobs={}), first, second):
        processes.seen(ledger, row)

    assert queries.status(ledger, now=later(20)).processes == (second, first)
    processes.gone(ledger, "b-2", now=later(20))
    assert queries.status(ledger, now=later(20)).processes == (first,)
    processes.seen(ledger, replace(second, seen_at=later(30 * HOUR)))
    assert [row.worker for row in queries.status(ledger, now=later(20)).processes] == ["b-2"]


def test_the_status_says_since_when_all_files_were_verified(sample: Ledger) -> None:
    stored_at = one(sample, "select min(verified_at) at from attachment")["at"]

    assert queries.status(sample, now=later(0)).oldest_verified is not None
    assert stored_at is not None


@pytest.fixture
def sample(ledger: Ledger) -> Ledger:
    """Two days: a message with a stored and a refused file, one that failed for good, one held, one bare, one bad."""
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))
    recorded(ledger, announced("E2", "M2", ["B1"], application_id="2", from_address="+4915100000"))
    third = announced("E3", "M3", ["C1"], application_id="3", from_address="whatsapp:+4915100001", to_address="555")
    recorded(ledger, third, now=later(30 * HOUR))
    recorded(ledger, announced("E4", "M4", [], has_attachment="true"), now=later(30 * HOUR))
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]), now=later(60))
    nonsense = raw(b"nonsense", at=later(30 * HOUR))
    recorded(ledger, (nonsense, parse(nonsense)), now=later(30 * HOUR))
    outcomes = {
        "A1": stored,
        "A2": lambda _: Refused("type-denied", "text/html is not allowed"),
        "B1": lambda _: failed(Verdict.PERMANENT, status=410, code="4100"),
    }
    leases = claim(ledger, worker="w1", count=3, now=later(1), lease_s=60)
    batch = [settlement(lease, outcomes[lease.attachment_id](lease), now=later(10)) for lease in leases]
    assert settle(ledger, batch, worker="w1") == [True] * 3
    [lease] = claim(ledger, worker="w1", count=3, now=later(30 * HOUR), lease_s=60)
    settle(ledger, [settlement(lease, failed(Verdict.HOLD, status=401), now=later(30 * HOUR + 5))], worker="w1")
    return ledger


def listed(ledger: Ledger, limit: int | None = None, **filters: Any) -> list[str]:
    return [row.id for row in queries.list_attachments(ledger, Filters(**filters), limit=limit)]


def test_what_ended_is_told_once_a_machine_until_a_daemon_begins_there(ledger: Ledger) -> None:
    def ended() -> list[tuple[str, str, float, int]]:
        found = queries.status(ledger, now=later(99)).ended
        return [(one.kind, one.host, (one.at - later(0)).total_seconds(), one.exit_code) for one in found]

    daemon = ProcessRow("a-1-f00", "1.0", later(0), later(10), {}, None)
    processes.passed(ledger, "a-2-f00", now=later(1), exit_code=4)
    processes.passed(ledger, "a-3-f00", now=later(2), exit_code=0)
    processes.passed(ledger, "a-b-3-f00", now=later(3), exit_code=5)
    processes.seen(ledger, daemon)
    processes.gone(ledger, daemon.worker, now=later(4))

    assert ended() == [("daemon", "a", 4.0, 0), ("pass", "a-b", 3.0, 5), ("pass", "a", 2.0, 0)]
    processes.seen(ledger, replace(daemon, worker="a-9-f00"))
    assert [kind for kind, *_ in ended()] == ["pass", "pass"]


def test_what_is_tried_again_later_or_rests_is_pending_but_not_overdue(ledger: Ledger) -> None:
    for number, application in enumerate(["1", "1", "2"]):
        recorded(ledger, announced(f"E{number}", f"M{number}", [f"A{number}"], application_id=application))
    due = {"A0": 600, "A1": 20, "A2": 0}
    with ledger.begin() as connection:
        for name, at_s in due.items():
            connection.execute(update(attachment).where(attachment.c.id == name).values(due_at=later(at_s)))
        resting = {"state": "held", "until": later(600), "reason": "no credit"}
        connection.execute(update(application_table).where(application_table.c.id == "2").values(resting))

    early, late = queries.status(ledger, now=later(10)), queries.status(ledger, now=later(30))

    assert (early.oldest_pending, early.overdue_since, early.next_due) == (later(0), None, later(0))
    assert (late.oldest_pending, late.overdue_since) == (later(0), later(20))


def test_counts_name_every_state(sample: Ledger) -> None:
    expected = dict.fromkeys(State, 0)
    expected |= {State.STORED: 1, State.REFUSED: 1, State.FAILED: 1, State.PENDING: 1}

    assert queries.counts(sample) == expected


def test_what_is_asked_every_few_seconds_counts_no_further_than_it_must(sample: Ledger) -> None:
    """Each heartbeat had PostgreSQL count all events, messages and attachments."""
    recorded(sample, *items(5))
    told = {"postgresql": "3+", "sqlite": "6"}[sample.dialect]
    asked = asked_of(sample, lambda: queries.at_a_glance(sample, (State.FAILED, State.PENDING), most=3))

    assert queries.at_a_glance(sample, [State.FAILED, State.PENDING], most=3) == {
        State.FAILED: "1",
        State.PENDING: told,
    }
    assert all(" LIMIT " in one or "FROM total" in one for one in asked)


@pytest.mark.parametrize("ask", [queries.counts, settled_count])
def test_who_asks_for_attachments_has_nothing_else_counted(sample: Ledger, ask: Callable[[Ledger], object]) -> None:
    asked = asked_of(sample, lambda: ask(sample))

    assert [one for one in asked if " event" in one or " message" in one or "sum(" in one] == []


def asked_of(ledger: Ledger, ask: Callable[[], object]) -> list[str]:
    """The statements while ``ask`` is done, each on one line."""
    asked: list[str] = []

    def note(*told: Any) -> None:
        asked.extend([" ".join(told[2].split())] if told[2].startswith("SELECT") else [])

    event.listen(ledger._engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(ledger._engine, "before_cursor_execute", note)
    assert asked
    return asked


def test_the_status_tells_all_at_a_glance(sample: Ledger) -> None:
    found = queries.status(sample, now=later(30 * HOUR + 10))

    assert found.attachments["stored"] == 1
    assert found.events == {"accepted": 4, "rejected": 1}
    assert (found.messages, found.deliveries, found.stored_bytes) == (4, 6, 20_480)
    assert found.oldest_pending == later(30 * HOUR)
    assert found.next_due is not None
    assert (found.stored_last_hour, found.stored_last_day) == (0, 0)
    assert (found.failures_last_hour, found.failures_last_day) == (1, 1)
    assert [(row.id, row.state) for row in found.applications] == [
        ("17226", "active"),
        ("2", "active"),
        ("3", "held"),
    ]
    assert isinstance(found.applications[0], ApplicationRow)
    early = queries.status(sample, now=later(HOUR))
    assert (early.stored_last_hour, early.failures_last_hour) == (1, 3)


def test_the_status_of_an_empty_ledger_is_nothing_and_no_error(ledger: Ledger) -> None:
    found = queries.status(ledger, now=later(0))

    assert set(found.attachments.values()) == {0}
    assert (found.events, found.messages, found.deliveries, found.stored_bytes) == ({}, 0, 0, 0)
    assert (found.oldest_pending, found.next_due, found.applications) == (None, None, ())


def test_what_is_left_is_what_is_due_or_being_fetched_of_applications_that_do_not_rest(sample: Ledger) -> None:
    now = later(30 * HOUR + 6)
    recorded(sample, announced("E8", "M8", ["D1", "D2"], application_id="2"), now=now)
    recorded(sample, announced("E9", "M9", ["F1"], application_id="3"), now=now)
    [lease] = claim(sample, worker="w1", count=1, now=now, lease_s=60)

    assert lease.application_id == "2"
    assert queries.unfinished(sample, now=later(30 * HOUR)) == 1
    assert queries.unfinished(sample, now=now) == 2
    assert queries.unfinished(sample, now=later(300 * HOUR)) == 4


OTHERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all, the newest first": ({}, ["application held", "rejected event", "message without ids"]),
    "by application": ({"application_id": "3"}, ["application held"]),
    "since": ({"since": later(30 * HOUR + 1)}, ["application held"]),
    "until": ({"until": later(30 * HOUR + 1)}, ["rejected event", "message without ids"]),
    "by words of the reason": ({"error": "answered an error"}, ["application held"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_problems_that_are_no_attachment_are_narrowed_alike(sample: Ledger, name: str) -> None:
    filters, expected = OTHERS[name]

    found = queries.other_problems(sample, Filters(**filters), limit=None)
    assert [row.kind for row in found] == expected
    assert [row.since.tzinfo is not None for row in found] == [True] * len(expected)
    assert queries.other_problems(sample, Filters(**filters), limit=1) == found[:1]


def test_what_is_recorded_besides_attachments_is_counted(sample: Ledger) -> None:
    assert queries.recorded(sample) == {"events": 5, "messages": 4}


LISTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "everything, the newest first": ({}, ["C1", "A1", "A2", "B1"]),
    "by state": ({"states": [State.STORED, State.FAILED]}, ["A1", "B1"]),
    "problems": ({"states": queries.PROBLEMS}, ["A2", "B1"]),
    "by application": ({"application_id": "2"}, ["B1"]),
    "since": ({"since": later(1)}, ["C1"]),
    "until": ({"until": later(1)}, ["A1", "A2", "B1"]),
    "since is within, until is not": ({"since": later(0), "until": later(30 * HOUR)}, ["A1", "A2", "B1"]),
    "by sender without its plus": ({"from_address": "4915100000"}, ["B1"]),
    "by sender of whatever channel": ({"from_address": "4915100001"}, ["C1"]),
    "by sender and channel": ({"from_address": "whatsapp:4915100001"}, ["C1"]),
    "by sender of another channel": ({"from_address": "sms:+4915100001"}, []),
    "by sender with its plus": ({"from_address": "+4915100000"}, ["B1"]),
    "by receiver": ({"to_address": "555"}, ["C1"]),
    "by words of the error": ({"error": "html is not"}, ["A2"]),
    "by code": ({"error": "4100"}, ["B1"]),
    "a wildcard is a character": ({"error": "%"}, []),
    "all combined": (
        {"states": [State.FAILED], "application_id": "2", "until": later(1), "error": "gateway"},
        ["B1"],
    ),
    "combined without a match": ({"states": [State.STORED], "application_id": "2"}, []),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_narrowed_by_every_filter_given(sample: Ledger, name: str) -> None:
    filters, expected = LISTS[name]

    assert listed(sample, **filters) == expected


@pytest.mark.parametrize("recent", [0, 100_000])
@pytest.mark.parametrize("filters", [{}, {"states": [State.HELD]}, {"application_id": "17226", "until": later(40)}])
def test_what_is_announced_long_after_its_message_is_among_the_newest_to_a_number(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, filters: dict[str, Any], recent: int
) -> None:
    """A list of those that went to a number left out the newest: it went by when their messages were recorded."""
    monkeypatch.setattr(receivers, "_RECENT", recent)
    dice = random.Random(7)
    for second in range(60):
        number = dice.choice(["18322222222", "+18322222222", "whatsapp:18322222222", "555"])
        said = dice.choice([[], [f"A{second}"], [f"A{second}", f"B{second}"]])
        known = announced(f"E{second}", f"M{dice.randrange(30)}", said, to_address=number)
        recorded(ledger, known, now=later(second // 2))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'held', due_at = null where substr(id, 3) = '3'")

    everything = queries.list_attachments(ledger, Filters(**filters), limit=None)
    theirs = [row.id for row in everything if row.to_address != "555"]
    for limit in (1, 2, 3, 5, 8, len(theirs), len(theirs) + 1):
        found = queries.list_attachments(ledger, Filters(**filters, to_address="18322222222"), limit=limit)
        assert [row.id for row in found] == theirs[:limit]


def test_whether_an_error_is_in_capitals_does_not_matter_on_any_database(sample: Ledger) -> None:
    with sample.begin() as connection:
        connection.exec_driver_sql("update attachment set error = 'HTTP 404 Not Found, \u00c4rger' where id = 'B1'")

    found = {"HTTP 404 not FOUND": ["B1"], "TEXT/html": ["A2"], "TYPE-denied": ["A2"]}
    # Beyond A to Z databases are not of one mind.
    found |= {"\u00c4RGER": ["B1"], "\u00e4rger": []}
    assert {words: listed(sample, error=words) for words in found} == found
    assert [row.kind for row in queries.other_problems(sample, Filters(error="ANSWERED"), limit=None)] == [
        "application held"
    ]


def test_a_list_holds_no_more_than_asked_for(sample: Ledger) -> None:
    assert listed(sample, 2) == ["C1", "A1"]


@pytest.mark.parametrize(
    ("wanted", "kind", "found"),
    [
        ("A1", "attachment", "A1"),
        ("M1", "message", "M1"),
        ("E2", "event", "E2"),
        ("C", "attachment", "C1"),
        ("raw:", "event", "raw:"),
    ],
)
def test_a_story_is_found_by_a_whole_id_or_by_its_only_beginning(
    sample: Ledger, wanted: str, kind: str, found: str
) -> None:
    story = find_story(sample, wanted)

    assert (story.kind, story.id[: len(found)]) == (kind, found)


def test_a_story_tells_everything_around_what_was_asked_for(sample: Ledger) -> None:
    of_file, of_message, of_event = (find_story(sample, wanted) for wanted in ("A1", "M1", "E1"))

    assert [row.id for row in of_file.attachments] == ["A1"]
    assert [row.id for row in of_message.attachments] == ["A1", "A2"]
    assert of_event.attachments == of_message.attachments
    assert [(event.event_key, event.deliveries) for event in of_file.events] == [("E1", 2)]
    assert [(row.attachment_id, row.number, row.outcome) for row in of_message.attempts] == [
        ("A1", 1, "stored"),
        ("A2", 1, "refused"),
    ]
    assert of_file.message is not None
    assert of_file.message.from_address == "+14086080000"


def test_an_event_without_a_message_has_a_story_of_its_own(sample: Ledger) -> None:
    story = find_story(sample, "raw:")

    assert (story.message, story.attachments, story.attempts) == (None, (), ())
    assert [event.state for event in story.events] == ["rejected"]


@pytest.mark.parametrize("wanted", ["A", "", "M"])
def test_a_beginning_of_several_ids_names_candidates(sample: Ledger, wanted: str) -> None:
    with pytest.raises(UsageError, match=r"id-ambiguous|id-unknown") as caught:
        find_story(sample, wanted)

    if wanted:
        assert caught.value.code == "id-ambiguous"
        assert f"{wanted}1" in str(caught.value.hint)


@pytest.mark.parametrize("wanted", ["nothing", "a1", "%", "A_", "A1 ", "\udcff", "A\0"])
def test_what_no_id_begins_with_is_unknown(sample: Ledger, wanted: str) -> None:
    """Also what holds wildcards, other letters, or bytes that no database takes."""
    with pytest.raises(UsageError, match="id-unknown"):
        find_story(sample, wanted)


def test_upper_and_lower_case_are_different_ids(ledger: Ledger) -> None:
    """Syniverse's ids are of 22 letters and digits, and both cases occur."""
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"ABC{n}"]) for n in range(8)))
    recorded(ledger, announced("E9", "M9", ["abcdef"]))

    assert find_story(ledger, "abc").id == "abcdef"


def test_the_problem_view_says_what_why_and_which_command_helps(sample: Ledger) -> None:
    found = {row["id"]: row for row in rows(sample, "select kind, id, application_id, reason, command from v_problem")}

    rejected = next(key for key in found if key.startswith("raw:"))
    assert found.keys() == {"A2", "B1", "3", "M4", rejected}
    assert found["A2"] == {
        "kind": "refused",
        "id": "A2",
        "application_id": "17226",
        "reason": "text/html is not allowed",
        "command": "mo-sync ledger retry A2",
    }
    assert found["B1"]["kind"] == "failed"
    assert found["3"]["kind"] == "application held"
    assert found["3"]["command"] == "mo-sync doctor; mo-sync ledger release --application 3"
    assert (found["M4"]["kind"], found["M4"]["command"]) == ("message without ids", "mo-sync ledger show M4")
    assert (found[rejected]["kind"], found[rejected]["command"]) == (
        "rejected event",
        f"mo-sync ledger show {rejected}",
    )
    assert all(row["reason"] for row in found.values())


@pytest.mark.parametrize("odd", ["x&reboot", "$(reboot)", "it's", "`reboot`", "-rf", "a|b", 'a"b', "a*", "ü"])
def test_an_id_from_outside_is_one_word_of_the_command_that_helps(ledger: Ledger, odd: str) -> None:
    """A person copies that command into a shell."""
    recorded(ledger, announced("E1", "M1", [odd]))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'failed', error = 'x'")

    command = one(ledger, "select command from v_problem")["command"]

    words = shlex.split(command)
    assert [word for word in words if word != "--"] == ["mo-sync", "ledger", "retry", odd]
    assert ("--" in words) == odd.startswith("-")


def test_a_quarantined_file_is_to_be_looked_at_not_retried(ledger: Ledger) -> None:
    recorded(ledger, announced("E1"))
    [lease] = claim(ledger, worker="w", count=1, now=later(0), lease_s=9)
    outcome = stored(lease, quarantined=True, reason="its scan says INFECTED")
    settle(ledger, [settlement(lease, outcome, now=later(1))], worker="w")

    found = one(ledger, "select kind, reason, command from v_problem")
    assert found == {"kind": "quarantined", "reason": "its scan says INFECTED", "command": "mo-sync ledger show A1"}


def test_the_inbox_view_counts_a_messages_attachments_by_state(sample: Ledger) -> None:
    found = rows(sample, "select * from v_inbox order by id")

    assert [(row["id"], row["attachments"]) for row in found] == [("M1", 2), ("M2", 1), ("M3", 1), ("M4", 0)]
    assert [row["stored"] for row in found] == [1, 0, 0, 0]
    assert [row["refused"] for row in found] == [1, 0, 0, 0]
    assert {state.value for state in State} <= set(found[0])
    assert all(sum(row[state.value] for state in State) == row["attachments"] for row in found)


def test_the_daily_view_counts_by_utc_day(sample: Ledger) -> None:
    assert rows(sample, "select * from v_daily order by day") == [
        {
            "day": "2026-11-20",
            "messages": 2,
            "attachments": 3,
            "stored": 1,
            "waiting": 0,
            "problems": 2,
            "bytes": 20_480,
        },
        {"day": "2026-11-21", "messages": 2, "attachments": 1, "stored": 0, "waiting": 1, "problems": 0, "bytes": 0},
    ]


def test_the_attachment_view_has_everything_in_a_row(sample: Ledger) -> None:
    found = one(sample, "select * from v_attachment where id = 'A1'")

    assert (found["message_id"], found["state"], found["size"]) == ("M1", "stored", 20_480)
    assert (found["from_address"], found["body"], found["av_status"]) == ("+14086080000", "hello", "OK")
    assert one(sample, "select count(*) n from v_attachment") == {"n": 4}
