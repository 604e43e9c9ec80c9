"""A request as it came: read from a connection, within limits, as a value.

The standard library's reader parses headers as e-mail, which costs more than all the rest of a call; this one does the
little that a gateway needs, with chunked bodies and ``Expect: 100-continue``, which SDKs and curl send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Malformed", "Request", "read_request"]

_MAX_LINE: Final = 64 * 1024
_MAX_HEADERS: Final = 100
MAX_BODY: Final = 512 * 1024 * 1024


class Malformed(Exception):
    """This is no request that can be answered; ``status`` says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """Names of headers are lower case; of a repeated header or query name the last one counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    keep: bool

    @property
    def bearer(self) -> str | None:
        """The token of the Authorization header; None: there is none, "" when it is of another kind."""
        given = self.headers.get("authorization")
        if given is None:
            return None
        scheme, _, token = given.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


def read_request(stream: BufferedIOBase, go_on: Callable[[], None]) -> Request | None:
    """The next request, or None when the client has hung up.

    ``go_on`` is called when the client waits for ``100 Continue``. Raises :class:`Malformed`.
    """
    line = _line(stream)
    while line == b"\r\n":
        line = _line(stream)
    if not line:
        return None
    method, target, version = _request_line(line)
    headers = _headers(stream)
    if headers.get("expect", "").lower() == "100-continue":
        go_on()
    path, query = _target(target)
    return Request(
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=_body(stream, headers),
        keep=version == "HTTP/1.1" and headers.get("connection", "").lower() != "close",
    )


def _line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(_MAX_LINE + 1)
    if len(line) > _MAX_LINE:
        raise Malformed(431, "a line is too long")
    return line


def _request_line(line: bytes) -> tuple[str, str, str]:
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed(400, "not a request line")
    return words[0].upper(), words[1], words[2]


def _target(target: str) -> tuple[str, dict[str, str]]:
    try:
        url = urlsplit(target)
        return unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True))
    except ValueError as error:
        raise Malformed(400, "not a request target") from error


def _headers(stream: BufferedIOBase) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = _line(stream)
        if line in (b"\r\n", b"\n", b""):
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise Malformed(400, "not a header")
        headers[name.strip().lower()] = value.strip()
    raise Malformed(431, "too many headers")


def _body(stream: BufferedIOBase, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunks(stream)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise Malformed(400, "Content-Length is not a number")
    return _exactly(stream, int(length))


def _chunks(stream: BufferedIOBase) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        size = _chunk_size(_line(stream))
        if size == 0:
            while _line(stream) not in (b"\r\n", b"\n", b""):
                pass
            return b"".join(parts)
        size_bytes += size
        if size_bytes > MAX_BODY:
            raise Malformed(413, "the body is too long")
        parts.append(_exactly(stream, size))
        _line(stream)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        raise Malformed(400, "not a chunk") from None


def _exactly(stream: BufferedIOBase, size_bytes: int) -> bytes:
    if size_bytes > MAX_BODY:
        raise Malformed(413, "the body is too long")
    body = stream.read(size_bytes)
    if len(body) < size_bytes:
        raise Malformed(400, "the body is cut off")
    return body
