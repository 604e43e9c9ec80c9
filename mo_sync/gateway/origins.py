"""Who is who on the network: which addresses are the gateway's own, and whether to follow a redirect. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from mo_sync.errors import ConfigurationError

__all__ = ["Hop", "Origin", "base_of", "follow", "in_clear", "is_loopback", "origin_of", "segment"]

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what credentials belong to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Hop:
    """Where to go next, and whether the gateway's credentials may go along."""

    url: str
    with_credentials: bool


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute http(s) address without user information; None for anything else.

    >>> origin_of("https://API.example.com/x?y")
    Origin(scheme='https', host='api.example.com', port=443)
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


def base_of(base_url: str) -> tuple[str, Origin]:
    """``gateway.base_url`` without a slash at its end, and its origin. Raises ConfigurationError."""
    origin = origin_of(base_url)
    if origin is None or "?" in base_url or "#" in base_url:
        raise ConfigurationError(
            "base-url-invalid",
            "it is not the address of a gateway",
            item="gateway.base_url",
            hint="give scheme and host, like https://api.syniverse.com",
        )
    return base_url.rstrip("/"), origin


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this machine itself: ``localhost``, or an address such as 127.0.0.1 or ::1."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def in_clear(base_url: str) -> bool:
    """Whether what is sent to ``base_url`` leaves this machine without encryption.

    >>> in_clear("http://gateway.example.com"), in_clear("https://gateway.example.com"), in_clear("http://[::1]:8080")
    (True, False, False)
    """
    return urlsplit(base_url).scheme == "http" and not is_loopback(base_url)


def segment(identity: str) -> str | None:
    """``identity`` as one segment of a path, percent-encoded; None when it cannot be one.

    ``.`` and ``..`` cannot: no encoding keeps a server or a library from walking the path with them.

    >>> segment("a/b?c"), segment("..")
    ('a%2Fb%3Fc', None)
    """
    if identity in ("", ".", ".."):
        return None
    try:
        return quote(identity, safe="")
    except UnicodeEncodeError:
        return None


def follow(hop: Hop, location: str | None, home: Origin, *, elsewhere: bool) -> Hop | None:
    """Where a redirect of a GET leads, or None when it is not to be followed.

    Credentials go to ``home`` only, and never again once we were sent away from it. ``elsewhere`` allows other hosts:
    a gateway may hand content over to an object store by an address signed in advance. From https we never go to http.
    """
    # urljoin would quietly drop line ends and tabs: what holds any is no address.
    if not location or not (location.isascii() and location.isprintable()):
        return None
    try:
        url = urljoin(hop.url, location).partition("#")[0]
    except ValueError:
        return None
    here, there = origin_of(hop.url), origin_of(url)
    if here is None or there is None:
        return None
    if there == home:
        return Hop(url, hop.with_credentials)
    downgrade = here.scheme == "https" and there.scheme == "http"
    return None if downgrade or not elsewhere else Hop(url, with_credentials=False)
