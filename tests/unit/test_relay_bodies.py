"""A body within its bounds, whatever is said about it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mo_sync.feeds.relay.bodies import NoBody, read, unpacked, unwanted

EVENT = b'{"topic": "SCG-Message"}'


def receiving(*messages: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    rest = list(messages)

    async def receive() -> dict[str, Any]:
        if not rest:
            await asyncio.sleep(60)
        return rest.pop(0)

    return receive


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def read_all(*messages: dict[str, Any], max_body: int = 100) -> bytes:
    return asyncio.run(read(receiving(*messages), max_body=max_body))


def refused(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(NoBody) as caught:
        call()
    answer = caught.value.answer
    return answer.status, json.loads(answer.body)["error"]


def test_a_body_comes_whole_in_one_piece_or_in_many() -> None:
    assert read_all(part(EVENT)) == EVENT
    assert read_all(*[part(EVENT[i : i + 1], more=True) for i in range(len(EVENT))], part(b"")) == EVENT


@pytest.mark.parametrize("pieces", [[101], [50, 51], [1] * 101])
def test_more_than_is_allowed_is_refused_as_soon_as_it_is_seen(pieces: list[int]) -> None:
    messages = [part(b"x" * size, more=True) for size in pieces]

    assert refused(lambda: read_all(*messages)) == (413, "the body is larger than 100 bytes (relay.max_body)")


def test_who_hangs_up_amid_the_body_is_not_taken_for_one_who_ended_it() -> None:
    assert refused(lambda: read_all(part(b'{"a"', more=True), {"type": "http.disconnect"}))[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({b"content-type": b"application/json; charset=utf-8"}, None),
        ({b"content-type": b"text/xml"}, None),
        ({b"content-type": b"application/octet-stream"}, None),
        ({b"content-type": b"application/x-www-form-urlencoded"}, None),
        ({b"content-type": b"IMAGE/png"}, 415),
        ({b"content-type": b"multipart/form-data; boundary=x"}, 415),
        ({b"content-encoding": b"gzip"}, None),
        ({b"content-encoding": b"Identity"}, None),
        ({b"content-encoding": b"br"}, 415),
        ({b"content-encoding": b"gzip, gzip"}, 415),
        ({b"content-length": b"100"}, None),
        ({b"content-length": b"101"}, 413),
        ({b"content-length": b"9" * 400}, 413),
    ],
)
def test_the_headers_alone_may_show_that_it_cannot_be_taken(headers: dict[bytes, bytes], status: int | None) -> None:
    answer = unwanted(headers, max_body=100)

    assert (answer.status if answer else None) == status


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b" GZIP "])
def test_a_packed_body_is_unpacked(encoding: bytes) -> None:
    assert unpacked(gzip.compress(EVENT), encoding, max_body=100) == EVENT


def test_a_body_without_an_encoding_is_left_as_it_is() -> None:
    assert unpacked(gzip.compress(EVENT), b"identity", max_body=100) == gzip.compress(EVENT)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (EVENT, 400),
        (b"", 400),
        (gzip.compress(EVENT)[:-1], 400),
        (gzip.compress(EVENT) + b"more", 400),
        (zlib.compress(EVENT), 400),
        (gzip.compress(bytes(101)), 413),
        (gzip.compress(bytes(50_000_000)), 413),
    ],
    ids=["plain", "nothing", "cut short", "more behind", "zlib", "a little too much", "a bomb"],
)
def test_what_is_not_what_it_says_or_expands_too_far_is_refused(body: bytes, status: int) -> None:
    assert refused(lambda: unpacked(body, b"gzip", max_body=100))[0] == status
