"""Names of files, made from what comes from outside: nothing that is sent to us chooses a path."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from datetime import UTC, datetime
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any, Final

__all__ = ["component", "key", "original_name", "quarantine_key"]

_SAFE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_UNSAFE_RUN: Final = re.compile(r"[^A-Za-z0-9_-]+")
_READABLE_PART: Final = 40
_LONGEST_NAME: Final = 200
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def key(*, filed_at: datetime, message_id: str, position: int, attachment_id: str, extension: str) -> str:
    """Where an attachment rests: ``YYYY/MM/DD/<message id>/<position>-<attachment id>.<ext>``, by the UTC day.

    The same arguments give the same key, others another one, whatever they hold. Case counts, as in Syniverse's ids:
    the store's file system must tell upper case from lower.
    """
    day = filed_at.astimezone(UTC)
    ending = extension if re.fullmatch(r"[a-z0-9]{1,8}", extension) else "bin"
    place = f"{day.year:04d}/{day.month:02d}/{day.day:02d}"
    return f"{place}/{component(message_id)}/{int(position)}-{component(attachment_id)}.{ending}"


def quarantine_key(key: str) -> str:
    """Where it rests instead while it is not to be shown."""
    return f"quarantine/{key}"


def component(text: str) -> str:
    """One component of a path that stands for ``text`` and for nothing else.

    An id as Syniverse makes them stands for itself. Anything else is what can be read of it, ``~`` and its SHA-256;
    ``~`` is in no id that stands for itself.

    >>> component("Mno4Xayql1oVOYAvP7Iy25"), component("../../etc/passwd")[:12]
    ('Mno4Xayql1oVOYAvP7Iy25', '_etc_passwd~')
    """
    if _SAFE.fullmatch(text) and ".." not in text:
        return text
    readable = _UNSAFE_RUN.sub("_", text).lstrip("-")[:_READABLE_PART]
    return f"{readable or '_'}~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def original_name(content_disposition: str | None) -> str | None:
    """The file name in a Content-Disposition header (RFC 6266, RFC 5987), for people to read; never a path.

    >>> original_name('attachment; filename="../a b.jpg"'), original_name("inline")
    ('a b.jpg', None)
    """
    if not content_disposition or "filename" not in content_disposition.lower():
        return None
    try:
        found = _file_name(_INVISIBLE.sub(" ", content_disposition)[:2000])
    except (ValueError, LookupError, TypeError):
        return None
    if not found:
        return None
    name = urllib.parse.unquote(found) if re.fullmatch(r"[!-~]*%[0-9A-Fa-f]{2}[!-~]*", found) else found
    last = re.split(r"[/\\]", name)[-1]
    shown = _INVISIBLE.sub("", last).strip(" .")
    return shown[:_LONGEST_NAME] or None


def _file_name(content_disposition: str) -> str | None:
    """The header's ``filename*`` if it has one, else its ``filename`` (RFC 6266, section 4.3)."""
    header = Message()
    header["Content-Disposition"] = content_disposition
    parameters = header.get_params([], "content-disposition")
    found: list[Any] = [value for name, value in parameters if name == "filename"]  # an extended one is a tuple
    extended = [value for value in found if isinstance(value, tuple)]
    return collapse_rfc2231_value((extended or found)[0]).strip() if found else None
