"""What the libraries below us raise is translated, all of it."""

from __future__ import annotations

import errno
import http.client
import importlib
import inspect
import pkgutil
import socket
import ssl
from types import ModuleType

import pytest
import requests
import requests.exceptions as rq
import urllib3
import urllib3.exceptions as u3

from mo_sync.gateway.troubles import CAUGHT, KINDS, detail, received, trouble_of
from mo_sync.verdicts import Trouble

URL = "/scg-attachment/api/v1/messaging/attachments/S3CRET/content"


def exceptions_of(package: ModuleType) -> set[type[Exception]]:
    """Every exception class that ``package`` and its modules define; warnings are only ever warned."""
    found: set[type[Exception]] = set()
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            module = importlib.import_module(info.name)
        except ImportError:
            continue  # needs an optional dependency that we do not have
        found.update(member for _, member in inspect.getmembers(module, inspect.isclass) if is_own(member, package))
    return found


def is_own(member: type, package: ModuleType) -> bool:
    own = member.__module__.partition(".")[0] == package.__name__
    return own and issubclass(member, Exception) and not issubclass(member, Warning)


@pytest.mark.filterwarnings("ignore:SOCKS support")
@pytest.mark.parametrize("package", [requests, urllib3])
def test_every_exception_of_the_libraries_is_in_the_table(package: ModuleType) -> None:
    classes = exceptions_of(package)

    assert len(classes) > 20
    assert {cls.__qualname__ for cls in classes if cls not in KINDS} == set()


@pytest.mark.parametrize(
    "cls", [cls for cls in KINDS if issubclass(cls, OSError | http.client.HTTPException | u3.HTTPError)]
)
def test_whatever_is_in_the_table_is_caught(cls: type[BaseException]) -> None:
    assert issubclass(cls, CAUGHT)


def aborted(cause: BaseException) -> rq.ConnectionError:
    return rq.ConnectionError(u3.ProtocolError("Connection aborted.", cause))


def not_connected(cause: OSError) -> rq.ConnectionError:
    new = u3.NewConnectionError(None, "failed")  # type: ignore[arg-type]
    new.__cause__ = cause
    return rq.ConnectionError(u3.MaxRetryError(None, URL, new))  # type: ignore[arg-type]


def proxied(cause: Exception) -> rq.ProxyError:
    return rq.ProxyError(u3.MaxRetryError(None, URL, u3.ProxyError("no", cause)))  # type: ignore[arg-type]


def unverified() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


TABLE = [
    (not_connected(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), Trouble.CONNECT_FAILED),
    (not_connected(OSError(errno.EHOSTUNREACH, "No route to host")), Trouble.CONNECT_FAILED),
    (not_connected(TimeoutError(errno.ETIMEDOUT, "Connection timed out")), Trouble.CONNECT_TIMEOUT),
    (not_connected(OSError(errno.EMFILE, "Too many open files")), Trouble.NO_RESOURCES),
    (not_connected(OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")), Trouble.NO_RESOURCES),
    (rq.ConnectTimeout(u3.MaxRetryError(None, URL, u3.ConnectTimeoutError())), Trouble.CONNECT_TIMEOUT),  # type: ignore[arg-type]
    (
        rq.ConnectionError(u3.MaxRetryError(None, URL, u3.NameResolutionError("h", None, socket.gaierror(-2, "x")))),  # type: ignore[arg-type]
        Trouble.DNS_FAILED,
    ),
    (rq.SSLError(u3.MaxRetryError(None, URL, u3.SSLError(unverified()))), Trouble.CERTIFICATE_REFUSED),  # type: ignore[arg-type]
    (rq.SSLError(u3.MaxRetryError(None, URL, u3.SSLError(ssl.SSLError(1, "[SSL] wrong")))), Trouble.TLS_FAILED),  # type: ignore[arg-type]
    (rq.SSLError(u3.MaxRetryError(None, URL, u3.SSLError(ssl.SSLEOFError(8, "EOF")))), Trouble.RESET),  # type: ignore[arg-type]
    (proxied(OSError("Tunnel connection failed: 407 Who are you")), Trouble.PROXY_REFUSED),
    (proxied(OSError("Tunnel connection failed: 403 No")), Trouble.PROXY_FAILED),
    (proxied(u3.NewConnectionError(None, "no")), Trouble.PROXY_FAILED),  # type: ignore[arg-type]
    (aborted(http.client.RemoteDisconnected("gone")), Trouble.RESET),
    (aborted(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")), Trouble.RESET),
    (aborted(BrokenPipeError(errno.EPIPE, "Broken pipe")), Trouble.RESET),
    (aborted(http.client.BadStatusLine("garbage")), Trouble.PROTOCOL_ERROR),
    (aborted(http.client.LineTooLong("header line")), Trouble.PROTOCOL_ERROR),
    (rq.ReadTimeout(u3.ReadTimeoutError(None, URL, "Read timed out")), Trouble.READ_TIMEOUT),  # type: ignore[arg-type]
    (u3.ReadTimeoutError(None, URL, "Read timed out."), Trouble.READ_TIMEOUT),  # type: ignore[arg-type]
    (u3.ProtocolError("Connection broken", http.client.IncompleteRead(b"abc", 7)), Trouble.TRUNCATED),
    (u3.ProtocolError("Response ended prematurely"), Trouble.TRUNCATED),
    (u3.DecodeError("not gzip"), Trouble.DECODE_FAILED),
    (rq.InvalidURL("what"), Trouble.REDIRECT_REFUSED),
]


@pytest.mark.parametrize(("error", "trouble"), TABLE)
def test_each_exception_is_its_kind_of_trouble(error: BaseException, trouble: Trouble) -> None:
    assert trouble_of(error) is trouble


@pytest.mark.parametrize("error", [row[0] for row in TABLE])
def test_no_detail_holds_an_address(error: BaseException) -> None:
    assert "S3CRET" not in detail(error)
    assert "/" not in detail(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (not_connected(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), "Connection refused"),
        (rq.SSLError(u3.MaxRetryError(None, URL, u3.SSLError(unverified()))), "certificate has expired"),  # type: ignore[arg-type]
        (proxied(OSError("Tunnel connection failed: 403 Forbidden by S3CRET")), "it answered 403"),
        (aborted(http.client.BadStatusLine("S3CRET")), ""),
    ],
)
def test_the_detail_is_what_the_system_says(error: BaseException, expected: str) -> None:
    assert detail(error) == expected


def test_bytes_that_came_before_the_break_are_counted_once() -> None:
    assert received(u3.ProtocolError("broken", http.client.IncompleteRead(b"abc", 7)), 10) == 13
    assert received(u3.ProtocolError("broken", u3.IncompleteRead(13, 7)), 10) == 13
    assert received(ConnectionResetError(), 10) == 10


def test_a_chain_without_an_end_is_looked_at_for_a_while_only() -> None:
    error = u3.ProtocolError("again")
    error.args = (error,)

    assert trouble_of(error) is Trouble.TRUNCATED
