"""What the libraries below us raise, as kinds of trouble: one table, looked up once.

Their texts are never passed on: they hold addresses, and a content address is a secret.
"""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Final

import requests.exceptions as rq
import urllib3.exceptions as u3
from requests.cookies import CookieConflictError
from urllib3.util.ssl_match_hostname import CertificateError

from mo_sync.verdicts import Trouble

__all__ = ["CAUGHT", "KINDS", "detail", "received", "trouble_of"]

CAUGHT: Final = (rq.RequestException, u3.HTTPError, http.client.HTTPException, OSError)
"""Everything that a call can raise because of the world. The rest is a bug and is not caught."""

KINDS: Final[dict[type[BaseException], Trouble]] = {
    # requests
    rq.RequestException: Trouble.PROTOCOL_ERROR,
    rq.InvalidJSONError: Trouble.REPLY_NOT_UNDERSTOOD,
    rq.JSONDecodeError: Trouble.REPLY_NOT_UNDERSTOOD,
    rq.HTTPError: Trouble.PROTOCOL_ERROR,
    rq.ConnectionError: Trouble.CONNECT_FAILED,
    rq.ProxyError: Trouble.PROXY_FAILED,
    rq.SSLError: Trouble.TLS_FAILED,
    rq.Timeout: Trouble.READ_TIMEOUT,
    rq.ConnectTimeout: Trouble.CONNECT_TIMEOUT,
    rq.ReadTimeout: Trouble.READ_TIMEOUT,
    rq.URLRequired: Trouble.REDIRECT_REFUSED,
    rq.TooManyRedirects: Trouble.TOO_MANY_REDIRECTS,
    rq.MissingSchema: Trouble.REDIRECT_REFUSED,
    rq.InvalidSchema: Trouble.REDIRECT_REFUSED,
    rq.InvalidURL: Trouble.REDIRECT_REFUSED,
    rq.InvalidHeader: Trouble.TOKEN_INVALID,
    rq.InvalidProxyURL: Trouble.PROXY_FAILED,
    rq.ChunkedEncodingError: Trouble.TRUNCATED,
    rq.ContentDecodingError: Trouble.DECODE_FAILED,
    rq.StreamConsumedError: Trouble.PROTOCOL_ERROR,
    rq.RetryError: Trouble.PROTOCOL_ERROR,
    rq.UnrewindableBodyError: Trouble.PROTOCOL_ERROR,
    CookieConflictError: Trouble.PROTOCOL_ERROR,
    # urllib3
    u3.HTTPError: Trouble.PROTOCOL_ERROR,
    u3.PoolError: Trouble.PROTOCOL_ERROR,
    u3.RequestError: Trouble.PROTOCOL_ERROR,
    u3.SSLError: Trouble.TLS_FAILED,
    u3.ProxyError: Trouble.PROXY_FAILED,
    u3.DecodeError: Trouble.DECODE_FAILED,
    u3.ProtocolError: Trouble.TRUNCATED,
    u3.MaxRetryError: Trouble.CONNECT_FAILED,
    u3.HostChangedError: Trouble.REDIRECT_REFUSED,
    u3.TimeoutStateError: Trouble.PROTOCOL_ERROR,
    u3.TimeoutError: Trouble.READ_TIMEOUT,
    u3.ReadTimeoutError: Trouble.READ_TIMEOUT,
    u3.ConnectTimeoutError: Trouble.CONNECT_TIMEOUT,
    u3.NewConnectionError: Trouble.CONNECT_FAILED,
    u3.NameResolutionError: Trouble.DNS_FAILED,
    u3.EmptyPoolError: Trouble.NO_RESOURCES,
    u3.FullPoolError: Trouble.NO_RESOURCES,
    u3.ClosedPoolError: Trouble.RESET,
    u3.LocationValueError: Trouble.REDIRECT_REFUSED,
    u3.LocationParseError: Trouble.REDIRECT_REFUSED,
    u3.URLSchemeUnknown: Trouble.REDIRECT_REFUSED,
    u3.ResponseError: Trouble.PROTOCOL_ERROR,
    u3.ResponseNotChunked: Trouble.PROTOCOL_ERROR,
    u3.BodyNotHttplibCompatible: Trouble.PROTOCOL_ERROR,
    u3.IncompleteRead: Trouble.TRUNCATED,
    u3.InvalidChunkLength: Trouble.TRUNCATED,
    u3.InvalidHeader: Trouble.PROTOCOL_ERROR,
    u3.ProxySchemeUnknown: Trouble.PROXY_FAILED,
    u3.ProxySchemeUnsupported: Trouble.PROXY_FAILED,
    u3.HeaderParsingError: Trouble.PROTOCOL_ERROR,
    u3.UnrewindableBodyError: Trouble.PROTOCOL_ERROR,
    CertificateError: Trouble.CERTIFICATE_REFUSED,
    # the standard library
    http.client.HTTPException: Trouble.PROTOCOL_ERROR,
    http.client.IncompleteRead: Trouble.TRUNCATED,
    http.client.RemoteDisconnected: Trouble.RESET,
    ssl.SSLError: Trouble.TLS_FAILED,
    ssl.SSLCertVerificationError: Trouble.CERTIFICATE_REFUSED,
    ssl.SSLEOFError: Trouble.RESET,
    ssl.SSLZeroReturnError: Trouble.RESET,
    socket.gaierror: Trouble.DNS_FAILED,
    ConnectionRefusedError: Trouble.CONNECT_FAILED,
    ConnectionError: Trouble.RESET,
    TimeoutError: Trouble.READ_TIMEOUT,
    OSError: Trouble.CONNECT_FAILED,
}
"""An exception's class (the nearest one in its family rules), and what it means when it holds no other exception."""

_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Shortages of this machine, which the system reports as plain OSErrors."""
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")
_WRAPPERS = (rq.RequestException, u3.HTTPError)
_DEEPEST = 12


def trouble_of(error: BaseException) -> Trouble:
    """The kind of trouble that ``error`` is: its innermost cause rules, except where the wrapper knows better."""
    layers = list(_layers(error))
    innermost = layers[-1]
    if _has(layers, u3.ProxyError, rq.ProxyError):
        return Trouble.PROXY_REFUSED if _tunnel_status(innermost) == "407" else Trouble.PROXY_FAILED
    if isinstance(innermost, TimeoutError) and _has(layers, u3.NewConnectionError):
        return Trouble.CONNECT_TIMEOUT
    if isinstance(innermost, OSError) and innermost.errno in _OURS:
        return Trouble.NO_RESOURCES
    return next(KINDS[family] for family in type(innermost).__mro__ if family in KINDS)


def detail(error: BaseException) -> str:
    """What the system says of the innermost cause (``Connection refused``): words that hold no address; else ""."""
    cause = list(_layers(error))[-1]
    if isinstance(cause, ssl.SSLError):  # neither attribute is there when Python raised it rather than OpenSSL
        words: str = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or ""
        return words.replace("_", " ").lower()
    if status := _tunnel_status(cause):
        return f"it answered {status}"
    return cause.strerror or "" if isinstance(cause, OSError) and cause.errno is not None else ""


def received(error: BaseException, before: int) -> int:
    """How many bytes came in all, when ``before`` had come before the read that broke off."""
    for layer in _layers(error):
        if isinstance(layer, u3.IncompleteRead):
            return max(before, int(layer.partial))  # counts from the beginning of the body
        if isinstance(layer, http.client.IncompleteRead):
            return before + len(layer.partial)
    return before


def _layers(error: BaseException) -> Iterator[BaseException]:
    """``error`` and the exceptions within it, outermost first."""
    for _ in range(_DEEPEST):
        yield error
        inner = _inside(error)
        if inner is None:
            return
        error = inner


def _inside(error: BaseException) -> BaseException | None:
    if isinstance(error, u3.NameResolutionError) or type(error) is u3.ConnectTimeoutError:
        return None
    if isinstance(error, u3.MaxRetryError):
        return error.reason
    if isinstance(error, u3.ProxyError):
        return error.original_error
    if isinstance(error, _WRAPPERS):
        held = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        return held or (error.__cause__ if isinstance(error.__cause__, CAUGHT) else None)
    return None


def _has(layers: Iterable[BaseException], *families: type[BaseException]) -> bool:
    return any(isinstance(layer, families) for layer in layers)


def _tunnel_status(error: BaseException) -> str:
    """The status with which a proxy refused to connect, which http.client puts into the text of an OSError."""
    match = _TUNNEL.match(str(error)) if isinstance(error, OSError) else None
    return match[1] if match else ""
