"""How far each inbox was looked through, kept in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mo_sync.feeds.inbox.spans import Span
from mo_sync.ledger import Ledger, cursors
from mo_sync.readings import moment

__all__ = ["Place", "Places"]

_SEEN: Final = "inbox:"
_LEFT: Final = "backfill:"


@dataclass(frozen=True, slots=True)
class Place:
    """Everything up to ``seen_to`` was seen, but for the span that is ``left`` to be gone through, if any."""

    seen_to: datetime | None = None
    left: Span | None = None


class Places:
    """The places of all inboxes, by their names."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def all(self) -> dict[str, Place]:
        """The places of those that were looked into. Raises LedgerOutOfReach."""
        seen, left = cursors.places(self._ledger, _SEEN), cursors.places(self._ledger, _LEFT)
        names = {name.removeprefix(_SEEN) for name in seen} | {name.removeprefix(_LEFT) for name in left}
        return {name: Place(moment(seen.get(_SEEN + name)), _span(left.get(_LEFT + name))) for name in sorted(names)}

    def of(self, name: str) -> Place:
        """The place of one."""
        return self.all().get(name, Place())

    def put(self, name: str, place: Place, *, now: datetime) -> None:
        """The place is this from now on. Raises LedgerOutOfReach, and then it is what it was."""
        left = place.left
        to = {_LEFT + name: f"{_text(left.since)} {_text(left.until)}" if left is not None else ""}
        if place.seen_to is not None:
            to[_SEEN + name] = _text(place.seen_to)
        cursors.move(self._ledger, to, now=now)


def _span(value: str | None) -> Span | None:
    since, _, until = (value or "").partition(" ")
    ends = moment(since), moment(until)
    return Span(ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
