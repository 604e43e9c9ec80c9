"""Sample media that real programs open: made by code where that is easy, shipped as small files where it is not.

Each maker takes a label and puts it into the file, so that no two labels make the same bytes: a mix-up shows.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final
from xml.sax.saxutils import quoteattr

from mo_sync.sandbox.clock import toss

__all__ = [
    "KINDS",
    "Kind",
    "amr",
    "gif",
    "jpeg",
    "make",
    "mp4",
    "pdf",
    "png",
    "smil",
    "text",
    "threegp",
    "vcard",
    "wav",
]


_AMR_MAGIC: Final = b"#!AMR\n"
_AMR_FRAME: Final = 13


def make(kind: str, label: str) -> bytes:
    """A file of a kind of :data:`KINDS`, its own for every label."""
    return KINDS[kind].make(label)


@cache
def _shipped(name: str) -> bytes:
    return (files("mo_sync.sandbox") / "samples" / name).read_bytes()


def jpeg(label: str, size_bytes: int = 0) -> bytes:
    """A picture of 160 by 120, with the label as a comment, padded with comments to ``size_bytes`` if that is more."""
    picture = _shipped("picture.jpg")
    comments = _jpeg_comment(label.encode())
    missing = size_bytes - len(picture) - len(comments)
    while missing > 4:
        filler = bytes(min(missing - 4, 65_000))
        comments += _jpeg_comment(filler)
        missing -= len(filler) + 4
    return picture[:2] + comments + picture[2:]


def _jpeg_comment(text: bytes) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text


def png(label: str) -> bytes:
    """A picture of 48 by 48, two colours shading into each other, chosen by the label."""
    left, right = _colour(label, "left"), _colour(label, "right")
    row = b"\x00" + bytes(round(a + (b - a) * x / 47) for x in range(48) for a, b in zip(left, right, strict=True))
    header = struct.pack(">IIBBBBB", 48, 48, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"tEXt", b"Comment\x00" + label.encode("latin-1", "replace"))
        + _png_chunk(b"IDAT", zlib.compress(row * 48, 9))
        + _png_chunk(b"IEND", b"")
    )


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def gif(label: str) -> bytes:
    """A picture of 16 by 16 in two colours, told apart by its palette and a comment."""
    palette = bytes((*_colour(label, "ground"), *_colour(label, "figure")))
    pixels = [int((x - 8) ** 2 + (y - 8) ** 2 < 36) for y in range(16) for x in range(16)]
    comment = label.encode("ascii", "replace")[:255]
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0)
        + palette
        + b"\x21\xfe" + bytes((len(comment),)) + comment + b"\x00"
        + b"\x2c" + struct.pack("<HHHHB", 0, 0, 16, 16, 0)
        + _gif_pixels(pixels)
        + b"\x3b"
    )  # fmt: skip


def _gif_pixels(pixels: list[int]) -> bytes:
    """Pixels without compression: a clear code before every pixel pair keeps all codes at three bits."""
    codes: list[int] = []
    for start in range(0, len(pixels), 2):
        codes += [4, *pixels[start : start + 2]]
    codes.append(5)
    bits = sum(code << (3 * place) for place, code in enumerate(codes))
    data = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    blocks = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"\x02" + b"".join(bytes((len(block),)) + block for block in blocks) + b"\x00"


def wav(label: str) -> bytes:
    """A quarter of a second of a tone, 8 kHz mono, its pitch chosen by the label."""
    pitch = 220 + 660 * toss("pitch", label)
    samples = bytes(128 + round(90 * math.sin(2 * math.pi * pitch * n / 8000)) for n in range(2000))
    layout = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def amr(label: str) -> bytes:
    """A voice note of 1.2 seconds; the label chooses the order of its frames, each of which stands for itself."""
    note = _shipped("voice.amr")
    frames = [note[start : start + _AMR_FRAME] for start in range(len(_AMR_MAGIC), len(note), _AMR_FRAME)]
    order = sorted(range(len(frames)), key=lambda place: toss("frame", label, place))
    return _AMR_MAGIC + b"".join(frames[place] for place in order)


def mp4(label: str) -> bytes:
    """A second of video with sound (H.264, AAC), the label in a box that players skip."""
    return _shipped("clip.mp4") + _skipped_box(label)


def threegp(label: str) -> bytes:
    """A second of video with sound as phones of old sent it (H.263, AMR)."""
    return _shipped("clip.3gp") + _skipped_box(label)


def _skipped_box(label: str) -> bytes:
    text = label.encode()
    return struct.pack(">I", len(text) + 8) + b"free" + text


def pdf(label: str) -> bytes:
    """One page that says its label."""
    words = "".join(letter if letter.isalnum() or letter in " -_." else " " for letter in label)
    drawing = b"BT /F1 18 Tf 30 60 Td (%b) Tj ET" % words.encode("ascii", "replace")
    fonts = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 120] /Contents 4 0 R /Resources %b >>" % fonts,
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawing), drawing),
    )
    document, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(document))
        document += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return document + (
        b"xref\n0 5\n0000000000 65535 f \n%b" % table
        + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(document)
    )


def vcard(label: str) -> bytes:
    """A business card in the name of the label."""
    name = label.replace("\r", " ").replace("\n", " ").replace(";", " ").replace(",", " ")
    lines = ("BEGIN:VCARD", "VERSION:3.0", f"N:{name};;;;", f"FN:{name}", "TEL;TYPE=CELL:+14085550123", "END:VCARD")
    return ("\r\n".join(lines) + "\r\n").encode()


def smil(label: str) -> bytes:
    """The slide show that a carrier puts around the parts of an MMS."""
    return (
        '<smil><head><layout><root-layout width="320" height="480"/>'
        '<region id="Image" width="100%" height="70%" fit="meet"/></layout></head>'
        f'<body><par dur="5000ms"><img src={quoteattr(label)} region="Image"/></par></body></smil>\n'
    ).encode()


def text(label: str) -> bytes:
    """The text part of an MMS."""
    return f"{label}: schöne Grüße 👋\n".encode()


def _colour(*parts: str) -> tuple[int, int, int]:
    red, green, blue = (int(256 * toss("colour", *parts, which)) for which in range(3))
    return red, green, blue


class Kind:
    """What a kind of media is called and how it is made."""

    __slots__ = ("extension", "make", "type")

    def __init__(self, type: str, extension: str, make: Callable[[str], bytes]) -> None:  # noqa: A002 - MIME's word
        self.type = type
        self.extension = extension
        self.make = make


KINDS: Final[dict[str, Kind]] = {
    "jpeg": Kind("image/jpeg", "jpg", jpeg),
    "png": Kind("image/png", "png", png),
    "gif": Kind("image/gif", "gif", gif),
    "wav": Kind("audio/wav", "wav", wav),
    "amr": Kind("audio/amr", "amr", amr),
    "mp4": Kind("video/mp4", "mp4", mp4),
    "3gp": Kind("video/3gpp", "3gp", threegp),
    "pdf": Kind("application/pdf", "pdf", pdf),
    "vcard": Kind("text/x-vcard", "vcf", vcard),
    "smil": Kind("application/smil", "smil", smil),
    "text": Kind("text/plain", "txt", text),
}
"""Every kind of media that the sample traffic holds."""
