"""Undoes a Content-Encoding that nobody asked for, without trust in it.

urllib3 could, but takes a compressed stream that ends too early for a whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["DecodeFailed", "Inflater", "decoder", "most_packed"]

_WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_PIECE: Final = 1024 * 1024
_SLICE: Final = 16 * 1024
_OVERHEAD: Final = 64 * 1024


class DecodeFailed(Exception):
    """The body is not encoded as its header says, or not in a way that we know."""


class Inflater:
    """Decodes one body. ``feed`` yields pieces of at most a megabyte, so that a bomb is noticed while it bursts.

    Pieces may be empty: a body may hold any number of bytes that come to nothing, so who bounds it must count what is
    fed, too (:func:`most_packed`).
    """

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of ``data``, at least one for each. Raises DecodeFailed."""
        # Little by little: what follows the end of a member is copied, and a member may be as short as twenty bytes.
        for start in range(0, len(data), _SLICE):
            yield from self._feed(data[start : start + _SLICE])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        full = False
        while data or (full and not self._stream.eof):
            if self._stream.eof:  # gzip allows several members in a row
                self._stream = zlib.decompressobj(self._wbits)
            self._fed = True
            piece = self._piece(data)
            yield piece
            full = len(piece) == _PIECE  # then zlib may hold back more, though all input is consumed
            data = self._stream.unconsumed_tail or self._stream.unused_data

    def end(self) -> None:
        """Raises DecodeFailed when what was fed is not whole."""
        if self._fed and not self._stream.eof:
            raise DecodeFailed

    def _piece(self, data: bytes) -> bytes:
        try:
            return self._stream.decompress(data, _PIECE)
        except zlib.error as error:
            raise DecodeFailed from error


def decoder(content_encoding: str | None) -> Inflater | None:
    """What undoes ``content_encoding``; None when there is nothing to undo. Raises DecodeFailed for the unknown."""
    name = (content_encoding or "").strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _WBITS:
        raise DecodeFailed
    return Inflater(_WBITS[name])


def most_packed(max_bytes: int) -> int:
    """How many bytes may be received for a body of ``max_bytes``: packing what cannot be packed adds some.

    zlib adds five bytes to each 16 KiB and about twenty to a body; the rest allows for names, comments and members.
    """
    return max_bytes + max_bytes // 256 + _OVERHEAD
