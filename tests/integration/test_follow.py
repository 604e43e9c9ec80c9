"""``mo-sync ledger follow`` as a program uses it, and ``replay`` as a person does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.media import make
from tests.announcements import announcement
from tests.site import Site

CONTENTS = {f"A{n}": make("gif", f"file {n}") for n in range(6)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Gateway() as gateway:
        site = Site(tmp_path / "site", gateway.base_url)
        for name, content in CONTENTS.items():
            gateway.add_attachment(Attachment(name, content, "image/gif"))
        announce(site, 0, 1, 2)
        assert site.run("--sync-now").returncode == 0
        yield site


def announce(site: Site, *numbers: int) -> None:
    for n in numbers:
        site.drop(f"{n}.json", json.dumps(announcement(n, attachment_ids=f"A{n}")).encode())


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_all_that_happened_is_told_and_can_be_resumed_behind_any_line(site: Site) -> None:
    first = lines(site.run("ledger", "follow", "--from-beginning", "--once").stdout)

    assert sorted(line["kind"] for line in first) == ["attempt"] * 3 + ["event"] * 3
    assert {line["attachment"]["state"] for line in first if line["kind"] == "attempt"} == {"stored"}
    rest = lines(site.run("ledger", "follow", "--once", "--cursor", first[2]["cursor"]).stdout)
    assert rest == first[3:]
    [start] = lines(site.run("ledger", "follow", "--once").stdout)
    assert (start["kind"], start["cursor"]) == ("start", first[-1]["cursor"])


def test_what_happens_is_told_as_it_happens_until_a_signal(site: Site) -> None:
    with site.start("ledger", "follow") as follower:
        assert follower.stdout is not None
        start = json.loads(follower.stdout.readline())
        announce(site, 3)
        assert site.run("--sync-now").returncode == 0
        told = [json.loads(follower.stdout.readline()) for _ in range(2)]
        assert site.run("ledger", "hold", "A3").returncode == 0
        follower.send_signal(signal.SIGTERM)
        assert follower.wait(10) == 0

    assert start["kind"] == "start"
    assert [(line["kind"], line.get("outcome")) for line in told] == [("event", None), ("attempt", "stored")]


def test_it_ends_when_nobody_reads_any_more(site: Site) -> None:
    reader, writer = os.pipe()
    with site.start("ledger", "follow", stdout=writer) as follower:
        os.close(writer)
        time.sleep(2.0)
        os.close(reader)
        assert follower.wait(10) == 0


@pytest.mark.parametrize(
    "words", [["--cursor", "x"], ["--cursor", "e999.a0.i0"], ["--cursor", "e1.a1.i0", "--from-beginning"]]
)
def test_a_place_that_is_none_is_an_error_of_usage(site: Site, words: list[str]) -> None:
    assert site.run("ledger", "follow", "--once", *words).returncode == 2


def rejected(site: Site) -> None:
    """What an older program did not understand: it kept it."""
    site.drop("bad.json", b'{"cut')
    assert site.run("--sync-now").returncode == 5
    body = json.dumps(announcement(4, attachment_ids="A4"))
    subprocess.run(
        ["sqlite3", site.root / "ledger.db", f"update event set payload = '{body}' where state = 'rejected'"],
        check=True,
    )


def test_what_was_rejected_is_understood_by_a_newer_program_and_fetched(site: Site) -> None:
    rejected(site)
    dry = site.run("ledger", "replay", "--state", "rejected", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "would be: 1 understood\n")

    done = site.run("ledger", "replay", "--state", "rejected")

    assert (done.returncode, done.stdout) == (0, "read again: 1 new\n")
    assert site.run("--sync-now").returncode == 0
    assert site.states() == {"stored": 4}
    assert json.loads(site.run("ledger", "replay", "--state", "accepted", "--json").stdout)["events"] == {
        "duplicate": 4
    }
    assert site.query("select count(*), sum(deliveries) from event") == [(4, 4)]


@pytest.mark.parametrize("words", [[], ["--state", "pending"], ["A0"], ["nothing"]])
def test_what_cannot_be_meant_is_an_error_of_usage(site: Site, words: list[str]) -> None:
    assert site.run("ledger", "replay", *words).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_that_does_not_read_keeps_nobody_from_stopping_it(site: Site, number: int) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with site.start("ledger", "follow", "--from-beginning", stdout=writer) as follower:
        os.close(writer)
        time.sleep(2.0)
        follower.send_signal(number)
        assert follower.wait(10) == 0
    os.close(reader)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_silent_pipe_is_read_until_a_signal_and_half_an_event_is_none(site: Site, number: int, code: int) -> None:
    event = json.dumps(announcement(7, attachment_ids="A7")).encode()
    with site.start("ledger", "replay", "--file", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write((event + b"\n" + event[:40]).decode())
        process.stdin.flush()
        time.sleep(2.0)
        process.send_signal(number)
        assert process.wait(10) == code
    assert site.query("select count(*) from event where state = 'rejected'") == [(0,)]
