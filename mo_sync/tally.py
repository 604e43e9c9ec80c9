"""What is told of settled attachments: counted for a summary, and logged."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote

import structlog

from mo_sync.errors import ExitCode
from mo_sync.lifecycle import Failed, Rest, Settlement, Standing, State, Stored
from mo_sync.verdicts import UNANSWERED

__all__ = ["Standings", "Tally", "exit_code", "log_settled"]

_log = structlog.get_logger(__name__)

_NEEDS_A_PERSON = (State.FAILED, State.MISSING, State.REFUSED, State.QUARANTINED)
_WILL_BE_RETRIED = (State.PENDING, State.FETCHING)


@dataclass(slots=True)
class Tally:
    """What one pass did, counted as it is settled. Several threads may add; one reads at the end."""

    states: Counter[State] = field(default_factory=Counter)
    stored_bytes: int = 0
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Count these."""
        with self._lock:
            for settlement in settlements:
                self._add(settlement)

    def _add(self, settlement: Settlement) -> None:
        self.states[settlement.transition.state] += 1
        match settlement.outcome:
            case Stored(size=size):
                self.stored_bytes += size
            case Failed(status=None, code=code) if code in UNANSWERED:
                self.unanswered += 1

    @property
    def gateway_silent(self) -> bool:
        """Whether every single attempt ended without any answer."""
        return self.unanswered > 0 and self.unanswered == self.states.total()


def exit_code(
    tally: Tally, counts: dict[State, int], *, paused: bool, interrupted: bool = False, unread: int = 0
) -> ExitCode:
    """What a pass exits with: come back (4, or 75 when nothing was possible), look (5), or done (0).

    ``interrupted`` says that not all was looked at, ``unread`` how many dropped files nobody could take and how many
    events were not understood.
    """
    if any(counts.get(state) for state in _WILL_BE_RETRIED):
        return ExitCode.NOTHING_POSSIBLE_NOW if paused or tally.gateway_silent else ExitCode.WORK_REMAINS
    if interrupted:
        return ExitCode.WORK_REMAINS
    if unread or any(counts.get(state) for state in _NEEDS_A_PERSON):
        return ExitCode.NEEDS_A_PERSON
    return ExitCode.SETTLED


def log_settled(settlements: Sequence[Settlement]) -> None:
    """One line per attachment: at info what came to rest, at warning what needs a person, else at debug."""
    for settlement in settlements:
        state = settlement.transition.state
        log = _log.warning if state in _NEEDS_A_PERSON else _log.info
        log(
            f"attachment.{state}",
            attachment=settlement.claim.attachment_id,
            message=settlement.claim.message_id,
            application=settlement.claim.application_id,
            attempts=settlement.transition.attempts,
            reason=settlement.transition.reason,
            due_at=settlement.transition.due_at.isoformat() if settlement.transition.due_at else None,
            size=settlement.outcome.size if isinstance(settlement.outcome, Stored) else None,
        )


class Standings:
    """Logs once when an application gets into trouble and once when it is out of it, however many attachments say so.

    To be told by one thread at a time.
    """

    def __init__(self) -> None:
        self._troubled: dict[str, tuple[Standing, datetime]] = {}

    def tell(self, settlements: Sequence[Settlement]) -> None:
        """Take in what was settled."""
        for settlement in settlements:
            rest = settlement.transition.rest
            if rest is not None:
                self._rests(settlement, rest)
            else:
                self._answers(settlement)

    def _rests(self, settlement: Settlement, rest: Rest) -> None:
        name = settlement.claim.application_id
        known, _ = self._troubled.get(name, (None, None))
        self._troubled[name] = rest.standing, settlement.finished_at
        held = rest.standing is Standing.HELD
        log = _log.debug if known is rest.standing else _log.error if held else _log.warning
        word = quote(name)
        hint = f"mend its credentials or credit; then mo-sync ledger release --application {word}, or SIGHUP"
        log(
            f"application.{rest.standing}",
            application=name,
            reason=settlement.transition.reason,
            until=rest.until.isoformat(),
            in_vain=rest.failures,
            hint=hint if held else "it goes on by itself",
        )

    def _answers(self, settlement: Settlement) -> None:
        name = settlement.claim.application_id
        standing, since = self._troubled.get(name, (None, None))
        if standing in settlement.transition.mends and since is not None and settlement.started_at >= since:
            del self._troubled[name]
            _log.info("application.active", application=name, after=str(standing))
