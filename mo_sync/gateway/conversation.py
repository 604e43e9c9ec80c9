"""A question to the gateway in its turn, and what its answer means: a value, or why there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mo_sync.clock import Clock
from mo_sync.gateway import replies
from mo_sync.gateway.asking import REPLY_CAP, Asker, Call, Reply
from mo_sync.gateway.failures import Asked
from mo_sync.gateway.pace import Spacing
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Trouble

__all__ = ["Answered", "Conversation"]

Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class Answered(Generic[Meaning]):
    """What an answer means, and its headers."""

    value: Meaning
    headers: Mapping[str, str]


class Conversation:
    """Asks by ``asker``, each application in its turn where requests are spaced. Safe to use from many threads."""

    def __init__(self, asker: Asker, clock: Clock, *, aborted: threading.Event, spacing: Spacing | None) -> None:
        self._asker = asker
        self._clock = clock
        self._aborted = aborted
        self._spacing = spacing

    def about(self, call: Call) -> Asked:
        """Words for what goes wrong with ``call`` before it is asked."""
        return self._asker.about(call.step, secrets=call.secrets)

    def ask(self, call: Call) -> Reply | Failed | Interrupted:
        """The head of the answer. The wait for its turn counts for no time limit."""
        if self._spacing is not None and call.application_id is not None:
            wait_s = self._spacing.wait_s(call.application_id, self._clock.monotonic())
            if wait_s > 0 and self._clock.wait(self._aborted, wait_s):
                return Interrupted()
            call = replace(call, started=call.started + wait_s)
        return self._asker.ask(call)

    def answer(
        self,
        call: Call,
        meaning: Callable[[bytes], Meaning | None],
        *,
        good: tuple[int, ...] = (200,),
        most_bytes: int = REPLY_CAP,
    ) -> Answered[Meaning] | Failed | Interrupted:
        """What the answer's body means by ``meaning``; when it means nothing, it may still say why."""
        reply = self.ask(call)
        if not isinstance(reply, Reply):
            return reply
        status = reply.response.status_code
        if status not in good:
            return self._asker.refused(reply)
        body = self._asker.read(reply, most_bytes=most_bytes)
        if not isinstance(body, bytes):
            return body
        found = meaning(body)
        if found is not None:
            return Answered(found, reply.response.headers)
        return _not_understood(reply, body)


def _not_understood(reply: Reply, body: bytes) -> Failed | Interrupted:
    """It may hold what nobody shall see: only a code, or a page's title, is told."""
    kind, status = reply.response.headers.get("Content-Type"), reply.response.status_code
    problem = replies.problem(body, kind, secrets=reply.asked.secrets)
    if problem.code:
        return reply.asked.answered(status, problem)
    detail = (problem.description or "a web page") if replies.is_page(body, kind) else ""
    return reply.asked.troubled(Trouble.REPLY_NOT_UNDERSTOOD, status=status, detail=detail)
