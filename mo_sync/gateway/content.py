"""An attachment's bytes on their way in: whole and as announced, or a failure that says why not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self

from urllib3 import BaseHTTPResponse

from mo_sync.gateway import replies
from mo_sync.gateway.failures import Asked, tried
from mo_sync.gateway.inflate import DecodeFailed, decoder, most_packed
from mo_sync.gateway.troubles import CAUGHT
from mo_sync.gateway.watch import Watch
from mo_sync.lifecycle import Failed, Interrupted, Refused
from mo_sync.readings import plain
from mo_sync.verdicts import Trouble

__all__ = ["Content", "Pumped", "too_large"]

_WHOLE_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_LARGEST_ERROR: Final = 64 * 1024
_LOOK_BYTES: Final = 1024
_LONGEST_TYPE: Final = 200


@dataclass(frozen=True, slots=True)
class Pumped:
    """The body came whole. ``received_bytes`` is what was written."""

    received_bytes: int


def too_large(announced: int | None, max_bytes: int, *, rule: str = "limits.max_bytes", received: int = 0) -> Refused:
    """The refusal of a body by its size: by the one that was announced, or (None) by what came of it."""
    size = f"{announced:,} bytes are announced" if announced is not None else f"more than {max_bytes:,} bytes came"
    return Refused("too-large", f"{size}, {rule} is {max_bytes:,}", received)


class _Broken(Exception):
    """The body cannot be had; carries the outcome. Never leaves this module."""

    def __init__(self, outcome: Failed | Interrupted) -> None:
        self.outcome = outcome
        super().__init__()


def _never() -> bool:
    return False


class Content:
    """An open answer with an attachment in it. A context manager; use it on the thread that opened it.

    ``content_length`` is what the server announced (None: unknown, or the body is encoded), ``content_type`` its type
    as sent, ``disposition`` the raw Content-Disposition. ``delimited`` is False
    when nothing but the end of the connection ends the body: then a cut cannot be told from the end, and the size
    that the metadata gives is the only proof.
    """

    def __init__(
        self,
        raw: BaseHTTPResponse,
        headers: Mapping[str, str],
        *,
        asked: Asked,
        watch: Watch,
        declared_type: str | None,
    ) -> None:
        self._raw = raw
        self._asked = asked
        self._watch = watch
        self._declared = replies.media_type(declared_type)
        self._encoding = headers.get("Content-Encoding")
        self._received = 0
        self._came = 0
        encoded = (self._encoding or "").strip().lower() not in ("", "identity")
        self.content_length = None if encoded else raw.length_remaining
        self.content_type = _recordable(headers.get("Content-Type"))
        self.disposition = headers.get("Content-Disposition")
        self.delimited = raw.chunked or raw.length_remaining is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection: it is kept for the next call if the body was read to its end, else closed."""
        with contextlib.suppress(*CAUGHT):
            self._raw.close()

    def pump(
        self,
        write: Callable[[bytes], object],
        *,
        max_bytes: int,
        rule: str = "limits.max_bytes",
        stop: Callable[[], bool] = _never,
    ) -> Pumped | Failed | Refused | Interrupted:
        """Pass the body on to ``write``, piece by piece, in order. To be called once.

        Pumped means that every byte of the body was written and that it was as long as announced. On anything else
        what was written is worthless. Refused when the body is, or announces to be, longer than ``max_bytes``, or when
        more came than such a body could be packed into; ``rule`` is the name of the setting that says so.
        ``stop`` is asked before every wait and twice a second while waiting. Whatever ``write`` raises is raised.
        """
        self._watch.stop = stop
        self._watch.at_end = self.content_length is not None
        if self.content_length is not None and self.content_length > max_bytes:
            return too_large(self.content_length, max_bytes, rule=rule)
        try:
            for piece in self._pieces():
                if self._came > most_packed(max_bytes):
                    return too_large(None, max_bytes, rule=rule, received=self._received)
                if not piece:
                    continue
                if not self._received:
                    self._look_at(piece)
                self._received += len(piece)
                if self._received > max_bytes:
                    return too_large(None, max_bytes, rule=rule, received=self._received)
                write(piece)
            return self._whole()
        except _Broken as broken:
            return broken.outcome

    def _pieces(self) -> Iterator[bytes]:
        """The decoded body. Raises _Broken only."""
        try:
            undo = decoder(self._encoding)
            for data in self._read():
                yield from undo.feed(data) if undo is not None else (data,)
            if undo is not None:
                undo.end()
        except DecodeFailed:
            raise _Broken(self._troubled(Trouble.DECODE_FAILED, self._encoding_name())) from None

    def _read(self) -> Iterator[bytes]:
        """The body as it comes. Raises _Broken only."""
        small = self.content_length is not None and self.content_length <= _WHOLE_BYTES
        amount = None if small else _CHUNK_BYTES
        while data := self._read_once(amount):
            self._came += len(data)
            yield data
            if small:
                return

    def _read_once(self, amount: int | None) -> bytes:
        data = tried(self._asked, partial(self._wait, amount), status=self._raw.status, received=self._received)
        if not isinstance(data, bytes):
            raise _Broken(data)
        return data

    def _wait(self, amount: int | None) -> bytes:
        self._watch.check()
        return self._raw.read(amount, decode_content=False)

    def _look_at(self, first: bytes) -> None:
        """Raises _Broken when the body is an error in the place of media, which some gateways send with a 200."""
        page_expected = self._declared.startswith("text/") or replies.is_page(b"", self._declared)
        if not page_expected and replies.is_page(first[:_LOOK_BYTES], self.content_type):
            title = replies.problem(first[:_LARGEST_ERROR], "text/html", secrets=self._asked.secrets).description
            raise _Broken(self._troubled(Trouble.NOT_MEDIA, title or "a web page"))
        if len(first) <= _LARGEST_ERROR and not self._declared.endswith("json") and replies.is_error(first):
            problem = replies.problem(first, secrets=self._asked.secrets)
            if problem.code:
                raise _Broken(self._asked.answered(self._raw.status, problem))
            raise _Broken(self._troubled(Trouble.NOT_MEDIA, problem.description or "an error in JSON"))

    def _whole(self) -> Pumped | Failed:
        if not self._received:
            return self._troubled(Trouble.EMPTY_BODY)
        if self._watch.excess:
            return self._troubled(Trouble.LENGTH_MISMATCH, f"{self.content_length:,} bytes announced")
        if self.content_length not in (None, self._received):
            return self._troubled(Trouble.TRUNCATED, f"{self.content_length:,} bytes announced")
        return Pumped(self._received)

    def _troubled(self, trouble: Trouble, detail: str = "") -> Failed:
        return self._asked.troubled(trouble, status=self._raw.status, detail=detail, received=self._received)

    def _encoding_name(self) -> str:
        return replies.spoken(self._encoding or "", self._asked.secrets) or ""


def _recordable(header: str | None) -> str | None:
    """A header as it can be written into any database, and no longer than a content type ever is."""
    return None if header is None else plain(header)[:_LONGEST_TYPE]
