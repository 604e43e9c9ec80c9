"""Who may post: judged by address and headers, before a byte of the body is read.

Passwords and tokens are compared by their digests in constant time. What fails too often from one address is not
looked at for a while, so that nobody tries out passwords at the speed of a network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from mo_sync.errors import ConfigurationError
from mo_sync.feeds.relay.tokens import Tokens

__all__ = ["Admission", "Ask", "Refusal", "Rules", "client_of", "networks_of", "users_of", "words_of"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST_TRIES: Final = 10
_TRIES_FOR_S: Final = 60.0
_REMEMBERED: Final = 10_000
_SHORTEST_SECRET: Final = 8
_HOME_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class Rules:
    """Digests of ``USER:PASSWORD`` and of tokens, and networks. Anybody may post where ``anonymous``.

    ``oauth`` knows which other bearer tokens are good.
    """

    users: tuple[bytes, ...] = ()
    tokens: tuple[bytes, ...] = ()
    oauth: Tokens | None = None
    networks: tuple[Network, ...] = ()
    proxies: tuple[Network, ...] = ()
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not post: 401 (who are you?), 403 (not from there) or 429 (too many tries)."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """The authorization server must say whether the bearer of this token may post."""

    token: bytes


_WHO: Final = Refusal(401, "a user and password, or a token, is needed")


class Admission:
    """Judges requests by ``rules``, which may be replaced. For one thread (the event loop's)."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def judge(self, client: str, authorization: bytes | None, *, now_s: float) -> Refusal | Ask | None:
        """None when who speaks from ``client`` may post; ``now_s`` is monotonic.

        After :class:`Ask`, a token that is no good is told to :meth:`failed`.
        """
        rules = self.rules
        if rules.networks and not _within(client, rules.networks):
            return Refusal(403, "this address may not post")
        if rules.anonymous or not (rules.users or rules.tokens or rules.oauth):
            return None
        if self._blocked(client, now_s):
            return Refusal(429, "too many failed tries from this address")
        return _WHO if authorization is None else self._judge(authorization, client, now_s)

    def _judge(self, authorization: bytes, client: str, now_s: float) -> Refusal | Ask | None:
        if _known(authorization, self.rules):
            return None
        token = _bearer(authorization) if self.rules.oauth is not None else b""
        return Ask(token) if token else self.failed(client, now_s=now_s)

    def _blocked(self, client: str, now_s: float) -> bool:
        if not self._failures:
            return False
        count, since_s = self._failures.get(_home(client), (0, now_s))
        return count >= _MOST_TRIES and now_s - since_s < _TRIES_FOR_S

    def failed(self, client: str, *, now_s: float) -> Refusal:
        """Who speaks from ``client`` showed a wrong password or token: the refusal of it.

        This machine's own address is that of a proxy, not in ``relay.trusted_proxies``: whoever fails behind it must
        not shut out all others.
        """
        address = _address(client)
        if address is not None and address.is_loopback:
            return _WHO
        home = _home(client)
        count, since_s = self._failures.pop(home, (0, now_s))
        if now_s - since_s >= _TRIES_FOR_S:
            count, since_s = 0, now_s
        self._failures[home] = count + 1, since_s
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
        return _WHO


def client_of(peer: str, forwarded_for: Sequence[bytes], proxies: Sequence[Network]) -> str:
    """Who speaks: ``peer``, or, where that is a proxy of ours, the last one in ``X-Forwarded-For`` that is none.

    >>> ours = networks_of(["10.0.0.0/8"], "relay.trusted_proxies")
    >>> client_of("10.0.0.1", [b"6.6.6.6, 203.0.113.7"], ours), client_of("203.0.113.9", [b"6.6.6.6"], ours)
    ('203.0.113.7', '203.0.113.9')
    """
    client = peer
    chain = [part.strip() for line in forwarded_for for part in line.decode("latin-1").split(",")]
    while chain and _within(client, proxies):
        client = chain.pop()
    return client


def networks_of(texts: Iterable[str], item: str) -> tuple[Network, ...]:
    """Raises ConfigurationError for what is no network."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            hint = "networks are like 203.0.113.0/24, 203.0.113.7 or 2001:db8::/32"
            raise ConfigurationError("network-invalid", f"{text!r} is no network", item=item, hint=hint) from None
    return tuple(found)


def users_of(text: str, item: str) -> tuple[bytes, ...]:
    """Digests of ``USER:PASSWORD`` lines. Raises ConfigurationError; it never holds a line."""
    lines = _lines(text)
    if any(":" not in line or not line.partition(":")[0] for line in lines):
        hint = "write USER:PASSWORD, one a line; # begins a remark"
        raise ConfigurationError("relay-users-invalid", "a line is not USER:PASSWORD", item=item, hint=hint)
    return _digests(lines, [line.partition(":")[2] for line in lines], item)


def words_of(text: str, item: str) -> tuple[bytes, ...]:
    """Digests of bearer tokens, one a line. Raises ConfigurationError; it never holds a token."""
    lines = _lines(text)
    return _digests(lines, lines, item)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _digests(lines: Sequence[str], secrets: Sequence[str], item: str) -> tuple[bytes, ...]:
    if not lines:
        raise ConfigurationError("relay-secret-empty", "there is nothing in it", item=item, hint="one secret a line")
    if any(len(secret) < _SHORTEST_SECRET for secret in secrets):
        hint = "for example: openssl rand -base64 24"
        summary = f"a secret has fewer than {_SHORTEST_SECRET} characters"
        raise ConfigurationError("relay-secret-short", summary, item=item, hint=hint)
    return tuple(hashlib.sha256(line.encode()).digest() for line in lines)


def _known(authorization: bytes, rules: Rules) -> bool:
    scheme, _, rest = authorization.strip().partition(b" ")
    match scheme.lower():
        case b"basic":
            return _among(_decoded(rest), rules.users)
        case b"bearer":
            return _among(rest.strip(), rules.tokens)
        case _:
            return False


def _bearer(authorization: bytes) -> bytes:
    scheme, _, rest = authorization.strip().partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" else b""


def _decoded(rest: bytes) -> bytes:
    try:
        return base64.b64decode(rest.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _among(said: bytes, known: Sequence[bytes]) -> bool:
    """All are compared, so that the time tells nothing."""
    digest = hashlib.sha256(said).digest()
    return sum(hmac.compare_digest(digest, one) for one in known) > 0


def _within(client: str, networks: Sequence[Network]) -> bool:
    address = _address(client)
    return address is not None and any(address in network for network in networks)


def _home(client: str) -> str:
    """Whom tries are counted for: an address, or the network that one customer has of IPv6."""
    address = _address(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _HOME_PREFIX), strict=False))
    return client[:64]


def _address(client: str) -> Address | None:
    try:
        address = ipaddress.ip_address(client.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
