"""The relay over real HTTP: alone and beside the daemon; what it acknowledged is never lost, whatever kills it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from mo_sync.sandbox import Gateway
from tests import fuzz, mounts
from tests.relays import USER, Relay, event, running
from tests.trouble import events_of, eventually

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["alone", "beside"])
def alone(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "alone")


def test_an_event_is_acknowledged_and_recorded_once_with_its_headers(tmp_path: Path, alone: bool) -> None:
    relay = Relay(tmp_path / "site", alone=alone)
    with running(relay):
        headers = {"X-ESS-EVENT-KEY": "the-key", "X-ESS-EVENT-TIMESTAMP": "2026-11-23T16:16:18Z"}
        first, again = relay.post(event(1), headers=headers), relay.post(event(1), headers=headers)

    assert (first.status_code, first.json()) == (202, {"accepted": 1, "duplicate": 0})
    assert (again.status_code, again.json()["accepted"] + again.json()["duplicate"]) == (202, 1)
    assert relay.recorded() == {event(1)["event-id"]}
    [(deliveries, payload)] = relay.site.query("select deliveries, payload from event")
    assert deliveries == 2
    assert json.loads(payload)["headers"] == {name.lower(): value for name, value in headers.items()}
    assert relay.site.query("select id, message_id from attachment") == [
        (event(1)["event"]["fld-val-list"]["attachment_ids"], event(1)["event"]["fld-val-list"]["message_id"])
    ]


XML = b"""<?xml version="1.0"?><event-envelope><topic>SCG-Message</topic><event-id>EXML</event-id><event>
<evt-tp>mo_message_received</evt-tp><fld-val-list><message_id>MXML</message_id><attachment_ids>AXML</attachment_ids>
<application_id>17226</application_id></fld-val-list></event></event-envelope>"""


@pytest.mark.parametrize(
    ("body", "headers", "ids"),
    [
        (XML, {"Content-Type": "application/xml"}, {"EXML"}),
        (gzip.compress(json.dumps(event(1)).encode()), {"Content-Encoding": "gzip"}, {event(1)["event-id"]}),
        (json.dumps([event(1), event(2)]).encode(), {}, {event(1)["event-id"], event(2)["event-id"]}),
        (b"\n".join(json.dumps(event(n)).encode() for n in (1, 2)), {}, {event(1)["event-id"], event(2)["event-id"]}),
        (json.dumps({"scg_message": event(3), "x_received_time": "now"}).encode(), {}, {event(3)["event-id"]}),
        (json.dumps(event(4), indent=2).encode("utf-16"), {}, {event(4)["event-id"]}),
    ],
    ids=["XML", "gzip", "a list", "lines", "a wrap", "UTF-16"],
)
def test_events_are_taken_in_every_shape(
    tmp_path: Path, alone: bool, body: bytes, headers: dict[str, str], ids: set[str]
) -> None:
    relay = Relay(tmp_path / "site", alone=alone)
    with running(relay):
        answer = relay.post(body, headers=headers)
        assert (answer.status_code, answer.json()) == (202, {"accepted": len(ids), "duplicate": 0})

    assert relay.recorded() == ids


@pytest.mark.parametrize("body", [b"", b"garbage", b'{"topic": ', b"\xff\xfe\x00", b"[]", b'{"a": 1}', b"[" * 5_000])
def test_what_is_not_understood_is_kept_and_acknowledged_with_a_note(tmp_path: Path, alone: bool, body: bytes) -> None:
    relay = Relay(tmp_path / "site", alone=alone)
    with running(relay):
        answer = relay.post(body)

    told = answer.json()
    assert (answer.status_code, told["accepted"], told["duplicate"]) == (202, 0, 0)
    assert told["rejected"] >= 1
    assert told["note"]
    assert relay.recorded() == set()
    assert relay.site.query("select count(*) > 0 from event where state = 'rejected'") == [(1,)]


def test_what_is_not_understood_may_be_refused_instead(tmp_path: Path, alone: bool) -> None:
    relay = Relay(tmp_path / "site", alone=alone, relay={"unreadable": "refuse"})
    with running(relay):
        assert relay.post(b"garbage").status_code == 400
        assert relay.post(event(1)).status_code == 202


def test_each_wrong_request_gets_its_own_answer(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "site", alone=True, relay={"max_body": "2kB"})
    with running(relay):
        base = relay.url.removesuffix("/events")
        large = event(1, message_body="x" * 3_000)
        answers = {
            "no password": relay.post(event(1), auth=None),
            "wrong password": relay.post(event(1), auth=("ess", "wrong-password")),
            "elsewhere": requests.post(f"{base}/other", data=b"{}", auth=USER, timeout=10),
            "GET": requests.get(relay.url, auth=USER, timeout=10),
            "an image": relay.post(b"\x89PNG", headers={"Content-Type": "image/png"}),
            "too large": relay.post(large),
            "too large in chunks": requests.post(
                relay.url, data=iter([json.dumps(large).encode()]), auth=USER, timeout=10
            ),
            "a bomb": relay.post(gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"}),
            "no gzip": relay.post(b"plain", headers={"Content-Encoding": "gzip"}),
        }
        assert relay.post(event(1)).status_code == 202, "and others are served"

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "no password": 401, "wrong password": 401, "elsewhere": 404, "GET": 405, "an image": 415, "too large": 413,
        "too large in chunks": 413, "a bomb": 413, "no gzip": 400,
    }  # fmt: skip
    assert all(answer.json()["error"] for answer in answers.values())
    assert answers["no password"].headers["WWW-Authenticate"].startswith("Basic ")
    assert answers["GET"].headers["Allow"] == "POST"
    assert relay.recorded() == {event(1)["event-id"]}
    assert USER[1] not in relay.said()
    assert "wrong-password" not in relay.said()


def load(relay: Relay, stop: threading.Event, acknowledged: list[str], start: int) -> None:
    """One client: posts one event after the other, and remembers what was acknowledged."""
    number = start
    while not stop.is_set():
        try:
            with requests.Session() as session:
                while not stop.is_set():
                    number += 1
                    posted = event(number)
                    answer = session.post(relay.url, data=json.dumps(posted), auth=USER, timeout=30)
                    if answer.status_code == 202 and answer.json()["accepted"]:
                        acknowledged.append(posted["event-id"])
        except requests.RequestException:
            time.sleep(0.01)


@contextmanager
def loaded(relay: Relay, clients: int = 8) -> Iterator[list[str]]:
    stop, acknowledged = threading.Event(), list[str]()
    threads = [
        threading.Thread(target=load, args=(relay, stop, acknowledged, 1_000_000 * client)) for client in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)


def test_killed_under_load_it_loses_nothing_that_it_acknowledged(tmp_path: Path, alone: bool) -> None:
    """SIGKILL, again and again; each time it starts again and finds what it left."""
    relay = Relay(tmp_path / "site", alone=alone)
    kills = 20
    try:
        relay.start()
        with loaded(relay) as acknowledged:
            for kill in range(kills):
                known = len(acknowledged)
                eventually(lambda known=known, kill=kill: len(acknowledged) > known + 5 + kill, what=relay.said)
                relay.kill()
                relay.start()
        assert relay.stop() == 0, relay.said()
    finally:
        relay.kill()

    assert len(acknowledged) > kills * 5
    assert set(acknowledged) - relay.recorded() == set()
    assert len(acknowledged) == len(set(acknowledged))
    assert [name for name in os.listdir(relay.site.drop_folder) if name.startswith(".relay")] == []


def test_a_dead_relays_segment_is_taken_by_mo_sync_itself(tmp_path: Path) -> None:
    """The relay need not come back for it."""
    relay = Relay(tmp_path / "site", alone=True, relay={"rotate": "1h"})
    relay.start()
    assert relay.post(event(1)).status_code == 202
    relay.kill()
    assert [path.suffix for path in relay.site.drop_folder.iterdir() if path.is_file()] == [".open"]

    assert relay.recorded() == {event(1)["event-id"]}


def test_while_the_ledger_is_locked_nothing_is_lost_and_nobody_sees_an_error(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "site", alone=False, relay={"commit_timeout": "300ms"})
    with running(relay), loaded(relay, 4) as acknowledged:
        eventually(lambda: len(acknowledged) > 20, what=relay.said)
        with closing(sqlite3.connect(relay.site.root / "ledger.db", isolation_level=None, timeout=10)) as other:
            other.execute("begin immediate")
            known = len(acknowledged)
            eventually(lambda: len(acknowledged) > known + 200, what=relay.said)
            other.execute("rollback")
        eventually(lambda: "relay.ledger-back" in relay.said(), what=relay.said)
        eventually(lambda: set(acknowledged) <= relay.recorded(), what=relay.said)

    refused = [line for line in events_of(relay.said()) if line["event"] in ("relay.refused", "batch.not-kept")]
    assert refused == []


@pytest.mark.root
def test_on_a_full_disk_it_refuses_and_is_ready_again_by_itself_when_there_is_room(tmp_path: Path) -> None:
    mounts.needs_mounts()
    relay = Relay(tmp_path / "site", alone=True)
    relay.site.drop_folder.rmdir()
    with mounts.tmpfs(relay.site.drop_folder, "size=1m") as disk:
        with running(relay):
            assert relay.post(event(1)).status_code == 202
            eventually(lambda: list(disk.glob("relay-*")))
            with (disk / "others").open("wb", buffering=0) as others, contextlib.suppress(OSError):
                while True:
                    others.write(bytes(4_096))
            refused = relay.post(event(2))
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            assert not relay.answers()
            (disk / "others").unlink()
            eventually(relay.answers, what=relay.said)
            assert relay.post(event(2)).status_code == 202
        assert relay.recorded() == {event(1)["event-id"], event(2)["event-id"]}
        assert "batch.not-kept" in relay.said()


def test_a_stop_answers_what_was_read(tmp_path: Path, alone: bool) -> None:
    relay = Relay(tmp_path / "site", alone=alone)
    relay.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)
        body = json.dumps(event(1)).encode()
        connection.putrequest("POST", "/events")
        connection.putheader("Authorization", requests.auth._basic_auth_str(*USER))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:-5])
        time.sleep(0.2)
        assert relay.process is not None
        relay.process.terminate()
        time.sleep(0.3)
        connection.send(body[-5:])
        answer = connection.getresponse()
        assert answer.status == 202
        assert relay.process.wait(60) == 0, relay.said()
    finally:
        relay.kill()

    assert relay.recorded() == {event(1)["event-id"]}


def test_users_are_read_again_on_sighup(tmp_path: Path, alone: bool) -> None:
    relay = Relay(tmp_path / "site", alone=alone)
    with running(relay):
        new = ("ess", "another-long-password")
        assert relay.post(event(1), auth=new).status_code == 401
        (relay.site.root / "users").write_text(f"{new[0]}:{new[1]}\n")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: relay.post(event(1), auth=new).status_code == 202, what=relay.said)
        assert relay.post(event(2)).status_code == 401
        (relay.site.root / "users").write_text("broken\n")
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: "relay-users-invalid" in relay.said(), what=relay.said)
        assert relay.post(event(3), auth=new).status_code == 202


@pytest.mark.parametrize(
    ("relay", "words"),
    [
        ({"listen": "0.0.0.0:{port}", "basic_file": None}, "relay-open-to-all"),
        ({"basic_file": "none"}, "relay-secret-unreadable"),
        ({"networks": ["everywhere"]}, "network-invalid"),
        ({"certificate": "none.pem"}, "relay-certificate-unusable"),
    ],
)
def test_what_cannot_be_meant_is_told_and_nothing_is_begun(
    tmp_path: Path, alone: bool, relay: dict[str, Any], words: str
) -> None:
    made = Relay(tmp_path / "site", alone=alone)
    given = {"listen": f"127.0.0.1:{made.port}", "basic_file": "users", **relay}
    given["listen"] = given["listen"].format(port=made.port)
    made = Relay(tmp_path / "other", alone=alone, relay={name: value for name, value in given.items() if value})
    if relay.get("basic_file", "") is None:
        text = (made.site.root / "mo-sync.toml").read_text()
        (made.site.root / "mo-sync.toml").write_text(
            "\n".join(line for line in text.splitlines() if "basic_file" not in line)
        )
    ended = made.site.run("relay" if alone else "run")

    assert ended.returncode == 3, ended.stderr
    assert words in ended.stderr


def test_slow_and_silent_connections_are_closed_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    relay = Relay(
        tmp_path / "site", alone=True, relay={"header_timeout": "1s", "body_timeout": "1s", "max_connections": 800}
    )
    with running(relay):
        slow = [socket.create_connection(("127.0.0.1", relay.port), 10) for _ in range(500)]
        password = requests.auth._basic_auth_str(*USER).encode()
        whole = b"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: " + password + b"\r\nContent-Length: 99\r\n\r\n{"
        for number, line in enumerate(slow):
            line.sendall([b"", b"P", whole[:40], whole][number % 4])
        assert relay.post(event(1)).status_code == 202
        for line in slow:
            line.settimeout(20)
            assert b"408" in line.recv(100)
            assert line.recv(100) == b""
            line.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /events HTTP/9.9\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"POST /events HTTP/1.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"POST /events HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_what_is_no_clean_http_gets_a_4xx_or_a_closed_connection(tmp_path: Path, request_: bytes) -> None:
    relay = Relay(tmp_path / "site", alone=True)
    with running(relay):
        with socket.create_connection(("127.0.0.1", relay.port), 10) as line:
            answer = b""
            try:
                line.sendall(request_)
                while data := line.recv(65_536):
                    answer += data
            except ConnectionError:
                pass
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
        assert relay.post(event(1)).status_code == 202


def test_whatever_is_posted_gets_an_answer_and_ends_nothing(tmp_path: Path, alone: bool) -> None:
    """A sample; `make fuzz N=100000` is the campaign."""
    relay = Relay(tmp_path / "site", alone=alone)
    with running(relay):
        found = fuzz.play(relay, 400, seed=os.getpid())
        assert relay.post(event("after")).status_code == 202

    assert found.wrong == []
    assert found.statuses[202] > 100
    assert "Traceback" not in relay.said()
    assert event("after")["event-id"] in relay.recorded()


def test_the_drop_command_puts_events_where_they_are_taken(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "site", alone=True)
    file = tmp_path / "events.json"
    file.write_text(json.dumps(event(1)))
    dropped = relay.site.run("drop", str(file))
    with relay.site.start("drop", "-", stdin=subprocess.PIPE) as process:
        process.communicate(json.dumps(event(2)), timeout=60)
    refused = relay.site.run("drop", str(tmp_path / "none.json"))

    assert (dropped.returncode, process.returncode, refused.returncode) == (0, 0, 2), dropped.stderr + refused.stderr
    assert Path(dropped.stdout.strip()).parent == relay.site.drop_folder
    assert relay.recorded() == {event(1)["event-id"], event(2)["event-id"]}


def test_a_gateway_is_not_needed_by_the_relay_alone(tmp_path: Path) -> None:
    """For a machine that has neither a token nor a ledger."""
    with Gateway() as gateway:
        relay = Relay(tmp_path / "site", alone=True)
        (relay.site.root / "token").unlink(missing_ok=True)
        with running(relay):
            assert relay.post(event(1)).status_code == 202
        assert len(gateway.requests) == 0
    assert not (relay.site.root / "ledger.db").exists()
