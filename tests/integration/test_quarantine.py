"""The way out of quarantine: a person judged the file, and lets it out, or has it erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.media import make
from tests.announcements import announcement
from tests.site import Site

CONTENTS = {f"A{n}": make("gif", f"file {n}") for n in range(4)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with two messages of two attachments each, all of them quarantined."""
    with Gateway() as gateway:
        site = Site(tmp_path / "site", gateway.base_url)
        for name, content in CONTENTS.items():
            gateway.add_attachment(Attachment(name, content, "image/gif"))
        for n, ids in enumerate(("A0,A1", "A2,A3")):
            event = announcement(n, attachment_ids=ids, anti_virus_scan_status="VIRUS")
            site.drop(f"{n}.json", json.dumps(event).encode())
        assert site.run("--sync-now").returncode == 5
        assert site.states() == {"quarantined": 4}
        yield site


def test_what_is_let_out_is_stored_where_it_would_have_been(site: Site) -> None:
    done = site.run("ledger", "release", "A0", "--reason", "a false alarm")

    assert (done.returncode, done.stdout) == (0, "1 let out of quarantine: stored where they would have been\n")
    [(location, error)] = site.query("select location, error from attachment where id = 'A0'")
    assert not location.startswith("quarantine/")
    assert (site.media / location).read_bytes() == CONTENTS["A0"]
    assert error is None
    site.check_store(CONTENTS)
    assert site.run("ledger", "verify").returncode == 0
    assert "release by" in (told := site.run("ledger", "show", "A0").stdout)
    assert "a false alarm" in told


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--state", "quarantined"], 4),
        (["M0", "--state", "quarantined"], 2),
        (["A0", "A3"], 2),
        (["M0"], 0),
        (["--state", "held"], 0),
        (["--since", "1h"], 0),
    ],
)
def test_only_what_was_meant_is_let_out(site: Site, words: list[str], count: int) -> None:
    before = site.files()

    dry = site.run("ledger", "release", "--dry-run", *words)
    assert ("would be let out" in dry.stdout, site.files()) == (bool(count), before)
    done = site.run("ledger", "release", "--json", *words)

    assert json.loads(done.stdout)["let_out"] == count
    assert site.states() == {name: n for name, n in (("quarantined", 4 - count), ("stored", count)) if n}
    site.check_store(CONTENTS)


def test_when_all_are_let_out_nothing_needs_a_person_any_more(site: Site) -> None:
    assert site.run("--sync-now").returncode == 5

    site.run("ledger", "release", "--state", "quarantined")

    assert site.run("--sync-now").returncode == 0
    assert site.query("select count(*) from v_problem") == [(0,)]


def test_other_bytes_than_those_that_were_judged_stay_where_they_are(site: Site) -> None:
    [(location,)] = site.query("select location from attachment where id = 'A0'")
    (site.media / location).write_bytes(b"exchanged")

    done = site.run("ledger", "release", "A0", "A1")

    assert done.returncode == 5
    assert "A0 is still quarantined: its bytes are not those" in done.stderr
    assert site.states() == {"quarantined": 3, "stored": 1}
    assert len(site.files()) == 4


def test_what_lies_in_its_place_already_is_no_obstacle(site: Site) -> None:
    """As after a kill between the file's place and the ledger."""
    [(location,)] = site.query("select location from attachment where id = 'A0'")
    place = site.media / location.removeprefix("quarantine/")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half of an earlier try")

    assert site.run("ledger", "release", "A0").returncode == 0

    site.check_store(CONTENTS)
    assert site.run("ledger", "release", "A0").stdout == "A0 was left alone: it is stored already\n"
