"""The two calls of a token refresh: is the old token really refused, and the exchange for a new one.

The exchange is ``GET /saop-rest-data/v1/apptoken-refresh?consumerkey=…&consumersecret=…&oldtoken=…``, which answers
``{"accessToken": "…"}``. Each is asked on a connection of its own: one that is used again may break in a way that has
:class:`~mo_sync.gateway.transport.Transport` ask twice, and the exchange shall be asked once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

from mo_sync import settings
from mo_sync.clock import Clock
from mo_sync.gateway import replies
from mo_sync.gateway.asking import Asker, Call, Reply, refuses_token
from mo_sync.gateway.credentials import Credentials, Refreshable
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Step, Trouble

__all__ = ["CALL_S", "Exchange"]

CALL_S: Final = 60.0
"""How long, in seconds, one call may take. A lost answer may be a lost token, so it is patient."""
_REFRESH: Final = "/saop-rest-data/v1/apptoken-refresh"
_TRIAL: Final = "/scg-external-api/api/v1/messaging/messages?offset=0&limit=1"
_NOT_NOW: Final = frozenset({408, 425, 429})


class Exchange:
    """Asks the gateway. Safe to use from many threads."""

    def __init__(
        self,
        gateway: settings.Gateway,
        credentials: Credentials,
        clock: Clock,
        *,
        user_agent: str,
        aborted: threading.Event,
    ) -> None:
        """``aborted`` ends a trial, but no exchange."""
        self._gateway = gateway.model_copy(update={"read_timeout": CALL_S, "total_timeout": CALL_S})
        self._credentials = credentials
        self._clock = clock
        self._user_agent = user_agent
        self._aborted = aborted

    def trial(self, application_id: str) -> bool | Failed | Interrupted:
        """Whether the gateway takes the token of ``application_id`` at all; a failure when that cannot be told."""
        line = self._line(self._aborted.is_set)
        try:
            answer = line.ask(Call(Step.PROBE, _TRIAL, application_id, self._clock.monotonic()))
            if isinstance(answer, Reply):
                if answer.response.status_code < 400:
                    answer.response.close()
                    return True
                answer = line.refused(answer)
        finally:
            line.close()
        return _taken(answer) if isinstance(answer, Failed) else answer

    def exchange(self, what: Refreshable, old: str) -> str | Failed:
        """The new token for the ``old`` one."""
        query = {"consumerkey": what.consumer_key, "consumersecret": what.consumer_secret, "oldtoken": old}
        secrets = (*query.values(), *(quote(value, safe="") for value in query.values()))
        line = self._line(_never)
        try:
            address = f"{_REFRESH}?{urlencode(query)}"
            answer = line.ask(Call(Step.PROBE, address, None, self._clock.monotonic(), secrets=secrets))
            told = _token(line, answer) if isinstance(answer, Reply) else answer
            # Nothing interrupts it, and if something did, its answer would be lost.
            return line.about(Step.PROBE).troubled(Trouble.RESET) if isinstance(told, Interrupted) else told
        finally:
            line.close()

    def _line(self, aborted: Callable[[], bool]) -> Asker:
        return Asker(self._gateway, self._credentials, self._clock, user_agent=self._user_agent, aborted=aborted)


def _taken(failed: Failed) -> bool | Failed:
    """A refusal of something else than the token tells that the token is good."""
    if refuses_token(failed):
        return False
    unclear = failed.status is None or failed.status >= 500 or failed.status in _NOT_NOW
    return failed if unclear else True


def _token(line: Asker, reply: Reply) -> str | Failed | Interrupted:
    if reply.response.status_code != 200:
        return line.refused(reply)
    body = line.read(reply)
    if not isinstance(body, bytes):
        return body
    return replies.refreshed(body) or reply.asked.troubled(Trouble.REPLY_NOT_UNDERSTOOD, status=200)


def _never() -> bool:
    return False
