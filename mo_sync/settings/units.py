"""Durations and sizes as people write them: ``"15m"`` is 900.0 seconds, ``"20MB"`` is 20,000,000 bytes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, NonNegativeFloat, NonNegativeInt

__all__ = ["Duration", "Size", "duration", "size"]

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


Duration = Annotated[NonNegativeFloat, BeforeValidator(duration)]
"""Seconds."""
Size = Annotated[NonNegativeInt, BeforeValidator(size)]
"""Bytes."""
