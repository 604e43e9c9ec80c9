"""``mo-sync ledger erase``, end to end: not one byte of it is left in the installation, and none comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.erasure import erase_message
from mo_sync.ledger.interventions import By
from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.media import make
from mo_sync.settings import Ledger as LedgerSettings
from tests.announcements import announcement
from tests.site import Site
from tests.terminal import in_terminal

ANNA, BERT = "+14085550100", "+14085550199"
CONTENTS = {name: make("gif", f"file {name}") for name in ("AnnaOne1", "AnnaTwo2", "AnnaBad3", "BertOne4")}
MESSAGES = {1: (ANNA, "AnnaOne1,AnnaTwo2"), 2: (ANNA, "AnnaBad3"), 3: (BERT, "BertOne4")}


def said(number: int) -> bytes:
    sender, ids = MESSAGES[number]
    fields = {"from_address": sender, "attachment_ids": ids, "message_body": f"secret {number} of {sender[-3:]}"}
    status = {"anti_virus_scan_status": "VIRUS"} if number == 2 else {}
    event = announcement(number, message_id=f"Mx{number}yz", **fields, **status)
    event["event-id"] = f"Event{number}x"
    return json.dumps(event).encode()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Gateway() as gateway:
        site = Site(tmp_path / "site", gateway.base_url)
        for name, content in CONTENTS.items():
            gateway.add_attachment(Attachment(name, content, "image/gif"))
        for number in MESSAGES:
            site.drop(f"{number}.json", said(number))
        site.drop("bad.json", f'{{"from": "{ANNA}", "cut off'.encode())
        assert site.run("--sync-now").returncode == 5
        assert site.states() == {"stored": 3, "quarantined": 1}
        yield site


def traces(site: Site, *names: str) -> set[tuple[str, str]]:
    """Which of these texts are still anywhere in the folder: in files, and in their names."""
    found = set()
    for path in site.root.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found |= {(name, path.name) for name in names if name in str(path) or name.encode() in content}
    return found


OF_ANNA = ("AnnaOne1", "AnnaTwo2", "AnnaBad3", "Mx1yz", "Mx2yz", "Event1x", "secret 1", "secret 2", ANNA[1:])


def test_not_a_byte_of_it_is_left_and_what_others_sent_stays(site: Site) -> None:
    assert len({name for name, _ in traces(site, *OF_ANNA)}) == len(OF_ANNA)

    done = site.run("ledger", "erase", "--from", ANNA, "--reason", "request 4711", "--vacuum", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {name: len(report[name]) for name in ("messages", "attachments", "left")} == {
        "messages": 2,
        "attachments": 3,
        "left": 0,
    }
    assert (report["files"], report["events"], report["copies"]) == (3, 3, 3)
    assert (report["reason"], report["vacuumed"]) == ("request 4711", True)
    assert ANNA[1:] not in done.stdout + done.stderr
    assert traces(site, *OF_ANNA) == set()
    assert site.states() == {"stored": 1, "erased": 3}
    assert list(site.files().values()) == [CONTENTS["BertOne4"]]
    assert site.run("ledger", "verify").returncode == 0
    assert site.run("--sync-now").returncode == 0


def test_what_comes_again_brings_nothing_back(site: Site) -> None:
    assert site.run("ledger", "erase", "--from", ANNA, "--yes").returncode == 0

    for number in MESSAGES:
        site.drop(f"again-{number}.json", said(number))
    done = site.run("--sync-now")

    assert done.returncode == 0, done.stdout + done.stderr
    assert site.states() == {"stored": 1, "erased": 3}
    assert len(site.files()) == 1
    assert site.query("select count(*) from message where from_address is not null") == [(1,)]
    assert site.query("select count(*) from event where payload like '%secret 1%'") == [(0,)]


def test_what_verify_set_aside_goes_too(site: Site) -> None:
    [(key,)] = site.query("select location from attachment where id = 'AnnaOne1'")
    (site.media / key).write_bytes(b"damaged, and still hers")
    assert site.run("ledger", "verify", "--repair").returncode == 0
    assert any("lost+found" in name for name in site.files())

    done = site.run("ledger", "erase", "Mx1yz", "--yes")

    assert done.returncode == 0, done.stderr
    assert [name for name in site.files() if "Anna" in name] == [
        key for (key,) in site.query("select location from attachment where id = 'AnnaBad3'")
    ]


def test_a_dry_run_and_a_program_that_does_not_agree_change_nothing(site: Site) -> None:
    before = site.files()

    dry = site.run("ledger", "erase", "--from", ANNA, "--dry-run")
    silent = site.run("ledger", "erase", "--from", ANNA)

    assert dry.stdout == f"2 messages, 3 attachments, 3 events and 3 files ({size_of(site)}) would be erased\n"
    assert (silent.returncode, "--yes" in silent.stderr) == (2, True)
    assert site.files() == before
    assert site.states() == {"stored": 3, "quarantined": 1}


def size_of(site: Site) -> str:
    [(size,)] = site.query("select sum(size) from attachment where id like 'Anna%'")
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB"


@pytest.mark.parametrize(("answer", "erased"), [("y\n", 2), ("n\n", 0), ("\n", 0)])
def test_at_a_terminal_it_asks(site: Site, answer: str, erased: int) -> None:
    told = in_terminal(site.start, "ledger", "erase", "Mx1yz", typed=answer)

    assert re.search(r"erase 1 message, 2 attachments, 1 event and 2 files \(.*\) for good\? \[y/N\]", told.raw)
    assert told.returncode == 0 or answer == "\n"
    assert site.states().get("erased", 0) == erased


def test_one_attachment_can_be_erased_alone_and_nobody_but_the_report_remembers_why(site: Site) -> None:
    done = site.run("ledger", "erase", "BertOne4", "--yes", "--reason", "not his")

    assert done.stdout.startswith("erased: 0 messages, 1 attachment, 1 event; 1 file and 1 copy of events removed")
    story = site.run("ledger", "show", "BertOne4")
    assert "erase by " in story.stdout
    assert "not his" in story.stdout
    assert site.query("select body from message where id = 'Mx3yz'") == [("secret 3 of 199",)]
    again = site.run("ledger", "erase", "BertOne4", "--yes")
    assert (again.returncode, again.stdout.startswith("nothing was erased")) == (0, True)


@pytest.mark.parametrize("words", [[], ["--from", "anna"], ["--from", "+1"], ["nobody"], ["AnnaOne"]])
def test_what_cannot_be_meant_is_an_error_of_usage(site: Site, words: list[str]) -> None:
    assert site.run("ledger", "erase", "--yes", *words).returncode == 2
    assert site.states() == {"stored": 3, "quarantined": 1}


def test_a_file_that_cannot_be_removed_is_left_and_removed_by_the_next_run(site: Site) -> None:
    [(key,)] = site.query("select location from attachment where id = 'AnnaOne1'")
    path = site.media / key
    path.unlink()
    path.mkdir()
    (path / "in the way").write_bytes(b"x")

    first = site.run("ledger", "erase", "Mx1yz", "--yes", "--json")

    assert first.returncode == 4
    [why] = json.loads(first.stdout)["left"].values()
    assert "cannot be removed" in why
    (path / "in the way").unlink()
    path.rmdir()
    path.write_bytes(b"it came back")
    assert site.run("ledger", "erase", "Mx1yz", "--yes").returncode == 0
    assert not path.exists()


def test_what_a_killed_erasure_left_is_removed_by_the_next_pass_too(site: Site) -> None:
    """Where no daemon works."""
    with Ledger.open(LedgerSettings(url=f"sqlite:///{site.root / 'ledger.db'}")) as ledger:
        erase_message(ledger, "Mx1yz", By("me"), now=datetime.now(UTC))
    assert traces(site, "AnnaOne1")

    assert site.run("--sync-now").returncode in (0, 5)

    assert [name for _, name in traces(site, "AnnaOne1") if name.endswith(".jpg")] == []
    assert CONTENTS["AnnaOne1"] not in site.files().values()
    assert site.query("select id from attachment where state = 'erased' and location is not null") == []
