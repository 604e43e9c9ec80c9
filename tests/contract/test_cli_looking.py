"""What is listed, by the command line, on every database: each option narrows, whatever stands beside it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from mo_sync.cli import lists, records
from mo_sync.cli.listing import attachment_lines
from mo_sync.errors import UsageError
from mo_sync.events import RawEvent, parse
from mo_sync.ledger import Ledger, gaps, marks, processes
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.holdings import Owners
from tests.commands import call
from tests.contract.conftest import Ask, House
from tests.ledgers import NOW, announced, column, later, recorded, settlement, stored

REJECT = "insert into event (event_key, source, state, reason, received_at, payload) values"


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


def test_a_time_without_a_zone_is_this_machines_or_that_which_the_times_are_shown_in(
    ledger: Ledger, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))  # at 12:00:00Z
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        shown = asked("list").out
        found = {
            words: len(asked("list", "--json", *words.split(" ", 2)).document)
            for words in (
                "--since 2026-11-20T21:00",
                "--since 2026-11-20T21:01",
                "--until 2026-11-20T21:01",
                "--since 2026-11-20T12:01Z",
                "--since 2026-11-20T12:01 --utc",
                "--since 2026-11-20T12:00 --utc",
            )
        }
    finally:
        monkeypatch.undo()
        time.tzset()

    assert "2026-11-20 21:00:00+0900" in shown
    assert list(found.values()) == [1, 0, 1, 0, 0, 1]


def troubled(ledger: Ledger, **states: str) -> None:
    """An attachment in each of these states, by its id, each of a message of its own."""
    recorded(ledger, *(announced(f"E{name}", f"M{name}{'m' * 20}", [name]) for name in states))
    with ledger.begin() as connection:
        for name, state in states.items():
            connection.exec_driver_sql(
                f"update attachment set state = '{state}', size = 120000, error = 'the gateway answered 404 to it'"
                f" where id = '{name}'"
            )


def test_each_problem_has_the_command_that_helps(ledger: Ledger, asked: Ask) -> None:
    troubled(ledger, A1="failed", A2="quarantined", A3="stored", A4="held")

    listed = {row["id"]: row["command"] for row in asked("list", "--problems", "--json").document["attachments"]}
    shown = {name: asked("show", "--json", name).document["attachments"][0]["command"] for name in ("A1", "A3", "A4")}

    assert listed == {"A1": "mo-sync ledger retry A1", "A2": "mo-sync ledger show A2"}
    assert column(ledger, "select command from v_problem order by id") == list(listed.values())
    assert shown == {"A1": "mo-sync ledger retry A1", "A3": None, "A4": "mo-sync ledger release A4"}
    table = asked("list", "--problems").out.splitlines()
    assert [line.rpartition("mo-sync ")[2] for line in table[1:]] == ["ledger retry A1", "ledger show A2"]
    assert "mo-sync ledger release A2, or mo-sync ledger erase A2" in asked("show", "A2").out


@pytest.mark.parametrize("words", [[], ["--all"]])
def test_where_nothing_needs_a_person_that_is_said(ledger: Ledger, asked: Ask, words: list[str]) -> None:
    troubled(ledger, A1="stored")
    assert asked("list", "--problems", *words).out == "nothing needs a person\n"
    told = asked("list", "--problems", "--application", "17226", *words).out
    assert told == "nothing of that needs a person\n", "others may"

    with ledger.begin() as connection:
        connection.exec_driver_sql(f"{REJECT} ('R1', 'drop:1', 'rejected', 'no field list', '2026-11-20 12:00Z', '')")
    told = asked("list", "--problems", *words).out.splitlines()
    assert told[0].startswith("also needs a person")
    assert "mo-sync ledger show R1" in told[1]


@pytest.mark.parametrize("words", [["list"], ["list", "--problems"], ["list", "--problems", "--all"]])
def test_a_terminal_of_eighty_columns_shows_ids_and_reasons_whole(
    ledger: Ledger, house: House, tmp_path: Path, words: list[str]
) -> None:
    names = [f"{place}{'a' * 21}" for place in "AB"]
    troubled(ledger, **dict.fromkeys(names, "failed"))
    with ledger.begin() as connection:
        connection.exec_driver_sql(f"{REJECT} ('R1', 'drop:1', 'rejected', 'no field list', '2026-11-20 12:00Z', '')")

    told = call(house.url, tmp_path, "ledger", *words, columns=80).out

    assert max(map(len, told.splitlines())) <= 80
    for name in names:
        assert told.count(f"{name}  failed  120.0 kB") == 1
        assert (f"mo-sync ledger retry {name}" in told) is ("--problems" in words)
    assert " ".join(told.split()).count("the gateway answered 404 to it") == 2
    assert ("mo-sync ledger show R1" in told) is ("--problems" in words)


@pytest.mark.parametrize("columns", [80, 40])
def test_messages_and_events_can_be_read_and_copied_on_a_narrow_terminal(
    ledger: Ledger, house: House, tmp_path: Path, columns: int
) -> None:
    names = [f"{place}{'m' * 21}" for place in "AB"]
    recorded(ledger, *(announced(f"{name}-{'e' * 13}", name, []) for name in names))
    with ledger.begin() as connection:
        connection.exec_driver_sql(f"{REJECT} ('R1', 'drop:1', 'rejected', 'no field list', '2026-11-20 12:00Z', '')")

    messages = call(house.url, tmp_path, "ledger", "list", "messages", "--utc", columns=columns).out
    events = call(house.url, tmp_path, "ledger", "list", "events", "--utc", columns=columns).out

    for name in names:
        assert [line.split()[0] for line in messages.splitlines()].count(name) == 1
        assert [line.split()[0] for line in events.splitlines()].count(f"{name}-{'e' * 13}") == 1
        assert f"message {name}" in " ".join(events.split())
    assert " ".join(messages.split()).count("from ********0000 to *******2222 scan OK") == 2
    assert [told.count("2026-11-20 12:00:00Z") for told in (messages, events)] == [2, 3]
    assert "no field list" in events
    assert "…" not in messages + events
    if columns == 80:
        assert max(map(len, (messages + events).splitlines())) <= columns


@pytest.mark.parametrize("words", [[], ["--problems"], ["--state", "held"], ["--to", "18322222222"]])
def test_all_of_them_are_told_a_page_at_a_time(
    ledger: Ledger, asked: Ask, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    troubled(ledger, **{f"A{number}": "failed" for number in range(5)})
    pages: list[int] = []

    def counting(output: object, rows: list[object], **more: object) -> str:
        pages.append(len(rows))
        return attachment_lines(output, rows, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "_PAGE", 2)
    monkeypatch.setattr(lists, "attachment_lines", counting)

    whole, paged = asked("list", "--json", *words), asked("list", "--all", "--json", *words)
    text, paged_text = asked("list", *words).out, asked("list", "--all", *words).out

    assert paged.document == whole.document
    if "--problems" in words:
        assert whole.document["more"] is False
        assert asked("list", "--json", "--limit", "2", *words).document["more"] is True
    assert paged_text == text
    assert pages == ([2, 2, 1] if words != ["--state", "held"] else [0]) * 2


def test_who_follows_a_quiet_ledger_has_a_cursor_at_once(ledger: Ledger, asked: Ask) -> None:
    [start] = asked("follow", "--once").out.splitlines()
    place = json.loads(start)
    recorded(ledger, announced("E1", "M1", []))

    [line] = asked("follow", "--once", "--cursor", place["cursor"]).out.splitlines()

    assert (place["kind"], place["cursor"]) == ("start", "e0.a0.i0")
    assert (json.loads(line)["kind"], json.loads(line)["event_key"]) == ("event", "E1")
    assert "start" not in asked("follow", "--once", "--from-beginning").out


def test_when_quiet_only_the_exit_code_tells(ledger: Ledger, house: House, tmp_path: Path) -> None:
    troubled(ledger, A1="failed", A2="stored", A3="held")

    def told(*words: str) -> tuple[int, str]:
        done = call(house.url, tmp_path, *words)
        return done.exit_code, done.out

    assert told("-q", "ledger", "list") == told("-q", "ledger", "list", "--all") == (5, "")
    assert told("-q", "ledger", "status") == told("-q", "ledger", "show", "A1") == (5, "")
    assert told("-q", "ledger", "list", "--state", "stored") == told("-q", "ledger", "show", "A2") == (0, "")
    assert told("-q", "ledger", "list", "--problems", "--since", "1h") == (0, "")
    assert told("ledger", "list", "--problems")[0] == told("-q", "ledger", "list", "--json")[0] == 0
    troubled(ledger, A4="pending")
    assert told("-q", "ledger", "status") == (4, "")


@pytest.mark.parametrize(
    "words",
    [
        *(["list", option, "\udce9"] for option in ("--application", "--from", "--to", "--error", "--state")),
        ["list", "--since", "9" * 30 + "d"],
        ["export", "attachments", "--error", "\udce9"],
        ["hold", "A1", "--reason", "\udce9"],
        ["release", "--application", "\udce9"],
        ["release", "--state", "held", "--application", "\udce9"],
        ["show", "\udce9"],
    ],
)
def test_what_no_database_can_be_told_is_an_error_of_usage(ledger: Ledger, asked: Ask, words: list[str]) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))

    with pytest.raises(UsageError):
        asked(*words)


@pytest.mark.parametrize("words", [["list"], ["retry", "--all"], ["replay", "--state", "rejected"]])
def test_a_limit_that_no_database_can_count_to_is_an_error_of_usage(asked: Ask, words: list[str]) -> None:
    with pytest.raises(TyperException, match="1000000000"):
        asked(*words, "--limit", "9" * 30)


def test_messages_and_events_are_listed_too(ledger: Ledger, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [], application_id=str(n)) for n in range(3)))
    monkeypatch.setattr(records, "_PAGE", 2)

    events, two = asked("list", "events"), asked("list", "events", "--limit", "2")
    messages = asked("list", "messages", "--all", "--json", "--application", "1").document

    assert [line.split()[:2] for line in events.out.splitlines()[1:]] == [[f"E{n}", "accepted"] for n in (2, 1, 0)]
    assert two.out.splitlines() == events.out.splitlines()[:3]
    assert ("--all shows them" in two.err, events.err) == (True, "")
    assert [(row["id"], row["from_address"]) for row in messages] == [("M1", "********0000")]
    assert asked("list", "events", "--json").document[0]["payload"] is None
    for words in (["--problems"], ["--state", "failed"], ["--error", "x"]):
        with pytest.raises(UsageError, match="filter-without-meaning"):
            asked("list", "messages", *words)


def test_events_are_listed_and_exported_by_their_own_states(ledger: Ledger, asked: Ask) -> None:
    broken = RawEvent("drop:x:1", b"{broken", NOW)
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [], application_id=str(n)) for n in range(3)))
    recorded(ledger, (broken, parse(broken)))

    def listed(*words: str) -> list[str]:
        return [row["state"] for row in asked("list", "events", "--json", *words).document]

    assert listed("--state", "rejected") == ["rejected"]
    assert listed("--state", "rejected,accepted", "--limit", "2") == ["rejected", "accepted"]
    assert listed("--state", "accepted", "--application", "1") == ["accepted"]
    assert listed("--state", "ignored") == []
    rows = asked("export", "events", "--state", "rejected", "--format", "jsonl").out.splitlines()
    assert [json.loads(row)["state"] for row in rows] == ["rejected"]
    with pytest.raises(UsageError, match="failed is no state") as caught:
        asked("list", "events", "--state", "failed")
    assert caught.value.hint == "states are accepted, ignored, rejected"


def test_problems_and_what_people_did_are_exported_up_to_a_limit(ledger: Ledger, asked: Ask) -> None:
    troubled(ledger, A1="failed", A2="missing")
    asked("cancel", "A2", "--reason", "too old")

    problems = asked("export", "problems", "--format", "jsonl").out.splitlines()
    deeds = asked("export", "interventions").out.splitlines()

    assert [json.loads(line)["command"] for line in problems] == ["mo-sync ledger retry A1"]
    assert [("too old" in line, "cancel" in line) for line in deeds] == [(False, False), (True, True)]
    assert len(asked("export", "attachments", "--limit", "1").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "near"), [(["list"], "failed"), (["replay"], "rejected"), (["export", "events"], "")]
)
def test_a_state_that_was_mistyped_is_answered_with_the_one_that_was_meant(
    asked: Ask, words: list[str], near: str
) -> None:
    with pytest.raises(UsageError) as caught:
        asked(*words, "--state", {"failed": "faild", "rejected": "rejcted"}.get(near, "xyz"))

    hint = caught.value.hint or ""
    assert hint.startswith(f"did you mean {near}? states are" if near else "states are")


def test_the_story_tells_that_nobody_announced_it_and_what_syniverse_was_told(ledger: Ledger, asked: Ask) -> None:
    lost, said = announced("E1", "M1", ["A1"])
    recorded(ledger, (RawEvent("inbox:17226", lost.body, NOW), said))
    recorded(ledger, announced("E2", "M2", ["A2"]))

    assert "not announced: " in asked("show", "A1").out
    assert "not announced" not in asked("show", "A2").out
    assert "PROCESSED" not in asked("show", "A1").out

    [first, second] = claim(ledger, worker="w", count=2, now=later(0), lease_s=60)
    settle(ledger, [settlement(one, stored(one), now=later(1)) for one in (first, second)], worker="w", marking=True)
    assert "Syniverse is told that it is PROCESSED at once\n" in asked("show", "A1").out

    one, other = marks.due(ledger, now=later(100), count=2)
    marks.later(ledger, one, due_at=later(500), error="no answer", counts=True)
    assert "at once; 1 try in vain: no answer" in asked("show", one.message_id).out
    marks.done(ledger, [other], now=later(200))
    assert "Syniverse was told that it is PROCESSED" in asked("show", other.message_id).out
    marks.failed(ledger, one, error="it is unknown there")
    assert "could not be told that it is PROCESSED; 1 try in vain: it is" in asked("show", one.message_id).out

    [gap] = asked("show", "M1", "--json").document["gaps"]
    assert (gap["kind"], gap["command"].split()[0]) == ("not announced", "mo-sync")
    assert asked("show", "M2", "--json").document["mark"]["attempts"] <= 1


def test_a_message_that_only_the_inbox_has_is_shown_with_what_helps(
    ledger: Ledger, house: House, tmp_path: Path, asked: Ask
) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))
    why = "the inbox shows it, with 1 attachment"
    found = [gaps.Gap(gaps.Kind.ONLY_IN_INBOX, name, "17226", NOW, why) for name in ("Lost-1", "Lost-22", "M1")]
    gaps.replace(ledger, Owners(), NOW, later(1), found, now=later(9))
    helps = "mo-sync ledger backfill --since 2026-11-20T12:00:00Z"

    told = asked("show", "Lost-2", "--utc")
    assert told.exit_code == 0
    assert told.out.splitlines() == [
        "message Lost-22 of application 17226: only in the inbox",
        "  2026-11-20 12:00:00Z  received by Syniverse",
        f"  {why}",
        f"  to record it: {helps}",
    ]
    document = asked("show", "Lost-1", "--json").document
    assert (document["kind"], document["id"], document["message"]) == ("gap", "Lost-1", None)
    assert [(one["kind"], one["reason"], one["command"]) for one in document["gaps"]] == [
        ("only in the inbox", why, helps)
    ]
    assert call(house.url, tmp_path, "-q", "ledger", "show", "Lost-1").exit_code == 5
    assert asked("show", "M1").out.startswith("message M1 of application 17226, from")
    with pytest.raises(UsageError, match="id-ambiguous") as caught:
        asked("show", "Lost")
    assert caught.value.hint == "it may be message Lost-1, message Lost-22"
    for words in (["show", "Lost-3"], ["show", ""], ["retry", "Lost-1"], ["erase", "Lost-1", "--yes"]):
        with pytest.raises(UsageError, match="id-unknown"):
            asked(*words)


def test_the_newest_events_decide_what_a_quiet_list_ends_with(ledger: Ledger, house: House, tmp_path: Path) -> None:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(5)))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update event set state = 'rejected' where event_key = 'E4'")

    def ended(*words: str) -> int:
        return call(house.url, tmp_path, "-q", "ledger", "list", "events", *words).exit_code

    assert (ended("--limit", "2"), ended("--all")) == (5, 5)


def test_a_list_of_messages_tells_what_was_written_only_when_that_is_asked_for(ledger: Ledger, asked: Ask) -> None:
    recorded(ledger, announced("E1", "M1", [], message_body="call me at +14085550100"))

    assert "call me" not in asked("list", "messages", "--json").out
    assert "call me" in asked("list", "messages", "--json", "--reveal").out


def test_of_machines_that_come_and_go_the_last_ones_are_known(ledger: Ledger, asked: Ask) -> None:
    for n in range(30):
        processes.passed(ledger, f"host{n}-1-aa", now=later(n), exit_code=0)
        processes.gone(ledger, f"host{n}-1-aa", now=later(n))

    ended = asked("status", "--json").document["ended"]

    assert {one["host"] for one in ended if one["kind"] == "pass"} == {f"host{n}" for n in range(10, 30)}
    assert len(column(ledger, "select name from cursor where name like 'daemon:%'")) == 20


@pytest.mark.parametrize(
    "written", ["+1 408-608-0000", "1 (408) 608.0000", " +1\u00a0408\u2011608 00 00", "sms:+1 408 6080000"]
)
def test_a_number_may_be_written_as_people_write_it(ledger: Ledger, asked: Ask, written: str) -> None:
    channel = "sms:" if ":" in written else ""
    recorded(
        ledger,
        announced("E1", "M1", ["A1"], from_address=f"{channel}+14086080000"),
        announced("E2", "M2", ["A2"], from_address="+14086080001", to_address=f"{channel}14086080000"),
    )

    for option, name in (("--from", "A1"), ("--to", "A2")):
        found = asked("list", "--json", option, written)
        assert ([row["id"] for row in found.document], found.err) == ([name], "")
        assert f'"{name}"' in asked("export", "attachments", "--format", "jsonl", option, written).out
        assert asked("cancel", "--dry-run", option, written).out.startswith("1 would be cancelled")


ASKING = (["list"], ["list", "messages"], ["list", "--all", "--problems"], ["list", "events", "--json"])
DOING = (["retry"], ["hold", "--dry-run"], ["cancel"], ["export", "attachments"], ["release", "--state", "held"])


@pytest.mark.parametrize("words", [*ASKING, *DOING], ids=" ".join)
def test_what_is_nowhere_in_the_ledger_is_told_beside_an_empty_list(
    ledger: Ledger, house: House, tmp_path: Path, words: list[str]
) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", [], application_id="2"))

    def told(*more: str) -> tuple[int, str]:
        found = call(house.url, tmp_path, "ledger", *words, *more, more={"applications": {"3.workers": 1}})
        return found.exit_code, found.err

    as_events = "numbers are written as events have them: +14085550100; mo-sync ledger list --reveal shows them\n"
    assert told("--from", "********0000") == (0, f"--from ********0000: no message here is from it; {as_events}")
    assert told("--to", "abc") == (0, f"--to abc: no message here is to it; {as_events}")
    assert told("--application", "nope") == (0, "--application nope: nothing here is of it; there are 17226\n")
    for known in (["--from", "14086080000", "--since", "1h"], ["--application", "2"], ["--application", "3"]):
        assert told(*known) == (0, "")


def test_who_tells_by_the_exit_code_alone_does_not_doubt_aloud(ledger: Ledger, house: House, tmp_path: Path) -> None:
    found = call(house.url, tmp_path, "-q", "ledger", "list", "--from", "abc")

    assert (found.exit_code, found.out, found.err) == (0, "", "")


@pytest.mark.parametrize("words", [["list"], ["export", "events"], ["cancel"], ["retry"]])
def test_a_time_that_ends_before_it_begins_is_refused(asked: Ask, words: list[str]) -> None:
    with pytest.raises(UsageError, match="time-empty: --until"):
        asked(*words, "--since", "1d", "--until", "2d")


def test_where_the_store_has_no_room_status_and_show_say_so(ledger: Ledger, house: House, tmp_path: Path) -> None:
    troubled(ledger, A1="stored", A2="pending")
    (tmp_path / "media" / "2026").mkdir(parents=True)
    full = {"limits": {"min_free": "4000TB"}}

    status, shown = (
        call(house.url, tmp_path, "ledger", *words, more=full).out for words in (["status"], ["show", "A2"])
    )
    document = call(house.url, tmp_path, "ledger", "status", "--json", more=full).document

    assert re.search(r"^paused: .* are free, limits.min_free asks for 4000.0 TB: free space$", status, re.MULTILINE)
    assert "but all fetching is paused: " in shown
    assert document["paused"].startswith("paused: ")
    assert call(house.url, tmp_path, "ledger", "status", "--json").document["paused"] is None
    assert "paused" not in call(house.url, tmp_path, "ledger", "show", "A2").out
