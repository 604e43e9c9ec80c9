"""A real clamd before whom everything passes: what is infected is quarantined, and nothing unscanned is let through."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.scan import Answer, Clean, Found, NotScanned, Scanner, ScannerOut, TooLarge
from tests.clamd import EICAR, Clamd, needs_clamd
from tests.crash.nursery import Nursery
from tests.trouble import Bed, events_of, eventually, one_line_an_attempt, secretive, shows_no_secret

pytestmark = pytest.mark.timeout(180)
PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 200


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    needs_clamd()
    with Clamd.running(StreamMaxLength="1M") as clamd:
        yield clamd


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def scan(asked: Scanner, data: bytes) -> Answer:
    return asked.scan("it", io.BytesIO(data), len(data), stop=lambda: False)


def scanner(address: str, *, timeout_s: float = 20.0) -> Scanner:
    return Scanner(address, timeout_s=timeout_s, max_bytes=1 << 30)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (PICTURE, Clean()),
        (b"x", Clean()),
        (EICAR, Found("Eicar-Test.UNOFFICIAL")),
        (PICTURE + EICAR + PICTURE, Found("Eicar-Test.UNOFFICIAL")),
        (bytes(900_000) + EICAR, Found("Eicar-Test.UNOFFICIAL")),
    ],
    ids=["clean", "tiny", "the file", "within", "far within"],
)
def test_clamd_knows_what_is_infected(clamd: Clamd, kind: str, data: bytes, answer: Answer) -> None:
    assert scan(scanner(clamd.addresses[kind]), data) == answer


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("size", [1_050_000, 3_000_000, 60_000_000])
def test_more_than_clamd_takes_is_told_as_that_however_it_hangs_up(clamd: Clamd, kind: str, size: int) -> None:
    for _ in range(5):
        answer = scan(scanner(clamd.addresses[kind]), bytes(size))

        assert isinstance(answer, TooLarge), answer


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_one_that_is_stopped_is_out_of_reach_and_back_when_it_goes_on(clamd: Clamd, kind: str) -> None:
    asked = scanner(clamd.addresses[kind], timeout_s=0.5)
    os.kill(clamd.pid, signal.SIGSTOP)
    try:
        answer = scan(asked, PICTURE)
        assert isinstance(answer, ScannerOut), answer
        assert isinstance(asked.trouble(), ScannerOut)
    finally:
        os.kill(clamd.pid, signal.SIGCONT)
    eventually(lambda: asked.trouble() is None)

    assert scan(asked, EICAR) == Found("Eicar-Test.UNOFFICIAL")


def test_one_that_dies_amid_a_scan_is_out_of_reach() -> None:
    needs_clamd()
    with Clamd.running() as clamd:
        asked = scanner(clamd.addresses["unix"])

        def die() -> bool:
            if file.tell() > 1_000_000:
                clamd.kill()
            return False

        file = io.BytesIO(bytes(30_000_000))
        answer = asked.scan("it", file, 30_000_000, stop=die)
        assert isinstance(answer, ScannerOut), answer
        clamd.start()

        assert asked.trouble() is None
        assert not isinstance(scan(asked, PICTURE), ScannerOut | NotScanned)


# the whole program


def announce_file(bed: Bed, name: str, content: bytes) -> None:
    """A message whose attachment is this file."""
    attachment = bed.announce(name)
    assert bed.gateway is not None
    bed.gateway.add_attachment(Attachment(attachment, content, "image/jpeg"))
    bed.truth[attachment] = content


def bed_with(root: Path, gateway: Gateway, address: str, **settings: object) -> Bed:
    return Bed(root / "site", gateway, settings={"scan": {"clamd": address, "timeout": "5s", **settings}})


def test_what_is_infected_is_quarantined_with_the_name_of_what_was_found(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, clamd: Clamd
) -> None:
    bed = bed_with(tmp_path, gateway, clamd.addresses["unix"])
    announce_file(bed, "infected", PICTURE + EICAR)
    announce_file(bed, "clean", PICTURE)
    announce_file(bed, "large", PICTURE + bytes(2_000_000))
    ended = nursery.run(bed.site.root, "--sync-now")
    log = (bed.site.root / "log").read_text()

    assert ended.code == 5, log
    assert [bed.state(name) for name in ("infected", "clean", "large")] == [
        ("quarantined", 1), ("stored", 1), ("quarantined", 1),
    ]  # fmt: skip
    told = dict(bed.site.query("select id, error from attachment where state = 'quarantined'"))
    assert told[bed.ids["infected"]] == "ClamAV found Eicar-Test.UNOFFICIAL"
    assert "StreamMaxLength in clamd.conf" in told[bed.ids["large"]]
    assert "attachment.quarantined" in {line["event"] for line in events_of(log)}
    shown = {key: content for key, content in bed.site.files().items() if not key.startswith("quarantine/")}
    assert list(shown.values()) == [PICTURE]
    one_line_an_attempt(bed.site, log)
    shows_no_secret(bed.site, log)


def test_what_is_too_large_to_be_scanned_is_stored_where_the_settings_say_so(
    tmp_path: Path, gateway: Gateway, nursery: Nursery, clamd: Clamd
) -> None:
    bed = bed_with(tmp_path, gateway, clamd.addresses["unix"], max_bytes="1kB", too_large="store")
    announce_file(bed, "large", PICTURE + EICAR)

    assert nursery.run(bed.site.root, "--sync-now").code == 0
    bed.all_well()


def test_while_the_scanner_is_away_nothing_is_let_through_and_no_attempt_is_used_up(
    tmp_path: Path, gateway: Gateway, nursery: Nursery
) -> None:
    needs_clamd()
    with Clamd.running() as clamd:
        clamd.kill()
        bed = bed_with(tmp_path, gateway, clamd.addresses["unix"])
        for number in range(5):
            announce_file(bed, f"{number}", PICTURE + bytes([number]))
        ended = nursery.run(bed.site.root, "--sync-now")
        log = (bed.site.root / "log").read_text()

        assert ended.code == 75, log
        assert bed.site.states() == {"pending": 5}
        assert bed.site.query("select distinct attempts from attachment") == [(0,)]
        assert all("is out of reach" in str(row[4]) for row in bed.reasons()), bed.reasons()
        assert [key for key in bed.site.files() if not key.startswith(".")] == []
        assert "hint" in log or "scanner" in log
        clamd.start()
        assert nursery.run(bed.site.root, "ledger", "retry", "--state", "pending").code == 0
        assert nursery.run(bed.site.root, "--sync-now").code == 0
        bed.all_well()


def test_a_daemon_waits_for_its_scanner_and_goes_on_by_itself(tmp_path: Path, gateway: Gateway) -> None:
    needs_clamd()
    with Clamd.running() as clamd:
        bed = bed_with(tmp_path, gateway, clamd.addresses["unix"])
        announce_file(bed, "before", PICTURE)
        log = bed.site.root / "log"
        with log.open("w") as lines, bed.site.start("run", stdout=lines, stderr=lines) as process:
            try:
                eventually(lambda: bed.site.states() == {"stored": 1}, what=bed.reasons)
                clamd.kill()
                announce_file(bed, "meanwhile", PICTURE + b"2")
                eventually(lambda: "reconcile.paused" in log.read_text(), what=log.read_text)
                clamd.start()
                eventually(lambda: bed.site.states() == {"stored": 2}, what=bed.reasons)
                eventually(lambda: "reconcile.resumed" in log.read_text(), what=log.read_text)
                process.terminate()
                assert process.wait(30) == 0
            finally:
                process.kill()

    bed.all_well()
    assert bed.state("meanwhile") == ("stored", 1)
    assert "is out of reach" in log.read_text()
    shows_no_secret(bed.site, log.read_text())


def findings(bed: Bed) -> dict[str, tuple[str, str]]:
    done = bed.site.run("doctor", "--json")
    return {check["name"]: (check["level"], check["summary"]) for check in json.loads(done.stdout)["checks"]}


def test_doctor_tries_the_scanner_out(tmp_path: Path, gateway: Gateway, clamd: Clamd) -> None:
    bed = bed_with(tmp_path, gateway, clamd.addresses["tcp"])
    found = findings(bed)

    assert found["scanner test file"] == ("ok", "is found as Eicar-Test.UNOFFICIAL")
    assert found["scanner signatures"][0] == "warning", "it has signatures of our own only"


def test_doctor_says_when_the_scanner_is_out_of_reach(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_with(tmp_path, gateway, f"unix:{tmp_path}/none.ctl")
    level, summary = findings(bed)["scanner reach"]

    assert (level, "is out of reach" in summary) == ("failed", True)
