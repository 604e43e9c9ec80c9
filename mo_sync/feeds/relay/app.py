"""The relay as an ASGI application: plain, since every event passes here.

The order is fixed: where (404, 405), who (401, 403, 429), what (413, 415), then the body, then durable, then 202.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import structlog

from mo_sync.clock import Clock
from mo_sync.events import usual
from mo_sync.feeds.relay.admission import Admission, Ask, Refusal, client_of
from mo_sync.feeds.relay.answers import HEALTHY, Answer, kept, refusal
from mo_sync.feeds.relay.authority import AuthoritySilent
from mo_sync.feeds.relay.bodies import NoBody, Receive, read, unpacked, unwanted
from mo_sync.feeds.relay.commit import Committer, NotKept
from mo_sync.feeds.relay.submission import KEPT_HEADERS, Kept, Submission
from mo_sync.settings import Relay

__all__ = ["RelayApp"]

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_RETRY_AFTER_S: Final = 5
_BASIC: Final = 'Basic realm="mo-sync", charset="UTF-8"'
_BEARER: Final = 'Bearer realm="mo-sync"'
_NOT_TOLD: Final = Refusal(503, "the authorization server does not tell whether this token is good")
_MOST_KEPT: Final = 8
_READ_HERE: Final = 16 * 1024
_LONGEST_KEPT: Final = 500
_NOTHING: Mapping[str, str] = {}


class RelayApp:
    """Answers one request at a time, any number at once. Its ``committer`` and ``admission`` are of the same loop."""

    def __init__(
        self, settings: Relay, admission: Admission, committer: Committer, clock: Clock, *, reads: bool = False
    ) -> None:
        """``reads``: usual events are read here, which the thread that has the ledger need not do then."""
        self._settings = settings
        self._admission = admission
        self._committer = committer
        self._clock = clock
        self._reads = reads
        self.look_at_log()

    def look_at_log(self) -> None:
        """Take over how the log is set up now: to ask that for each event would cost as much as to answer it."""
        self._log = structlog.get_logger(__name__).bind()
        self._tells_all = self._log.is_enabled_for(logging.DEBUG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except NoBody as error:
            answer = error.answer
        if answer.status != 202:
            self._tell(scope, answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def at_once(self, scope: Scope, body: bytes, say: Callable[[Answer], None]) -> bool:
        """The same for a POST that is here whole, without a task of its own: nearly all are so.

        True when ``say`` was told the answer or will be; False when this one must go the long way.
        """
        if scope["path"] != self._settings.path:
            return False
        headers = dict(scope["headers"])
        if b"content-encoding" in headers:
            return False
        peer = self._peer(scope)
        no = self._admission.judge(peer, headers.get(b"authorization"), now_s=self._clock.monotonic())
        if no is not None:
            return self._said(scope, self._turned_away(no), say) if isinstance(no, Refusal) else False
        if answer := unwanted(headers, max_body=self._settings.max_body):
            return self._said(scope, answer, say)

        def hear(outcome: Kept | NotKept) -> None:
            answer = self._outcome(outcome, len(body), peer)
            if answer.status != 202:
                self._tell(scope, answer)
            say(answer)

        try:
            self._committer.submit(self._submission(scope, body), hear)
        except NotKept as error:
            hear(error)
        return True

    def _said(self, scope: Scope, answer: Answer, say: Callable[[Answer], None]) -> bool:
        self._tell(scope, answer)
        say(answer)
        return True

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["path"] != self._settings.path:
            return self._elsewhere(scope)
        if scope["method"] != "POST":
            return refusal(405, "only POST is understood here", allow="POST")
        headers = dict(scope["headers"])
        peer = self._peer(scope)
        no = self._admission.judge(peer, headers.get(b"authorization"), now_s=self._clock.monotonic())
        if isinstance(no, Ask):
            no = await self._asked(no, peer)
        if no is not None:
            return self._turned_away(no)
        max_body = self._settings.max_body
        if answer := unwanted(headers, max_body=max_body):
            return answer
        body = await read(receive, max_body=max_body)
        if encoding := headers.get(b"content-encoding"):
            body = unpacked(body, encoding, max_body=max_body)
        try:
            outcome: Kept | NotKept = await self._committer.keep(self._submission(scope, body))
        except NotKept as error:
            outcome = error
        return self._outcome(outcome, len(body), peer)

    def _submission(self, scope: Scope, body: bytes) -> Submission:
        said = usual(body) if self._reads and len(body) <= _READ_HERE and not self._committer.crowded else None
        return Submission(body, self._clock.now(), _kept_of(scope["headers"]), said)

    def _outcome(self, outcome: Kept | NotKept, size: int, peer: str) -> Answer:
        if isinstance(outcome, NotKept):
            return refusal(503, "it cannot be kept now", retry_after_s=_RETRY_AFTER_S)
        if self._tells_all:
            self._log.debug("relay.kept", where=outcome.where, size=size, client=peer)
        return kept(outcome, refuse_unreadable=self._settings.unreadable == "refuse")

    def _peer(self, scope: Scope) -> str:
        peer: str = (scope.get("client") or ("",))[0]
        proxies = self._admission.rules.proxies
        if not proxies:
            return peer
        return client_of(peer, [value for name, value in scope["headers"] if name == b"x-forwarded-for"], proxies)

    async def _asked(self, ask: Ask, peer: str) -> Refusal | None:
        oauth = self._admission.rules.oauth
        try:
            if oauth is not None and await oauth.good(ask.token):
                return None
        except AuthoritySilent:
            return _NOT_TOLD
        return self._admission.failed(peer, now_s=self._clock.monotonic())

    def _turned_away(self, no: Refusal) -> Answer:
        if no.status == 503:
            return refusal(503, no.reason, retry_after_s=_RETRY_AFTER_S)
        rules = self._admission.rules
        bearer = bool(rules.tokens or rules.oauth)
        challenges = [_BASIC] * bool(rules.users or not bearer) + [_BEARER] * bearer
        return refusal(no.status, no.reason, challenges=challenges if no.status == 401 else (), close=True)

    def _elsewhere(self, scope: Scope) -> Answer:
        """Whether it lives, and whether it could keep an event: for load balancers, without a password."""
        if scope["path"] not in ("/healthz", "/readyz"):
            return refusal(404, f"events are posted to {self._settings.path}")
        if scope["method"] not in ("GET", "HEAD"):
            return refusal(405, "only GET, HEAD is understood here", allow="GET, HEAD")
        if scope["path"] == "/readyz" and self._committer.trouble is not None:
            return refusal(503, "nothing can be kept now", retry_after_s=_RETRY_AFTER_S)
        return HEALTHY

    def _tell(self, scope: Scope, answer: Answer) -> None:
        if scope["path"] in ("/healthz", "/readyz") and answer is HEALTHY:
            return
        where = {"method": scope["method"], "path": scope["path"][:80], "client": (scope.get("client") or ("",))[0]}
        self._log.info("relay.refused", status=answer.status, **where)


def _kept_of(headers: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The event service's own headers; most requests of others have none."""
    found = [(name, value) for name, value in headers if name.startswith(KEPT_HEADERS)]
    if not found:
        return _NOTHING
    return {name.decode("latin-1"): value[:_LONGEST_KEPT].decode("latin-1") for name, value in found[:_MOST_KEPT]}
