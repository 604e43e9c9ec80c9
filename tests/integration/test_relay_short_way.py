"""Plain POSTs are answered without a task of their own, and nobody can tell: not the next in line, not a proxy."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.relays import USER, Relay, event, running

AUTHORIZATION = b"Authorization: Basic " + base64.b64encode(":".join(USER).encode()) + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(Relay(tmp_path_factory.mktemp("short") / "site", alone=False)) as one:
        yield one


def post(number: int, *headers: bytes, path: bytes = b"/events", authorization: bytes = AUTHORIZATION) -> bytes:
    body = json.dumps(event(number)).encode()
    if CHUNKED in headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        headers = (*headers, b"Content-Length: %d\r\n" % len(body))
    return b"POST %s HTTP/1.1\r\nHost: x\r\n" % path + authorization + b"".join(headers) + b"\r\n" + body


def answers(relay: Relay, *requests: bytes, count: int) -> list[tuple[int, bytes, bytes]]:
    """Status, head and body of each answer to what is sent at once on one connection; then it ends, or is ended."""
    said = b""
    with socket.create_connection(("127.0.0.1", relay.port), 20) as line:
        line.sendall(b"".join(requests))
        while len(split(said)) < count:
            data = line.recv(65_536)
            if not data:
                break
            said += data
    return split(said)


def split(said: bytes) -> list[tuple[int, bytes, bytes]]:
    found = list(ANSWER.finditer(said))
    ends = [*(one.start() for one in found[1:]), len(said)][: len(found)]
    whole = []
    for one, end in zip(found, ends, strict=True):
        body = said[one.end() : end]
        length = re.search(rb"(?i)content-length: (\d+)", one[2])
        if length is not None and len(body) >= int(length[1]):
            whole.append((int(one[1]), one[2].lower(), body))
    return whole


def test_requests_that_come_at_once_on_one_connection_are_answered_in_their_order(relay: Relay) -> None:
    """Long and short ways in turn: who is quicker waits for who came before."""
    requests = [
        post(1),
        post(2, CHUNKED),
        post(3, path=b"/elsewhere"),
        post(4),
        post(5, b"Content-Type: image/png\r\n"),
        post(6),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        post(7),
    ]

    found = answers(relay, *requests, count=len(requests))

    assert [status for status, _, _ in found] == [202, 202, 404, 202, 415, 202, 200, 202]
    assert relay.recorded() >= {event(number)["event-id"] for number in (1, 2, 4, 6, 7)}


def test_thousands_of_refusals_at_once_on_one_connection_are_answered_each(relay: Relay) -> None:
    refused = post(10, b"Content-Type: image/png\r\n")

    found = answers(relay, *[refused] * 3_000, count=3_000)

    assert [status for status, _, _ in found] == [415] * 3_000


def test_a_refusal_without_a_password_ends_the_connection_and_what_follows_is_not_looked_at(relay: Relay) -> None:
    found = answers(relay, post(11, authorization=b""), post(12), count=2)

    assert [status for status, _, _ in found] == [401]
    assert b"connection: close" in found[0][1]
    assert b"www-authenticate: basic" in found[0][1]
    assert event(12)["event-id"] not in relay.recorded()


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1\r\nConnection: close"])
def test_who_wants_one_answer_gets_it_and_the_end(relay: Relay, version: bytes) -> None:
    request = post(13).replace(b"HTTP/1.1", version, 1)

    with socket.create_connection(("127.0.0.1", relay.port), 20) as line:
        line.sendall(request)
        said = b""
        while data := line.recv(65_536):
            said += data

    assert [(status, b"connection: close" in head) for status, head, _ in split(said)] == [(202, True)]


def test_a_body_that_comes_by_the_byte_is_one_event(relay: Relay) -> None:
    request = post(14)
    with socket.create_connection(("127.0.0.1", relay.port), 20) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            line.sendall(request[place : place + 1])
        said = line.recv(65_536)

    assert json.loads(split(said)[0][2]) == {"accepted": 1, "duplicate": 0}


def test_who_asks_whether_to_go_on_is_told(relay: Relay) -> None:
    head, body = post(15, b"Expect: 100-continue\r\n").split(b"\r\n\r\n", 1)
    with socket.create_connection(("127.0.0.1", relay.port), 20) as line:
        line.sendall(head + b"\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 100")
        line.sendall(body)
        said = line.recv(65_536)

    assert split(said)[0][0] == 202


def test_who_hangs_up_before_the_answer_costs_nothing_and_its_event_is_kept(relay: Relay) -> None:
    for number in range(20, 40):
        with socket.create_connection(("127.0.0.1", relay.port), 20) as line:
            line.sendall(post(number))

    assert answers(relay, post(40), count=1)[0][0] == 202
    assert relay.recorded() >= {event(number)["event-id"] for number in range(20, 41)}
