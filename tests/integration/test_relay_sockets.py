"""TLS, client certificates, and a socket that systemd holds while the relay starts anew."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from pathlib import Path

import pytest
import requests

from tests.lacking import need
from tests.relays import USER, Relay, event, running
from tests.trouble import eventually


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``server``, ``renewed`` and ``client``, each a certificate for 127.0.0.1 signed by itself, and its key."""
    need("openssl", package="openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "renewed", "client", "stranger"):
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*make, *files], cwd=folder, check=True, capture_output=True)
    return folder


def relay_with_tls(root: Path, certificates: Path, **more: object) -> Relay:
    given = {"certificate": "shown.crt", "certificate_key": "shown.key", **more}
    relay = Relay(root / "site", alone=True, relay=given)
    show(relay, certificates, "server")
    relay.trust = {"verify": str(certificates / "server.crt")}
    return relay


def show(relay: Relay, certificates: Path, name: str) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(certificates / f"{name}.{suffix}", relay.site.root / f"shown.{suffix}")


def shown(relay: Relay) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", relay.port))).hex().encode()


def test_events_come_over_tls_and_a_renewed_certificate_is_shown_after_a_reload(
    tmp_path: Path, certificates: Path
) -> None:
    relay = relay_with_tls(tmp_path, certificates)
    with running(relay):
        assert relay.post(event(1)).status_code == 202
        before = shown(relay)
        show(relay, certificates, "renewed")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: shown(relay) != before, what=relay.said)
        relay.trust = {"verify": str(certificates / "renewed.crt")}
        assert relay.post(event(2)).status_code == 202
        (relay.site.root / "shown.crt").write_text("broken")
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: "relay-certificate-unusable" in relay.said(), what=relay.said)
        assert relay.post(event(3)).status_code == 202

    assert relay.recorded() == {event(n)["event-id"] for n in (1, 2, 3)}


def test_only_clients_with_a_certificate_that_is_known_are_heard(tmp_path: Path, certificates: Path) -> None:
    shutil.copy(certificates / "client.crt", tmp_path / "client.crt")
    relay = relay_with_tls(tmp_path, certificates, client_ca=str(tmp_path / "client.crt"))
    known = tuple(str(certificates / f"client.{suffix}") for suffix in ("crt", "key"))
    relay.trust = {"verify": str(certificates / "server.crt"), "cert": known}
    with running(relay):
        assert relay.post(event(1)).status_code == 202
        for stranger in (None, tuple(str(certificates / f"stranger.{suffix}") for suffix in ("crt", "key"))):
            relay.trust = {"verify": str(certificates / "server.crt"), "cert": stranger}
            with pytest.raises(requests.ConnectionError):
                relay.post(event(2))

    assert relay.recorded() == {event(1)["event-id"]}


_LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "mo_sync", "relay"])
"""


def test_while_systemd_holds_the_socket_a_restart_loses_no_connection(tmp_path: Path) -> None:
    """As mo-sync-relay.socket does it: connections that come while nobody listens wait in the queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as held:
        relay = Relay(tmp_path / "site", alone=True)
        relay.port = held.getsockname()[1]
        relay.url = f"http://127.0.0.1:{relay.port}/events"

        def start() -> subprocess.Popen[str]:
            with (relay.site.root / "said").open("a") as log:
                return subprocess.Popen(
                    [sys.executable, "-c", _LAUNCH, str(held.fileno())],
                    cwd=relay.site.root,
                    env=relay.site.environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
                    stdout=log,
                    stderr=log,
                    text=True,
                    pass_fds=[held.fileno()],
                )

        statuses: list[int] = []

        def post(number: int) -> None:
            statuses.append(relay.post(event(number)).status_code)

        for restart in range(3):
            process = start()
            try:
                threads = [threading.Thread(target=post, args=(10 * restart + n,)) for n in range(5)]
                for thread in threads:
                    thread.start()
                eventually(lambda restart=restart: len(statuses) > 5 * restart, what=relay.said)
                process.terminate()
                assert process.wait(60) == 0, relay.said()
            finally:
                process.kill()
            # Those that were not read before the end wait for the next.
            process = start()
            for thread in threads:
                thread.join(60)
            begun = 2 * restart + 2
            eventually(lambda begun=begun: relay.said().count("relay.listening") == begun, what=relay.said)
            process.terminate()
            assert process.wait(60) == 0, relay.said()

    assert statuses == [202] * 15
    assert relay.recorded() == {event(10 * restart + n)["event-id"] for restart in range(3) for n in range(5)}
    assert USER[1] not in relay.said()


def request_of(number: int, *more: str) -> bytes:
    body = json.dumps(event(number)).encode()
    who = b64encode(":".join(USER).encode()).decode()
    head = [
        "POST /events HTTP/1.1",
        "Host: relay",
        f"Authorization: Basic {who}",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def answers(sock: socket.socket, until: bytes, times: int = 1) -> bytes:
    said = b""
    while said.count(until) < times and (part := sock.recv(65_536)):
        said += part
    return said


def test_requests_that_come_in_one_piece_are_answered_in_turn_each_in_one_piece(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "site", alone=False)
    with running(relay), socket.create_connection(("127.0.0.1", relay.port), 20) as sock:
        sock.sendall(b"".join(map(request_of, range(1, 6))))
        said = answers(sock, b'"duplicate":0}\n', 5)
        assert said.count(b"HTTP/1.1 202 Accepted\r\n") == 5
        sock.sendall(request_of(6))
        assert sock.recv(65_536).endswith(b'{"accepted":1,"duplicate":0}\n')
    assert relay.recorded() == {event(n)["event-id"] for n in range(1, 7)}


def test_who_asks_first_whether_to_go_on_is_told_so_unless_he_may_not_post(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "site", alone=True)
    with running(relay):
        head, _, body = request_of(1, "Expect: 100-continue").partition(b"\r\n\r\n")
        with socket.create_connection(("127.0.0.1", relay.port), 20) as sock:
            sock.sendall(head + b"\r\n\r\n")
            assert answers(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(body)
            assert b" 202 " in answers(sock, b"\n", 6)
        with socket.create_connection(("127.0.0.1", relay.port), 20) as sock:
            sock.sendall(head.replace(b"Basic ", b"Basic x") + b"\r\n\r\n")
            said = answers(sock, b"never")
            assert said.startswith(b"HTTP/1.1 401 ")
            assert said.endswith(b'is needed"}\n')
    assert relay.recorded() == {event(1)["event-id"]}
