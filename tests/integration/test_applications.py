"""Trouble of an application, with real processes: told once, probed by one, mended at a word, and nobody else's."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.faults import EVERYTHING, Fault, for_application
from tests.announcements import announcement, compact
from tests.site import Site

LIMIT_S = 30.0
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5_000)
PATIENT = {"base": "50ms", "max_delay": "1h", "hold": "1h"}


@pytest.fixture
def site(tmp_path: Path, gateway: Gateway) -> Site:
    return Site(tmp_path / "site", gateway.base_url, settings={"retry": PATIENT})


@pytest.fixture
def daemon(site: Site) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    with (site.root / "log").open("w") as log:

        def start() -> subprocess.Popen[str]:
            assert site.run("init").returncode == 0  # makes the ledger
            started.append(site.start("run", stdout=log, stderr=log))
            return started[-1]

        yield start
        for process in started:
            process.kill()
            process.wait()


def announce(site: Site, application: str, count: int) -> dict[str, bytes]:
    """Drop events of ``count`` messages with one attachment each; the truth of their bytes."""
    truth = {f"A{application}n{number}": JPEG + f"{application}/{number}".encode() for number in range(count)}
    lines = [
        compact(announcement(int(application) * 10_000 + number, attachment_ids=name, application_id=application))
        for number, name in enumerate(truth)
    ]
    site.drop(f"{application}.ndjson", b"\n".join(lines))
    return truth


def hold(gateway: Gateway, truth: dict[str, bytes]) -> None:
    for name, content in truth.items():
        gateway.add_attachment(Attachment(name, content, "image/jpeg", application_id=name[1:].partition("n")[0]))


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)


def logged(site: Site, event: str) -> list[dict[str, object]]:
    lines = [line for line in (site.root / "log").read_text().splitlines() if line.startswith("{")]
    return [found for line in lines if (found := json.loads(line))["event"] == event]


@pytest.mark.parametrize("how", ["release", "SIGHUP"])
def test_refused_credentials_are_told_once_and_mended_at_a_word(
    site: Site, gateway: Gateway, daemon: Callable[[], subprocess.Popen[str]], how: str
) -> None:
    (site.root / "token").write_text("wrong\n")
    truth = announce(site, "17226", 40)
    hold(gateway, truth)
    process = daemon()
    wait_until(lambda: site.query("select state from application") == [("held",)])
    wait_until(lambda: site.states() == {"pending": 40})
    asked = len(gateway.requests)

    [problem] = site.query("select kind, command from v_problem")
    assert problem == ("application held", "mo-sync doctor; mo-sync ledger release --application 17226")
    assert site.query("select distinct attempts from attachment") == [(0,)]
    (site.root / "token").write_text("sandbox-token\n")
    if how == "release":
        assert site.run("ledger", "release", "--application", "17226").returncode == 0
    else:
        process.send_signal(signal.SIGHUP)

    wait_until(lambda: site.states() == {"stored": 40})
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT_S) == 0
    site.check_store(truth)
    assert asked <= 32  # what was in the air when the first answer came, and what was claimed until it was written
    assert len(logged(site, "application.held")) == 1
    assert len(logged(site, "application.active")) == 1
    assert site.query("select count(*) from v_problem") == [(0,)]


def test_one_that_hangs_slows_no_other(
    site: Site, gateway: Gateway, daemon: Callable[[], subprocess.Popen[str]]
) -> None:
    """P10: every fetch of the one hangs for longer than this test waits, and the other is served meanwhile."""
    gateway.add_fault(for_application("1"), Fault("stall", step="mint", times=None, wire="stall-head", seconds=600.0))
    hanging = announce(site, "1", 100)
    hold(gateway, hanging)
    quick = announce(site, "2", 20)
    hold(gateway, quick)
    daemon()
    wait_until(lambda: site.query("select count(*) from attachment where state = 'fetching'") != [(0,)])

    wait_until(
        lambda: site.query("select count(*) from attachment where application_id = '2' and state = 'stored'") == [(20,)]
    )

    busy = "select count(*) from attachment where application_id = '1' and state = 'fetching'"
    assert 1 <= site.query(busy)[0][0] < 16


def test_an_outage_uses_up_hardly_an_attempt_and_is_over_when_it_is_over(site: Site, gateway: Gateway) -> None:
    site.configure({**site.tables, "retry": {**PATIENT, "hold": "200ms"}})
    gateway.add_fault(EVERYTHING, Fault("unavailable", step="mint", times=30, status=503, code="5030"))
    truth = announce(site, "17226", 40)
    hold(gateway, truth)

    first = site.run("--sync-now")

    assert first.returncode == 4, first.stderr
    [(state, reason)] = site.query("select state, reason from application")
    assert state == "throttled"
    assert "unavailable" in reason
    [(most, used)] = site.query("select max(attempts), sum(attempts) from attachment")
    assert (most, used <= 16) == (1, True)
    assert site.sync_until_settled(passes=200).returncode == 0
    site.check_store(truth)
    assert site.query("select state, failures from application") == [("active", 0)]


class Narrow(ThreadingHTTPServer):
    """A gateway that serves ``width`` requests at a time and answers 429 to all others."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, width: int) -> None:
        self.free = threading.Semaphore(width)
        self.served = self.refused = 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Narrow

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["resource_id"]
        self._serve(json.dumps({"id": wanted}).encode(), "application/json")

    def do_GET(self) -> None:
        self._serve(JPEG + self.path.split("/")[-2].encode(), "image/jpeg")

    def _serve(self, body: bytes, kind: str) -> None:
        if not self.server.free.acquire(blocking=False):
            self.server.refused += 1
            self._answer(429, b"slow down", "text/plain")
            return
        time.sleep(0.02)
        self.server.served += 1
        self.server.free.release()
        self._answer(200, body, kind)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def test_the_pace_comes_down_to_what_a_gateway_bears(tmp_path: Path) -> None:
    """Without it, twelve of sixteen workers would be refused again and again."""
    with Narrow(4) as narrow:
        serving = threading.Thread(target=narrow.serve_forever, daemon=True)
        serving.start()
        site = Site(tmp_path / "site", f"http://127.0.0.1:{narrow.server_port}")
        count = 200
        announce(site, "17226", count)

        done = site.sync_until_settled()
        narrow.shutdown()

    assert done.returncode == 0, done.stderr
    assert site.states() == {"stored": count}
    assert narrow.served >= 2 * count
    assert narrow.refused < narrow.served / 4
    assert site.query("select max(attempts) from attachment") == [(1,)]


def test_a_ceiling_of_requests_a_second_is_kept(tmp_path: Path, gateway: Gateway) -> None:
    site = Site(tmp_path / "slow", gateway.base_url, settings={"gateway": {"requests_per_second": 50}})
    truth = announce(site, "17226", 30)
    hold(gateway, truth)

    told = json.loads(site.run("--sync-now", "--json").stdout)

    site.check_store(truth)
    assert told["took_s"] >= (2 * 30 - 1) / 50


def test_a_short_rest_that_the_gateway_asks_for_is_waited_for_within_the_pass(site: Site, gateway: Gateway) -> None:
    gateway.add_fault(EVERYTHING, Fault("slower", step="mint", times=3, status=429, wording="text", retry_after="1"))
    truth = announce(site, "17226", 60)
    hold(gateway, truth)

    done = site.run("--sync-now")

    assert done.returncode == 0, done.stdout
    site.check_store(truth)
    assert site.query("select max(attempts) from attachment") == [(1,)]


def test_a_pass_says_what_rests_though_it_was_found_out_before(site: Site, gateway: Gateway) -> None:
    (site.root / "token").write_text("wrong\n")
    truth = announce(site, "17226", 3)
    hold(gateway, truth)

    first, second = site.run("--sync-now"), site.run("--sync-now")

    assert (first.returncode, second.returncode) == (4, 4)
    for done in (first, second):
        assert "Held: application 17226, tried again" in done.stdout
        assert "the token is missing, wrong or not this application's" in done.stdout
    (site.root / "token").write_text("sandbox-token\n")
    assert site.run("ledger", "retry", "--application", "17226").returncode == 0
    assert site.run("--sync-now").returncode == 0
    site.check_store(truth)


def test_events_that_were_not_understood_are_not_all_settled(site: Site) -> None:
    site.drop("broken.json", b"{broken")

    done = site.run("--sync-now")

    assert done.returncode == 5
    assert "Rejected: " in done.stdout
