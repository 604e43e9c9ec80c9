"""A stream made while it is read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

__all__ = ["Endless"]


class Endless(io.RawIOBase):
    """Hands out what ``chunks`` make, as they are asked for; ``given`` counts its bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        chunk, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(chunk)] = chunk
        self.given += len(chunk)
        return len(chunk)
