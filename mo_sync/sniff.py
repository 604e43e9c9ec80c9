"""What bytes are, by the bytes themselves: phones and gateways often say something else, or nothing.

The ``filetype`` library knows the common kinds; in front of it stands a table of our own for what MMS carries and it
does not know, or takes for something else.
"""

from __future__ import annotations

import json
import re
from typing import Final

import filetype

__all__ = ["error_page", "essence", "extension", "may_be_page", "sniff"]

_BRANDS: Final[dict[bytes, str]] = {
    b"3gp": "video/3gpp",
    b"3g2": "video/3gpp2",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic-sequence",
    b"mif1": "image/heif",
    b"msf1": "image/heif-sequence",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4V ": "video/mp4",
}
"""The brand in an ISO base media file's ``ftyp`` box (ISO/IEC 14496-12); every other one is taken for MP4."""

# The library knows pictures too, but looks at some eighty kinds in turn: what nearly every message carries comes first.
_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"#!AMR-WB\n", "audio/amr-wb"),
    (b"#!AMR\n", "audio/amr"),
    (b"OggS", "audio/ogg"),
    (b"MThd", "audio/midi"),
    (b"{\\rtf", "application/rtf"),
)
_CARDS: Final = re.compile(rb"\s*BEGIN:(VCARD|VCALENDAR)\s", re.IGNORECASE)
_CARD_TYPES: Final = {b"VCARD": "text/vcard", b"VCALENDAR": "text/calendar"}
_MARKUP: Final = re.compile(  # possessive throughout: these bytes may be anybody's, and must not make it search long
    rb"\s*+(?:<\?xml[^>]{0,200}+>\s*+)?+(?:<!--(?:[^-]|-(?!->))*+-->\s*+)*+<(?:!doctype\s++)?+([a-z][a-z0-9:]*+)",
    re.IGNORECASE,
)
_PAGE_PARTS: Final = (b"body", b"center", b"div", b"h1", b"h2", b"h3", b"head", b"html", b"meta", b"script", b"title")
_ELEMENTS: Final = {
    **dict.fromkeys(_PAGE_PARTS, "text/html"),
    b"smil": "application/smil",
    b"svg": "image/svg+xml",
}
_JSON: Final = re.compile(rb'\s*(?:\{\s*(?:"|\})|\[\s*[\[{"\]0-9])')
_TEXT_CONTROLS: Final = frozenset(range(0x20)) - {0x09, 0x0A, 0x0C, 0x0D, 0x1B}

_EXTENSIONS: Final[dict[str, str]] = {
    "application/gzip": "gz",
    "application/json": "json",
    "application/msword": "doc",
    "application/octet-stream": "bin",
    "application/ogg": "ogg",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/smil": "smil",
    "application/smil+xml": "smil",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/xml": "xml",
    "application/zip": "zip",
    "audio/3gpp": "3gp",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/amr-wb": "awb",
    "audio/flac": "flac",
    "audio/midi": "mid",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/x-flac": "flac",
    "audio/x-wav": "wav",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heic-sequence": "heics",
    "image/heif": "heif",
    "image/heif-sequence": "heifs",
    "image/jpeg": "jpg",
    "image/jpg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif",
    "image/webp": "webp",
    "text/calendar": "ics",
    "text/csv": "csv",
    "text/directory": "vcf",
    "text/html": "html",
    "text/plain": "txt",
    "text/vcard": "vcf",
    "text/x-vcalendar": "vcs",
    "text/x-vcard": "vcf",
    "text/xml": "xml",
    "video/3gpp": "3gp",
    "video/3gpp2": "3g2",
    "video/h263": "h263",
    "video/mp4": "mp4",
    "video/mpeg": "mpg",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}
_SAME: Final[dict[str, str]] = {"image/jpg": "image/jpeg", "audio/x-wav": "audio/wav", "audio/x-flac": "audio/flac"}
_PAGES: Final = frozenset({"text/html", "application/json", "application/xhtml+xml", "application/problem+json"})


def sniff(head: bytes) -> str | None:
    """The content type of a file that begins with ``head`` (4 KB are enough); None when nothing is recognised.

    >>> sniff(b"#!AMR\\n..."), sniff(b"\\x00\\x00\\x00\\x18ftyp3gp4...."), sniff(b"\\x00\\x01")
    ('audio/amr', 'video/3gpp', None)
    """
    return _by_magic(head) or _by_library(head) or _by_text(head)


def extension(content_type: str | None) -> str:
    """The file name extension for a content type, without the dot; ``bin`` when it is not known.

    >>> extension("image/jpeg; name=x"), extension(None), extension("application/x-evil/../../sh")
    ('jpg', 'bin', 'bin')
    """
    return _EXTENSIONS.get(essence(content_type) or "", "bin")


def essence(content_type: str | None) -> str | None:
    """A content type without its parameters, in lower case; None for nothing.

    >>> essence("Text/HTML; charset=utf-8")
    'text/html'
    """
    bare = (content_type or "").partition(";")[0].strip().lower()
    return _SAME.get(bare, bare) or None


def error_page(head: bytes, header_type: str | None, declared_type: str | None) -> str | None:
    """Why these bytes are an error page and no attachment, or None if they may be one.

    A web page or a JSON document is believed to be an attachment only when it was declared as one: gateways and
    proxies answer with such pages, and with status 200, when something is wrong. Text may look like either, if nobody
    announced anything else.
    """
    found, said, declared = _by_text(head), essence(header_type), essence(declared_type)
    if declared in _PAGES:
        return None
    if said in _PAGES and found in (*_PAGES, "text/plain"):
        return f"{_named(said)} came instead of an attachment"
    if found in _PAGES and not _may_be_text(said, declared, found):
        return f"{_named(found)} came where {said or declared or 'an attachment'} was announced"
    return None


def may_be_page(declared_type: str | None) -> bool:
    """Whether something of this type may look like an error page and be none.

    >>> may_be_page("text/html"), may_be_page("text/plain"), may_be_page("image/png"), may_be_page(None)
    (True, True, False, False)
    """
    declared = essence(declared_type)
    return declared in _PAGES or (declared is not None and declared.startswith("text/"))


def _may_be_text(said: str | None, declared: str | None, found: str | None) -> bool:
    """Plain text may begin as JSON does; to begin as a web page it must have been declared."""
    announced = {said, declared} - {None, "application/octet-stream"}
    as_text = bool(announced) and all(kind is not None and kind.startswith("text/") for kind in announced)
    return as_text and (found == "application/json" or declared is not None)


def _named(content_type: str | None) -> str:
    return "a web page" if content_type in ("text/html", "application/xhtml+xml") else "a JSON document"


def _by_magic(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return _BRANDS.get(brand) or _BRANDS.get(brand[:3]) or "video/mp4"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def _by_library(head: bytes) -> str | None:
    return essence(filetype.guess_mime(head)) if head else None


def _by_text(head: bytes) -> str | None:
    words = head.removeprefix(b"\xef\xbb\xbf")
    if card := _CARDS.match(words):
        return _CARD_TYPES[card[1].upper()]
    if (markup := _MARKUP.match(words)) and (kind := _ELEMENTS.get(markup[1].lower())):
        return kind
    if words.lstrip().startswith(b"<?xml"):
        return "application/xml"
    if not words or not _TEXT_CONTROLS.isdisjoint(words) or not _is_utf8(words):
        return None
    return "application/json" if _JSON.match(words) and _json_so_far(words) else "text/plain"


def _json_so_far(words: bytes) -> bool:
    """Whether it reads as JSON, as far as it goes: a picture's caption may begin with a bracket."""
    try:
        json.loads(words)
    except (ValueError, RecursionError):
        return len(words) >= 1024 and words.lstrip().startswith(b"{")
    return True


def _is_utf8(words: bytes) -> bool:
    """Whether it is UTF-8, but for a last character that may be cut."""
    try:
        words.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(words) - 3
    return True
