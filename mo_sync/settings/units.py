"""Durations and sizes as people write them: ``"15m"`` is 900.0 seconds, ``"20MB"`` is 20,000,000 bytes."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = [
    "LONGEST_S",
    "Duration",
    "Size",
    "TypePattern",
    "duration",
    "duration_text",
    "size",
    "size_text",
    "type_pattern",
]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_BYTES = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_BYTES_BY_FOLD = {unit.lower(): factor for unit, factor in _BYTES.items()}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def duration(value: object) -> object:
    """Seconds from ``"500ms"``, ``"3s"``, ``"1h30m"`` or a number; anything else is handed back for pydantic to refuse.

    >>> duration("1h30m"), duration("500ms"), duration(2)
    (5400.0, 0.5, 2)
    """
    if not isinstance(value, str):
        return value
    total, at = 0.0, 0
    while match := _PART.match(value, at):
        total += float(match[1]) * _SECONDS[match[2]]
        at = match.end()
    if at and not value[at:].strip():
        return total
    try:
        return float(value)
    except ValueError:
        raise ValueError('a duration is a number of seconds or like "500ms", "3s", "15m", "2h", "30d"') from None


def size(value: object) -> object:
    """Bytes from ``"20MB"`` (decimal), ``"1MiB"`` (binary) or a number.

    >>> size("20MB"), size("1 MiB"), size(7)
    (20000000, 1048576, 7)
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    factor = _BYTES_BY_FOLD.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError('a size is a number of bytes or like "20MB", "1MiB", "5GB"')
    return int(float(match[1]) * factor)


def duration_text(seconds: float) -> str:
    """Seconds as one would write them, in the largest unit that holds them whole.

    >>> duration_text(900.0), duration_text(0.5), duration_text(90), duration_text(0)
    ('15m', '500ms', '90s', '0s')
    """
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000, 6):.15g}ms" if seconds else "0s"


def size_text(count: int) -> str:
    """Bytes as one would write them, in the largest unit that holds them whole.

    >>> size_text(500_000_000), size_text(16 * 1024 * 1024), size_text(1500), size_text(0)
    ('500MB', '16MiB', '1500B', '0B')
    """
    for unit, factor in sorted(_BYTES.items(), key=lambda pair: -pair[1]):
        if count and count % factor == 0 and factor > 1:
            return f"{count // factor}{unit}".replace("ki", "Ki")
    return f"{count}B"


LONGEST_S = 3650 * 86400.0
"""Ten years: what is longer is a slip, and would not fit where moments are reckoned."""

Number = TypeVar("Number", int, float)


def _not_negative(number: Number) -> Number:
    """A check of its own: a ``ge=0`` here would take the place of a field's own ``ge=1``."""
    if number < 0:
        raise ValueError("it cannot be negative")
    return number


Duration = Annotated[
    float, Field(le=LONGEST_S, allow_inf_nan=False), AfterValidator(_not_negative), BeforeValidator(duration)
]
"""Seconds."""
Size = Annotated[int, AfterValidator(_not_negative), BeforeValidator(size)]
"""Bytes."""

_TYPE_PATTERN = re.compile(r"\*|[^\s/;,\"]+/[^\s/;,\"]+")


def type_pattern(text: str) -> str:
    """A rule for content types, in lower case.

    A mistyped one would match nothing, and so let through what it should keep out: that is a ValueError.

    >>> type_pattern(" Video/* "), type_pattern("*")
    ('video/*', '*')
    """
    pattern = text.strip().lower()
    if not _TYPE_PATTERN.fullmatch(pattern):
        raise ValueError('a content type or a pattern of one is like "image/png" or "video/*"')
    return pattern


TypePattern = Annotated[str, AfterValidator(type_pattern)]
"""A content type, or a shell pattern of some."""
