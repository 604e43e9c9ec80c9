"""A way through a list that is given page by page, by a server that may do so badly. Pure.

Pages shift while they are read: a row that goes makes all behind it move up, and one of them is passed over. So each
full page is asked for from the last row of the one before on: where that row is not its first, something moved. A round
in which nothing moved, nothing came twice, and as many rows came as the server says there are, is complete. After any
other the list is gone through once more, until rounds bring nothing new.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mo_sync.gateway.inboxrows import InboxPage, InboxRow

__all__ = ["Walk"]

_MOST_ROUNDS: Final = 20
_MOST_IDLE: Final = 3
_BARREN: Final = 2
_BARREN_WHEN_SHORT: Final = 5


class Walk:
    """Where to ask next (:attr:`offset`), as long as it has not :attr:`ended`.

    ``limit`` is how many rows are asked for. ``floor``: rows created before it are not wanted; in a list that is given
    the newest first, they are its end.
    """

    def __init__(self, limit: int, floor: datetime) -> None:
        self.offset = 0
        self.ended = False
        self.complete = False
        """Whether every row of the list was seen, as far as anybody can tell."""
        self.rounds = 0
        self._limit = limit
        self._floor = floor
        self._seen: set[str] = set()
        self._barren = 0
        self._begin()

    def __len__(self) -> int:
        return len(self._seen)

    def _begin(self) -> None:
        self.offset = 0
        self.rounds += 1
        self._round: set[str] = set()
        self._fresh = 0
        self._idle = 0
        self._steady = True
        self._expected: str | None = None
        self._checked = True
        self._newest_first = True
        self._oldest: datetime | None = None

    def take(self, page: InboxPage) -> list[InboxRow]:
        """The rows of the page at :attr:`offset` that were not seen before, each once."""
        self._check(page)
        fresh = [row for row in _each_once(page.rows) if row.message_id not in self._seen]
        news = {row.message_id for row in page.rows} - self._round
        self._seen.update(row.message_id for row in fresh)
        self._round |= news
        self._fresh += len(fresh)
        self._idle = 0 if news else self._idle + 1
        past = self._is_past(page.rows)
        if page.count == 0 or past or self._idle >= _MOST_IDLE or self._all_told(page):
            self._end(page, whole=past)
        else:
            self._advance(page)
        return fresh

    def _check(self, page: InboxPage) -> None:
        """Whether this page goes on where the one before ended."""
        ids = [row.message_id for row in page.rows]
        known = [one for one in ids if one in self._round]
        if self._expected is not None:
            self._steady &= bool(ids) and ids[0] == self._expected and len(known) == 1
        else:
            self._steady &= not known and (self._checked or not ids)
        self._steady &= len(set(ids)) == page.count

    def _advance(self, page: InboxPage) -> None:
        full = page.count >= self._limit and page.count > 1 and bool(page.rows)
        self._expected = page.rows[-1].message_id if full else None
        self._checked = full
        self.offset += page.count - 1 if full else page.count

    def _all_told(self, page: InboxPage) -> bool:
        return page.total is not None and self.offset + page.count >= page.total

    def _is_past(self, rows: tuple[InboxRow, ...]) -> bool:
        """Whether all that is left is older than what is wanted."""
        for row in rows:
            if row.created_at is None or (self._oldest is not None and row.created_at > self._oldest):
                self._newest_first = False
                return False
            self._oldest = row.created_at
        return self._newest_first and bool(rows) and all(_older(row, self._floor) for row in rows)

    def _end(self, page: InboxPage, *, whole: bool) -> None:
        """The round is over; ``whole`` says that its end was known by the rows' age, not by their number."""
        short = not whole and page.total is not None and len(self._seen) < page.total
        self._barren = 0 if self._fresh else self._barren + 1
        untold = page.total is None or whole
        all_there = (self._steady and not short) or (not untold and not short)
        if all_there or self._barren >= (_BARREN_WHEN_SHORT if short else _BARREN):
            self.ended = self.complete = True
        elif self.rounds >= _MOST_ROUNDS:
            self.ended = True
        else:
            self._begin()


def _each_once(rows: tuple[InboxRow, ...]) -> list[InboxRow]:
    return list({row.message_id: row for row in rows}.values())


def _older(row: InboxRow, floor: datetime) -> bool:
    return row.created_at is not None and row.created_at < floor
