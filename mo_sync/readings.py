"""Single values of an event, read as generously as they are written: ids, times, numbers, text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

__all__ = ["addressed_channel", "dialled", "identifiers", "moment", "number", "plain", "shortest", "text"]

_UNSAFE: Final = re.compile("[\x00\ud800-\udfff]")
_SEPARATORS: Final = re.compile(r"[,;\s]+")
_CHANNEL: Final = re.compile(r"([a-z][a-z0-9_-]{1,19}):.+", re.IGNORECASE | re.DOTALL)
_BETWEEN_DIGITS: Final = re.compile(r"[\s.()\[\]\-\u2010-\u2015\u2212]+")
_DIALLED: Final = re.compile(r"\+?[0-9]+")
_SMALL_DECIMAL: Final = re.compile(r"-?[0-9]{1,8}\.[0-9]{1,7}(?:[eE]-?[0-9]{1,2})?")
_SECONDS: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,9})?")
_LONGEST_DATE: Final = 8
_SMALL_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_LONGEST_BITS: Final = 3300
_EXACT: Final = 2**53
_PLAIN_FROM: Final = 1e-30
_PLAIN_TO: Final = 1e30
_MILLISECONDS_FROM: Final = 100_000_000_000.0


def plain(words: str) -> str:
    """``words`` without what a database refuses (NUL, lone surrogates), each replaced by U+FFFD."""
    return _UNSAFE.sub("\ufffd", words)


def text(value: Any, *, strip: bool = True) -> str | None:
    """A single value as text; None for nothing, for "" and for what is no single value.

    >>> text(17226), text(0.015), text(True), text(" a "), text(""), text({})
    ('17226', '0.015', 'true', 'a', None, None)
    """
    if isinstance(value, str):
        words = value.strip() if strip else value
        return (words if words.isascii() and "\0" not in words else plain(words)) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _digits(value)
    return _decimal(value) if isinstance(value, float) else None


def _decimal(value: float) -> str:
    """Without an exponent, as people write it: XML has only text, and 0.00001 there must be 1e-05 in JSON."""
    if value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    words = repr(value)
    return format(Decimal(words), "f") if "e" in words and _PLAIN_FROM < abs(value) < _PLAIN_TO else words


def shortest(words: str) -> str:
    """A small decimal number as JSON's would be told; any other text as it is. XML says 1.0 where JSON may say 1.

    >>> shortest("0.0150"), shortest("1.0"), shortest("1.0.0"), shortest("1500")
    ('0.015', '1', '1.0.0', '1500')
    """
    return _decimal(float(words)) if "." in words and _SMALL_DECIMAL.fullmatch(words) else words


def _digits(value: int) -> str:
    return str(value) if value.bit_length() < _LONGEST_BITS else "a number of more than a thousand digits"


def identifiers(value: Any) -> tuple[str, ...]:
    """Ids in one string, separated by commas or blanks, or in a list of such; each once, in their order.

    >>> identifiers(" Mno4Xayql1oVOYAvP7Iy25, b c,,b")
    ('Mno4Xayql1oVOYAvP7Iy25', 'b', 'c')
    """
    if isinstance(value, list):
        return tuple(dict.fromkeys(found for item in value for found in identifiers(item)))
    words = text(value) or ""
    return tuple(dict.fromkeys(found for found in _SEPARATORS.split(words) if found))


def number(value: Any) -> int | None:
    """A small whole number, also when written as text; None for anything else.

    >>> number("1"), number(2), number("x"), number(True)
    (1, 2, None, None)
    """
    if type(value) is int:
        return value if 0 <= value < 1_000_000_000 else None
    words = None if isinstance(value, bool) else text(value)
    return int(words) if words and _SMALL_WHOLE.fullmatch(words) else None


def _in_utc(found: datetime) -> datetime:
    return found.replace(tzinfo=UTC)


def moment(value: Any, *, without_zone: Callable[[datetime], datetime] = _in_utc) -> datetime | None:
    """A time in UTC from ISO-8601 or from seconds or milliseconds since 1970. What names no zone is in UTC, unless
    ``without_zone`` knows better.

    None for what is none, and for what cannot be true (before 2000 or after 2200).

    >>> moment("2019-07-16T16:16:17.579Z").isoformat(), moment(1563293777).year, moment("soon")
    ('2019-07-16T16:16:17.579000+00:00', 2019, None)
    """
    words = None if isinstance(value, bool) else text(value)
    found = _instant(words, without_zone) if words else None
    return found if found is not None and _EARLIEST <= found < _LATEST else None


def _instant(words: str, without_zone: Callable[[datetime], datetime]) -> datetime | None:
    if words[4:5] != "-" and len(words) > _LONGEST_DATE and _SECONDS.fullmatch(words):
        seconds = float(words)
        seconds = seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds
        if not math.isfinite(seconds) or seconds > 1e11:
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    try:
        found = datetime.fromisoformat(words)
        return without_zone(found) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def addressed_channel(*addresses: str | None) -> str | None:
    """The channel that an address names in front, as in ``whatsapp:+14085551212``.

    >>> addressed_channel("whatsapp:+14085551212"), addressed_channel("+14085551212")
    ('whatsapp', None)
    """
    for address in addresses:
        if address and (match := _CHANNEL.fullmatch(address)):
            return match[1].lower()
    return None


def dialled(number: str) -> str:
    """A phone number without the blanks, dashes, dots and brackets that people write into it; anything else as it is.

    >>> dialled("+1 (408) 555-0100"), dialled("1.408.555.0100"), dialled("MY-BANK")
    ('+14085550100', '14085550100', 'MY-BANK')
    """
    bare = _BETWEEN_DIGITS.sub("", number)
    return bare if _DIALLED.fullmatch(bare) else number
