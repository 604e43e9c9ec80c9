"""The file inside a ``multipart/form-data`` upload, as one of the SDKs sends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Upload", "unwrap"]

_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upload:
    """What was uploaded; ``type`` is the part's own Content-Type, None for a plain body."""

    content: bytes
    type: str | None = None


def unwrap(content_type: str, body: bytes) -> Upload | None:
    """The first file of a form, or the body itself when it is no form; None: a form without a file.

    A part's own Content-Length is not believed: an SDK counts characters there, not bytes.

    >>> unwrap("image/png", b"...").content
    b'...'
    """
    if not content_type.lower().startswith("multipart/form-data"):
        return Upload(body)
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    delimiter = b"\r\n--" + found[1].encode("latin-1")
    for part in (b"\r\n" + body).split(delimiter)[1:-1]:
        head, blank, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if blank and b"filename" in head.lower():
            return Upload(content, _type(head))
    return None


def _type(head: bytes) -> str | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type":
            return value.strip().decode("latin-1")
    return None
