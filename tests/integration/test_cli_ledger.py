"""``mo-sync ledger`` as a person and as a program use it: real processes on a ledger that was made beforehand."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mo_sync.events import parse
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.record import record
from mo_sync.lifecycle import Refused
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.verdicts import Verdict
from tests.commands import call
from tests.ledgers import announced, failed, raw, recorded, settlement, stored
from tests.site import Site
from tests.terminal import in_terminal

SENDER, RECEIVER = "+14086080000", "18322222222"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a stored, a refused, a failed and a waiting attachment, and an application that is held.

    Made now: the commands look at the clock.
    """
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        events = [
            announced("E1", "M1", ["Alpha1", "Alpha2"]),
            announced("E2", "M2", ["Beta1"], application_id="2"),
            announced("E3", "M3", ["Gamma1"], application_id="3"),
        ]
        record(ledger, events, now=now, give_up_after_s=3600.0)
        leases = {lease.attachment_id: lease for lease in claim(ledger, worker="w", count=9, now=now, lease_s=60.0)}
        outcomes = {
            "Alpha1": stored(leases["Alpha1"]),
            "Alpha2": Refused("type-denied", "text/html is not allowed"),
            "Beta1": failed(Verdict.PERMANENT, status=410, code="4100"),
            "Gamma1": failed(Verdict.HOLD, status=401, code="4010"),
        }
        batch = [settlement(leases[name], outcome, now=now) for name, outcome in outcomes.items()]
        assert settle(ledger, batch, worker="w") == [True] * 4
    return path


@pytest.fixture
def site(tmp_path: Path, template: Path) -> Site:
    site = Site(tmp_path / "site", "http://127.0.0.1:9")
    shutil.copy(template, site.root / "ledger.db")
    return site


@pytest.fixture
def asked(site: Site) -> Callable[..., Any]:
    """Run ``mo-sync ledger …`` and return what it printed, as a document with ``--json``."""

    def ask(*arguments: str) -> Any:
        done = site.run("ledger", *arguments)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return ask


@pytest.fixture
def listed(site: Site, tmp_path: Path) -> Callable[..., Any]:
    """The document of ``mo-sync ledger list``, called within this process: many words are tried on it."""

    def listed(*words: str) -> Any:
        return call(f"sqlite:///{site.root / 'ledger.db'}", tmp_path, "ledger", "list", "--json", *words).document

    return listed


def test_the_status_is_told_to_people_and_to_programs(asked: Callable[..., Any]) -> None:
    words, document = asked("status", "--utc"), asked("status", "--json")

    resting = "application 3 is held, tried next"
    for expected in ("stored", "20.5 kB", "1 stored", resting, "the gateway answered an error", "3, 1 of them at rest"):
        assert expected in words
    assert (document["attachments"]["stored"], document["attachments"]["failed"]) == (1, 1)
    assert (document["messages"], document["deliveries"], document["stored_bytes"]) == (3, 3, 20_480)
    assert [(row["id"], row["state"]) for row in document["applications"]] == [
        ("17226", "active"),
        ("2", "active"),
        ("3", "held"),
    ]


def test_an_application_that_rests_can_be_tried_at_once(asked: Callable[..., Any], site: Site) -> None:
    assert "application 3 is held" in asked("show", "Gamma1")

    assert asked("release", "--application", "3", "--json") == {"released": ["3"], "dry_run": False}
    assert asked("release", "--all-applications").strip() == "tried at once: 3"
    assert asked("release", "--application", "17226").strip() == "none of them rests"


@pytest.mark.parametrize("words", [[], ["--application", "3", "--all-applications"]])
def test_to_release_needs_one_choice(site: Site, words: list[str]) -> None:
    told = site.run("ledger", "release", *words)

    assert told.returncode == 2
    assert "--application" in told.stderr


def test_times_are_in_utc_when_asked_for(site: Site) -> None:
    in_utc = site.run("ledger", "show", "Alpha1", "--utc", environ={"TZ": "Asia/Tokyo"}).stdout
    local = site.run("ledger", "show", "Alpha1", environ={"TZ": "Asia/Tokyo"}).stdout

    assert "2026-11-19 16:16:17Z" in in_utc
    assert "2026-11-20 01:16:17+0900" in local


def test_the_list_shows_where_files_are_or_why_they_are_not(asked: Callable[..., Any]) -> None:
    lines = {line.split()[0]: line for line in asked("list", "--utc").splitlines()}

    assert lines.keys() == {"attachment", "Alpha1", "Alpha2", "Beta1", "Gamma1"}
    assert "2026/11/19/M1/0-Alpha1.jpg" in lines["Alpha1"]
    assert "text/html is not allowed" in lines["Alpha2"]
    assert "failed" in lines["Beta1"]


FILTERS: dict[str, tuple[list[str], list[str]]] = {
    "one state": (["--state", "failed"], ["Beta1"]),
    "states by commas": (["--state", "failed,stored"], ["Alpha1", "Beta1"]),
    "states repeated": (["--state", "failed", "--state", "stored"], ["Alpha1", "Beta1"]),
    "application": (["--application", "2"], ["Beta1"]),
    "since a span": (["--since", "1h"], ["Alpha1", "Alpha2", "Beta1", "Gamma1"]),
    "until a span": (["--until", "1h"], []),
    "since a day": (["--since", "2199-01-01"], []),
    "from": (["--from", "14086080000", "--application", "3"], ["Gamma1"]),
    "to": (["--to", "+18322222222", "--state", "refused"], ["Alpha2"]),
    "error": (["--error", "html"], ["Alpha2"]),
    "error code": (["--error", "4100"], ["Beta1"]),
    "combined": (["--state", "refused", "--application", "17226", "--error", "html"], ["Alpha2"]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_the_list_is_narrowed_by_every_option(listed: Callable[..., Any], name: str) -> None:
    options, expected = FILTERS[name]

    assert [row["id"] for row in listed(*options)] == expected


@pytest.fixture
def troubled(site: Site) -> Site:
    """Besides, an event that nobody understands and a message that announces attachments without ids."""
    nonsense = raw(b"nonsense")
    with Ledger.open(LedgerSettings(url=f"sqlite:///{site.root / 'ledger.db'}")) as ledger:
        recorded(ledger, announced("E9", "M9", [], has_attachment="true"), (nonsense, parse(nonsense)))
    return site


OTHERS = ["application held", "message without ids", "rejected event"]


def test_all_that_needs_a_person_is_listed_with_the_command_that_helps(
    troubled: Site, asked: Callable[..., Any]
) -> None:
    document, words = asked("list", "--problems", "--json"), asked("list", "--problems")

    assert [row["id"] for row in document["attachments"]] == ["Alpha2", "Beta1"]
    assert sorted(row["kind"] for row in document["others"]) == OTHERS
    assert words.index("also needs a person") > words.index("Beta1")
    for row in document["others"]:
        assert row["command"] in words
        assert troubled.run(*shlex.split(row["command"].split("; ")[-1])[1:]).returncode == 0


PROBLEMS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "application": (["--application", "3"], [], ["application held"]),
    "since": (["--since", "2199-01-01"], [], []),
    "words of the reason": (["--error", "html"], ["Alpha2"], []),
    "a number": (["--to", "+18322222222"], ["Alpha2", "Beta1"], []),
    "a state": (["--state", "refused,stored"], ["Alpha2"], []),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_options_narrow_what_else_needs_a_person_too(troubled: Site, listed: Callable[..., Any], name: str) -> None:
    options, attachments, others = PROBLEMS[name]

    document = listed("--problems", *options)
    assert [row["id"] for row in document["attachments"]] == attachments
    assert sorted(row["kind"] for row in document["others"]) == others


def test_ids_can_be_copied_from_a_narrow_terminal(site: Site) -> None:
    long = "Long1234567890123456789"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{site.root / 'ledger.db'}")) as ledger:
        recorded(ledger, announced("E9", f"M{long}", [long]))

    told = in_terminal(site.start, "ledger", "list", columns=100)

    [place] = [place for place, line in enumerate(told.lines) if line.startswith(f"{long}  pending")]
    assert told.lines[place + 1].split()[:2] == ["message", f"M{long}"]


def test_a_list_that_is_cut_says_so_beside_it(site: Site) -> None:
    cut = site.run("ledger", "list", "--limit", "2")
    document = site.run("ledger", "list", "--limit", "2", "--json")
    whole = site.run("ledger", "list", "--limit", "2", "--all")
    fitting = site.run("ledger", "list", "--limit", "4")

    assert [len(done.stdout.splitlines()) - 1 for done in (cut, whole, fitting)] == [2, 4, 4]
    assert len(json.loads(document.stdout)) == 2
    assert "there are more than 2" in cut.stderr
    assert "there are more than 2" in document.stderr
    assert whole.stderr + fitting.stderr == ""


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["show", "M1"], ["show", "M1", "--json"]])
def test_numbers_are_masked_unless_they_are_asked_for(asked: Callable[..., Any], command: list[str]) -> None:
    """P16."""
    hidden, shown = asked(*command), asked(*command, "--reveal")

    assert SENDER[1:8] not in json.dumps(hidden, ensure_ascii=False)
    assert RECEIVER[:8] not in json.dumps(hidden, ensure_ascii=False)
    assert SENDER in json.dumps(shown, ensure_ascii=False)


def test_a_story_says_what_happened_and_what_comes_next(asked: Callable[..., Any]) -> None:
    of_stored, of_refused, of_message = (asked("show", wanted, "--utc") for wanted in ("Alpha1", "Alpha2", "M1"))

    assert "event E1: accepted, delivered once" in of_stored
    assert "attempt 1: stored 20.5 kB" in of_stored
    assert f"sha256 {'ab' * 32}" in of_stored
    assert "text/html is not allowed" in of_refused
    assert "to try again: mo-sync ledger retry Alpha2" in of_refused
    assert "attachment Alpha1: stored" in of_message
    assert "attachment Alpha2: refused" in of_message


def test_a_story_is_a_document_for_programs_and_is_found_by_a_beginning(asked: Callable[..., Any]) -> None:
    document = asked("show", "Be", "--json")

    assert (document["kind"], document["id"]) == ("attachment", "Beta1")
    assert document["attachments"][0]["error_status"] == 410
    assert [row["outcome"] for row in document["attempts"]] == ["permanent"]
    assert document["attempts"][0]["finished_at"].endswith("Z")


@pytest.mark.parametrize(
    "arguments", [["status"], ["list"], ["list", "--problems"], ["show", "M1"], ["list", "--json"]]
)
def test_a_reader_who_has_seen_enough_ends_it_in_silence(site: Site, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = site.run("ledger", *arguments, stdout=writing)
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


WRONG: dict[str, tuple[list[str], str]] = {
    "an id that is none": (["show", "nothing"], "id-unknown"),
    "an id of bytes": (["show", "\udcff"], "id-unknown"),
    "a beginning of several": (["show", "Alpha"], "id-ambiguous"),
    "retry of none": (["retry", "nothing"], "id-unknown"),
    "retry of everything unsaid": (["retry"], "nothing-chosen"),
    "a state that is none": (["list", "--state", "lost"], "state-unknown"),
    "a time that is none": (["list", "--since", "yesterday"], "time-not-understood"),
    "a limit of nothing": (["list", "--limit", "0"], "usage-wrong"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_exist_is_an_error_of_usage(site: Site, name: str) -> None:
    arguments, code = WRONG[name]

    done = site.run("ledger", *arguments)
    document = site.run("ledger", *arguments, "--json")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mo-sync: {code}: ")
    assert json.loads(document.stderr)["error"]["code"] == code


def test_an_ambiguous_beginning_names_what_it_may_be(site: Site) -> None:
    done = site.run("ledger", "show", "Alpha")

    assert "attachment Alpha1, attachment Alpha2" in done.stderr


def test_retry_makes_due_now_what_was_named_and_says_how_many(site: Site, asked: Callable[..., Any]) -> None:
    assert asked("retry", "Beta1").startswith("1 due now")

    assert site.query("select state, attempts from attachment where id = 'Beta1'") == [("pending", 0)]
    assert site.query("select count(*) from attachment where state = 'refused'") == [(1,)]
    assert site.query("select count(*) from attempt where attachment_id = 'Beta1'") == [(1,)]
    assert asked("list", "--state", "pending", "--json")[0]["due_at"] <= datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["M1"], 1),
        (["Alpha1"], 0),
        (["Alpha2", "Beta1"], 2),
        (["E2"], 1),
        (["--state", "failed,refused,stored"], 2),
        (["--application", "17226"], 1),
    ],
)
def test_a_dry_run_says_what_a_retry_does_and_changes_nothing(
    site: Site, asked: Callable[..., Any], arguments: list[str], count: int
) -> None:
    before = site.query("select * from attachment order by id")

    said = asked("retry", *arguments, "--dry-run").splitlines()[-1]
    expected = f"{count} would be due now: " if count else "Alpha1 was left alone: it is stored already"
    assert said.startswith(expected)
    assert site.query("select * from attachment order by id") == before
    assert asked("retry", *arguments, "--json")["retried"] == count


def test_what_was_named_and_left_alone_is_told(asked: Callable[..., Any]) -> None:
    alone = [{"id": "Alpha1", "state": "stored"}]

    assert asked("retry", "Alpha1").splitlines() == ["Alpha1 was left alone: it is stored already"]
    assert asked("retry", "Alpha1", "--json") == {"retried": 0, "dry_run": False, "left_alone": alone}
    told = asked("retry", "M1").splitlines()
    assert told[0] == "Alpha1 was left alone: it is stored already"
    assert told[1].startswith("1 due now")
    assert asked("retry", "--state", "missing").startswith("nothing to retry: none of them is pending, missing, ")


def test_what_is_held_says_by_whom_and_why_and_goes_on_when_it_is_released(
    site: Site, asked: Callable[..., Any]
) -> None:
    assert asked("retry", "Beta1", "Alpha2").startswith("2 due now")
    would = asked("hold", "--state", "pending", "--application", "2", "--dry-run")
    assert would == "1 would be held: 1 pending\n"
    assert asked("hold", "Beta1", "--reason", "wait for Ann").startswith("1 held: `mo-sync ledger release`")
    story = asked("show", "Beta1")
    assert re.search(r"\n  held by [^:]+: wait for Ann\n  to let it go on: mo-sync ledger release Beta1\n", story)
    assert asked("hold", "Beta1") == "Beta1 was left alone: it is held\n"
    assert asked("list", "--state", "held", "--json")[0]["id"] == "Beta1"
    released = asked("release", "--state", "held", "--application", "2", "--json")
    assert (released["released"], released["dry_run"], released["left_alone"]) == (1, False, [])
    assert site.query("select state, error from attachment where id = 'Beta1'") == [("pending", None)]
    assert site.run("ledger", "hold", "Alpha2", environ={"SUDO_USER": "ann"}).returncode == 0
    assert site.query("select error from attachment where id = 'Alpha2'") == [("held by ann",)]


def test_what_is_cancelled_is_nobodys_problem_until_it_is_retried(site: Site, asked: Callable[..., Any]) -> None:
    assert "Beta1" in asked("list", "--problems")
    assert asked("cancel", "--since", "1h", "--error", "4100", "--json")["cancelled"] == 1
    assert "Beta1" not in asked("list", "--problems")
    assert "to try again: mo-sync ledger retry Beta1" in asked("show", "Beta1")
    assert asked("cancel", "Alpha1") == "Alpha1 was left alone: it is stored already\n"
    assert asked("retry", "Beta1").startswith("1 due now")


def test_a_backup_is_told_to_people_and_to_programs_and_named_by_its_time_in_a_folder(
    site: Site, asked: Callable[..., Any]
) -> None:
    assert asked("backup", "copy.db").splitlines()[0] == "copy.db"
    document = asked("backup", str(site.root), "--json")
    assert re.fullmatch(r"ledger-\d{8}T\d{6}Z\.db", Path(document["path"]).name)
    assert document["rows"] == {"event": 3, "message": 3, "attachment": 4, "attempt": 4}
    again = site.run("ledger", "backup", "copy.db")
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    unnamed = site.run("ledger", "backup", " ")
    assert (unnamed.returncode, "a name is empty" in unnamed.stderr) == (2, True)
    assert asked("backup", "copy.db", "--force").endswith("4 attempts\n")
    shutil.copy(site.root / "copy.db", site.root / "ledger.db")
    assert asked("status", "--json")["messages"] == 3


@pytest.mark.parametrize("deed", ["hold", "cancel"])
def test_nothing_is_done_to_all_of_them_by_saying_nothing(site: Site, deed: str) -> None:
    told = site.run("ledger", deed)

    assert told.returncode == 2
    assert f"it was not said what to {deed}" in told.stderr


def test_what_came_from_outside_cannot_colour_the_terminal(site: Site, asked: Callable[..., Any]) -> None:
    """The fixture looks for an escape character in all that is printed."""
    with (
        Ledger.open(LedgerSettings(url=f"sqlite:///{site.root / 'ledger.db'}")) as ledger,
        ledger.begin() as connection,
    ):
        connection.exec_driver_sql("update attachment set error = char(27) || '[31mred' where id = 'Beta1'")

    assert "\\x1b[31mred" in asked("list")
    assert "\\x1b[31mred" in asked("show", "Beta1")


def test_a_ledger_that_is_damaged_ends_in_75_and_a_sentence(site: Site) -> None:
    (site.root / "ledger.db").write_text("dear diary " * 500)

    done = site.run("ledger", "status")

    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.startswith("mo-sync: ledger-damaged: ")
