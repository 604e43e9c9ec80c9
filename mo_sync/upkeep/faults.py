"""What verify found: values, and when there are too many of them to be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger.verification import Filed
from mo_sync.store.base import Oddity

__all__ = ["MOST_ORPHANS", "Fault", "Found", "Mended", "Verified", "too_many"]

MOST_ORPHANS: Final = 100_000
"""What is kept of them takes some 40 MB."""
_MOST_PASSED_BY: Final = 1_000
_SUSPICIOUS: Final = 20
_SUSPICIOUS_SHARE: Final = 0.1


class Fault(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    SIZE = "wrong-size"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    ORPHAN = "orphan"
    ERASED = "erased"
    """It is of what was erased or kept long enough, and was to be removed."""
    TEMPORARY = "stale-temporary"
    """What a dead worker left of a file on its way."""


class Mended(StrEnum):
    """What came of mending a fault."""

    DONE = "done"
    """It is fetched again, or was moved away."""
    LEFT = "left"
    """It is as it was."""
    CHANGED = "changed"
    """By then there was nothing to be mended any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """One fault. ``filed`` is what the ledger says of it, which of an orphan is nothing; ``mended`` what came of
    mending it (None: nobody tried), and ``remark`` says that in words."""

    fault: Fault
    key: str
    detail: str
    filed: Filed | None = None
    mended: Mended | None = None
    remark: str = ""

    @property
    def well(self) -> bool:
        """Whether it is wrong no more."""
        return self.mended in (Mended.DONE, Mended.CHANGED)


@dataclass(slots=True)
class Verified:
    """What was looked at, and what is wrong. ``whole``: all of it was, nobody interrupted it.

    ``orphans`` is how many there are; of these only the first :data:`MOST_ORPHANS` are in ``found``, since with a wrong
    ledger they are all that is in the store. What else is wrong is in it in any case. ``passed_by`` are the first of
    the links, devices and hidden folders that nobody looked into, which is no fault. ``unnoted`` is why the ledger
    could not be told what was found to be whole.
    """

    files: int = 0
    gone: int = 0
    bytes: int = 0
    resting: int = 0
    orphans: int = 0
    found: list[Found] = field(default_factory=list)
    passed_by: list[Oddity] = field(default_factory=list)
    unnoted: LedgerOutOfReach | None = None
    whole: bool = False

    @property
    def well(self) -> bool:
        """Whether nothing is wrong any more, of all that was looked at."""
        return not self.left_out and all(one.well for one in self.found)

    @property
    def counts(self) -> dict[Fault, int]:
        """How many there were of each fault."""
        found = Counter(one.fault for one in self.found)
        return dict(found | Counter({Fault.ORPHAN: self.orphans}))

    @property
    def left_out(self) -> int:
        """How many orphans were only counted."""
        return max(0, self.orphans - MOST_ORPHANS)

    def add_orphans(self, orphans: Sequence[Found]) -> None:
        """Count them, and keep as many as there is room for."""
        self.found += orphans[: max(0, MOST_ORPHANS - self.orphans)]
        self.orphans += len(orphans)

    def pass_by(self, oddity: Oddity) -> None:
        """Mention it, if there is room."""
        if len(self.passed_by) < _MOST_PASSED_BY:
            self.passed_by.append(oddity)


def too_many(count: int, of: int) -> bool:
    """Whether so many of so many are wrong that it is rather ledger and store that do not belong together."""
    return count > _SUSPICIOUS and count > _SUSPICIOUS_SHARE * of
