"""One call to the gateway: credentials on, redirects judged, the head of the answer back, or a failure.

The Bearer token goes to the origin of ``gateway.base_url`` and nowhere else. A redirect of a GET is followed (at most
five times): within that origin, and for content also elsewhere, then without credentials, since gateways hand content
over to object stores by addresses signed in advance; never from https to http. A redirect of a POST is refused.

Where tokens are renewed, a call whose token is refused is asked once more with the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol, TypeAlias, TypeGuard

import requests
from urllib3 import BaseHTTPResponse

from mo_sync import settings
from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError
from mo_sync.gateway import replies
from mo_sync.gateway.credentials import Credentials
from mo_sync.gateway.failures import Asked, tried
from mo_sync.gateway.origins import Hop, base_of, follow, origin_of
from mo_sync.gateway.transport import Transport
from mo_sync.gateway.watch import Watch
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Step, Trouble, Verdict, scg_number

__all__ = ["REPLY_CAP", "Asker", "Call", "NotRenewed", "Renewal", "Renewed", "Reply", "refuses_token"]

REPLY_CAP: Final = 64 * 1024
"""Answers other than content are a few hundred bytes; what is longer is cut off here."""
_MOST_HOPS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked: a POST when there is a ``body``, else a GET of ``path`` (below ``gateway.base_url``).

    No application, no credentials. ``secrets`` are those in the path. ``started`` is when the ``total_timeout`` began,
    on the clock's monotonic scale. ``elsewhere`` allows redirects to other hosts. ``stop`` is asked before every wait
    and twice a second while waiting.
    """

    step: Step
    path: str = field(repr=False)
    application_id: str | None
    started: float
    body: bytes | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    elsewhere: bool = False
    stop: Callable[[], bool] = field(default=lambda: False, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an answer, its body still to be read; ``asked`` words what goes wrong from here on."""

    response: requests.Response
    asked: Asked
    watch: Watch


@dataclass(frozen=True, slots=True)
class Renewed:
    """The token that took the place of the one that was refused."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotRenewed:
    """Why there is no new token, as a sentence without secrets; "" where tokens of its kind are never renewed."""

    reason: str = ""


class Renewal(Protocol):
    """What is done about a token that was refused."""

    def __call__(self, application_id: str, refused: str) -> Renewed | NotRenewed | Interrupted:
        """A token for ``application_id`` that is newer than ``refused``. May be called by many threads at once."""


_Outcome: TypeAlias = Reply | Failed | Interrupted


def refuses_token(failed: Failed) -> bool:
    """Whether the gateway did not take the application token, as far as this answer tells.

    4046 is documented for content tokens; where none was shown, it can only mean the application's.
    """
    if scg_number(failed.code) == "4046":
        return failed.step is not Step.CONTENT
    return failed.status == 401 and failed.verdict is Verdict.HOLD


class Asker:
    """Makes calls. Safe to use from many threads."""

    def __init__(
        self,
        gateway: settings.Gateway,
        credentials: Credentials,
        clock: Clock,
        *,
        user_agent: str,
        aborted: Callable[[], bool],
        renewal: Renewal | None = None,
    ) -> None:
        """``aborted`` is asked before every wait, ``renewal`` for a token instead of one that was refused.

        Raises ConfigurationError for settings that are no use.
        """
        self._base, self.home = base_of(gateway.base_url)
        self._credentials = credentials
        self._clock = clock
        self._aborted = aborted
        self._renewal = renewal
        self._read_timeout_s = gateway.read_timeout
        self._total_timeout_s = gateway.total_timeout
        self._transport = Transport(gateway)
        self._get = _template("GET", self._base, {"User-Agent": user_agent, "Accept": "*/*"})
        json = {"Accept": "application/json", "Content-Type": "application/json"}
        self._post = _template("POST", self._base, {"User-Agent": user_agent, **json})

    def ask(self, call: Call) -> Reply | Failed | Interrupted:
        """The answer to ``call``, whatever its status; redirects are followed or are failures."""
        asked = self.about(call.step, secrets=call.secrets)
        try:
            token = None if call.application_id is None else self._credentials.token_for(call.application_id)
        except ConfigurationError as error:
            return asked.without_token(error)
        reply = self._ask_with(token, call)
        if token is None or self._renewal is None or not _may_refuse_token(reply):
            return reply
        return self._ask_renewed(call, token, reply, self._renewal)

    def read(self, reply: Reply, *, most_bytes: int = REPLY_CAP) -> bytes | Failed | Interrupted:
        """The body of a small answer, whole. Longer than ``most_bytes`` is a failure."""
        raw, body = reply.response.raw, bytearray()
        status = reply.response.status_code
        with reply.response:
            while len(body) <= most_bytes:
                reader = partial(_read, raw, reply.watch, most_bytes + 1 - len(body))
                data = tried(reply.asked, reader, status=status, received=len(body))
                if not isinstance(data, bytes):
                    return data
                if not data:
                    return bytes(body)
                body += data
        return reply.asked.troubled(Trouble.REPLY_TOO_LARGE, status=status, received=len(body))

    def refused(self, reply: Reply) -> Failed | Interrupted:
        """The failure that an answer is; as much of its body as can be had says why."""
        headers, status = reply.response.headers, reply.response.status_code
        body = self._read_some(reply)
        if isinstance(body, Interrupted):
            return body
        problem = replies.problem(body, headers.get("Content-Type"), secrets=reply.asked.secrets)
        wait_s = replies.retry_after(headers.get("Retry-After"), self._clock.now())
        return reply.asked.answered(status, problem, wait_s)

    def about(self, step: Step, *, secrets: tuple[str, ...] = ()) -> Asked:
        """Words for what goes wrong with the gateway itself at ``step``."""
        return Asked(step, str(self.home), secrets=secrets)

    def close(self) -> None:
        """Close the connections that lie idle."""
        self._transport.close()

    def _ask_with(self, token: str | None, call: Call) -> _Outcome:
        asked = self.about(call.step, secrets=(*call.secrets, token) if token else call.secrets)
        deadline = call.started + self._total_timeout_s
        watch = Watch(self._clock, deadline, self._read_timeout_s, aborted=self._aborted, stop=call.stop)
        hop = Hop(self._base + call.path, with_credentials=True)
        return self._ask_from(hop, call, token, asked, watch)

    def _ask_renewed(self, call: Call, refused: str, reply: Reply, renewal: Renewal) -> _Outcome:
        """Ask once more with another token, if the answer is that this one is refused and there is another."""
        failed = self.refused(reply)
        if not isinstance(failed, Failed) or not refuses_token(failed):
            return failed
        match renewal(call.application_id or "", refused):
            case Renewed(token=token):
                return self._ask_with(token, call)
            case NotRenewed(reason=reason):
                return replace(failed, reason=f"{failed.reason}; {reason}") if reason else failed
            case Interrupted() as interrupted:
                return interrupted

    def _ask_from(self, hop: Hop, call: Call, token: str | None, asked: Asked, watch: Watch) -> _Outcome:
        status: int | None = None
        for _ in range(_MOST_HOPS + 1):
            asked = self._at(hop, asked)
            reply = tried(asked, partial(self._send, self._prepared(call, hop, token), asked, watch))
            if not isinstance(reply, Reply) or reply.response.status_code not in _REDIRECTS:
                return reply
            status = reply.response.status_code
            onward = self._onward(call, hop, reply)
            if onward is None:
                return asked.troubled(Trouble.REDIRECT_REFUSED, status=status)
            hop = onward
        return asked.troubled(Trouble.TOO_MANY_REDIRECTS, status=status)

    def _at(self, hop: Hop, asked: Asked) -> Asked:
        there = origin_of(hop.url)
        return replace(asked, host=str(there), foreign=there != self.home)

    def _send(self, prepared: requests.PreparedRequest, asked: Asked, watch: Watch) -> Reply:
        return Reply(self._transport.send(prepared, watch), asked, watch)

    def _prepared(self, call: Call, hop: Hop, token: str | None) -> requests.PreparedRequest:
        """A copy of a template, patched: preparing each anew costs as much as sending it."""
        prepared = (self._get if call.body is None else self._post).copy()
        prepared.url = hop.url
        if token and hop.with_credentials:
            prepared.headers["Authorization"] = f"Bearer {token}"
        if call.body is not None:
            prepared.body = call.body
            prepared.headers["Content-Length"] = str(len(call.body))
        return prepared

    def _onward(self, call: Call, hop: Hop, reply: Reply) -> Hop | None:
        self._read_some(reply)  # so that the connection can be used again
        if call.body is not None:
            return None
        return follow(hop, reply.response.headers.get("Location"), self.home, elsewhere=call.elsewhere)

    def _read_some(self, reply: Reply) -> bytes | Interrupted:
        """What can be had of a body that is not what was asked for: at most 64 KB, and nothing when it breaks off."""
        raw = reply.response.raw
        with reply.response:
            some = tried(reply.asked, partial(_read, raw, reply.watch, REPLY_CAP))
        return b"" if isinstance(some, Failed) else some


def _may_refuse_token(reply: _Outcome) -> TypeGuard[Reply]:
    """By its status alone. Where the gateway sent us elsewhere, no token was shown."""
    return isinstance(reply, Reply) and reply.response.status_code in (401, 404) and not reply.asked.foreign


def _read(raw: BaseHTTPResponse, watch: Watch, amount: int) -> bytes:
    watch.check()
    return raw.read(amount, decode_content=True)


def _template(method: str, url: str, headers: dict[str, str]) -> requests.PreparedRequest:
    return requests.Request(method, url, headers={"Accept-Encoding": "identity", **headers}).prepare()
