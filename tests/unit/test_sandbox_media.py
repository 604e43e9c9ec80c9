"""The sample media are what they say they are."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil
import struct
import wave
import zlib
from xml.etree import ElementTree

import filetype
import pytest

import mo_sync.sandbox
from mo_sync.sandbox.media import KINDS, jpeg, make, pdf, png, smil, wav

SNIFFED = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "wav": "audio/x-wav",
    "amr": "audio/amr",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
}


@pytest.mark.parametrize("kind", SNIFFED)
def test_a_sniffer_knows_the_kind(kind: str) -> None:
    assert filetype.guess_mime(make(kind, "a label")) == SNIFFED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_each_label_makes_its_own_bytes_and_always_the_same(kind: str) -> None:
    made = [make(kind, f"label {number}") for number in range(50)]

    assert len(set(made)) == 50
    assert made == [make(kind, f"label {number}") for number in range(50)]
    assert max(map(len, made)) < 10_000


def test_a_png_has_sound_chunks_and_all_its_pixels() -> None:
    body, chunks = png("x")[8:], {}
    while body:
        (size,) = struct.unpack(">I", body[:4])
        assert struct.unpack(">I", body[8 + size : 12 + size])[0] == zlib.crc32(body[4 : 8 + size])
        chunks[body[4:8]] = body[8 : 8 + size]
        body = body[12 + size :]

    assert list(chunks) == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]
    assert len(zlib.decompress(chunks[b"IDAT"])) == 48 * (1 + 48 * 3)


def test_a_wav_plays_a_quarter_of_a_second() -> None:
    with wave.open(io.BytesIO(wav("x"))) as tone:
        assert tone.getnframes() / tone.getframerate() == 0.25


@pytest.mark.parametrize("kind", ["mp4", "3gp"])
def test_a_video_is_a_row_of_whole_boxes(kind: str) -> None:
    body, boxes = make(kind, "x"), []
    while body:
        (size,) = struct.unpack(">I", body[:4])
        boxes.append(body[4:8])
        body = body[size:]

    assert boxes[0] == b"ftyp"
    assert make(kind, "x")[8:11] == {"mp4": b"iso", "3gp": b"3gp"}[kind]
    assert {b"moov", b"mdat"} <= set(boxes)
    assert boxes[-1] == b"free"


def test_a_pdf_finds_its_objects_where_its_table_says() -> None:
    document = pdf("x (y) \\ z")
    table = int(document.split(b"startxref\n")[1].split()[0])
    entries = document[table:].split(b"\n")[3:7]

    assert document[table:].startswith(b"xref")
    assert [document[int(entry[:10]) :][:7] for entry in entries] == [b"%d 0 obj" % number for number in (1, 2, 3, 4)]


def test_a_slide_show_is_xml() -> None:
    assert ElementTree.fromstring(smil('"odd" & <name>.jpg')).tag == "smil"


@pytest.mark.parametrize("size_bytes", [0, 20_000, 200_000])
def test_a_picture_can_be_padded(size_bytes: int) -> None:
    picture = jpeg("x", size_bytes)

    assert picture.endswith(b"\xff\xd9")
    assert len(picture) >= size_bytes
    assert size_bytes == 0 or len(picture) - size_bytes < 8


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in pkgutil.iter_modules(mo_sync.sandbox.__path__, "mo_sync.sandbox."):
        assert doctest.testmod(importlib.import_module(module.name)).failed == 0
