"""What answers say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.gateway.replies import (
    Metadata,
    Problem,
    is_error,
    is_object,
    is_page,
    media_type,
    metadata,
    minted,
    problem,
    refreshed,
    retry_after,
    spoken,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b'{"id": "abc-DEF_123"}', "abc-DEF_123"),
        (b'\xef\xbb\xbf{"id": "abc"}', "abc"),
        (b'{"id": " abc ", "expiry_time": null}', "abc"),
        (b'{"id": 123}', "123"),
        (b'{"id": ""}', None),
        (b'{"id": null}', None),
        (b'{"id": true}', None),
        (b'{"id": ["abc"]}', None),
        (b'{"id": "."}', None),
        (b'{"id": ".."}', None),
        (b'{"id": "a b"}', None),
        (b'{"id": "a\\u0000b"}', None),
        (b'{"id": "a\\r\\nX: y"}', None),
        (b'{"id": "\\ud800"}', None),
        (b'{"id": "caf\xc3\xa9"}', None),
        (b'{"id": "%s"}' % (b"x" * 5000), None),
        (b'{"token": "abc"}', None),
        (b'"abc"', None),
        (b'["id"]', None),
        (b'{"id": "abc', None),
        (b"", None),
    ],
)
def test_a_content_token_is_taken_only_if_an_address_can_carry_it(body: bytes, token: str | None) -> None:
    assert minted(body) == token


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b'{"error_code": "SCG_ERROR_4031", "error_description": "Gone"}', None, Problem("SCG_ERROR_4031", "Gone")),
        (b'{"error_code": 40030, "error_description": null}', None, Problem("SCG_ERROR_40030", None)),
        (b'{"error_code": "4031"}', None, Problem("SCG_ERROR_4031", None)),
        (b'{"errorCode": 1, "moreInfo": "m", "userMsg": "u"}', None, Problem("gateway-1", "u")),
        (b'{"errorCode": "900901", "moreInfo": "m"}', None, Problem("gateway-900901", "m")),
        (b'{"errorCode": "SCG_ERROR_4010"}', None, Problem("SCG_ERROR_4010", None)),
        (b'{"errorCode": "a b"}', None, Problem(None, None)),
        (b'{"error": "invalid_token"}', None, Problem(None, "invalid_token")),
        (b'{"error_description": "SCG_ERROR_5000 again"}', None, Problem("SCG_ERROR_5000", "SCG_ERROR_5000 again")),
        (b'"4031"', None, Problem("SCG_ERROR_4031", None)),
        (b"4031", "text/plain", Problem("SCG_ERROR_4031", None)),
        (b"  SCG_ERROR_4031\n", "text/plain", Problem("SCG_ERROR_4031", None)),
        (b"No such file (SCG_ERROR_4040)", None, Problem("SCG_ERROR_4040", "No such file (SCG_ERROR_4040)")),
        (b"Service Unavailable", "text/plain", Problem(None, "Service Unavailable")),
        (b"<html><title>502 Bad\nGateway</title><p>secret</p>", "text/html", Problem(None, "502 Bad Gateway")),
        (b"<!DOCTYPE html><p>no title</p>", "image/jpeg", Problem(None, None)),
        (b"<html>SCG_ERROR_4046</html>", None, Problem("SCG_ERROR_4046", None)),
        (b"[1, 2]", None, Problem(None, "[1, 2]")),
        (b"\xff\xfe\x00", None, Problem(None, "\ufffd\ufffd")),
        (b"", None, Problem(None, None)),
    ],
)
def test_a_problem_is_read_in_every_form(body: bytes, kind: str | None, expected: Problem) -> None:
    assert problem(body, kind) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a\r\nb\tc\x00d\x1b[31m", "a b c d [31m"),
        ("  ", None),
        ("x" * 300, "x" * 199 + "…"),
        ("token tok-1 was tok-12", "token *** was ***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("from +14086080000", "from +*******0000"),
        ("since 2026-11-20", "since 2026-11-20"),
        ("\u202eevil", "evil"),
    ],
)
def test_a_servers_words_are_one_short_line_without_secrets(words: str, expected: str | None) -> None:
    assert spoken(words, ["tok-1", "tok-12", ""]) == expected


@given(st.binary(max_size=300), st.none() | st.text(max_size=40))
def test_any_answer_at_all_is_read(body: bytes, kind: str | None) -> None:
    found = problem(body, kind, secrets=["s3cret"])

    minted(body), refreshed(body), metadata(body), is_error(body), is_object(body), is_page(body, kind)
    assert found.description is None or (0 < len(found.description) <= 200 and found.description.isprintable())


@given(st.text(max_size=100), st.text(min_size=4, max_size=20, alphabet="abcdefXYZ0123456789-_"), st.text(max_size=100))
def test_a_secret_never_survives(before: str, secret: str, after: str) -> None:
    assert secret not in (
        problem((before + secret + after).encode("utf-8", "replace"), secrets=[secret]).description or ""
    )


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 12_000, b'{"id": %s}' % (b"9" * 60_000)])
def test_hostile_json_is_no_answer(body: bytes) -> None:
    assert minted(body) is None
    assert metadata(body) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"id":"a","name":"n","type":"image/jpeg","size":7,"filename":"f.jpg","state":"UPLOADED","more":1}',
            Metadata("a", "n", "image/jpeg", 7, "f.jpg", "UPLOADED"),
        ),
        (b'{"id":"a","size":"7"}', Metadata("a", size=7)),
        (b'{"id":"a","size":-1,"name":"","type":null,"state":5}', Metadata("a", state="5")),
        (b'{"id":"a","size":7.5}', Metadata("a")),
        (b'{"name":"n"}', None),
        (b"[]", None),
    ],
)
def test_metadata_needs_an_id_and_takes_what_else_makes_sense(body: bytes, expected: Metadata | None) -> None:
    assert metadata(body) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("999999999", 86_400.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=400), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 86_400.0),
        ("Fri, 20 Nov 2026 12:00:30", 30.0),
        ("-5", None),
        ("1e9", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("9" * 400, None),
        ("Fri, 99 Nov 2026 12:00:30 GMT", None),
        ("Fri, 20 Nov 99999 12:00:30 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_to_come_back_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_is_read(value: str) -> None:
    seconds = retry_after(value, NOW)

    assert seconds is None or 0.0 <= seconds <= 86_400.0


@pytest.mark.parametrize(
    ("head", "kind", "page"),
    [
        (b"<!DOCTYPE html><html>", None, True),
        (b"\xef\xbb\xbf\n <HTML lang=en>", "image/jpeg", True),
        (b"<!-- hello --><html>", None, True),
        (b"anything", "Text/HTML; charset=utf-8", True),
        (b"<smil><head/></smil>", "application/smil", False),
        (b"<svg xmlns='x'/>", "image/svg+xml", False),
        (b"<?xml version='1.0'?><html", "text/xml", False),
        (b"\xff\xd8\xff\xe0<html>", "image/jpeg", False),
        (b"", None, False),
    ],
)
def test_a_web_page_is_known_by_its_type_or_its_looks(head: bytes, kind: str | None, page: bool) -> None:
    assert is_page(head, kind) is page


def test_an_error_in_json_is_told_from_somebodys_json() -> None:
    assert is_error(b'\n{"error_code": "SCG_ERROR_5000"}')
    assert not is_error(b'{"name": "Ada", "notes": ["x"]}')
    assert not is_error(b'["error_code"]')
    assert is_object(b'{"list": []}')
    assert is_object(b'{"errorCode": 1}') is None


def test_a_media_type_is_what_stands_before_the_semicolon() -> None:
    assert media_type(" Image/JPEG ; name=x") == "image/jpeg"
    assert media_type(None) == ""
