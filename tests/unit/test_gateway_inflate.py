"""Undoing a Content-Encoding."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.gateway.inflate import DecodeFailed, Inflater, decoder, most_packed

BODY = bytes(range(256)) * 5000


def undone(encoding: str, *pieces: bytes) -> bytes:
    undo = decoder(encoding)
    assert undo is not None
    body = b"".join(part for piece in pieces for part in undo.feed(piece))
    undo.end()
    return body


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_nothing_is_undone_when_nothing_was_done(encoding: str | None) -> None:
    assert decoder(encoding) is None


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(BODY)), ("X-GZIP", gzip.compress(BODY)), ("deflate", zlib.compress(BODY))],
)
def test_what_was_packed_comes_out_as_it_was(encoding: str, packed: bytes) -> None:
    assert undone(encoding, packed) == BODY


def test_several_members_are_one_body() -> None:
    assert undone("gzip", gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_it_does_not_matter_how_it_is_cut(body: bytes, size: int) -> None:
    packed = gzip.compress(body)

    assert undone("gzip", *(packed[at : at + size] for at in range(0, len(packed), size))) == body


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(BODY)[:-1], gzip.compress(BODY)[:1000], b"\xff\xd8\xff\xe0 no gzip", gzip.compress(BODY) + b"x"],
)
def test_what_is_not_whole_or_not_packed_fails(packed: bytes) -> None:
    with pytest.raises(DecodeFailed):
        undone("gzip", packed)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "aes"])
def test_what_nobody_asked_for_and_we_do_not_know_fails(encoding: str) -> None:
    with pytest.raises(DecodeFailed):
        decoder(encoding)


@given(st.binary(max_size=100_000), st.integers(0, 9))
def test_what_is_not_longer_than_the_limit_is_never_refused_for_how_it_was_packed(body: bytes, level: int) -> None:
    for packed in (gzip.compress(body, level), zlib.compress(body, level), gzip.compress(b"") + gzip.compress(body, 0)):
        assert len(packed) <= most_packed(len(body))


def test_members_that_come_to_nothing_show_as_empty_pieces_so_that_they_can_be_counted() -> None:
    undo = Inflater(31)

    assert set(undo.feed(gzip.compress(b"") * 1_000)) == {b""}


def test_a_bomb_bursts_in_pieces_of_a_megabyte() -> None:
    bomb = zlib.compress(bytes(50_000_000))

    assert max(len(piece) for piece in Inflater(15).feed(bomb)) == 1024 * 1024
