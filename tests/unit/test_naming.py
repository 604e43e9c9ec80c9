"""Names of files, made from what comes from outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mo_sync.naming import component, key, original_name, quarantine_key

FILED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_key_has_the_day_the_message_the_position_the_attachment_and_the_ending() -> None:
    made = key(filed_at=FILED_AT, message_id="M1", position=0, attachment_id="A1", extension="jpg")

    assert made == "2026/11/20/M1/0-A1.jpg"
    assert quarantine_key(made) == "quarantine/2026/11/20/M1/0-A1.jpg"


def test_the_day_is_that_of_utc() -> None:
    evening = datetime(2026, 11, 20, 22, tzinfo=timezone(timedelta(hours=-5)))

    made = key(filed_at=evening, message_id="M", position=0, attachment_id="A", extension="jpg")

    assert made.startswith("2026/11/21/")


@pytest.mark.parametrize("ending", ["", "JPG", "a/b", "..", "toolongforit", "j\npg"])
def test_an_ending_that_is_none_becomes_bin(ending: str) -> None:
    made = key(filed_at=FILED_AT, message_id="M", position=0, attachment_id="A", extension=ending)

    assert made.endswith("/0-A.bin")


@pytest.mark.parametrize("usual", ["Mno4Xayql1oVOYAvP7Iy25", "a", "a-b_c.d", "_", "9" * 100])
def test_an_id_as_ids_are_stands_for_itself(usual: str) -> None:
    assert component(usual) == usual


@pytest.mark.parametrize(
    ("hostile", "readable"),
    [
        ("../../etc/passwd", "_etc_passwd~"),
        ("", "_~"),
        (".", "_~"),
        (".hidden", "_hidden~"),
        ("-rf", "rf~"),
        ("a..b", "a_b~"),
        ("a~b", "a_b~"),
        ("a\0b\n", "a_b_~"),
        ("é", "_~"),
        ("\ud800", "_~"),
        ("9" * 101, "9" * 40 + "~"),
    ],
)
def test_anything_else_is_what_can_be_read_of_it_and_a_hash(hostile: str, readable: str) -> None:
    made = component(hostile)

    assert made.startswith(readable)
    assert len(made) == len(readable) + 40


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="photo.jpg"', "photo.jpg"),
        ("attachment; filename=photo.jpg", "photo.jpg"),
        ('ATTACHMENT; FileName="a; b.jpg"', "a; b.jpg"),
        ("attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.jpg", "Grüße.jpg"),
        ("attachment; filename=\"x.jpg\"; filename*=UTF-8''y.jpg", "y.jpg"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\temp\\\\a.doc"', "a.doc"),
        ("attachment; filename*=UTF-8''..%2F..%2Fa.jpg", "a.jpg"),
        ("attachment; filename*=UTF-8''a%00b%0d%0a.jpg", "ab.jpg"),
        ('attachment; filename="a\u202egpj.exe"', "a gpj.exe"),
        ('attachment; filename=".htaccess"', "htaccess"),
        (f'attachment; filename="{"x" * 300}"', "x" * 200),
        ("attachment; filename*=klingon''a%FF", "a\u00ff"),
        ('attachment; filename=""', None),
        ('attachment; filename=".."', None),
        ('attachment; filename="a/"', None),
        ("inline", None),
        ("", None),
        (None, None),
    ],
)
def test_the_senders_name_for_a_file_is_kept_for_reading(header: str | None, name: str | None) -> None:
    assert original_name(header) == name
