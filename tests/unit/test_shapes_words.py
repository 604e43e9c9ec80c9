"""Every text of an event is found, in whatever shape it comes, understood or not."""

from __future__ import annotations

import base64
import doctest
import gzip
import json
import time
from typing import Any

import pytest

from mo_sync.shapes import texts, words
from tests.announcements import SINGLE, announcement, compact, xml

NUMBER = "+14085550100"
EVENT = announcement(1, from_address=NUMBER, attachment_ids="AnnaOne1")


def packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


def escaped(content: bytes) -> bytes:
    """Every digit as JSON may write it too."""
    return b"".join(b"\\u%04x" % byte if chr(byte).isdigit() else bytes([byte]) for byte in content)


ODD = {
    "escaped": json.dumps(EVENT).encode().replace(b"+1408", b"\\u002b\\u0031408"),
    "escaped within text": compact({"payload": json.dumps(EVENT).replace("+1408", "\\u002b1408")}),
    "with references": xml(EVENT).replace("+1408", "&#43;&#x31;408").encode(),
    "in another encoding": xml({"é": EVENT}).replace("UTF-8", "ISO-8859-1").encode("latin-1"),
    "base64 of XML in UTF-16": compact({"body": packed(xml(EVENT).replace("UTF-8", "UTF-16").encode("utf-16"))}),
    "base64 of what is compressed": compact({"isBase64Encoded": True, "body": packed(gzip.compress(compact(EVENT)))}),
    "base64 in lines": compact({"data": "\r\n".join(packed(compact(EVENT))[n : n + 76] for n in range(0, 2000, 76))}),
    "base64 without its end": compact({"data": packed(compact(EVENT) + b" ").rstrip("=")}),
    "base64 twice": compact({"data": packed(compact({"data": packed(compact(EVENT))}))}),
    "as a number": compact({"from_address": 1.40855501e10, "attachment_ids": "AnnaOne1"}),
    "as a name": compact({NUMBER: {"AnnaOne1": True}}),
    "compressed": gzip.compress(compact(EVENT)),
    "cut off": compact(EVENT)[:-9],
    "cut off and escaped": escaped(compact({"id": "AnnaOne1", "from": NUMBER}))[:-2].replace(b"One\\u0031", b"One1"),
    "no text": b"\xff" + compact(EVENT),
    "neither JSON nor XML": f"from={NUMBER}; AnnaOne1".encode(),
}


@pytest.mark.parametrize("body", [*(make(EVENT) for make in SINGLE.values()), *ODD.values()], ids=[*SINGLE, *ODD])
def test_a_number_and_an_id_are_found_however_they_are_written(body: bytes) -> None:
    found = list(texts(body))

    assert any(NUMBER[1:] in text for text in found)
    assert any("AnnaOne1" in text for text in found)


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b\x08", b"[" * 100_000, b"null", b'"' + b"\\ud800" * 9 + b'"', b"<a"])
def test_nothing_is_raised_for_any_bytes(body: bytes) -> None:
    assert list(texts(body))


def test_what_is_wrapped_for_ever_takes_no_time_for_ever() -> None:
    wrapped: Any = "x"
    while len(wrapped) < 1_000_000:
        wrapped = xml({"a": wrapped}, "b")
    began = time.monotonic()

    assert sum(map(len, texts(wrapped.encode()))) < 100_000_000
    assert time.monotonic() - began < 20


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(words).failed == 0
