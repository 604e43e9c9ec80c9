"""Which claims are in the air, and how many workers are idle: the bookkeeping that the threads share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from mo_sync.lifecycle import Claim

__all__ = ["Flight"]


class Flight:
    """Claims from the moment they are lent to us until they are settled. Every method may be called by any thread.

    ``workers`` may fetch at once. No more than ``workers`` + ``backlog`` claims are in the air, so that finished
    downloads never pile up before a slow disk or a locked ledger.
    """

    def __init__(self, workers: int, *, backlog: int) -> None:
        self._workers = workers
        self._limit = workers + backlog
        self._changed = threading.Condition()
        self._in_air: dict[str, Claim] = {}
        self._fetching: Counter[str] = Counter()
        self._landings = 0

    def launch(self, claims: Sequence[Claim]) -> None:
        """These claims are now being fetched."""
        with self._changed:
            self._in_air.update((claim.lease, claim) for claim in claims)
            self._fetching.update(claim.application_id for claim in claims)

    def fetched(self, claim: Claim) -> None:
        """One worker is idle again; its claim is still in the air."""
        with self._changed:
            self._fetching[claim.application_id] -= 1
            self._changed.notify_all()

    def land(self, leases: Iterable[str]) -> None:
        """These claims are settled, given back or lost."""
        with self._changed:
            for lease in leases:
                self._in_air.pop(lease, None)
            self._landings += 1
            self._changed.notify_all()

    def extended(self, leases: Iterable[str], until: datetime) -> None:
        """These claims are ours until ``until``."""
        with self._changed:
            for lease in leases:
                if claim := self._in_air.get(lease):
                    self._in_air[lease] = replace(claim, lease_until=until)

    def claims(self) -> list[Claim]:
        """What is in the air, with its newest lease times."""
        with self._changed:
            return list(self._in_air.values())

    def __len__(self) -> int:
        return len(self._in_air)

    def room(self) -> int:
        """How many claims may be launched now."""
        return max(0, min(self._workers - self._fetching.total(), self._limit - len(self._in_air)))

    def fetching(self, application_id: str) -> int:
        """How many workers are busy with an application."""
        return self._fetching[application_id]

    def wait_for_room(self, wanted: int, *, patience_s: float) -> int:
        """Wait up to ``patience_s`` for room for ``wanted`` claims; answers the room there is then, perhaps none.

        Waiting a little makes one claim of many instead of many claims of one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.room() >= wanted, timeout=patience_s)
            return self.room()

    def wait_for_landing(self, *, patience_s: float) -> None:
        """Wait up to ``patience_s`` until something lands."""
        with self._changed:
            seen = self._landings
            self._changed.wait_for(lambda: self._landings != seen, timeout=patience_s)

    def wait_until_empty(self, *, patience_s: float) -> bool:
        """Wait up to ``patience_s`` until nothing is in the air; whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_air, timeout=patience_s)
