"""Application tokens expire under real processes: each is refreshed once, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from requests.adapters import HTTPAdapter

from mo_sync.clock import SystemClock
from mo_sync.ledger.ledger import in_transaction
from mo_sync.sandbox import Gateway, named
from mo_sync.sandbox.scenario import Scenario
from mo_sync.sandbox.traffic import make_traffic
from mo_sync.service import Service
from mo_sync.settings.load import load
from tests.site import Site

FIRST = "first-application-token-4711"
CONSUMER = ("consumer-key-4711", "consumer-secret-4711")
WAIT_S = 60.0


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(tokens={FIRST: "*"}, consumer=CONSUMER) as gateway:
        yield gateway


@pytest.fixture
def site(tmp_path: Path, gateway: Gateway) -> Site:
    refresh = {"refresh": True, "consumer_key_file": "key", "consumer_secret_file": "secret"}
    site = Site(
        tmp_path / "site",
        gateway.base_url,
        settings={"gateway": refresh, "log": {"level": "debug", "format": "json"}, "sync": {"stop_grace": "0s"}},
    )
    for name, secret in (("token", FIRST), ("key", CONSUMER[0]), ("secret", CONSUMER[1])):
        (site.root / name).write_text(f"{secret}\n")
        (site.root / name).chmod(0o600)
    return site


def started(site: Site, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """A process whose log goes to a file, however long it gets: nobody reads a pipe while the test waits."""
    log = site.root.parent / f"{len(list(site.root.parent.glob('*.log')))}.log"
    with log.open("w") as file:
        return site.start(*arguments, stderr=file), log


def opened(site: Site) -> Service:
    return Service.open(load(site.root / "mo-sync.toml", environ={}, cwd=site.root).settings, clock=SystemClock())


def played(site: Site, gateway: Gateway, *, attachments: int) -> Scenario:
    """So many attachments without any trouble, announced."""
    scenario = make_traffic(5, events=attachments // 2, attachments=attachments, transient_share=0, permanent_share=0)
    gateway.load(scenario)
    for name, content in scenario.files.items():
        site.drop(name, content)
    return scenario


def check_all_stored_at_the_first_attempt(site: Site, scenario: Scenario) -> None:
    count = len(scenario.attachments)

    assert site.states() == {"stored": count}
    assert site.query("select count(*), min(number), max(number) from attempt") == [(count, 1, 1)]
    assert site.query("select distinct outcome from attempt") == [("stored",)]
    assert site.query("select max(attempts) from attachment") == [(1,)]
    site.check_store({row.id: row.content or b"" for row in scenario.attachments})


def check_no_secret_was_told(site: Site, *outputs: str) -> None:
    """P16: in no output, no log, no ledger, no file but the tokens' own."""
    secrets = [FIRST, *CONSUMER, (site.root / "token").read_text().strip()]
    own = {site.root / name for name in ("token", "key", "secret")}
    texts = [output.encode() for output in outputs]
    texts += [path.read_bytes() for path in site.root.rglob("*") if path.is_file() and path not in own]

    assert [secret for secret in secrets for text in texts if secret.encode() in text] == []


def test_a_token_that_expires_among_two_hundred_fetches_is_refreshed_once_and_costs_no_attempt(
    site: Site, gateway: Gateway
) -> None:
    scenario = played(site, gateway, attachments=200)
    gateway.latency_s = 0.01
    running, log = started(site, "--sync-now")
    assert gateway.requests.wait_for(80, step="content", timeout_s=WAIT_S)
    gateway.credentials.expire(FIRST)
    out, _ = running.communicate(timeout=100)
    err = log.read_text()

    assert running.returncode == 0, err
    assert gateway.requests.count(step="refresh") == 1
    check_all_stored_at_the_first_attempt(site, scenario)
    assert sum(entry.status == 401 for entry in gateway.requests) > 1
    new = (site.root / "token").read_text().strip()
    assert gateway.credentials.application_of(new) == "*"
    assert stat.S_IMODE((site.root / "token").stat().st_mode) == 0o600
    assert err.count('"token.refreshed"') == 1
    assert site.query("select count(*) from application where state != 'active'") == [(0,)]
    check_no_secret_was_told(site, out, err)


def test_two_processes_on_one_ledger_refresh_once_between_them(site: Site, gateway: Gateway) -> None:
    scenario = played(site, gateway, attachments=240)
    with opened(site) as service:  # so that both find work at once
        service.ingest(lambda: False, wait_for_settle=True)
    gateway.latency_s = 3.0
    # It takes longer than any call that is in the air now: the other process is refused in the middle of it.
    gateway.add_fault("*", named("stall-head", step="refresh", seconds=5.0))
    running = [started(site, "--sync-now"), started(site, "--sync-now")]
    wait_until_both_work(site)
    gateway.credentials.expire(FIRST)
    gateway.latency_s = 0.01
    told = [process.communicate(timeout=100)[0] + log.read_text() for process, log in running]

    assert {process.returncode for process, _ in running} <= {0, 4}, told
    assert gateway.requests.count(step="refresh") == 1
    assert "".join(told).count('"token.refreshed"') == 1
    assert site.query("select count(distinct worker) from attempt") == [(2,)]
    assert site.sync_until_settled().returncode == 0
    check_all_stored_at_the_first_attempt(site, scenario)
    check_no_secret_was_told(site, *told)


def wait_until_both_work(site: Site) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.1)):
        pause.wait(0.1)
        with contextlib.suppress(sqlite3.OperationalError):  # the ledger is being made
            if site.query("select count(distinct worker) from attachment where state = 'fetching'") == [(2,)]:
                return
    raise AssertionError("the second process never got anything to do")


def test_a_refresh_that_is_refused_holds_the_application_with_its_reason_and_no_attempt_used(
    site: Site, gateway: Gateway
) -> None:
    played(site, gateway, attachments=20)
    (site.root / "secret").write_text("another-secret-4711")
    gateway.credentials.expire()

    done = site.run("--sync-now")
    again = site.run("--sync-now")

    assert (done.returncode, again.returncode) == (4, 4)
    assert gateway.requests.count(step="refresh") == 1
    assert site.query("select sum(attempts), count(*) from attachment where state = 'pending'") == [(0, 20)]
    [(state, reason)] = site.query("select distinct state, reason from application where until is not null")
    assert state == "held"
    assert "refreshing it failed: " in reason or "less than 10m ago" in reason
    assert "answered 401 gateway-1" in done.stderr
    check_no_secret_was_told(site, done.stdout, done.stderr, again.stdout, again.stderr)
    assert "another-secret" not in done.stdout + done.stderr + str(site.query("select * from application"))


def test_a_stop_in_the_middle_of_a_refresh_does_not_lose_the_new_token(site: Site, gateway: Gateway) -> None:
    played(site, gateway, attachments=20)
    gateway.credentials.expire()
    gateway.add_fault("*", named("stall-head", step="refresh", seconds=2.0))
    daemon, log = started(site, "run")
    assert gateway.requests.wait_for(1, step="refresh", timeout_s=WAIT_S)
    daemon.send_signal(signal.SIGTERM)
    out, _ = daemon.communicate(timeout=60)
    err = log.read_text()

    new = (site.root / "token").read_text().strip()
    assert daemon.returncode == 0, err
    assert new != FIRST
    assert gateway.credentials.application_of(new) == "*"
    check_no_secret_was_told(site, out, err)
    assert site.sync_until_settled().returncode == 0
    assert gateway.requests.count(step="refresh") == 1


def test_a_token_that_a_killed_process_had_received_is_found_by_the_next(site: Site, gateway: Gateway) -> None:
    """SIGKILL between the fsync of the new token and its rename."""
    scenario = played(site, gateway, attachments=20)
    gateway.credentials.expire()
    program = (
        "import os, signal, sys\n"
        "from mo_sync.gateway import tokenfile\n"
        "from mo_sync.cli.main import main\n"
        "tokenfile._into_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.argv = ['mo-sync', '--sync-now']\n"
        "main()\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program], cwd=site.root, env=site.environment(), check=False, timeout=100
    )
    assert killed.returncode == -signal.SIGKILL
    assert (site.root / "token").read_text().strip() == FIRST
    [left] = site.root.glob(".token.*.new")
    let_the_lease_run_out(site)

    done = site.sync_until_settled()

    assert done.returncode == 0, done.stderr
    assert gateway.requests.count(step="refresh") == 1
    assert not left.exists()
    site.check_store({row.id: row.content or b"" for row in scenario.attachments})
    check_no_secret_was_told(site, done.stdout, done.stderr)


def let_the_lease_run_out(site: Site) -> None:
    """As three minutes would."""
    with opened(site) as service, service.ledger.begin() as connection:
        ended = connection.exec_driver_sql(
            "update duty set until = '2026-01-01T00:00:00.000000Z' where name like 'refresh /%'"
        )
    assert ended.rowcount == 1


def test_no_transaction_is_open_while_a_token_is_refreshed(
    site: Site, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P12."""
    played(site, gateway, attachments=20)
    gateway.credentials.expire()
    asked: list[tuple[str, bool]] = []
    send = HTTPAdapter.send

    def watched(adapter: HTTPAdapter, request: object, *rest: object, **more: object) -> object:
        asked.append((str(getattr(request, "path_url", "")), in_transaction()))
        return send(adapter, request, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(HTTPAdapter, "send", watched)

    with opened(site) as service:
        summary = service.sync_now(threading.Event())

    assert summary.settled == {"stored": 20}
    assert [path for path, _ in asked if "apptoken-refresh" in path] != []
    assert [path for path, inside in asked if inside] == []


def test_doctor_says_whether_a_token_can_be_replaced_and_refreshes_none(site: Site, gateway: Gateway) -> None:
    site.run("init")
    well = site.run("doctor")
    (site.root / "secret").chmod(0o644)
    seen_by_all = site.run("doctor")
    (site.root / "secret").unlink()
    gateway.credentials.expire()
    unwell = site.run("doctor")

    assert f"ok       refresh           {site.root / 'token'} can be replaced by a new token" in well.stdout
    assert "warning  secret gateway.consumer_secret_file anyone on this machine may read" in seen_by_all.stdout
    assert unwell.returncode == 3
    assert "failed   refresh           gateway.consumer_secret_file" in unwell.stdout
    assert "failed   access" in unwell.stdout
    assert gateway.requests.count(step="refresh") == 0
    assert [path.name for path in site.root.glob(".token*")] == []
    check_no_secret_was_told(site, well.stdout, well.stderr, unwell.stdout, unwell.stderr)


def test_doctor_says_that_the_folder_of_a_token_takes_no_new_file(site: Site, gateway: Gateway) -> None:
    tables = {name: dict(keys) for name, keys in site.tables.items()}
    tables["gateway"]["token_file"] = "/proc/version"  # its folder takes no file, not even root's
    site.configure(tables)

    done = site.run("doctor")

    assert "failed   refresh           /proc/version cannot be replaced" in done.stdout
    assert "let mo-sync's user write to its folder" in done.stdout


def test_a_token_that_cannot_be_kept_is_a_configuration_error(site: Site) -> None:
    tables = {name: dict(keys) for name, keys in site.tables.items()}
    tables["gateway"]["token"] = tables["gateway"].pop("token_file")
    site.configure(tables)

    done = site.run("--sync-now")

    assert done.returncode == 3
    assert "gateway.refresh needs gateway.token_file instead" in done.stderr
