"""What the relay says: a status, a few headers and a small JSON body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from mo_sync.feeds.relay.submission import Kept

__all__ = ["HEALTHY", "Answer", "kept", "refusal"]

Header = tuple[bytes, bytes]

_encode = msgspec.json.Encoder().encode
_JSON: Final = (b"content-type", b"application/json")
_CLOSE: Final = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready to be sent."""

    status: int
    body: bytes
    headers: tuple[Header, ...]
    whole: bytes = b""
    """All of it as HTTP/1.1 has it."""

    @property
    def ends(self) -> bool:
        """Whether the connection ends with it."""
        return _CLOSE in self.headers


def _answer(status: int, told: dict[str, object], *more: Header) -> Answer:
    body = _encode(told) + b"\n"
    headers = (_JSON, (b"content-length", str(len(body)).encode()), *more)
    head = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
    whole = b"".join([head, *(b"%s: %s\r\n" % header for header in headers), b"\r\n", body])
    return Answer(status, body, headers, whole)


def refusal(
    status: int,
    why: str,
    *,
    close: bool = False,
    retry_after_s: int | None = None,
    challenges: Sequence[str] = (),
    allow: str | None = None,
) -> Answer:
    """Why a request is not taken, in one sentence."""
    more = [_CLOSE] if close else []
    if retry_after_s is not None:
        more.append((b"retry-after", str(retry_after_s).encode()))
    if allow is not None:
        more.append((b"allow", allow.encode()))
    more += [(b"www-authenticate", challenge.encode()) for challenge in challenges]
    return _answer(status, {"error": why}, *more)


def kept(outcome: Kept, *, refuse_unreadable: bool) -> Answer:
    """The acknowledgement: it is durable. What was not understood is kept too, with a note, unless that is refused."""
    receipt = outcome.receipt
    told: dict[str, object] = {"accepted": receipt.new + receipt.ignored, "duplicate": receipt.duplicate}
    if not receipt.rejected and outcome.note is None:
        return _COMMON.get((receipt.new + receipt.ignored, receipt.duplicate)) or _answer(202, told)
    told["rejected"] = receipt.rejected
    told["note"] = outcome.note or "it was not understood when it came before either"
    return _answer(400 if refuse_unreadable else 202, told)


_COMMON: Final = {
    (1, 0): _answer(202, {"accepted": 1, "duplicate": 0}),
    (0, 1): _answer(202, {"accepted": 0, "duplicate": 1}),
}
HEALTHY: Final = _answer(200, {"status": "ok"})
