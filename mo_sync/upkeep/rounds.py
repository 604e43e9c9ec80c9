"""What the daemon does for what it keeps, in rounds: finish erasures, prune, look again at a part of the files.

Each is a duty that one process has for all of them, for as long as its interval: that says too when it was done last.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.duties import Duties
from mo_sync.settings import Settings
from mo_sync.store import Store
from mo_sync.upkeep.erase import finish
from mo_sync.upkeep.faults import Fault, Found, Mended
from mo_sync.upkeep.prune import Forget, prune
from mo_sync.upkeep.quarantine import take_back, take_in
from mo_sync.upkeep.repair import repair
from mo_sync.upkeep.silence import listen
from mo_sync.upkeep.verify import verify

__all__ = ["Rounds"]

_log = structlog.get_logger(__name__)

_WHO: Final = "mo-sync"
_LISTEN_S: Final = 300.0
_TAKE_BACK_S: Final = 300.0
_LONGEST_WAIT_S: Final = 5.0
_MOST_TOLD: Final = 10


class Rounds:
    """The rounds of one worker. ``settings`` may be exchanged between them."""

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        settings: Settings,
        clock: Clock,
        worker: str,
        *,
        forget_days: Forget,
    ) -> None:
        """``forget_days`` removes what the drop folder keeps of days before one."""
        self.settings = settings
        self._forget_days = forget_days
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._duties = Duties(ledger, worker, clock)

    def make(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        """One round; whether there is something to be fetched again. ``progressed`` is called all the time.

        What fails keeps nothing else from its turn, and is raised after that. A duty that ends in the middle, by a stop
        or by trouble, is given back. Raises OutOfReach.
        """
        again = False
        troubles: list[Exception] = []
        for work in (
            *(self.finish, self._judge, self._take_back_in_turn),
            *(self._listen_in_turn, self._prune_in_turn, self._verify_in_turn),
        ):
            try:
                again = work(stop, progressed) or again
            except Exception as error:  # noqa: BLE001  it is raised when the others had their turn
                troubles.append(error)
            # After trouble too: a daemon that hangs is helped by being started anew, one that fails would fail again.
            progressed()
        if troubles:
            raise troubles[0]
        return again

    def _prune_in_turn(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        interval_s = self.settings.retention.interval
        return self._under("prune", interval_s, lambda: self._prune(stop, progressed), stop)

    def _verify_in_turn(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        chosen = self.settings.verify
        return bool(chosen.share) and self._under(
            "verify", chosen.interval, lambda: self._verify(stop, progressed), stop
        )

    def _under(self, duty: str, interval_s: float, work: Callable[[], bool], stop: threading.Event) -> bool:
        """What the work answers; False where it is not this process's turn."""
        lease = None if stop.is_set() else self._duties.take(duty, interval_s)
        if lease is None:
            return False
        try:
            again = work()
        except BaseException:
            with contextlib.suppress(LedgerOutOfReach):  # then it ends by itself, later
                self._duties.give_back(duty, lease)
            raise
        if stop.is_set():
            self._duties.give_back(duty, lease)
        return again

    def finish(self, stop: threading.Event, progressed: Callable[[], object] = lambda: None) -> bool:
        """Remove the files of what was erased or kept long enough; that nothing is to be fetched for it. Raises
        OutOfReach."""
        finished = finish(self._ledger, self._store, stop=stop.is_set, told=progressed)
        _tell_left("erase.file-left", "attachment", finished.left, len(finished.left))
        return False

    def _judge(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        """What is not let through must not be seen for longer than it has to: so that is no duty with an interval."""

        def stopped() -> bool:
            progressed()
            return stop.is_set()

        take_in(self._ledger, self._store, self.settings.limits, clock=self._clock, stop=stopped)
        return False

    def _take_back_in_turn(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        def stopped() -> bool:
            progressed()
            return stop.is_set()

        def work() -> bool:
            take_back(self._ledger, self._store, stop=stopped)
            return False

        return self._under("quarantine", _TAKE_BACK_S, work, stop)

    def _listen_in_turn(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        chosen = self.settings.inbox

        def stopped() -> bool:
            progressed()
            return stop.is_set()

        def work() -> bool:
            listen(self._ledger, clock=self._clock, bound_s=chosen.silence, stop=stopped)
            return False

        return chosen.enabled and self._under("silence", _LISTEN_S, work, stop)

    def _prune(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        pruned = prune(
            self._ledger,
            self._store,
            self.settings.retention,
            clock=self._clock,
            forget_days=self._forget_days,
            stop=stop.is_set,
            told=lambda _: progressed(),
        )
        if pruned.counts:
            _log.info("prune.done", **pruned.counts)
        _tell_left("prune.left", "item", pruned.left, pruned.left_count)
        return False

    def _verify(self, stop: threading.Event, progressed: Callable[[], object]) -> bool:
        chosen = self.settings.verify
        pace = _Pace(chosen.bytes_per_second, self._clock, stop, progressed)

        def told(size: int) -> None:
            progressed()
            pace.spend(size)

        def stopped() -> bool:
            progressed()
            return stop.is_set()

        verified = verify(
            self._ledger,
            self._store,
            clock=self._clock,
            share=chosen.share,
            orphans=False,
            insist=True,
            stop=stopped,
            told=told,
        )
        mended = [self._mended(found, stopped) for found in verified.found]
        for found in mended:
            _log.error(
                "verify.fault",
                fault=found.fault.value,
                file=found.key,
                detail=found.detail,
                mended=found.mended,
                remark=found.remark,
            )
        counts = {fault.value: count for fault, count in verified.counts.items()}
        _log.info("verify.done", files=verified.files, bytes=verified.bytes, whole=verified.whole, **counts)
        return any(found.mended is Mended.DONE for found in mended)

    def _mended(self, found: Found, stopped: Callable[[], bool]) -> Found:
        """What cannot be read may be readable again tomorrow: that is for a person."""
        if not self.settings.verify.repair or found.fault is Fault.UNREADABLE:
            return found
        patience_s = self.settings.retry.give_up_after
        return repair(
            self._ledger,
            self._store,
            found,
            clock=self._clock,
            give_up_after_s=patience_s,
            who=_WHO,
            stop=stopped,
        )


def _tell_left(event: str, field: str, left: Mapping[str, str], count: int) -> None:
    """A line for each of the first: where everything resists, thousands of lines would say the same every minute."""
    for name, why in islice(left.items(), _MOST_TOLD):
        _log.error(event, **{field: name}, error=why, hint="it is tried again")
    if count > _MOST_TOLD:
        _log.error(event, more=count - _MOST_TOLD, hint="see whether the store can be written")


class _Pace:
    """So many bytes a second, on average since it began. ``waiting`` is called as long as it waits."""

    def __init__(
        self, bytes_per_second: int, clock: Clock, stop: threading.Event, waiting: Callable[[], object]
    ) -> None:
        self._rate = bytes_per_second
        self._waiting = waiting
        self._clock = clock
        self._stop = stop
        self._began_s = clock.monotonic()
        self._spent = 0

    def spend(self, size: int) -> None:
        self._spent += max(size, 0)
        ahead_s = self._spent / self._rate - (self._clock.monotonic() - self._began_s)
        while ahead_s > 0 and not self._clock.wait(self._stop, min(ahead_s, _LONGEST_WAIT_S)):
            ahead_s -= _LONGEST_WAIT_S
            self._waiting()
