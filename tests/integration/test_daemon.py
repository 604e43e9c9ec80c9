"""``mo-sync run`` as systemd runs it: a real process, real signals, a real notify socket."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway, named
from tests.site import Site

CANONICAL = (Path(__file__).parent.parent / "data" / "events" / "mms.json").read_bytes()
ATTACHMENT = "Mno4Xayql1oVOYAvP7Iy25"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100_000)
LIMIT_S = 30.0


class Manager:
    """The service manager's end: it hears READY, STATUS, WATCHDOG and STOPPING."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(LIMIT_S)
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"}
        self.heard: list[str] = []

    def wait_for(self, word: str) -> None:
        while not any(word in text for text in self.heard):
            self.heard.append(self._socket.recv(4096).decode())

    def forget(self) -> None:
        self.heard.clear()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


@pytest.fixture
def site(tmp_path: Path, gateway: Gateway) -> Site:
    return Site(tmp_path / "site", gateway.base_url, settings={"sync": {"stop_grace": "20s"}})


@pytest.fixture
def daemon(site: Site, manager: Manager) -> Iterator[subprocess.Popen[str]]:
    log = (site.root / "log").open("w")
    process = site.start("run", environ=manager.environ, stdout=log, stderr=log)
    manager.wait_for("READY=1")
    yield process
    process.kill()
    process.wait()
    log.close()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(LIMIT_S)


def test_a_file_dropped_beside_the_running_daemon_is_fetched_and_sigterm_ends_it_cleanly(
    site: Site, gateway: Gateway, daemon: subprocess.Popen[str], manager: Manager
) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, JPEG, "image/jpeg"))

    site.drop("mms.json", CANONICAL)
    assert gateway.requests.wait_for(1, step="content", attachment_id=ATTACHMENT, timeout_s=LIMIT_S)
    manager.wait_for("1 stored")

    assert stop(daemon) == 0
    site.check_store({ATTACHMENT: JPEG})
    manager.wait_for("STOPPING=1")


def test_the_watchdog_is_fed_while_ticks_complete(daemon: subprocess.Popen[str], manager: Manager) -> None:
    manager.forget()

    manager.wait_for("WATCHDOG=1")

    assert daemon.poll() is None


def test_sigterm_lets_a_running_fetch_finish(
    site: Site, gateway: Gateway, daemon: subprocess.Popen[str], manager: Manager
) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, JPEG, "image/jpeg"), named("dribble", seconds=2.0))
    site.drop("mms.json", CANONICAL)
    assert gateway.requests.wait_for(1, step="content", attachment_id=ATTACHMENT, timeout_s=LIMIT_S)

    assert stop(daemon) == 0

    assert site.states() == {"stored": 1}
    site.check_store({ATTACHMENT: JPEG})


def test_a_second_sigterm_stops_at_once_and_gives_the_claim_back_without_using_up_an_attempt(
    site: Site, gateway: Gateway, daemon: subprocess.Popen[str], manager: Manager
) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, JPEG, "image/jpeg"), named("stall-body", seconds=60.0))
    site.drop("mms.json", CANONICAL)
    assert gateway.requests.wait_for(1, step="mint", attachment_id=ATTACHMENT, timeout_s=LIMIT_S)

    daemon.send_signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")

    assert stop(daemon) == 0
    assert site.query("select state, attempts, lease from attachment") == [("pending", 0, None)]
    assert site.sync_until_settled().returncode == 0
    site.check_store({ATTACHMENT: JPEG})


@pytest.fixture
def replaced(site: Site) -> Path:
    """``done/``, which somebody made a link to elsewhere."""
    (site.drop_folder / "done").symlink_to(site.root)
    return site.drop_folder / "done"


def test_who_meddles_with_the_drop_folder_holds_up_no_stop_and_starves_no_watchdog(
    site: Site, replaced: Path, gateway: Gateway, daemon: subprocess.Popen[str], manager: Manager
) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, JPEG, "image/jpeg"))
    site.drop("mms.json", CANONICAL)
    manager.wait_for("drop-folder-not-ours")
    manager.forget()
    manager.wait_for("WATCHDOG=1")

    kept = os.open(site.drop_folder / "processing", os.O_RDONLY)
    fcntl.flock(kept, fcntl.LOCK_SH)
    replaced.unlink()
    manager.wait_for("1 stored")  # what is recorded is fetched, filed away or not

    assert stop(daemon) == 0
    os.close(kept)
    assert site.sync_until_settled().returncode == 0
    assert [path.name for path in site.drop_folder.glob("done/*/*")] == ["mms.json"]


def test_sighup_takes_a_mended_token_and_says_what_needs_a_restart(
    site: Site, gateway: Gateway, daemon: subprocess.Popen[str], manager: Manager
) -> None:
    site.configure({**site.tables, "sync": {**site.tables["sync"], "workers": 3}})
    manager.forget()

    daemon.send_signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1")

    assert stop(daemon) == 0
    log = (site.root / "log").read_text()
    assert "settings.reloaded" in log
    assert "sync.workers" in log


def test_a_broken_configuration_at_sighup_leaves_the_old_settings_in_force(
    site: Site, daemon: subprocess.Popen[str], manager: Manager
) -> None:
    (site.root / "mo-sync.toml").write_text("[gateway]\ntokn = 1\n")
    manager.forget()

    daemon.send_signal(signal.SIGHUP)
    manager.wait_for("READY=1")

    assert daemon.poll() is None
    assert stop(daemon) == 0
    assert "settings.not-reloaded" in (site.root / "log").read_text()


def test_a_one_shot_beside_the_daemon_is_safe_and_says_so(site: Site, daemon: subprocess.Popen[str]) -> None:
    done = site.run("--sync-now")

    assert done.returncode == 0, done.stderr
    assert "another mo-sync" in done.stdout + done.stderr
    assert daemon.poll() is None
