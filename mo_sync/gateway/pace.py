"""How fast to go with each application: as many fetches at once as its gateway bears.

Concurrency follows additive increase and multiplicative decrease, as TCP's window does (Chiu and Jain, 1989): one more
after a round of good answers, half after an answer that asks to slow down, once for all that were in the air then.
What comes of an answer is decided by pure functions of a :class:`Pace`; :class:`Paces` keeps one per application.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome
from mo_sync.verdicts import Step, Trouble, Verdict

__all__ = ["Answer", "Pace", "Paces", "Spacing", "after", "answer_of", "pressed", "share_of"]

_MOST_QUIET_S: Final = 5.0
_FIRST_QUIET_S: Final = 0.25
_UNTIL_WRITTEN_S: Final = 0.5
"""A refusal is in the ledger by then, which lets the application rest; until then no more is sent into it."""
_PRESSED_BY: Final = 4
_SHARE: Final = 3
_SLOW_STATUS: Final = frozenset({429, 502, 503, 504})
_SLOW_TROUBLES: Final = frozenset({Trouble.READ_TIMEOUT, Trouble.TOTAL_TIMEOUT, Trouble.CONNECT_TIMEOUT})
_ITS_OWN: Final = frozenset({Trouble.ID_UNUSABLE, Trouble.NO_RESOURCES, Trouble.TOKEN_MISSING, "unexpected-error"})
_SERVER_ERROR: Final = 500


class Answer(Enum):
    """What an attempt says about the gateway: it is well, in trouble, asks to slow down, refuses us, or nothing."""

    GOOD = auto()
    BAD = auto()
    SLOW = auto()
    REFUSED = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one application goes. Times are monotonic seconds.

    ``limit`` fetches at once, of ``most``; ``failing`` are the attachments that failed since the last good answer;
    ``cut_at`` is when it was last halved; nothing new is begun until ``quiet_until``, nor until ``refused_until``, for
    which nobody waits: by then the ledger says what comes next.
    """

    most: int
    limit: float
    failing: frozenset[str] = frozenset()
    in_vain: int = 0
    cut_at: float = -math.inf
    quiet_until: float = -math.inf
    refused_until: float = -math.inf


def answer_of(outcome: object) -> Answer:
    """What came of an attempt, as an answer of its gateway. Whatever is no failure is good."""
    match outcome:
        case Interrupted() | Failed(step=Step.STORE):
            return Answer.NOTHING
        case Failed(verdict=Verdict.HOLD):
            return Answer.REFUSED
        case Failed(status=None, code=code):
            return _without_answer(code)
        case Failed(status=int(status)) if status in _SLOW_STATUS:
            return Answer.SLOW
        case Failed(status=int(status), verdict=Verdict.RETRY) if status >= _SERVER_ERROR:
            return Answer.BAD
        case _:
            return Answer.GOOD


def _without_answer(code: str | None) -> Answer:
    if code in _ITS_OWN:
        return Answer.NOTHING
    return Answer.SLOW if code in _SLOW_TROUBLES else Answer.BAD


def after(pace: Pace, answer: Answer, attachment_id: str, *, began: float, now: float) -> Pace:
    """The pace after an attempt that ``began`` then and ended ``now`` (monotonic seconds).

    >>> after(Pace(8, 8.0), Answer.SLOW, "a", began=1.0, now=2.0).limit
    4.0
    """
    match answer:
        case Answer.GOOD:
            limit = min(float(pace.most), pace.limit + 1.0 / pace.limit)
            return replace(pace, limit=limit, failing=frozenset(), in_vain=0)
        case Answer.BAD:
            return _failing(pace, attachment_id)
        case Answer.SLOW:
            return _slower(_failing(pace, attachment_id), began=began, now=now)
        case Answer.REFUSED:
            return replace(pace, refused_until=now + _UNTIL_WRITTEN_S)
        case Answer.NOTHING:
            return pace


def _failing(pace: Pace, attachment_id: str) -> Pace:
    failing = pace.failing if len(pace.failing) >= _PRESSED_BY else pace.failing | {attachment_id}
    return replace(pace, failing=failing, in_vain=pace.in_vain + 1)


def _slower(pace: Pace, *, began: float, now: float) -> Pace:
    """Half, unless it was halved since this attempt began. One at a time is the least: from there on, pauses."""
    if began < pace.cut_at:
        return pace
    if pace.limit > 1.0:
        return replace(pace, limit=max(1.0, pace.limit / 2), cut_at=now)
    quiet_s = min(_MOST_QUIET_S, _FIRST_QUIET_S * 2.0 ** min(pace.in_vain, 16))
    return replace(pace, cut_at=now, quiet_until=now + quiet_s)


def pressed(pace: Pace) -> bool:
    """Whether nothing but failures came, of several attachments: then it is not theirs but the gateway's trouble."""
    return len(pace.failing) >= _PRESSED_BY


def share_of(idle: int, busy: int, *, alone: bool) -> int:
    """How many more workers an application may take that has ``busy`` of them, when ``idle`` are left.

    Alone it may take all. Beside others it may have three times as many as it leaves idle, so that however many hang,
    some are left for the next (dynamic thresholds: Choudhury and Hahne, 1998).

    >>> share_of(64, 0, alone=False), share_of(16, 48, alone=False), share_of(16, 0, alone=False)
    (48, 0, 12)
    """
    if alone:
        return idle
    # Taking n leaves busy + n against idle - n; the last idle worker goes to whoever has none.
    fair = max(0, (_SHARE * idle - busy) // (_SHARE + 1))
    return max(fair, 1) if busy == 0 and idle else fair


class Paces:
    """The pace of every application in this process. Every method may be called by any thread."""

    def __init__(self, workers: int, bounds: Mapping[str, int]) -> None:
        """``workers`` fetches at once at the most; ``bounds`` holds lower ones of single applications."""
        self._workers = workers
        self._bounds = dict(bounds)
        self._lock = threading.Lock()
        self._paces: dict[str, Pace] = {}

    def limit(self, application_id: str, now: float) -> int:
        """How many fetches at once it bears; 0 while it keeps quiet. ``now`` is monotonic."""
        pace = self._pace(application_id)
        return 0 if max(pace.quiet_until, pace.refused_until) > now else max(1, int(pace.limit))

    def quiet_s(self, now: float) -> float:
        """Seconds until the first of those that keep quiet may go on; 0 when none does."""
        with self._lock:
            quiet = [pace.quiet_until - now for pace in self._paces.values() if pace.quiet_until > now]
        return min(quiet, default=0.0)

    def judge(self, claim: Claim, outcome: Outcome, *, began: float, now: float, rest_s: float) -> Outcome:
        """Take in what came of an attempt. A passing failure that is the gateway's trouble is answered as such.

        It then uses up no attempt, and its application rests for at least ``rest_s`` seconds.
        """
        answer = self.tell(claim.application_id, claim.attachment_id, answer_of(outcome), began=began, now=now)
        if not isinstance(outcome, Failed) or answer not in (Answer.BAD, Answer.SLOW):
            return outcome
        if not (claim.application_failures or pressed(self._pace(claim.application_id))):
            return outcome
        self._leave_to_the_ledger(claim.application_id)
        asked_s = max(outcome.retry_after_s or 0.0, rest_s)
        return replace(outcome, verdict=Verdict.THROTTLED, retry_after_s=asked_s)

    def tell(self, application_id: str, attachment_id: str, answer: Answer, *, began: float, now: float) -> Answer:
        """Take in an answer, and hand it on."""
        with self._lock:
            pace = self._pace(application_id)
            self._paces[application_id] = after(pace, answer, attachment_id, began=began, now=now)
        return answer

    def slowed(self) -> dict[str, int | None]:
        """Of every application that was spoken to: how many fetches at once it bears, None when as many as wanted."""
        with self._lock:
            return {
                name: None if pace.limit >= pace.most else max(1, int(pace.limit)) for name, pace in self._paces.items()
            }

    def _leave_to_the_ledger(self, application_id: str) -> None:
        """It rests as the ledger says, and needs no pauses of ours besides."""
        with self._lock:
            self._paces[application_id] = replace(self._pace(application_id), quiet_until=-math.inf)

    def _pace(self, application_id: str) -> Pace:
        pace = self._paces.get(application_id)
        if pace is None:
            most = min(self._workers, self._bounds.get(application_id, self._workers))
            pace = Pace(most, float(most))
        return pace


class Spacing:
    """At most so many requests a second of each application: each is given the next free moment, in order."""

    def __init__(self, rates: Callable[[str], float | None]) -> None:
        """``rates`` answers requests per second, or None for no ceiling."""
        self._rates = rates
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}

    def wait_s(self, application_id: str, now: float) -> float:
        """Seconds to wait before the next request of ``application_id``, whose turn is taken by asking."""
        rate = self._rates(application_id)
        if rate is None:
            return 0.0
        with self._lock:
            turn = max(now, self._free_at.get(application_id, now))
            self._free_at[application_id] = turn + 1.0 / rate
        return turn - now
