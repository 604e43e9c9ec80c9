"""Every text that can be reached in an event, decoded: for who looks for a name in it, however it is written there.

More is opened than is taken for an event. A name counts wherever it stands: in a customer's words, in the headers of a
wrap, in what could not be understood.
"""

from __future__ import annotations

import base64
import html
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final

from mo_sync.errors import EventError
from mo_sync.shapes.text import UTF16, read_text

__all__ = ["spelled", "texts"]

_ESCAPED: Final = re.compile(r"\\+u([0-9A-Fa-f]{4})")
"""A character as JSON may write it; where that is text within JSON, behind several backslashes."""
_BEGINNINGS: Final = ("{", "[", "<")
_GZIP: Final = b"\x1f\x8b"
_SHORTEST: Final = 16
_DEEPEST: Final = 8
_LONGEST: Final = 64 * 1024 * 1024

Document = str | bytes


def texts(raw: bytes) -> Iterator[str]:
    """Every text in ``raw``, which should be one event: as it stands, names, values, and what these are found to hold.

    Raises nothing.

    >>> "+14085550100" in texts(b'{"body": "PHRvPiYjNDM7MTQwODU1NTAxMDA8L3RvPg=="}')
    True
    """
    documents: list[tuple[Document, int]] = [(_unpacked(raw), 0)]
    while documents:
        document, depth = documents.pop()
        yield from _words(document)
        for text in _texts(document):
            yield text
            if depth < _DEEPEST:
                documents += [(inside, depth + 1) for inside in _documents(text)]


def spelled(text: str) -> Iterator[str]:
    """As it stands; and, if that is another text, without what JSON and XML write for single characters."""
    yield text
    if "\\u" in text or "&" in text:
        yield html.unescape(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text))


def _words(document: Document) -> Iterator[str]:
    """Also of what can be read: attributes and comments say nothing of an event, but may have a name in them."""
    if isinstance(document, bytes):
        document = document.decode("utf-16" if document.startswith(UTF16) else "utf-8", "replace")
    yield from spelled(document)


def _texts(document: Document) -> Iterator[str]:
    """Names and values, if it can be read."""
    try:
        waiting: list[Any] = [read_text(document)]
    except EventError:
        return
    while waiting:
        match waiting.pop():
            case dict() as found:
                waiting += [*found, *found.values()]
            case list() as found:
                waiting += found
            case str() as found:
                yield found
            case float() as found:
                yield f"{found:.0f}"  # what such a number is as an address
            case _:
                continue  # a whole number stands there as it is


def _documents(text: str) -> list[Document]:
    """What it is found to hold: a document, or the base64 of one."""
    if text.lstrip()[:1] in _BEGINNINGS:
        return [text]
    return [_unpacked(raw) for raw in _unwrapped(text)] if len(text) >= _SHORTEST else []


def _unwrapped(text: str) -> list[bytes]:
    """What it is the base64 of, if that is text or packed: of an id, and of a language's words, it is neither."""
    try:
        raw = base64.b64decode(f"{text}==")  # the padding may be missing, and what is too much does no harm
        if not raw.startswith((_GZIP, *UTF16, b"{", b"[", b"<")):
            raw.decode()
    except ValueError:
        return []
    return [raw]


def _unpacked(raw: bytes) -> bytes:
    """As far as it can be read."""
    if not raw.startswith(_GZIP):
        return raw
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(raw, _LONGEST)
    except zlib.error:
        return raw
