"""What the client asks, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests_mock
from pydantic import SecretStr

from mo_sync import settings
from mo_sync.errors import ConfigurationError
from mo_sync.gateway import Content, ContentToken, Credentials, Gateway, Metadata, Pumped
from mo_sync.lifecycle import Failed, Interrupted, Refused
from mo_sync.verdicts import Step, Verdict
from tests.clocks import HandClock

BASE = "https://api.syniverse.com"
MINT = f"{BASE}/scg-external-api/api/v1/access_tokens"
META = f"{BASE}/scg-external-api/api/v1/messaging/attachments/"
MESSAGES = f"{BASE}/scg-external-api/api/v1/messaging/messages"
ID = "Mno4Xayql1oVOYAvP7Iy25"
TOKEN = "app-s3cret"
CONTENT_TOKEN = "content-s3cret"
CONTENT = f"{BASE}/scg-attachment/api/v1/messaging/attachments/{CONTENT_TOKEN}/content"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(1000)


@pytest.fixture
def wire() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def clock() -> HandClock:
    return HandClock(datetime(2026, 11, 20, 12, tzinfo=UTC))


@pytest.fixture
def gateway(clock: HandClock) -> Gateway:
    return made(clock)


def made(clock: HandClock, *, token: str | None = TOKEN, base_url: str = BASE) -> Gateway:
    section = settings.Gateway(base_url=base_url, token=SecretStr(token) if token else None)
    applications = {"99": settings.Application(token=SecretStr("other-s3cret"))}
    return Gateway(section, Credentials(section, applications), clock, version="1.2.3")


def token(clock: HandClock) -> ContentToken:
    return ContentToken(CONTENT_TOKEN, clock.monotonic())


def pumped(found: Content | Failed | Interrupted, max_bytes: int = 10_000_000) -> tuple[object, bytes]:
    if not isinstance(found, Content):
        return found, b""
    pieces: list[bytes] = []
    with found:
        outcome = found.pump(pieces.append, max_bytes=max_bytes)
    return outcome, b"".join(pieces)


def failure(found: object) -> Failed:
    assert isinstance(found, Failed)
    assert "s3cret" not in repr(found)
    return found


# mint


@pytest.mark.parametrize("status", [200, 201])
def test_a_content_token_is_minted_as_the_knowledge_base_says(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock, status: int
) -> None:
    wire.post(MINT, json={"id": CONTENT_TOKEN}, status_code=status)

    found = gateway.mint(ID, "17226")

    assert found == ContentToken(CONTENT_TOKEN, clock.monotonic())
    asked = wire.request_history[0]
    assert asked.json() == {"resource": "ATTACHMENT", "resource_id": ID}
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Content-Length"] == str(len(asked.body))
    assert asked.headers["User-Agent"].startswith("mo-sync/1.2.3 (")
    assert "Cookie" not in asked.headers


def test_the_application_chooses_the_token(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    wire.post(MINT, json={"id": "x"})

    gateway.mint(ID, "99")

    assert wire.request_history[0].headers["Authorization"] == "Bearer other-s3cret"


def test_calls_do_not_leave_traces_in_later_ones(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    wire.post(MINT, json={"id": "x"}, headers={"Set-Cookie": "session=1; Path=/"})
    wire.get(f"{BASE}/", text="hello")

    gateway.mint("x" * 100, "17226")
    gateway.mint(ID, "17226")
    gateway.reach()

    assert wire.request_history[1].json()["resource_id"] == ID
    assert "Cookie" not in wire.request_history[1].headers
    assert "Authorization" not in wire.request_history[2].headers


def test_without_a_token_the_application_is_held_and_nobody_is_asked(
    clock: HandClock, wire: requests_mock.Mocker
) -> None:
    found = failure(made(clock, token=None).mint(ID, "17226"))

    assert (found.verdict, found.code, found.step) == (Verdict.HOLD, "token-missing", Step.MINT)
    assert "17226" in found.reason
    assert not wire.called


@pytest.mark.parametrize(
    ("body", "code", "verdict"),
    [
        ("{}", "reply-not-understood", Verdict.RETRY),
        ("", "reply-not-understood", Verdict.RETRY),
        ('{"id": "content-s3cret', "reply-not-understood", Verdict.RETRY),
        ('{"token": "content-s3cret"}', "reply-not-understood", Verdict.RETRY),
        ("<html><title>Sign in</title>content-s3cret", "reply-not-understood", Verdict.RETRY),
        ('{"error_code": "SCG_ERROR_4031"}', "SCG_ERROR_4031", Verdict.ABSENT),
        ('{"id": "%s"}' % ("x" * 70_000), "reply-too-large", Verdict.RETRY),
    ],
)
def test_a_success_without_a_token_is_a_failure_that_repeats_nothing_of_it(
    gateway: Gateway, wire: requests_mock.Mocker, body: str, code: str, verdict: Verdict
) -> None:
    wire.post(MINT, text=body)

    found = failure(gateway.mint(ID, "17226"))

    assert (found.status, found.code, found.verdict) == (200, code, verdict)


@pytest.mark.parametrize(
    ("status", "body", "code", "verdict"),
    [
        (
            401,
            '{"error_code":"SCG_ERROR_4010","error_description":"bad token app-s3cret"}',
            "SCG_ERROR_4010",
            Verdict.HOLD,
        ),
        (401, '{"errorCode":1,"moreInfo":"x","userMsg":"Invalid"}', "gateway-1", Verdict.HOLD),
        (402, '{"error_code":"SCG_ERROR_4020"}', "SCG_ERROR_4020", Verdict.HOLD),
        (403, '"4031"', "SCG_ERROR_4031", Verdict.ABSENT),
        (403, "<html><title>Blocked</title></html>", None, Verdict.RETRY),
        (404, "", None, Verdict.ABSENT),
        (500, "oops", None, Verdict.RETRY),
    ],
)
def test_a_refusal_has_its_code_its_verdict_and_a_sentence(
    gateway: Gateway, wire: requests_mock.Mocker, status: int, body: str, code: str | None, verdict: Verdict
) -> None:
    wire.post(MINT, text=body, status_code=status)

    found = failure(gateway.mint(ID, "17226"))

    assert (found.step, found.status, found.code, found.verdict) == (Step.MINT, status, code, verdict)
    assert found.reason.startswith(f"api.syniverse.com answered {status}")


@pytest.mark.parametrize(
    ("status", "header", "verdict", "seconds"),
    [
        (429, "7", Verdict.THROTTLED, 7.0),
        (429, "Fri, 20 Nov 2026 12:01:00 GMT", Verdict.THROTTLED, 60.0),
        (429, None, Verdict.THROTTLED, None),
        (503, "7", Verdict.THROTTLED, 7.0),
        (503, "nonsense", Verdict.RETRY, None),
        (503, None, Verdict.RETRY, None),
        (500, "7", Verdict.RETRY, 7.0),
        (402, None, Verdict.HOLD, 3600.0),
    ],
)
def test_a_time_to_come_back_is_handed_on(
    gateway: Gateway,
    wire: requests_mock.Mocker,
    status: int,
    header: str | None,
    verdict: Verdict,
    seconds: float | None,
) -> None:
    wire.post(MINT, status_code=status, headers={"Retry-After": header} if header else {})

    found = failure(gateway.mint(ID, "17226"))

    assert (found.verdict, found.retry_after_s) == (verdict, seconds)


def test_a_redirect_of_a_post_is_refused_even_at_home(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    wire.post(MINT, status_code=307, headers={"Location": "/elsewhere"})

    found = failure(gateway.mint(ID, "17226"))

    assert (found.code, found.status) == ("redirect-refused", 307)
    assert wire.call_count == 1


# content


def test_content_is_asked_for_with_the_bearer_and_without_compression(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock
) -> None:
    disposition = 'attachment; filename="a.jpg"'
    wire.get(CONTENT, content=JPEG, headers={"Content-Type": "image/jpeg", "Content-Disposition": disposition})

    found = gateway.open_content(token(clock), "17226")

    assert isinstance(found, Content)
    assert (found.content_type, found.disposition) == ("image/jpeg", disposition)
    assert pumped(found) == (Pumped(len(JPEG)), JPEG)
    headers = wire.request_history[0].headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert (headers["Accept"], headers["Accept-Encoding"]) == ("*/*", "identity")


def test_a_content_token_is_one_segment_of_the_path(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock
) -> None:
    wire.get(requests_mock.ANY, content=JPEG)

    gateway.open_content(ContentToken("a/b?c#d", clock.monotonic()), "17226")

    assert wire.request_history[0].url.endswith("/attachments/a%2Fb%3Fc%23d/content")


def test_a_content_token_that_walks_the_path_is_not_sent(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    found = failure(gateway.open_content(ContentToken("..", 0.0), "17226"))

    assert found.code == "reply-not-understood"
    assert not wire.called


def test_an_expired_content_token_asks_for_another(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock
) -> None:
    body = {"error_code": "SCG_ERROR_4046", "error_description": f"token {CONTENT_TOKEN} expired"}
    wire.get(CONTENT, json=body, status_code=404)

    found = failure(gateway.open_content(token(clock), "17226"))

    assert (found.step, found.verdict) == (Step.CONTENT, Verdict.REMINT)
    assert 'saying "token *** expired"' in found.reason


@pytest.mark.parametrize("status", [202, 204, 206, 304])
def test_only_a_200_has_content(gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock, status: int) -> None:
    wire.get(CONTENT, content=JPEG if status != 204 else b"", status_code=status)

    assert failure(gateway.open_content(token(clock), "17226")).verdict is Verdict.RETRY


@pytest.mark.parametrize(
    ("body", "kind", "code", "verdict"),
    [
        (b"", "image/jpeg", "empty-body", Verdict.RETRY),
        (b"<html><title>Sign in</title></html>", "text/html", "not-media", Verdict.RETRY),
        (b"<!DOCTYPE html><title>Sign in</title>", "image/jpeg", "not-media", Verdict.RETRY),
        (b'{"error_code": "SCG_ERROR_4046"}', "image/jpeg", "SCG_ERROR_4046", Verdict.REMINT),
        (b'{"errorCode": 1, "userMsg": "no"}', "application/json", "gateway-1", Verdict.RETRY),
        (b'{"error": "no"}', "application/json", "not-media", Verdict.RETRY),
    ],
)
def test_an_error_in_the_place_of_media_is_a_failure(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock, body: bytes, kind: str, code: str, verdict: Verdict
) -> None:
    wire.get(CONTENT, content=body, headers={"Content-Type": kind})

    outcome, written = pumped(gateway.open_content(token(clock), "17226"))

    found = failure(outcome)
    assert (found.status, found.code, found.verdict) == (200, code, verdict)
    assert written == b""


@pytest.mark.parametrize(
    ("body", "declared"),
    [(b"<html>a page somebody sent</html>", "text/html; charset=utf-8"), (b'{"error": 1}', "application/json")],
)
def test_a_page_or_json_that_was_expected_is_media(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock, body: bytes, declared: str
) -> None:
    wire.get(CONTENT, content=body, headers={"Content-Type": declared})

    outcome, written = pumped(gateway.open_content(token(clock), "17226", declared_type=declared))

    assert (outcome, written) == (Pumped(len(body)), body)


def test_somebodys_json_is_media(gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock) -> None:
    wire.get(CONTENT, content=b'{"name": "Ada"}', headers={"Content-Type": "application/json"})

    assert pumped(gateway.open_content(token(clock), "17226"))[0] == Pumped(15)


def test_too_large_is_refused_with_the_numbers_before_a_byte_is_read(
    gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock
) -> None:
    wire.get(CONTENT, content=JPEG, headers={"Content-Length": str(len(JPEG))})

    outcome, written = pumped(gateway.open_content(token(clock), "17226"), max_bytes=100)

    assert outcome == Refused("too-large", "1,010 bytes are announced, limits.max_bytes is 100")
    assert written == b""


def test_exactly_the_limit_is_allowed(gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock) -> None:
    wire.get(CONTENT, content=JPEG)

    assert pumped(gateway.open_content(token(clock), "17226"), max_bytes=len(JPEG))[0] == Pumped(len(JPEG))


def test_what_the_writer_raises_is_raised(gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock) -> None:
    wire.get(CONTENT, content=JPEG)
    full = OSError(28, "No space left on device")

    def write(_data: bytes) -> None:
        raise full

    found = gateway.open_content(token(clock), "17226")
    assert isinstance(found, Content)
    with found, pytest.raises(OSError, match="No space") as caught:
        found.pump(write, max_bytes=10_000)

    assert caught.value is full


def test_a_stop_ends_the_pump(gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock) -> None:
    wire.get(CONTENT, content=bytes(1_000_000))
    found = gateway.open_content(token(clock), "17226")
    assert isinstance(found, Content)
    pieces: list[bytes] = []

    with found:
        outcome = found.pump(pieces.append, max_bytes=10**9, stop=lambda: len(pieces) == 2)

    assert isinstance(outcome, Interrupted)
    assert len(pieces) == 2


def test_the_total_time_counts_from_the_mint(gateway: Gateway, wire: requests_mock.Mocker, clock: HandClock) -> None:
    wire.get(CONTENT, content=bytes(1_000_000))
    minted = token(clock)
    clock.advance(890)
    found = gateway.open_content(minted, "17226")
    assert isinstance(found, Content)

    with found:
        outcome = found.pump(lambda _data: clock.advance(5), max_bytes=10**9)

    assert failure(outcome).code == "total-timeout"
    assert failure(outcome).received_bytes == 2 * 256 * 1024
    assert failure(gateway.open_content(minted, "17226")).code == "total-timeout"


# metadata, probe, reach


def test_metadata_is_what_the_gateway_knows(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    wire.get(META + ID, json={"id": ID, "type": "image/jpeg", "size": 7, "state": "UPLOADED"})

    assert gateway.metadata(ID, "17226") == Metadata(ID, type="image/jpeg", size=7, state="UPLOADED")


@pytest.mark.parametrize("attachment_id", ["", ".", ".."])
def test_an_id_that_no_path_can_carry_is_permanent(
    gateway: Gateway, wire: requests_mock.Mocker, attachment_id: str
) -> None:
    assert failure(gateway.metadata(attachment_id, "17226")).verdict is Verdict.PERMANENT
    assert not wire.called


def test_a_probe_asks_for_one_message_and_tells_nothing_of_it(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    wire.get(MESSAGES, [{"json": {"list": []}}, {"text": "+14086080000 wrote"}, {"status_code": 401, "text": "no"}])

    first, second, third = gateway.probe("17226"), failure(gateway.probe("17226")), failure(gateway.probe("17226"))

    assert wire.request_history[0].qs == {"offset": ["0"], "limit": ["1"]}
    assert first is None
    assert (second.code, "408" in second.reason) == ("reply-not-understood", False)
    assert third.verdict is Verdict.HOLD


@pytest.mark.parametrize("status", [200, 301, 401, 404, 503])
def test_any_answer_at_all_means_reachable(gateway: Gateway, wire: requests_mock.Mocker, status: int) -> None:
    wire.get(f"{BASE}/", status_code=status, headers={"Location": "https://portal.example/"})

    assert gateway.reach() is None


# the client itself


def test_after_an_abort_nothing_is_asked(gateway: Gateway, wire: requests_mock.Mocker) -> None:
    gateway.abort()

    assert isinstance(gateway.mint(ID, "17226"), Interrupted)
    assert isinstance(gateway.probe("17226"), Interrupted)
    assert not wire.called


def test_no_secret_is_in_a_repr(gateway: Gateway, clock: HandClock) -> None:
    assert "s3cret" not in f"{gateway!r} {token(clock)!r} {gateway.credentials!r}"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"base_url": "api.syniverse.com"}, "base-url-invalid"),
        ({"proxy": "socks5://proxy:1080"}, "proxy-invalid"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "ca-bundle-invalid"),
        ({"ca_bundle": __file__}, "ca-bundle-invalid"),
    ],
)
def test_settings_that_are_no_use_are_refused_at_the_start(
    clock: HandClock, changes: dict[str, str], code: str
) -> None:
    section = settings.Gateway.model_validate(changes)

    with pytest.raises(ConfigurationError, match=code):
        Gateway(section, Credentials(section, {}), clock)
