"""Text into values: JSON and XML, with every refusal an :class:`~mo_sync.errors.EventError` that names its place."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final
from xml.etree.ElementTree import Element, TreeBuilder

import msgspec
from defusedxml import DefusedXmlException, ElementTree

from mo_sync.errors import EventError
from mo_sync.shapes.opened import Opened, expand

__all__ = ["UTF16", "decode", "is_xml", "read_text"]

UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_BLANKS: Final = b" \t\r\n\x1e"
_DEEPEST_XML: Final = 100


def decode(raw: bytes) -> list[Opened]:
    """The events in ``raw``, which is one JSON or XML document; usually one. Raises EventError and nothing else."""
    return expand(read_text(raw), read_text)


def read_text(raw: str | bytes) -> Any:
    """The value of a JSON or XML document, which may be UTF-8 or, with its mark, UTF-16.

    Raises EventError and nothing else.
    """
    words = raw.decode("utf-16", "replace") if isinstance(raw, bytes) and raw.startswith(UTF16) else raw
    body = words.encode("utf-8", "surrogatepass") if isinstance(words, str) else words
    body = body.removeprefix(codecs.BOM_UTF8).strip(_BLANKS)
    if not body:
        raise EventError("no-event", "there is nothing in it", position="byte 0")
    if not is_xml(body):
        return _json(body)
    # What was decoded already is not decoded again, whatever its declaration says.
    return _xml(body if words is raw and isinstance(raw, bytes) else body.decode("utf-8", "replace"))


def is_xml(body: bytes) -> bool:
    """Whether ``body`` begins as XML does."""
    return body[:1] == b"<"


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise EventError("json-too-deep", "it is nested too deeply", position="event") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        strict = error
    # Python's own reader is slower and more lenient (lone surrogates, control characters, NaN): a second opinion.
    try:
        return json.loads(body.decode("utf-8", "replace"), parse_int=_integer, strict=False)
    except RecursionError as error:
        raise EventError("json-too-deep", "it is nested too deeply", position="event") from error
    except ValueError:
        raise EventError("json-invalid", f"it is no JSON: {_words(strict)}", position=_position(strict)) from strict


def _integer(digits: str) -> int | str:
    """A number too long to be one is kept as its digits."""
    return int(digits) if len(digits) < 1000 else digits


def _words(error: Exception) -> str:
    """What the reader says, without pieces of the event in it."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return _BYTE.sub("", str(error)).strip().removeprefix("JSON is malformed: ") or "it cannot be read"


def _position(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start}"
    place = _BYTE.search(str(error))
    return f"byte {place[1]}" if place else "event"


def _xml(body: str | bytes) -> Any:
    try:
        parser = ElementTree.DefusedXMLParser(target=_Shallow(), forbid_dtd=True)
        parser.feed(body)
        root = parser.close()
    except ElementTree.ParseError as error:
        line, column = error.position
        place = f"line {line}, column {column}"
        raise EventError("xml-invalid", "it is no well-formed XML", position=place) from error
    except DefusedXmlException as error:
        raise EventError("xml-refused", "it has what no event has, a DTD or entities", position="event") from error
    except (ValueError, LookupError, RecursionError) as error:
        raise EventError("xml-invalid", "its encoding is unknown or broken", position="event") from error
    return {_name(root.tag): _element(root, 0)}


class _Shallow(TreeBuilder):
    """Ends at the depth that no event has, rather than build a million elements first."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attrs: Any) -> Element:
        self._depth += 1
        if self._depth > _DEEPEST_XML:
            raise EventError("xml-too-deep", "it is nested too deeply", position="event")
        return super().start(tag, attrs)

    def end(self, tag: Any) -> Element:
        self._depth -= 1
        return super().end(tag)


def _element(element: Element, depth: int) -> Any:
    """Text for a leaf, an object for the rest; elements that repeat become a list. Attributes say nothing of events."""
    if depth > _DEEPEST_XML:
        raise EventError("xml-too-deep", "it is nested too deeply", position="event")
    if not len(element):
        return element.text
    value: dict[str, Any] = {}
    for child in element:
        name, inside = _name(child.tag), _element(child, depth + 1)
        if name not in value:
            value[name] = inside
        elif isinstance(value[name], list):
            value[name].append(inside)
        else:
            value[name] = [value[name], inside]
    return value


def _name(tag: str) -> str:
    """Without its namespace."""
    return tag.rsplit("}", 1)[-1]
