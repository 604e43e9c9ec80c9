"""The sandbox's own clock and dice.

The sandbox imports nothing of the rest of mo-sync, so it cannot ask :mod:`mo_sync.clock`. Both come in as arguments
everywhere else; this is the one place where the defaults are made.
"""

from __future__ import annotations

import hashlib
import random  # noqa: TID251 - seeded dice for sample traffic; the sandbox may not import mo_sync.clock
from datetime import UTC, datetime

__all__ = ["Dice", "as_text", "dice", "system_now", "toss"]

Dice = random.Random


def system_now() -> datetime:
    """The machine's wall clock, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the default of every `now` argument in the sandbox


def dice(seed: object) -> Dice:
    """Dice that fall the same for the same seed."""
    return Dice(str(seed))


def toss(*parts: object) -> float:
    """A number in [0, 1) that depends on ``parts`` alone, so that the order of threads changes nothing."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def as_text(moment: datetime) -> str:
    """A time as the API writes it.

    >>> as_text(datetime(2026, 11, 20, 9, 5, 7, 123456, tzinfo=UTC))
    '2026-11-20T09:05:07.123Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
