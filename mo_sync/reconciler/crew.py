"""The worker threads: each takes a claim, fetches it, hands on what came of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from mo_sync.clock import Clock
from mo_sync.fetch import Fetched
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome
from mo_sync.reconciler.flight import Flight
from mo_sync.verdicts import Step, Verdict

__all__ = ["Crew", "Fetch", "Result"]

_log = structlog.get_logger(__name__)

_NO_HANDS = "this machine has no threads to spare"
_REST_S = 60.0

Fetch = Callable[[Claim, Callable[[], bool]], Fetched | Outcome]
"""Fetches one claim; the second argument says whether to break off."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one claim: a staged file that still has to be placed, or an outcome."""

    claim: Claim
    product: Fetched | Outcome
    started_at: datetime


class Crew:
    """Up to ``size`` threads, started when there is work for them. Claims wait in line; results go to ``finished``."""

    def __init__(self, fetch: Fetch, *, size: int, flight: Flight, finished: Callable[[Result], None], clock: Clock):
        self._fetch = fetch
        self._size = size
        self._flight = flight
        self._finished = finished
        self._clock = clock
        self._line: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._break_off = threading.Event()

    def hand_out(self, claims: Sequence[Claim]) -> None:
        """Put ``claims`` to work. The caller saw to it that there are idle workers (:meth:`Flight.room`).

        Where the machine gives no more threads, those that there are take them one after the other; without any they
        are given back, to be tried in a minute.
        """
        self._flight.launch(claims)
        try:
            self._enlist(min(self._size, len(self._flight)))
        except RuntimeError as error:  # "can't start new thread"
            _log.warning("workers.missing", workers=len(self._threads), error=str(error), hint="raise its limits")
        for claim in claims:
            if self._threads:
                self._line.put(claim)
            else:
                self._hand_back(
                    Result(claim, Interrupted(_NO_HANDS, delay_s=_REST_S, everybody=True), self._clock.now())
                )

    def _enlist(self, wanted: int) -> None:
        while len(self._threads) < wanted:
            thread = threading.Thread(target=self._work, name=f"fetch-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def break_off(self) -> None:
        """Fetches end at their next chunk, as ``Interrupted``."""
        self._break_off.set()

    def close(self, *, patience_s: float) -> bool:
        """Let the threads end; whether all did within ``patience_s``. What waits in line is interrupted, not lost."""
        self._break_off.set()
        for _ in self._threads:
            self._line.put(None)
        until = self._clock.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (claim := self._line.get()) is not None:
            started_at = self._clock.now()
            self._hand_back(Result(claim, self._one(claim), started_at))

    def _hand_back(self, result: Result) -> None:
        self._flight.fetched(result.claim)
        self._finished(result)

    def _one(self, claim: Claim) -> Fetched | Outcome:
        if self._break_off.is_set():
            return Interrupted()
        try:
            return self._fetch(claim, self._break_off.is_set)
        except Exception as error:  # noqa: BLE001  the border of a worker: a bug must not cost the thread or the claim
            _log.exception("fetch.crashed", attachment=claim.attachment_id, application=claim.application_id)
            reason = f"an error of ours, {type(error).__name__}; please report it with the log"
            return Failed(Step.CONTENT, None, "unexpected-error", Verdict.RETRY, reason)
