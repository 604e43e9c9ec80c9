"""What systemd hears from us, over a real datagram socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.daemon.systemd import Systemd


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def test_each_word_is_one_datagram(heard: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": heard.getsockname()}, pid=1)

    systemd.ready("working")
    systemd.alive()
    systemd.reloading(1.5)
    systemd.stopping("bye")

    assert [heard.recv(200) for _ in range(4)] == [
        b"READY=1\nSTATUS=working",
        b"WATCHDOG=1",
        b"RELOADING=1\nMONOTONIC_USEC=1500000",
        b"STOPPING=1\nSTATUS=bye",
    ]


def test_an_abstract_socket_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0mo-sync-test-notify")
        listener.settimeout(5)

        Systemd({"NOTIFY_SOCKET": "@mo-sync-test-notify"}, pid=1).alive()

        assert listener.recv(200) == b"WATCHDOG=1"


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    silent = Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=1)

    silent.ready("working")

    assert silent.watchdog_s is None


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "42"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_ours_only_when_it_names_us(environ: dict[str, str], seconds: float | None) -> None:
    assert Systemd(environ, pid=42).watchdog_s == seconds


def test_a_manager_that_stands_still_keeps_nobody_waiting(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue takes a few words; then a daemon hung in its sign of life, and heard no SIGTERM any more."""
    monkeypatch.setattr("mo_sync.daemon.systemd._PATIENCE_S", 0.01)
    room = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    systemd = Systemd({"NOTIFY_SOCKET": heard.getsockname()}, pid=1)

    for _ in range(room + 5):
        systemd.alive()

    words = [heard.recv(200) for _ in range(room)]
    systemd.stopping("bye")
    assert set(words) == {b"WATCHDOG=1"}
    while (word := heard.recv(200)) == b"WATCHDOG=1":
        pass
    assert word == b"STOPPING=1\nSTATUS=bye"
