"""What bytes are, by themselves, and when they are an error page in the place of media."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.sandbox.media import KINDS, make
from mo_sync.sniff import error_page, essence, extension, sniff

HTML = b"<!DOCTYPE html>\n<html><head><title>Bad Gateway</title></head></html>"
ERROR = b'{"error_code": "SCG_ERROR_5000", "error_description": "oops"}'
GIF = make("gif", "a label")


def boxed(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + b"isommp42"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (boxed(b"3gp4"), "video/3gpp"),
        (boxed(b"3g2a"), "video/3gpp2"),
        (boxed(b"isom"), "video/mp4"),
        (boxed(b"mp42"), "video/mp4"),
        (boxed(b"qt  "), "video/quicktime"),
        (boxed(b"M4A "), "audio/mp4"),
        (boxed(b"heic"), "image/heic"),
        (boxed(b"mif1"), "image/heif"),
        (boxed(b"avif"), "image/avif"),
        (b"#!AMR\n\x3c", "audio/amr"),
        (b"#!AMR-WB\n\x3c", "audio/amr-wb"),
        (b"OggS\0\2" + b"\0" * 22 + b"OpusHead", "audio/ogg"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"GIF89a\1\0\1\0", "image/gif"),
        (b"ID3\3\0", "audio/mpeg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"PK\3\4\x14\0\0\0", "application/zip"),
        (b"BEGIN:VCARD\r\nVERSION:3.0\r\n", "text/vcard"),
        (b"\xef\xbb\xbfbegin:vcard\n", "text/vcard"),
        (b"BEGIN:VCALENDAR\r\n", "text/calendar"),
        (b"<smil><head/></smil>", "application/smil"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE smil PUBLIC "-//W3C//DTD SMIL 2.0//EN">', "application/smil"),
        (b"<!-- made by --> <!-- - -- a phone -->\n<svg>", "image/svg+xml"),
        (HTML, "text/html"),
        (b"<h2>Our services aren't available right now</h2>", "text/html"),
        (b"<?xml version='1.0'?><Error/>", "application/xml"),
        (ERROR, "application/json"),
        (b"[{}]", "application/json"),
        (b'{"a": "' + b"x" * 4000, "application/json"),
        (b"Hello there", "text/plain"),
        ("Grüße 🎉".encode()[:-1], "text/plain"),
        (b"[hi] see you", "text/plain"),
        (b"<3 you", "text/plain"),
        (b"\xff\xfe\xfd\0", None),
        (b"Gr\xfc\xdfe an alle", None),
        (b"", None),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_kind_is_known_by_its_first_bytes(head: bytes, kind: str | None) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_the_sample_media_is_known_and_has_an_ending_of_its_own(kind: str) -> None:
    found = sniff(make(kind, "a label")[:4096])

    assert found is not None
    assert extension(found) != "bin"


@pytest.mark.parametrize(
    "head", [b"<!---->" * 580 + b"<1", b"<!--" * 1000, b"<?xml" * 800, b" " * 4000 + b"<!doctype" * 9]
)
def test_no_markup_makes_it_search_for_long(head: bytes) -> None:
    # With a pattern that backtracks the first of these takes longer than the universe will last.
    assert sniff(head) in ("text/plain", "application/xml")


@pytest.mark.parametrize(
    ("content_type", "ending"),
    [
        ("image/jpeg", "jpg"),
        ("IMAGE/JPEG; name=a.png", "jpg"),
        ("image/jpg", "jpg"),
        ("audio/amr", "amr"),
        ("video/3gpp", "3gp"),
        ("text/x-vcard", "vcf"),
        ("application/smil", "smil"),
        ("application/x-sh", "bin"),
        ("../../etc", "bin"),
        ("", "bin"),
        (None, "bin"),
    ],
)
def test_an_ending_follows_the_type(content_type: str | None, ending: str) -> None:
    assert extension(content_type) == ending


@given(st.none() | st.text())
def test_an_ending_is_always_short_and_plain(content_type: str | None) -> None:
    assert re.fullmatch("[a-z0-9]{1,8}", extension(content_type))


@given(st.binary(max_size=100), st.none() | st.text(max_size=20), st.none() | st.text(max_size=20))
def test_any_bytes_and_types_are_answered(head: bytes, header: str | None, declared: str | None) -> None:
    kind, reason = sniff(head), error_page(head, header, declared)

    assert kind is None or kind == essence(kind)
    assert reason is None or reason.endswith(("announced", "instead of an attachment"))


@pytest.mark.parametrize("declared", [None, "image/jpeg", "application/octet-stream"])
@pytest.mark.parametrize("header", [None, "image/jpeg", "video/mp4", "application/pdf", "application/octet-stream"])
@pytest.mark.parametrize("head", [HTML, ERROR])
def test_a_page_where_media_was_announced_is_an_error(head: bytes, header: str | None, declared: str | None) -> None:
    assert error_page(head, header, declared) is not None


@pytest.mark.parametrize(
    ("head", "header", "declared"),
    [
        (HTML, "text/html; charset=utf-8", None),
        (ERROR, "application/json", None),
        (ERROR, "application/json", "text/plain"),
        (HTML, "text/html", "text/plain"),
        (HTML, "text/plain", None),
        (b"upstream connect error", "text/html", None),
        (b"4031", "application/json", "image/jpeg"),
    ],
)
def test_a_page_that_calls_itself_one_is_an_error_unless_it_was_declared(
    head: bytes, header: str, declared: str | None
) -> None:
    assert error_page(head, header, declared) is not None


@pytest.mark.parametrize(
    ("head", "header", "declared"),
    [
        (GIF, "image/gif", "image/gif"),
        (GIF, "text/html", "image/gif"),
        (b"Hello", "text/plain", None),
        (b'{"a": 1}', "text/plain", None),
        (b'{"a": 1}', "application/octet-stream", "text/plain"),
        (b"BEGIN:VCARD\n", "text/x-vcard", "text/x-vcard"),
        (b"<smil/>", "application/smil", None),
        (HTML, "text/html", "text/html"),
        (HTML, "text/plain", "text/plain"),
        (ERROR, "application/json", "application/json; charset=utf-8"),
        (b"", None, None),
    ],
)
def test_media_and_what_was_declared_to_be_text_are_no_errors(
    head: bytes, header: str | None, declared: str | None
) -> None:
    assert error_page(head, header, declared) is None
