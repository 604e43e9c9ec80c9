"""OAuth 2.0 at the relay, with an authorization server on a real socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mo_sync.errors import ConfigurationError
from mo_sync.feeds.relay.authority import AuthoritySilent, Introspection, Keys
from mo_sync.feeds.relay.authorizing import tokens_of
from mo_sync.feeds.relay.tokens import Tokens
from mo_sync.settings import OAuth
from tests.authorities import AUDIENCE, CLIENT, ISSUER, Authority, serving
from tests.clocks import HandClock
from tests.relays import Relay, event, running

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as found:
        yield found


class NowClock(HandClock):
    """Begins now, since tokens say when they expire."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))


def keys_of(authority: Authority, clock: HandClock, **more: Any) -> Keys:
    given = {"issuer": ISSUER, "audience": AUDIENCE, "keys_url": f"{authority.url}/keys", "timeout": 1.0, **more}
    return Keys(OAuth(**given), clock)


def asking(authority: Authority, clock: HandClock, **more: Any) -> Introspection:
    given = {"introspection": f"{authority.url}/ask", "client_id": CLIENT[0], "timeout": 1.0, **more}
    return Introspection(OAuth(**given), clock, CLIENT[1])


def test_a_token_signed_by_the_servers_key_is_good_until_it_expires(authority: Authority) -> None:
    keys = keys_of(authority, NowClock())
    until = keys.good_until(authority.token(lasts_s=300))
    assert until is not None
    assert abs(until - time.time() - 360) < 5  # with a minute for clocks that differ
    authority.new_key("second", kind="ES256")
    assert keys_of(authority, NowClock()).good_until(authority.token("second")) is not None


@dataclass
class Forged:
    """Tokens that are no good, each by one thing."""

    authority: Authority

    def other_key(self) -> str:
        return self.authority.token(key=rsa.generate_private_key(65537, 2048))

    def expired(self) -> str:
        return self.authority.token(lasts_s=-61)

    def for_another_service(self) -> str:
        return self.authority.token(aud="another")

    def by_another_server(self) -> str:
        return self.authority.token(iss="https://login.example.org")

    def without_expiry(self) -> str:
        return self.authority.token(exp=None)

    def without_audience(self) -> str:
        return self.authority.token(aud=None)

    def not_yet(self) -> str:
        return self.authority.token(nbf=time.time() + 600)

    def unknown_key(self) -> str:
        return self.authority.token("nobody", key=rsa.generate_private_key(65537, 2048))

    def unsigned(self) -> str:
        return jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300}, None, "none")

    def signed_with_the_public_key(self) -> str:
        """The oldest trick: the public key as the secret of HS256."""
        form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        public = self.authority.public("first").public_bytes(*form)
        parts = [{"alg": "HS256", "kid": "first"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300}]
        head = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
        signature = base64.urlsafe_b64encode(hmac.new(public, head, hashlib.sha256).digest()).rstrip(b"=")
        return (head + b"." + signature).decode()

    def with_a_key_of_its_own(self) -> str:
        own = rsa.generate_private_key(65537, 2048)
        told = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(own.public_key()))
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300}
        return jwt.encode(claims, own, "RS256", headers={"jwk": told, "jku": "http://127.0.0.1:9/keys"})

    def cut(self) -> str:
        return self.authority.token()[:-20]

    def no_token(self) -> str:
        return "a.b.c"

    def with_odd_claims(self) -> str:
        return self.authority.token(exp="soon")

    def with_a_list_for_a_key(self) -> str:
        head = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":["first"]}').rstrip(b"=").decode()
        return head + "." + self.authority.token().partition(".")[2]


@pytest.mark.parametrize("kind", [name for name in vars(Forged) if not name.startswith("_")])
def test_a_token_with_one_thing_wrong_is_not_good(authority: Authority, kind: str) -> None:
    assert keys_of(authority, NowClock()).good_until(getattr(Forged(authority), kind)()) is None


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"scope": "read events:write"}, True),
        ({"scp": ["events:write"]}, True),
        ({"scp": "events:write read"}, True),
        ({"scope": "events:writer"}, False),
        ({"scope": 7}, False),
        ({}, False),
    ],
)
def test_a_scope_that_is_asked_for_must_be_there(authority: Authority, claims: dict[str, Any], good: bool) -> None:
    clock = NowClock()
    signed = keys_of(authority, clock, scope="events:write").good_until(authority.token(**claims))
    authority.active["opaque"] = {"exp": time.time() + 60, **claims}
    opaque = asking(authority, clock, scope="events:write").good_until("opaque")
    assert (signed is not None, opaque is not None) == (good, good)


def test_a_new_key_of_the_server_is_asked_for_but_not_at_everybodys_word(authority: Authority) -> None:
    clock = NowClock()
    keys = keys_of(authority, clock)
    assert keys.good_until(authority.token())
    authority.new_key("second")
    for number in range(5):  # inside of half a minute nobody makes us ask again
        stranger = authority.token(f"no-{number}", key=rsa.generate_private_key(65537, 2048))
        assert keys.good_until(stranger) is None
    assert len(authority.asked) == 1
    clock.advance(31)
    assert keys.good_until(authority.token("second"))
    assert len(authority.asked) == 2


def test_known_keys_stay_in_force_while_the_server_is_silent_and_without_any_it_says_so(authority: Authority) -> None:
    clock = NowClock()
    keys = keys_of(authority, clock)
    authority.status = 500
    with pytest.raises(AuthoritySilent):
        keys.good_until(authority.token())
    authority.status = 200
    clock.advance(31)
    assert keys.good_until(authority.token())
    authority.status = 500
    clock.advance(4000)
    assert keys.good_until(authority.token(lasts_s=8000))


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"keys": []}', b'{"keys": 7}', b'{"keys": [{}]}', b"x" * 300_000, b"[" * 9000]
)
def test_what_is_no_answer_is_silence(authority: Authority, answer: bytes) -> None:
    authority.answer = answer
    with pytest.raises(AuthoritySilent):
        keys_of(authority, NowClock()).good_until(authority.token())
    with pytest.raises(AuthoritySilent):
        asking(authority, NowClock()).good_until("opaque")


def test_a_server_that_redirects_or_hangs_is_silent(authority: Authority) -> None:
    authority.status = 302
    with pytest.raises(AuthoritySilent):
        asking(authority, NowClock()).good_until("opaque")
    authority.status, authority.delay_s = 200, 2.0
    with pytest.raises(AuthoritySilent):
        asking(authority, NowClock()).good_until("opaque")


@pytest.mark.parametrize(
    ("told", "good"),
    [
        ({"exp": 4e9}, True),
        ({}, True),
        ({"iss": ISSUER, "aud": [AUDIENCE, "other"]}, True),
        ({"exp": 1e9}, False),
        ({"exp": "soon"}, False),
        ({"iss": "https://login.example.org"}, False),
        ({"aud": "other"}, False),
        (None, False),
    ],
)
def test_the_server_is_asked_about_a_token_that_is_not_signed(
    authority: Authority, told: dict[str, Any] | None, good: bool
) -> None:
    if told is not None:
        authority.active["opaque"] = told
    found = asking(authority, NowClock(), issuer=ISSUER, audience=AUDIENCE).good_until("opaque")
    assert (found is not None) is good


def test_many_requests_with_one_token_ask_once_and_a_revoked_one_is_found_out_in_a_minute(authority: Authority) -> None:
    clock = NowClock()
    authority.active["opaque"] = {"exp": time.time() + 3600}
    authority.delay_s = 0.2

    async def act() -> None:
        tokens = Tokens(asking(authority, clock), clock)
        assert await asyncio.gather(*(tokens.good(b"opaque") for _ in range(50))) == [True] * 50
        assert len(authority.asked) == 1
        del authority.active["opaque"]
        assert await tokens.good(b"opaque")
        clock.advance(61)
        assert not await tokens.good(b"opaque")
        authority.active["opaque"] = {"exp": time.time() + 3600}
        assert not await tokens.good(b"opaque")
        clock.advance(11)
        assert await tokens.good(b"opaque")
        assert len(authority.asked) == 3

    asyncio.run(act())


def test_who_hangs_up_takes_no_verdict_from_the_others(authority: Authority) -> None:
    authority.active["opaque"] = {}
    authority.delay_s = 0.2

    async def act() -> bool:
        tokens = Tokens(asking(authority, clock := NowClock()), clock)
        first = asyncio.ensure_future(tokens.good(b"opaque"))
        second = asyncio.ensure_future(tokens.good(b"opaque"))
        await asyncio.sleep(0.05)
        first.cancel()
        return await second

    assert asyncio.run(act())


def test_what_is_remembered_is_bounded_and_what_no_token_looks_like_is_not_asked_about() -> None:
    class Never:
        def good_until(self, token: str) -> None:
            assert token.isascii()

    async def act() -> None:
        tokens = Tokens(Never(), NowClock())
        assert not await tokens.good(b"\xff")
        assert not await tokens.good(b"x" * 20_000)
        for number in range(1_100):
            assert not await tokens.good(b"%d" % number)
        assert len(tokens._verdicts) == 1_000

    asyncio.run(act())


@pytest.mark.parametrize(
    ("oauth", "item"),
    [
        ({"issuer": ISSUER}, "oauth"),
        ({"keys_url": "https://x/keys", "audience": "a"}, "oauth.issuer"),
        ({"keys_url": "https://x/keys", "issuer": "i"}, "oauth.audience"),
        ({"keys_url": "https://x/keys", "introspection": "https://x/i"}, "oauth.introspection"),
        ({"keys_url": "https://x/keys", "keys_file": Path("/x")}, "oauth.keys_file"),
        ({"introspection": "https://x/i"}, "oauth.client_id"),
        ({"keys_file": Path("/nowhere/keys"), "issuer": "i", "audience": "a"}, "oauth.keys_file"),
        ({"keys_file": Path(__file__), "issuer": "i", "audience": "a"}, "oauth.keys_file"),
    ],
)
def test_half_of_a_way_is_refused_with_what_is_missing(oauth: dict[str, Any], item: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tokens_of(OAuth(**oauth), NowClock(), None)
    assert caught.value.item == item


def test_without_the_section_there_are_no_tokens() -> None:
    assert tokens_of(OAuth(), NowClock(), None) is None


def bearer(relay: Relay, token: str, number: int) -> int:
    return relay.post(event(number), auth=None, headers={"Authorization": f"Bearer {token}"}).status_code


def test_the_relay_takes_events_with_a_signed_token_and_says_what_it_wants_else(
    tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps(authority.keys()))
    oauth = {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": str(tmp_path / "jwks.json")}
    relay = Relay(tmp_path / "site", alone=True, oauth=oauth)
    with running(relay):
        assert bearer(relay, authority.token(), 1) == 202
        assert bearer(relay, authority.token(None), 2) == 202  # one key: it need not be named
        assert relay.post(event(3)).status_code == 202  # Basic goes on beside it
        assert bearer(relay, authority.token(aud="other"), 4) == 401
        refused = relay.post(event(5), auth=None)
        assert refused.status_code == 401
        assert "Basic" in refused.headers["WWW-Authenticate"]
        assert "Bearer" in refused.headers["WWW-Authenticate"]
    assert relay.recorded() == {event(number)["event-id"] for number in (1, 2, 3)}
    assert authority.asked == []


def test_while_the_authority_is_silent_events_are_to_come_again_and_nobody_else_waits(
    tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "secret").write_text(CLIENT[1] + "\n")
    oauth = {
        "introspection": f"{authority.url}/ask",
        "client_id": CLIENT[0],
        "client_secret_file": str(tmp_path / "secret"),
        "timeout": "2s",
    }
    authority.active |= {"opaque": {}, "another": {}}
    relay = Relay(tmp_path / "site", alone=False, oauth=oauth)
    with running(relay):
        assert bearer(relay, "opaque", 1) == 202
        authority.delay_s = 10.0
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(bearer, relay, "another", 2)
            time.sleep(0.2)
            began = time.monotonic()
            assert relay.post(event(3)).status_code == 202
            assert time.monotonic() - began < 1.0
            assert waiting.result() == 503
        authority.delay_s = 0.0
        assert bearer(relay, "another", 2) == 202
        assert bearer(relay, "no-such", 4) == 401
    assert relay.recorded() == {event(number)["event-id"] for number in (1, 2, 3)}
    said = relay.said()
    assert "oauth.silent" in said
    assert "oauth.back" in said
    for secret in ("opaque", "another-", "no-such", CLIENT[1]):
        assert secret not in said
