"""Whether more arrives than the ledger takes: told by the batches themselves.

A batch is what arrived while the one before it was recorded. Where batch after batch is large and hardly any time lies
between them, the ledger is what all wait for. A segment takes several times as much: events go there until they come
so slowly again that the ledger could do it with half of its time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Crowding"]

_LARGE: Final = 16
_IN_A_ROW: Final = 3
_BUSY: Final = 1 / 3
_WINDOW_S: Final = 1.0
_EASY: Final = 1 / 2


@dataclass(frozen=True, slots=True)
class Crowding:
    """What is known of the load. ``events`` and ``since_s`` (monotonic) count what the verdict will be made of.

    ``bears`` is how many events a second the ledger recorded when there was a crowd.
    """

    crowded: bool = False
    batches: int = 0
    events: int = 0
    busy_s: float = 0.0
    since_s: float = 0.0
    bears: float = 0.0

    def recorded(self, events: int, *, began_s: float, ended_s: float) -> Crowding:
        """After the ledger recorded ``events`` at once.

        >>> crowding = Crowding()
        >>> for tick in range(4):
        ...     crowding = crowding.recorded(40, began_s=tick * 0.02, ended_s=tick * 0.02 + 0.015)
        >>> crowding.crowded, round(crowding.bears)
        (True, 2133)
        """
        if events < _LARGE:
            return Crowding()
        since_s = self.since_s if self.batches else began_s
        busy_s = self.busy_s + ended_s - began_s
        if busy_s < _BUSY * (ended_s - since_s):
            return Crowding(False, 1, events, ended_s - began_s, began_s)
        row = Crowding(False, self.batches + 1, self.events + events, busy_s, since_s)
        if row.batches < _IN_A_ROW:
            return row
        return Crowding(True, since_s=ended_s, bears=row.events / max(ended_s - since_s, 1e-6))

    def arrived(self, events: int, *, now_s: float) -> Crowding:
        """Before ``events`` that arrived are kept somewhere: while there is a crowd, whether it has gone.

        >>> Crowding(True, since_s=0.0, bears=2000.0).arrived(900, now_s=1.0).crowded
        False
        >>> Crowding(True, since_s=0.0, bears=2000.0).arrived(1100, now_s=1.0).crowded
        True
        """
        if not self.crowded:
            return self
        if now_s - self.since_s < _WINDOW_S:
            return replace(self, events=self.events + events)
        if self.has_gone(events, now_s=now_s):
            return Crowding()
        return replace(self, events=0, since_s=now_s)

    def has_gone(self, events: int = 0, *, now_s: float) -> bool:
        """Whether there is no crowd any more, with ``events`` that are not counted yet."""
        passed_s = now_s - self.since_s
        return not self.crowded or (passed_s >= _WINDOW_S and self.events + events < _EASY * self.bears * passed_s)
