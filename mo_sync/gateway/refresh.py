"""An expired application token is exchanged for a new one: once for all threads, processes and machines.

A refresh may kill the old token for whoever else uses it, and an answer that is lost may be lost for good. So, in this
order: the threads of a process wait for one of them; processes take turns, by a duty that the :class:`Guard` lends;
whose turn it is reads the file again; a token that a killed process left is put in its place; the gateway is asked
whether it refuses the token at all, or only an attachment of another application; room for the new token is made on
the disk; then the gateway is asked for it; and it is durable before anybody uses it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError, OutOfReach
from mo_sync.gateway.asking import NotRenewed, Renewed
from mo_sync.gateway.credentials import Credentials, Refreshable
from mo_sync.gateway.exchange import CALL_S, Exchange
from mo_sync.gateway.tokenfile import room_beside, take_left_behind
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.settings.units import duration_text
from mo_sync.verdicts import OUT_OF_REACH

__all__ = ["Guard", "Refresher"]

_LEASE_S: Final = 3 * CALL_S
"""A turn is two calls and a few writes."""
_PATIENCE_S: Final = 30.0
"""How long a worker waits for somebody else's turn, before it goes to work for other applications."""
_LOOK_AGAIN_S: Final = 0.25

_Outcome: TypeAlias = Renewed | NotRenewed | Interrupted
_log = structlog.get_logger(__name__)


class Guard(Protocol):
    """Lends duties, each to one process at a time; all who may refresh a token ask the same one.

    Both may raise OutOfReach: then nothing is refreshed.
    """

    def take(self, name: str, lease_s: float) -> str | None:
        """A lease of the duty for so many seconds, or None while another has it."""

    def give_back(self, name: str, lease: str) -> bool:
        """End a lease before its time; whether it was still ours. A second time changes nothing."""


@dataclass(frozen=True, slots=True)
class _Order:
    """Whose token was refused, which it was, and what it takes to refresh it."""

    application_id: str
    refused: str = field(repr=False)
    what: Refreshable

    @property
    def turn(self) -> str:
        """The duty of who refreshes it now."""
        return f"refresh {self.what.path}"

    @property
    def rest(self) -> str:
        """The duty that nobody gives back: while it lasts, it was refreshed too lately to be refreshed again."""
        return f"refreshed {self.what.path}"


@dataclass(slots=True)
class _Flight:
    """One refresh under way, and what came of it."""

    outcome: _Outcome = field(default_factory=lambda: NotRenewed("its refresh broke off"))
    done: threading.Event = field(default_factory=threading.Event)


class Refresher:
    """Refreshes tokens. :meth:`renew` may be called by any number of threads."""

    def __init__(
        self,
        credentials: Credentials,
        guard: Guard,
        exchange: Exchange,
        clock: Clock,
        *,
        interval_s: float,
        aborted: threading.Event,
    ) -> None:
        """One token is refreshed once in ``interval_s`` seconds at the most, whatever comes of it.

        ``aborted`` ends waits, but no exchange that has begun.
        """
        self._credentials = credentials
        self._guard = guard
        self._exchange = exchange
        self._clock = clock
        self._interval_s = interval_s
        self._aborted = aborted
        self._lock = threading.Lock()
        self._flights: dict[Path, _Flight] = {}
        self._unwritten: dict[Path, tuple[str, str]] = {}
        self._reasons: dict[Path, str] = {}

    def __repr__(self) -> str:
        return f"Refresher({len(self._flights)} under way)"

    def renew(self, application_id: str, refused: str) -> _Outcome:
        """A token instead of ``refused``, which the gateway did not take for ``application_id``."""
        try:
            what = self._credentials.refreshable(application_id)
        except ConfigurationError as error:
            return NotRenewed(f"it is not refreshed: {error.item}: {error.summary}")
        if what is None:
            return NotRenewed()
        outcome = self._together(_Order(application_id, refused, what))
        return NotRenewed("the newest token is refused too") if outcome == Renewed(refused) else outcome

    def wait_until_idle(self, patience_s: float) -> None:
        """Let a refresh that is under way end, for so many seconds at the most: its answer would be lost."""
        with self._lock:
            flights = list(self._flights.values())
        for flight in flights:
            flight.done.wait(patience_s)

    def _together(self, order: _Order) -> _Outcome:
        """One thread refreshes; those who come meanwhile wait for it, and get what it got."""
        with self._lock:
            flight = self._flights.get(order.what.path)
            if flight is None:
                mine = self._flights[order.what.path] = _Flight()
        if flight is not None:
            return self._awaited(flight)
        try:
            mine.outcome = self._in_turn(order)
        finally:
            with self._lock:
                del self._flights[order.what.path]
            mine.done.set()
        return mine.outcome

    def _awaited(self, flight: _Flight) -> _Outcome:
        until = self._clock.monotonic() + _PATIENCE_S
        while not flight.done.wait(_LOOK_AGAIN_S):
            if self._aborted.is_set():
                return Interrupted()
            if self._clock.monotonic() >= until:
                return NotRenewed("it is being refreshed, which takes long")
        return flight.outcome

    def _in_turn(self, order: _Order) -> _Outcome:
        """Wait until no other process is at it. Most often it has then been done already."""
        try:
            until = self._clock.monotonic() + _PATIENCE_S
            while self._clock.monotonic() < until:
                if newer := self._newer(order):
                    return newer
                if lease := self._guard.take(order.turn, _LEASE_S):
                    return self._with_lease(order, lease)
                if self._clock.wait(self._aborted, _LOOK_AGAIN_S):
                    return Interrupted()
        except OutOfReach as error:
            return self._not(order, f"it cannot be refreshed while the ledger is out of reach ({error.code})")
        except ConfigurationError as error:
            return self._not(order, f"it is not refreshed: {error.item}: {error.summary}")
        return self._not(order, "another process is refreshing it, or died at it")

    def _with_lease(self, order: _Order, lease: str) -> _Outcome:
        try:
            # Only now: whoever had the lease until a moment ago may have written the file.
            return self._newer(order) or self._left_behind(order) or self._unless_accepted(order)
        finally:
            self._return(order.turn, lease)

    def _newer(self, order: _Order) -> Renewed | None:
        """The token in the file, when it is no longer the one that was refused. Raises ConfigurationError."""
        found = self._credentials.token_for(order.application_id)
        return None if found == order.refused else Renewed(found)

    def _left_behind(self, order: _Order) -> _Outcome | None:
        """What an earlier refresh had no time, or no room, to put into the file."""
        try:
            if take_left_behind(order.what.path) and (newer := self._newer(order)):
                _log.warning("token.recovered", setting=order.what.item, file=order.what.path)
                return newer
            old, new = self._unwritten.get(order.what.path, ("", ""))
            if old != order.refused:
                return None
            with room_beside(order.what.path) as room:
                room.put(new)
        except OSError as error:
            return self._not(order, f"the new token cannot be written: {_words(error)}")
        del self._unwritten[order.what.path]
        return self._done(order, new)

    def _unless_accepted(self, order: _Order) -> _Outcome:
        """Refresh it, unless the token itself is good: then what was asked for is another application's."""
        match self._exchange.trial(order.application_id):
            case False:
                return self._unless_lately(order)
            case True:  # no reason to refresh it, and none to warn
                why = "the token itself is accepted, so it is likely that of another application"
                return self._newer(order) or NotRenewed(why)
            case Failed(reason=reason):
                return self._not(order, f"whether it expired could not be found out: {reason}")
            case Interrupted() as interrupted:
                return interrupted

    def _unless_lately(self, order: _Order) -> _Outcome:
        rest = self._guard.take(order.rest, self._interval_s)
        if rest is None:
            said = self._reasons.get(order.what.path)
            why = f" ({said})" if said else ""
            lately = f"less than {duration_text(self._interval_s)} ago"
            return NotRenewed(f"it was refreshed, or was tried to be, {lately}{why}")
        if self._aborted.is_set():
            self._return(order.rest, rest)
            return Interrupted()
        return self._exchanged(order, rest)

    def _exchanged(self, order: _Order, rest: str) -> _Outcome:
        """The exchange itself: room on the disk, then the call, then the file. Only then is the new token known."""
        token: str | None = None
        try:
            with room_beside(order.what.path) as room:
                answer = self._exchange.exchange(order.what, order.refused)
                if isinstance(answer, Failed):
                    if answer.code in OUT_OF_REACH:
                        self._return(order.rest, rest)  # the gateway never heard of it
                    return self._not(order, f"refreshing it failed: {answer.reason}")
                if answer == order.refused:
                    return self._not(order, "refreshing it failed: the gateway gave the same token again")
                token = answer
                if newer := self._overtaken(order):
                    return newer
                room.put(token)
        except OSError as error:
            return self._not_kept(order, rest, token, error)
        return self._done(order, token)

    def _overtaken(self, order: _Order) -> Renewed | None:
        """What somebody wrote into the file while the gateway was asked: it counts for more than what we got."""
        with suppress(ConfigurationError):  # the file is gone: it gets the token
            if newer := self._newer(order):
                _log.warning("token.overtaken", setting=order.what.item, file=order.what.path)
                return newer
        return None

    def _not_kept(self, order: _Order, rest: str, token: str | None, error: OSError) -> _Outcome:
        if token is None:
            self._return(order.rest, rest)  # nobody was asked
            return self._not(order, f"it is not refreshed, since its file cannot be replaced: {_words(error)}")
        self._unwritten[order.what.path] = (order.refused, token)
        return self._not(order, f"it was refreshed, but the new token cannot be written: {_words(error)}")

    def _done(self, order: _Order, token: str) -> Renewed:
        self._reasons.pop(order.what.path, None)
        _log.info("token.refreshed", setting=order.what.item, file=order.what.path)
        return Renewed(token)

    def _not(self, order: _Order, reason: str) -> NotRenewed:
        self._reasons[order.what.path] = reason
        _log.warning("token.not-refreshed", setting=order.what.item, file=order.what.path, reason=reason)
        return NotRenewed(reason)

    def _return(self, name: str, lease: str) -> None:
        with suppress(OutOfReach):  # then it ends by itself
            self._guard.give_back(name, lease)


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
