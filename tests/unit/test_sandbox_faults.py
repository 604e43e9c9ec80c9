"""Every fault of the table, as it looks on the wire."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from mo_sync.sandbox import ANY_APPLICATION, FAULTS, Attachment, Fault, Gateway, for_application, named

CONTENT = bytes(range(256)) * 8
PICTURE = Attachment("Mno4Xayql1oVOYAvP7Iy25", CONTENT, "image/jpeg")
MINT = f"/scg-external-api/api/v1/messaging/attachments/{PICTURE.id}/access_tokens"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client with no wits of its own hears: the bytes, how the line ended, how long it took."""

    raw: bytes
    reset: bool
    first_s: float
    total_s: float

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            if line.lower().startswith(f"{name.lower()}:"):
                return line.partition(":")[2].strip()
        return None


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(tokens={"token-a": 17226}) as running:
        running.add_attachment(PICTURE)
        yield running


def connect(gateway: Gateway) -> socket.socket:
    host, _, port = gateway.base_url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def hear(gateway: Gateway, method: str, path: str) -> Heard:
    """Ask on a connection of its own, and listen until it ends."""
    started = time.monotonic()
    pieces: list[bytes] = []
    first_s, reset = 0.0, False
    with connect(gateway) as line:
        headers = "Host: x\r\nAuthorization: Bearer token-a\r\nConnection: close"
        line.sendall(f"{method} {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        try:
            while piece := line.recv(65536):
                first_s = first_s or time.monotonic() - started
                pieces.append(piece)
        except ConnectionResetError:
            reset = True
    return Heard(b"".join(pieces), reset, first_s, time.monotonic() - started)


def spoil(gateway: Gateway, fault: Fault) -> Heard:
    """The answer that bears a fault, at the step that the fault is about."""
    gateway.add_fault(PICTURE.id, fault)
    if fault.step == "mint":
        return hear(gateway, "POST", MINT)
    return hear(gateway, "GET", content_path(gateway))


def content_path(gateway: Gateway) -> str:
    return f"/scg-attachment/api/v1/messaging/attachments/{gateway.inventory.mint(PICTURE.id)}/content"


def healthy(gateway: Gateway) -> bool:
    heard = hear(gateway, "GET", content_path(gateway))
    return heard.status == 200 and heard.body == CONTENT and hear(gateway, "POST", MINT).status == 200


SCG_ERRORS = {
    "bad-request": (400, "4001"),
    "not-ready": (400, "40030"),
    "wrong-token": (401, "4010"),
    "no-credit": (402, "4020"),
    "quota": (402, "4021"),
    "forbidden": (403, "4030"),
    "not-in-cache": (403, "4031"),
    "wrong-state": (403, "4032"),
    "not-found": (404, "4040"),
    "token-expired": (404, "4046"),
    "stale": (409, "4090"),
    "server-error": (500, "5000"),
    "storage-error": (500, "5004"),
    "not-retriable": (500, "5001"),
    "unavailable": (503, "5030"),
}


@pytest.mark.parametrize("name", SCG_ERRORS)
def test_an_error_of_the_api_bears_its_status_and_code(gateway: Gateway, name: str) -> None:
    status, code = SCG_ERRORS[name]
    heard = spoil(gateway, FAULTS[name])

    assert heard.status == status
    assert json.loads(heard.body)["error_code"] == f"SCG_ERROR_{code}"
    assert heard.header("Content-Length") == str(len(heard.body))
    assert healthy(gateway)


WORDED = {
    "bare-number": (403, "application/json", b'"4031"'),
    "plain-text": (503, "text/plain", b"503 Service is"),
    "html-error": (503, "text/html", b"<html>"),
    "layer-error": (401, "application/json", b'{"errorCode":1,"moreInfo":"4010"'),
    "bad-gateway": (502, "text/html", b"<html>"),
    "gateway-timeout": (504, "text/plain", b"504 "),
    "throttled": (429, "text/plain", b"429 "),
    "throttled-silently": (429, "text/plain", b"429 "),
    "html-200": (200, "text/html", b"<!DOCTYPE html>"),
    "json-200": (200, "application/json", b'{"error_code"'),
    "html-200-as-media": (200, "image/jpeg", b"<!DOCTYPE html>"),
    "broken-json": (200, "application/json", b'{"id": "abc'),
    "no-id": (200, "application/json", b"{}"),
    "wrong-type": (200, "application/x-unknown", CONTENT[:20]),
    "gzip-lie": (200, "image/jpeg", CONTENT[:20]),
    "redirect": (302, "text/plain", b"302 "),
    "redirect-loop": (307, "text/plain", b"307 "),
}


@pytest.mark.parametrize("name", WORDED)
def test_the_same_trouble_comes_in_other_words(gateway: Gateway, name: str) -> None:
    status, content_type, beginning = WORDED[name]
    heard = spoil(gateway, FAULTS[name])

    assert (heard.status, heard.header("Content-Type")) == (status, content_type)
    assert heard.body.startswith(beginning)
    assert heard.header("Content-Length") == str(len(heard.body))


def test_retry_after_is_told_or_not(gateway: Gateway) -> None:
    assert spoil(gateway, FAULTS["throttled"]).header("Retry-After") == "1"
    assert spoil(gateway, FAULTS["throttled-silently"]).header("Retry-After") is None
    assert spoil(gateway, named("unavailable", retry_after="Fri, 20 Nov 2026 09:00:00 GMT")).header("Retry-After")


def test_gzip_is_announced_and_not_done(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["gzip-lie"])

    assert heard.header("Content-Encoding") == "gzip"
    assert heard.body == CONTENT


def test_a_redirect_leads_to_another_origin_or_to_itself(gateway: Gateway) -> None:
    elsewhere = spoil(gateway, FAULTS["redirect"]).header("Location")
    itself = spoil(gateway, FAULTS["redirect-loop"]).header("Location")

    assert elsewhere
    assert elsewhere.startswith("http://elsewhere.invalid/scg-attachment/")
    assert itself
    assert itself.startswith("/scg-attachment/")


def test_a_redirect_shows_whether_credentials_follow_it(gateway: Gateway) -> None:
    with Gateway(tokens={}) as other:
        fault = replace(FAULTS["redirect"], headers=(("Location", other.base_url + "{path}"),))
        location = spoil(gateway, fault).header("Location")
        assert location is not None
        hear(other, "GET", location.removeprefix(other.base_url))

        assert [entry.bearer for entry in other.requests] == [True]


def test_an_empty_answer_has_no_body(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["empty"])

    assert (heard.status, heard.header("Content-Length"), heard.body) == (200, "0", b"")


def test_a_short_body_ends_before_its_length(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["short"])

    assert heard.header("Content-Length") == str(len(CONTENT))
    assert heard.body == CONTENT[: len(CONTENT) // 2]
    assert not heard.reset


def test_a_length_beyond_all_reason_is_announced(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["announces-too-much"])

    assert heard.header("Content-Length") == str(10**12)
    assert heard.body == CONTENT


def test_a_body_longer_than_any_limit_really_comes(gateway: Gateway) -> None:
    heard = spoil(gateway, named("too-long", size_bytes=1_000_000))

    assert heard.header("Content-Length") == "1000000"
    assert len(heard.body) == 1_000_000
    assert heard.body.startswith(CONTENT)


def test_a_body_longer_than_any_limit_comes_unannounced(gateway: Gateway) -> None:
    gateway.add_fault(PICTURE.id, named("too-long-chunked", size_bytes=1_000_000))
    connection = http.client.HTTPConnection(gateway.base_url.removeprefix("http://"), timeout=20)
    connection.request("GET", content_path(gateway))
    answer = connection.getresponse()

    assert answer.headers["Content-Length"] is None
    assert len(answer.read()) == 1_000_000


def test_a_chunked_body_is_whole(gateway: Gateway) -> None:
    gateway.add_fault(PICTURE.id, FAULTS["chunked"])
    connection = http.client.HTTPConnection(gateway.base_url.removeprefix("http://"), timeout=20)
    connection.request("GET", content_path(gateway))

    assert connection.getresponse().read() == CONTENT


def test_a_chunked_body_is_cut_inside_a_chunk(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["chunked-cut"])

    assert heard.header("Transfer-Encoding") == "chunked"
    assert not heard.body.endswith(b"0\r\n\r\n")
    assert 0 < len(heard.body) < len(CONTENT)
    assert not heard.reset


def test_a_body_may_end_with_the_connection(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["until-close"])

    assert heard.header("Content-Length") is None
    assert heard.body == CONTENT


@pytest.mark.parametrize("step", ["mint", "content"])
def test_a_connection_is_reset_before_the_answer(gateway: Gateway, step: str) -> None:
    heard = spoil(gateway, named("reset", step=step))

    assert (heard.reset, heard.raw) == (True, b"")
    assert healthy(gateway)


def test_a_connection_is_reset_in_the_body(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["reset-body"])

    assert heard.reset
    assert heard.body == CONTENT[: len(CONTENT) // 2]


def test_a_connection_ends_without_a_word(gateway: Gateway) -> None:
    heard = spoil(gateway, FAULTS["hang-up"])

    assert (heard.reset, heard.raw) == (False, b"")


def test_an_answer_may_be_no_http_at_all(gateway: Gateway) -> None:
    assert not spoil(gateway, FAULTS["garbage"]).raw.startswith(b"HTTP")


@pytest.mark.parametrize("name", ["stall-head", "stall-body", "dribble"])
def test_a_slow_answer_comes_whole_in_the_end(gateway: Gateway, name: str) -> None:
    heard = spoil(gateway, named(name, seconds=0.4))

    assert heard.body == CONTENT
    assert heard.total_s >= 0.4
    assert heard.total_s - heard.first_s > 0.2


def test_a_stall_stops_in_the_middle_of_the_headers(gateway: Gateway) -> None:
    """The rest comes only when the gateway stops: what is heard before is half a head."""
    gateway.add_fault(PICTURE.id, named("stall-head", seconds=600))
    with connect(gateway) as line:
        line.sendall(f"GET {content_path(gateway)} HTTP/1.1\r\n\r\n".encode())
        heard = line.recv(65536)

        assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\n\r\n" not in heard


def test_latency_delays_every_answer(gateway: Gateway) -> None:
    gateway.latency_s = 0.2

    assert hear(gateway, "POST", MINT).first_s >= 0.2


def test_every_fault_of_the_table_is_told_and_passes(gateway: Gateway) -> None:
    """After its times the true answer is back: none of them harms the server."""
    for name, fault in FAULTS.items():
        small = replace(fault, times=1, seconds=0.01, size_bytes=min(fault.size_bytes, 100_000))
        spoil(gateway, small)
        told = gateway.requests.entries(step=fault.step)[-1].fault

        assert told == name
        assert healthy(gateway), name


def test_faults_of_a_step_are_used_up_in_order(gateway: Gateway) -> None:
    gateway.add_fault(PICTURE.id, named("not-ready", times=2), named("not-in-cache"), named("unavailable"))
    mints = [hear(gateway, "POST", MINT).status for _ in range(2)]
    contents = [hear(gateway, "GET", content_path(gateway)).status for _ in range(4)]

    assert mints == [403, 200]
    assert contents == [400, 400, 503, 200]


def test_a_fault_for_ever_stays(gateway: Gateway) -> None:
    gateway.add_fault(PICTURE.id, named("not-found", times=None))

    assert [hear(gateway, "POST", MINT).status for _ in range(5)] == [404] * 5


def test_a_fault_befalls_a_whole_application_and_no_other(gateway: Gateway) -> None:
    gateway.add_fault(for_application(17226), named("no-credit"))
    gateway.add_fault(for_application(20881), named("no-credit"))

    assert [hear(gateway, "POST", MINT).status for _ in range(2)] == [402, 200]


def test_a_token_of_any_application_meets_the_faults_of_the_attachments_application() -> None:
    with Gateway(tokens={"token-a": ANY_APPLICATION}) as gateway:
        gateway.add_attachment(PICTURE)
        gateway.add_fault(for_application(PICTURE.application_id), named("no-credit"))

        assert hear(gateway, "POST", MINT).status == 402


def test_a_fault_of_any_step_befalls_the_next_call(gateway: Gateway) -> None:
    gateway.add_fault("*", named("unavailable", step="any"))

    assert hear(gateway, "GET", "/scg-external-api/api/v1/messaging/messages").status == 503
    assert healthy(gateway)


def test_the_answer_to_a_mint_may_be_cut_too(gateway: Gateway) -> None:
    heard = spoil(gateway, named("short", step="mint"))

    assert heard.status == 200
    assert len(heard.body) < int(heard.header("Content-Length") or 0)


def test_random_faults_follow_the_seed() -> None:
    def statuses(seed: int) -> list[str]:
        with Gateway(tokens={"token-a": 17226}, fault_rate=0.5, fault_seed=seed) as gateway:
            gateway.add_attachment(PICTURE)
            for _ in range(20):
                hear(gateway, "GET", content_path(gateway))
            return [entry.fault for entry in gateway.requests]

    first = statuses(1)

    assert first == statuses(1)
    assert first != statuses(2)
    assert 4 <= sum(map(bool, first)) <= 16
