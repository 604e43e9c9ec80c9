"""A request's body, within its bounds: of size, and of what it unpacks to."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mo_sync.feeds.relay.answers import Answer, refusal

__all__ = ["NoBody", "read", "unpacked", "unwanted"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

_NO_TEXT: Final = (b"image/", b"audio/", b"video/", b"font/", b"multipart/", b"model/")
_NO_TEXT_AT_ALL: Final = frozenset({b"application/pdf", b"application/zip"})
_GZIP_WBITS: Final = 31


class NoBody(Exception):
    """It cannot be taken; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__()


def unwanted(headers: Mapping[bytes, bytes], *, max_body: int) -> Answer | None:
    """What the headers alone show that it cannot be taken."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind.startswith(_NO_TEXT) or kind in _NO_TEXT_AT_ALL:
        return refusal(415, "events are JSON or XML")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b"x-gzip", b""):
        return refusal(415, "bodies come as they are, or with Content-Encoding: gzip")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_body:
        return _too_large(max_body)
    return None


async def read(receive: Receive, *, max_body: int) -> bytes:
    """The whole body as it was sent; how long that may take is the protocol's to say. Raises NoBody."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False) and len(body) <= max_body:
        parts, size = [body], len(body)
        while message.get("more_body", False) and size <= max_body:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise NoBody(refusal(400, "the connection ended amid the body", close=True))
    if len(body) > max_body:
        raise NoBody(_too_large(max_body))
    return body


def unpacked(body: bytes, encoding: bytes, *, max_body: int) -> bytes:
    """Without its Content-Encoding. Never unpacks more than ``max_body``. Raises NoBody."""
    if encoding.strip().lower() not in (b"gzip", b"x-gzip"):
        return body
    unzip = zlib.decompressobj(_GZIP_WBITS)
    try:
        plain = unzip.decompress(body, max_body + 1)
    except zlib.error:
        raise NoBody(refusal(400, "the body is no gzip, as its Content-Encoding says")) from None
    if len(plain) > max_body:
        raise NoBody(_too_large(max_body))
    if not unzip.eof or unzip.unused_data:
        raise NoBody(refusal(400, "the gzip is cut short, or something follows it"))
    return plain


def _too_large(max_body: int) -> Answer:
    return refusal(413, f"the body is larger than {max_body:,} bytes (relay.max_body)", close=True)
