"""Who may post: users, tokens, networks, proxies; and nobody tries out passwords for long."""

from __future__ import annotations

import base64
import doctest

import pytest

from mo_sync.errors import ConfigurationError
from mo_sync.feeds.relay import admission
from mo_sync.feeds.relay.admission import Admission, Refusal, Rules, client_of, networks_of, users_of, words_of

USERS = users_of("# who\n\ness:a long password: with colons\nother:another one\n", "relay.basic")
TOKENS = words_of("first-token-1234\nsecond-token-5678\n", "relay.bearer")


def basic(words: str) -> bytes:
    return b"Basic " + base64.b64encode(words.encode())


def judge(authorization: bytes | None, *, client: str = "203.0.113.7", **rules: object) -> int:
    """The status, 202 for who may post."""
    given = {"users": USERS, "tokens": TOKENS} | rules
    refused = Admission(Rules(**given)).judge(client, authorization, now_s=0.0)  # type: ignore[arg-type]
    return refused.status if refused else 202


def test_the_examples_in_the_documentation_hold() -> None:
    found = doctest.testmod(admission)
    assert (found.failed, bool(found.attempted)) == (0, True)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("ess:a long password: with colons"), 202),
        (basic("other:another one"), 202),
        (b"bAsIc " + base64.b64encode(b"other:another one"), 202),
        (b"Bearer first-token-1234", 202),
        (b"bearer  second-token-5678 ", 202),
        (None, 401),
        (b"", 401),
        (basic("ess:another one"), 401),
        (basic("ess"), 401),
        (basic("first-token-1234"), 401),
        (b"Bearer ess:a long password: with colons", 401),
        (b"Bearer", 401),
        (b"Basic !!!", 401),
        (b"Basic \xff\xfe", 401),
        (b"Digest username=ess", 401),
        (b"Bearer first-token-123", 401),
        (b"Bearer " + b"x" * 60_000, 401),
    ],
)
def test_only_who_knows_a_password_or_a_token_may_post(authorization: bytes | None, status: int) -> None:
    assert judge(authorization) == status


def test_where_nothing_is_asked_for_anybody_may_post() -> None:
    assert judge(None, users=(), tokens=()) == 202
    assert judge(None, anonymous=True) == 202


@pytest.mark.parametrize(
    ("client", "status"),
    [("203.0.113.7", 202), ("2001:db8::9", 202), ("::ffff:203.0.113.7", 202), ("198.51.100.1", 403), ("", 403)],
)
def test_only_the_networks_that_are_named_may_post(client: str, status: int) -> None:
    networks = networks_of(["203.0.113.0/24", "2001:db8::/32"], "relay.networks")

    assert judge(b"Bearer first-token-1234", client=client, networks=networks) == status


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"6.6.6.6", b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"rubbish"], "rubbish"),
        ("198.51.100.9", [b"10.0.0.1"], "198.51.100.9"),
    ],
)
def test_a_proxy_of_ours_is_believed_and_nobody_else(peer: str, forwarded: list[bytes], client: str) -> None:
    assert client_of(peer, forwarded, networks_of(["10.0.0.0/8"], "relay.trusted_proxies")) == client


def test_who_fails_too_often_is_not_looked_at_for_a_while_and_others_are() -> None:
    door = Admission(Rules(users=USERS))
    wrong, right = basic("ess:wrong password"), basic("other:another one")
    tries = [door.judge("198.51.100.1", wrong, now_s=float(second)) for second in range(12)]

    assert [refused.status for refused in tries if refused] == [401] * 10 + [429] * 2
    assert door.judge("198.51.100.1", right, now_s=12.0) == Refusal(429, "too many failed tries from this address")
    assert door.judge("198.51.100.2", right, now_s=12.0) is None
    assert door.judge("198.51.100.1", right, now_s=60.0) is None


def test_who_fails_behind_a_proxy_of_this_machine_shuts_out_nobody() -> None:
    door = Admission(Rules(users=USERS))
    for _ in range(30):
        door.judge("127.0.0.1", basic("ess:wrong password"), now_s=0.0)

    assert door.judge("127.0.0.1", basic("other:another one"), now_s=1.0) is None


def test_asking_without_a_password_is_no_try() -> None:
    door = Admission(Rules(users=USERS))
    for _ in range(30):
        door.judge("198.51.100.1", None, now_s=0.0)

    assert door.judge("198.51.100.1", basic("other:another one"), now_s=1.0) is None


def test_one_customers_ipv6_addresses_count_as_one() -> None:
    door = Admission(Rules(users=USERS))
    statuses = [door.judge(f"2001:db8::{n:x}", basic("ess:wrong one"), now_s=0.0) for n in range(12)]

    assert statuses[-1] is not None
    assert statuses[-1].status == 429
    assert door.judge("2001:db8:0:1::1", basic("other:another one"), now_s=0.0) is None


def test_a_flood_from_everywhere_does_not_fill_the_memory() -> None:
    door = Admission(Rules(users=USERS))
    for n in range(12_000):
        door.judge(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", b"Basic x", now_s=0.0)

    assert len(door._failures) <= 10_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "relay-secret-empty"),
        ("# nothing\n", "relay-secret-empty"),
        ("nocolon-in-here", "relay-users-invalid"),
        (":password-alone", "relay-users-invalid"),
        ("user:short", "relay-secret-short"),
    ],
)
def test_users_that_cannot_be_meant_are_refused_without_telling_the_line(text: str, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        users_of(text, "relay.basic")

    assert caught.value.code == code
    assert "password-alone" not in str(caught.value)


def test_a_token_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="fewer than 8 characters"):
        words_of("long-enough-token\nshort\n", "relay.bearer")


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'everywhere' is no network"):
        networks_of(["everywhere"], "relay.networks")
