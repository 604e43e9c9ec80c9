"""The gateway client against a real server that misbehaves on a real socket."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from mo_sync import settings
from mo_sync.clock import SystemClock
from mo_sync.gateway import Content, ContentToken, Credentials, Gateway, Pumped
from mo_sync.lifecycle import Failed, Interrupted, Refused
from mo_sync.verdicts import Verdict
from tests.wire import Asked, Line, Script, WireServer, answer, says

ID = "Mno4Xayql1oVOYAvP7Iy25"
TOKEN = "app-s3cret"
CONTENT_TOKEN = "content-s3cret"
BODY = bytes(range(256)) * 8192  # 2 MB: more than a chunk, more than what sockets hold
SMALL = b"\xff\xd8\xff\xe0" + bytes(20_000)
CLOCK = SystemClock()
MINTED = answer(body=b'{"id": "%s"}' % CONTENT_TOKEN.encode(), kind="application/json")


def gateway_of(server: WireServer | str, **changes: object) -> Gateway:
    limits: dict[str, object] = {"connect_timeout": 2, "read_timeout": 0.4, "total_timeout": 20}
    base_url = server if isinstance(server, str) else server.url
    section = settings.Gateway.model_validate({"base_url": base_url, "token": SecretStr(TOKEN), **limits, **changes})
    return Gateway(section, Credentials(section, {}), CLOCK, version="test")


def fetched(gateway: Gateway, max_bytes: int = 10**9) -> tuple[object, bytes]:
    """The outcome of opening and pumping the content, and what was written."""
    found = gateway.open_content(ContentToken(CONTENT_TOKEN, CLOCK.monotonic()), "17226")
    if not isinstance(found, Content):
        return found, b""
    pieces: list[bytes] = []
    with found:
        outcome = found.pump(pieces.append, max_bytes=max_bytes)
    return outcome, b"".join(pieces)


def failure(found: object) -> Failed:
    assert isinstance(found, Failed), found
    assert "s3cret" not in repr(found)
    return found


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end
    return answer(body=body, length=None, Transfer_Encoding="chunked", **headers)


def then(data: bytes, ending: Callable[[Line], None]) -> Script:
    """A script that sends ``data`` and then ends the connection in some way."""

    def play(line: Line, _asked: Asked) -> None:
        line.send(data)
        ending(line)

    return play


# whole


@pytest.mark.parametrize("body", [b"x", SMALL, BODY], ids=["a byte", "20 KB", "2 MB"])
@pytest.mark.parametrize("shape", ["length", "chunked", "close", "gzip", "gzip chunked"])
def test_a_body_arrives_as_it_is_in_every_framing(body: bytes, shape: str) -> None:
    packed = gzip.compress(body, 1)
    script = {
        "length": says(answer(body=body)),
        "chunked": says(chunked(body[:1], body[1:] or b"")) if len(body) > 1 else says(chunked(body)),
        "close": then(answer(body=body, length=None), Line.end),
        "gzip": says(answer(body=packed, Content_Encoding="gzip")),
        "gzip chunked": says(chunked(packed, Content_Encoding="gzip")),
    }[shape]

    with WireServer(script) as server:
        outcome, written = fetched(gateway_of(server))

    assert outcome == Pumped(len(body))
    assert written == body


def test_only_the_end_of_the_connection_is_no_proof_of_the_end() -> None:
    with WireServer(then(answer(body=SMALL, length=None), Line.end)) as server:
        found = gateway_of(server).open_content(ContentToken("t", CLOCK.monotonic()), "17226")
    with WireServer(says(answer(body=SMALL))) as server:
        other = gateway_of(server).open_content(ContentToken("t", CLOCK.monotonic()), "17226")

    assert isinstance(found, Content)
    assert isinstance(other, Content)
    assert (found.delimited, found.content_length) == (False, None)
    assert (other.delimited, other.content_length) == (True, len(SMALL))


# cut, wrong, slow

BROKEN = {
    "cut small": (then(answer(body=SMALL[:-1], length=len(SMALL)), Line.end), "truncated", 200),
    "cut large": (then(answer(body=BODY[:-1], length=len(BODY)), Line.end), "truncated", 200),
    "cut after the head": (then(answer(length=7), Line.end), "truncated", 200),
    "cut chunk": (then(chunked(SMALL, end=b"4000\r\nabc"), Line.end), "truncated", 200),
    "cut between chunks": (then(chunked(SMALL, end=b""), Line.end), "truncated", 200),
    "wrong chunk size": (then(chunked(SMALL, end=b"xyz\r\n"), Line.end), "truncated", 200),
    "cut gzip": (says(answer(body=gzip.compress(SMALL)[:-5], Content_Encoding="gzip")), "decode-failed", 200),
    "gzip lie": (says(answer(body=SMALL, Content_Encoding="gzip")), "decode-failed", 200),
    "unknown encoding": (says(answer(body=SMALL, Content_Encoding="br")), "decode-failed", 200),
    "reset in the body": (then(answer(body=BODY[:500_000], length=len(BODY)), Line.reset), "reset", 200),
    "reset before the answer": (lambda line, _asked: line.reset(), "reset", None),
    "hang up before the answer": (lambda line, _asked: line.end(), "reset", None),
    "hang up in the head": (then(b"HTTP/1.1 200 OK\r\nContent-", Line.end), "empty-body", 200),
    "garbage": (then(b"\x16\x03\x01 what is this\r\n\r\n", Line.end), "protocol-error", None),
    "endless header": (then(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, Line.end), "protocol-error", None),
    "empty": (says(answer()), "empty-body", 200),
    "longer than announced, at once": (says(answer(body=SMALL + b"more", length=len(SMALL))), "length-mismatch", 200),
    "longer than announced, large": (says(answer(body=BODY + BODY, length=len(BODY))), "length-mismatch", 200),
    "silent before the answer": (lambda line, _asked: line.silence(), "read-timeout", None),
    "silent in the head": (then(b"HTTP/1.1 200 OK\r\nContent-", Line.silence), "read-timeout", None),
    "silent in a small body": (then(answer(body=SMALL[:-1], length=len(SMALL)), Line.silence), "read-timeout", 200),
    "silent in a large body": (then(answer(body=BODY[:-1], length=len(BODY)), Line.silence), "read-timeout", 200),
    "silent between chunks": (then(chunked(SMALL, end=b""), Line.silence), "read-timeout", 200),
}


@pytest.mark.parametrize(("script", "code", "status"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_a_failure_that_is_tried_again(script: Script, code: str, status: int | None) -> None:
    with WireServer(script) as server:
        found = failure(fetched(gateway_of(server))[0])

    assert (found.code, found.status, found.verdict) == (code, status, Verdict.RETRY)
    assert found.reason.startswith(server.host)


DRIPS = {
    "head": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000,
    "small body": answer(body=SMALL),
    "large body": answer(length=10**9, body=bytes(1000)),
    "chunk": chunked(bytes(1000)),
    "chunk size": answer(length=None, Transfer_Encoding="chunked") + b"0" * 1000,
    "trailers": chunked(b"x", end=b"0\r\n" + b"X: y\r\n" * 200),
}


@pytest.mark.parametrize("data", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_is_ended_by_the_total_time(data: bytes) -> None:
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if b"\r\n\r\n" in data else b""

    def play(line: Line, _asked: Asked) -> None:
        line.send(head)
        line.drip(data[len(head) :], every_s=0.05)

    with WireServer(play) as server:
        began = time.monotonic()
        found = failure(fetched(gateway_of(server, total_timeout=0.5))[0])
        took = time.monotonic() - began

    assert found.code == "total-timeout"
    assert took < 3.0


def test_a_stray_line_end_after_the_body_is_forgiven() -> None:
    with WireServer(says(answer(body=SMALL) + b"\r\n")) as server:
        gateway = gateway_of(server)
        outcomes = [fetched(gateway)[0] for _ in range(3)]

    assert outcomes == [Pumped(len(SMALL))] * 3


def test_what_came_too_much_is_not_taken_for_the_next_answer() -> None:
    poison = answer(body=b"poison")

    def play(line: Line, asked: Asked) -> None:
        line.send(answer(body=SMALL) + (poison * 3 if asked.connection == 0 else b""))

    with WireServer(play) as server:
        gateway = gateway_of(server)
        first, second = fetched(gateway), fetched(gateway)

    assert failure(first[0]).code == "length-mismatch"
    assert second == (Pumped(len(SMALL)), SMALL)


def test_an_endless_body_is_refused_at_the_limit() -> None:
    def play(line: Line, _asked: Asked) -> None:
        line.send(answer(length=None, Transfer_Encoding="chunked"))
        while True:
            line.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    with WireServer(play) as server:
        outcome, written = fetched(gateway_of(server), max_bytes=1_000_000)

    assert isinstance(outcome, Refused)
    assert "limits.max_bytes is 1,000,000" in outcome.reason
    assert len(written) <= 1_000_000


def test_a_bomb_is_refused_at_the_limit() -> None:
    bomb = gzip.compress(bytes(100_000_000), 9)

    with WireServer(says(answer(body=bomb, Content_Encoding="gzip"))) as server:
        outcome, written = fetched(gateway_of(server, read_timeout=10), max_bytes=1_500_000)

    assert isinstance(outcome, Refused)
    assert len(written) <= 1_500_000


def test_an_endless_body_that_comes_to_nothing_is_refused_at_the_limit_of_what_came() -> None:
    """gzip allows members in a row, and an empty one is twenty bytes."""
    nothing = gzip.compress(b"") * 3_000
    sent: list[int] = []

    def play(line: Line, _asked: Asked) -> None:
        line.send(answer(length=None, Transfer_Encoding="chunked", Content_Encoding="gzip"))
        while True:
            line.send(b"%x\r\n%s\r\n" % (len(nothing), nothing))
            sent.append(len(nothing))

    with WireServer(play) as server:
        outcome, written = fetched(gateway_of(server, read_timeout=10, total_timeout=20), max_bytes=1_000_000)

    assert isinstance(outcome, Refused)
    assert "more than 1,000,000 bytes came" in outcome.reason
    assert written == b""
    assert sum(sent) < 32 * 1024 * 1024


@pytest.mark.parametrize("status", [200, 302, 500])
def test_an_endless_answer_to_a_small_question_is_cut_off(status: int) -> None:
    sent: list[int] = []

    def play(line: Line, _asked: Asked) -> None:
        line.send(answer(status, length=10**12, Location="https://elsewhere.invalid/"))
        while True:
            line.send(b"x" * 65536)
            sent.append(65536)

    with WireServer(play) as server:
        found = failure(gateway_of(server).mint(ID, "17226"))

    assert found.status == status
    assert sum(sent) < 64 * 1024 * 1024


# credentials


def test_a_redirect_elsewhere_takes_no_credentials_and_no_cookies_along() -> None:
    with WireServer(says(answer(body=SMALL))) as store:
        location = f"{store.url}/bucket/key?signature=abc"
        redirect = answer(302, Location=location, Set_Cookie="session=1; Path=/")
        with WireServer(says(redirect)) as server:
            gateway = gateway_of(server)
            outcome, written = fetched(gateway)
            fetched(gateway)

    assert (outcome, written) == (Pumped(len(SMALL)), SMALL)
    assert store.asked[0].target == "/bucket/key?signature=abc"
    assert all({"authorization", "cookie", "referer"}.isdisjoint(asked.headers) for asked in store.asked)
    assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in server.asked)
    assert all("cookie" not in asked.headers for asked in server.asked)
    assert server.connections == 1


def test_a_redirect_at_home_keeps_the_credentials() -> None:
    def play(line: Line, asked: Asked) -> None:
        line.send(answer(body=SMALL) if asked.target == "/other" else answer(307, b"moved", Location="/other"))

    with WireServer(play) as server:
        outcome, _ = fetched(gateway_of(server))

    assert outcome == Pumped(len(SMALL))
    assert server.asked[1].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.connections == 1


@pytest.mark.parametrize("call", ["mint", "metadata", "probe"])
def test_calls_other_than_content_are_not_redirected_elsewhere(call: str) -> None:
    with WireServer(says(answer(body=b"{}"))) as store, WireServer(says(answer(302, Location=store.url))) as server:
        gateway = gateway_of(server)
        found = {
            "mint": lambda: gateway.mint(ID, "17226"),
            "metadata": lambda: gateway.metadata(ID, "17226"),
            "probe": lambda: gateway.probe("17226"),
        }[call]()

    assert failure(found).code == "redirect-refused"
    assert store.asked == []


def test_redirects_end_after_five() -> None:
    with WireServer(says(answer(302, Location="/again"))) as server:
        found = failure(fetched(gateway_of(server))[0])

    assert found.code == "too-many-redirects"
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("status", "more"), [(401, {}), (402, {}), (429, {"Retry_After": "5"}), (503, {"Retry_After": "5"})]
)
def test_another_host_that_refuses_does_not_stop_the_application(status: int, more: dict[str, str]) -> None:
    with (
        WireServer(says(answer(status, b"no", **more))) as store,
        WireServer(says(answer(302, Location=store.url))) as server,
    ):
        found = failure(fetched(gateway_of(server))[0])

    assert (found.status, found.verdict) == (status, Verdict.RETRY)
    assert found.reason.startswith(store.host)


def test_a_store_that_is_down_does_not_stop_the_application() -> None:
    with WireServer(says(b"")) as store:
        pass
    with WireServer(says(answer(302, Location=store.url))) as server:
        found = failure(fetched(gateway_of(server))[0])

    assert (found.code, found.verdict) == ("connect-failed", Verdict.RETRY)


def test_no_log_line_holds_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broken_header = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n: no name\r\nbroken\r\n\r\nx"

    with WireServer(says(broken_header)) as server:
        fetched(gateway_of(server))
        gateway_of(server).mint(ID, "17226")

    assert "s3cret" not in caplog.text


# out of reach


def test_a_gateway_that_is_down_uses_up_no_attempt() -> None:
    with WireServer(says(b"")) as server:
        pass
    found = failure(gateway_of(server).mint(ID, "17226"))

    assert (found.code, found.status, found.verdict) == ("connect-failed", None, Verdict.THROTTLED)
    assert "Connection refused" in found.reason
    assert failure(gateway_of(server).reach()).code == "connect-failed"


def test_a_name_that_does_not_exist_is_told() -> None:
    found = failure(gateway_of("http://gateway.invalid").mint(ID, "17226"))

    assert (found.code, found.verdict) == ("dns-failed", Verdict.THROTTLED)


# connections


def test_a_thread_keeps_one_connection_whatever_the_answers() -> None:
    def play(line: Line, asked: Asked) -> None:
        if asked.method == "POST":
            line.send(MINTED)
        elif len(server.asked) % 3:
            line.send(answer(404, b'{"error_code": "SCG_ERROR_4046"}'))
        else:
            line.send(answer(body=BODY if len(server.asked) % 2 else SMALL))

    with WireServer(play) as server:
        gateway = gateway_of(server)
        for _ in range(30):
            assert isinstance(gateway.mint(ID, "17226"), ContentToken)
            fetched(gateway)

    assert len(server.asked) == 60
    assert server.connections == 1


def test_a_connection_that_the_server_let_go_is_made_again() -> None:
    with WireServer(then(MINTED, Line.end)) as server:
        gateway = gateway_of(server)
        tokens = [gateway.mint(ID, "17226") for _ in range(50)]

    assert all(isinstance(token, ContentToken) for token in tokens)


@pytest.mark.parametrize("ending", [Line.end, Line.reset], ids=["closed", "reset"])
def test_a_kept_connection_that_ends_when_used_again_costs_no_attempt(ending: Callable[[Line], None]) -> None:
    def play(line: Line, _asked: Asked) -> None:
        first_of_its_connection = line.said == 0
        if first_of_its_connection:
            line.send(MINTED)
        else:
            ending(line)

    with WireServer(play) as server:
        gateway = gateway_of(server)
        tokens = [gateway.mint(ID, "17226") for _ in range(5)]

    assert all(isinstance(token, ContentToken) for token in tokens)
    assert (server.connections, len(server.asked)) == (5, 9)


def test_a_new_connection_that_ends_at_once_is_a_failure() -> None:
    with WireServer(lambda line, _asked: line.end()) as server:
        found = failure(gateway_of(server).mint(ID, "17226"))

    assert (found.code, found.verdict) == ("reset", Verdict.RETRY)
    assert len(server.asked) == 1


def test_an_unread_body_is_not_left_to_the_next_call() -> None:
    with WireServer(lambda line, asked: line.send(MINTED if asked.method == "POST" else answer(body=BODY))) as server:
        gateway = gateway_of(server)
        found = gateway.open_content(ContentToken("t", CLOCK.monotonic()), "17226")
        assert isinstance(found, Content)
        found.close()
        again = gateway.mint(ID, "17226")

    assert isinstance(again, ContentToken)


def test_many_threads_each_get_their_own_bytes() -> None:
    def play(line: Line, asked: Asked) -> None:
        if asked.method == "POST":
            line.send(answer(body=b'{"id": "for-%s"}' % asked.body.partition(b"resource_id")[2][4:-2]))
        else:
            line.send(answer(body=asked.target.encode() * 500))

    def one(number: int) -> bool:
        token = gateway.mint(f"attachment{number}", "17226")
        assert isinstance(token, ContentToken), token
        found = gateway.open_content(token, "17226")
        assert isinstance(found, Content), found
        pieces: list[bytes] = []
        with found:
            outcome = found.pump(pieces.append, max_bytes=10**9)
        expected = f"/for-attachment{number}/content".encode()
        return isinstance(outcome, Pumped) and b"".join(pieces).count(expected) == 500

    with WireServer(play) as server:
        gateway = gateway_of(server, read_timeout=20, connect_timeout=20)
        with ThreadPoolExecutor(64) as pool:
            results = list(pool.map(one, range(640)))

    assert all(results)
    assert server.connections <= 64


# stops


@pytest.mark.parametrize("data", [b"", answer(body=SMALL[:-1], length=len(SMALL))], ids=["in the head", "in the body"])
def test_an_abort_is_heard_while_waiting(data: bytes) -> None:
    waiting = threading.Event()

    def play(line: Line, _asked: Asked) -> None:
        line.send(data)
        waiting.set()
        line.silence()

    with WireServer(play) as server, ThreadPoolExecutor(1) as pool:
        gateway = gateway_of(server, read_timeout=60, total_timeout=60)
        running = pool.submit(fetched, gateway)
        assert waiting.wait(10)
        gateway.abort()
        outcome, _ = running.result(5)

    assert isinstance(outcome, Interrupted)


def test_a_stop_is_heard_while_waiting_for_the_body() -> None:
    stop = threading.Event()

    def play(line: Line, _asked: Asked) -> None:
        line.send(answer(body=BODY[:-1], length=len(BODY)))
        stop.set()
        line.silence()

    with WireServer(play) as server:
        gateway = gateway_of(server, read_timeout=60, total_timeout=60)
        found = gateway.open_content(ContentToken("t", CLOCK.monotonic()), "17226")
        assert isinstance(found, Content)
        with found:
            outcome = found.pump(lambda _data: None, max_bytes=10**9, stop=stop.is_set)

    assert isinstance(outcome, Interrupted)
