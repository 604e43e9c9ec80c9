"""Which times are looked at: short ones, so that who is interrupted has little to do again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

__all__ = ["USUAL_S", "Span", "ahead", "before", "next_length_s"]

USUAL_S: Final = 6 * 3_600.0
"""How long a span is, in seconds, as long as nothing is known about how much is in it."""
_SHORTEST_S: Final = 3_600.0
_LONGEST_S: Final = 30 * 86_400.0
_MANY_PAGES: Final = 20
_STEP: Final = 4.0


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` on and up to ``until``."""

    since: datetime
    until: datetime

    def has(self, at: datetime | None) -> bool:
        """Whether it lies within. What has no time may lie anywhere: nothing is passed over for that."""
        return at is None or self.since <= at < self.until


def ahead(since: datetime, until: datetime, longest_s: float = USUAL_S) -> list[Span]:
    """The spans between, the oldest first.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> [(span.since.hour, span.until.hour) for span in ahead(noon, noon + timedelta(hours=8))]
    [(12, 18), (18, 20)]
    """
    found: list[Span] = []
    while since < until:
        end = min(until, since + timedelta(seconds=longest_s))
        found.append(Span(since, end))
        since = end
    return found


def before(since: datetime, until: datetime, longest_s: float = USUAL_S) -> Span | None:
    """The newest span between: what is looked at backwards; None when nothing is left."""
    return Span(max(since, until - timedelta(seconds=longest_s)), until) if since < until else None


def next_length_s(length_s: float, pages: int) -> float:
    """How long the next span may be after one of ``length_s`` seconds took so many ``pages``.

    >>> next_length_s(USUAL_S, 1) / 3_600, next_length_s(USUAL_S, 5) / 3_600, next_length_s(USUAL_S, 30) / 3_600
    (24.0, 6.0, 1.5)
    """
    if pages > _MANY_PAGES:
        return max(_SHORTEST_S, length_s / _STEP)
    return min(_LONGEST_S, length_s * _STEP) if pages <= 1 else length_s
