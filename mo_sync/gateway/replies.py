"""What an answer says: bytes and headers in, values out. Pure; anything at all is answered, nothing raises.

The forms are those seen from SCG and from what stands before it: its JSON (``error_code``, ``error_description``), the
gateway layer's JSON (``errorCode``, ``moreInfo``, ``userMsg``), a bare number, plain text, and HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import msgspec

from mo_sync.readings import plain
from mo_sync.verdicts import scg_number

__all__ = [
    "LONGEST_WAIT_S",
    "Metadata",
    "Problem",
    "is_error",
    "is_object",
    "is_page",
    "media_type",
    "metadata",
    "minted",
    "problem",
    "refreshed",
    "retry_after",
    "spoken",
]

LONGEST_WAIT_S: Final = 86_400.0
"""A ``Retry-After`` of more than a day (in seconds) is read as a day."""
_LONGEST_DESCRIPTION = 200
_LONGEST_TOKEN = 4096
_LONGEST_TYPE = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the gateway said no. ``code`` is ``SCG_ERROR_nnnn`` or ``gateway-n``; either may be unknown.

    ``description`` is at most 200 characters, on one line, without secrets.
    """

    code: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the gateway knows about an attachment. ``type`` is a MIME type, ``size`` counts bytes.

    ``state`` is ``CREATED`` or ``UPLOADED``. All but the id may be unknown.
    """

    id: str
    name: str | None = None
    type: str | None = None
    size: int | None = None
    filename: str | None = None
    state: str | None = None


def minted(body: bytes) -> str | None:
    """The content token of ``{"id": "…"}``, or None when there is none that an address can carry."""
    found = _object(body).get("id")
    token = str(found).strip() if isinstance(found, str | int) and not isinstance(found, bool) else ""
    usable = token.isascii() and token.isprintable() and " " not in token and token not in ("", ".", "..")
    return token if usable and len(token) <= _LONGEST_TOKEN else None


def refreshed(body: bytes) -> str | None:
    """The new application token of ``{"accessToken": "…"}``, or None when there is none that a header can carry."""
    found = _object(body).get("accessToken")
    token = found.strip() if isinstance(found, str) else ""
    usable = token.isascii() and token.isprintable() and " " not in token and token != ""
    return token if usable and len(token) <= _LONGEST_TOKEN else None


def metadata(body: bytes) -> Metadata | None:
    """An attachment's metadata, or None when the answer has no id."""
    found = _object(body)
    identity = _text(found.get("id"))
    if identity is None:
        return None
    name, kind, file, state = (_text(found.get(key)) for key in ("name", "type", "filename", "state"))
    return Metadata(identity, name, kind and plain(kind)[:_LONGEST_TYPE], _count(found.get("size")), file, state)


def problem(body: bytes, content_type: str | None = None, *, secrets: Iterable[str] = ()) -> Problem:
    """Why the gateway said no, in whatever form it said it. ``secrets`` never appear in the description.

    >>> problem(b'{"error_code": "SCG_ERROR_4031", "error_description": "Not found"}')
    Problem(code='SCG_ERROR_4031', description='Not found')
    >>> problem(b'"4031"')
    Problem(code='SCG_ERROR_4031', description=None)
    """
    code, words = _read_problem(body, content_type)
    return Problem(code, spoken(words, secrets) if words else None)


def _read_problem(body: bytes, content_type: str | None) -> tuple[str | None, str | None]:
    found = _json(body)
    if isinstance(found, dict):
        return _from_fields(found)
    if isinstance(found, str | int) and scg_number(found):
        return _scg(found), None
    text = body.decode("utf-8", "replace").strip()
    if is_page(body, content_type):
        return _code_in(text), _title(text)
    return _scg(text) or _code_in(text), None if scg_number(text) else text or None


def _from_fields(found: dict[str, Any]) -> tuple[str | None, str | None]:
    code = _scg(found.get("error_code")) or _scg(found.get("code"))
    words = _text(found.get("error_description")) or _text(found.get("message"))
    if code is None and "errorCode" in found:
        layer = _text(found["errorCode"]) or ""
        # A small number is the layer's own; it counts from 1 and shares nothing with SCG's codes.
        code = _scg(layer) or (f"gateway-{layer}" if re.fullmatch(r"[\w.-]{1,32}", layer) else None)
        words = words or _text(found.get("userMsg")) or _text(found.get("moreInfo"))
    words = words or _text(found.get("error"))
    return code or _code_in(words or ""), words


def _scg(code: object) -> str | None:
    number = scg_number(code) if isinstance(code, str | int) and not isinstance(code, bool) else ""
    return f"SCG_ERROR_{number}" if number else None


def _code_in(text: str) -> str | None:
    match = re.search(r"\bSCG_ERROR_\d{3,5}\b", text)
    return match[0] if match else None


def _title(page: str) -> str | None:
    match = re.search(r"<title[^>]{0,200}>([^<]{1,500})", page, re.IGNORECASE)
    return match[1] if match else None


def spoken(words: str, secrets: Iterable[str] = ()) -> str | None:
    """A server's words, fit for a log: one line of at most 200 characters, without secrets and long numbers.

    >>> spoken("token abc123 of +14086080000 is wrong", ["abc123"])
    'token *** of +*******0000 is wrong'
    """
    for secret in sorted((secret for secret in secrets if secret), key=len, reverse=True):
        words = words.replace(secret, "***")
    words = re.sub(r"(?i)\b(bearer|basic)\s+\S+", r"\1 ***", words)
    words = re.sub(r"\d{3,}(?=\d{4})", lambda digits: "*" * len(digits[0]), words)
    line = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    short = line if len(line) <= _LONGEST_DESCRIPTION else line[: _LONGEST_DESCRIPTION - 1] + "…"
    return short or None


_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_PAGE_START = re.compile(
    rb"\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype\s+html|html|head|body|title)\b", re.IGNORECASE | re.DOTALL
)


def is_page(head: bytes, content_type: str | None = None) -> bool:
    """Whether an answer that begins with ``head`` (a kilobyte is enough) is a web page, by its type or its looks."""
    return media_type(content_type) in _PAGE_TYPES or _PAGE_START.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


_ERROR_FIELDS = frozenset({"error_code", "errorCode", "error", "errors", "error_description", "userMsg", "fault"})


def is_error(body: bytes) -> bool:
    """Whether ``body`` is an error's JSON rather than somebody's JSON file."""
    return body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and not _ERROR_FIELDS.isdisjoint(_object(body))


def is_object(body: bytes) -> Literal[True] | None:
    """True for a JSON object that is no error; None for anything else."""
    found = _object(body)
    return True if found and _ERROR_FIELDS.isdisjoint(found) else None


def media_type(content_type: str | None) -> str:
    """The type alone, in lower case: ``Image/JPEG; q=1`` is ``image/jpeg``; "" when there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait from a ``Retry-After`` (seconds or an HTTP date); None when there is none that means anything.

    A date that has passed is 0, more than a day is a day. ``now`` is UTC.
    """
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,18}(\.\d{0,9})?", text, re.ASCII):
        return min(float(text), LONGEST_WAIT_S)
    try:
        then = parsedate_to_datetime(text)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return min(max((then - now).total_seconds(), 0.0), LONGEST_WAIT_S)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _object(body: bytes) -> dict[str, Any]:
    found = _json(body)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def _count(value: object) -> int | None:
    text = _text(value) or ""
    return int(text) if re.fullmatch(r"\d{1,15}", text, re.ASCII) else None
