"""Syniverse's gateway, as far as attachments need it: mint a content token, open the content, ask for metadata.

Every call answers with a value. Whatever goes wrong is a :class:`~mo_sync.lifecycle.Failed` whose verdict comes from
:mod:`mo_sync.verdicts`; a stop is an :class:`~mo_sync.lifecycle.Interrupted`. Trying again is not decided here.
"""

from __future__ import annotations

import importlib.metadata
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import requests

from mo_sync import settings
from mo_sync.clock import Clock
from mo_sync.gateway import replies
from mo_sync.gateway.asking import Asker, Call, Reply
from mo_sync.gateway.content import Content
from mo_sync.gateway.conversation import Answered, Conversation
from mo_sync.gateway.credentials import Credentials
from mo_sync.gateway.exchange import Exchange
from mo_sync.gateway.inbox import Inbox
from mo_sync.gateway.origins import segment
from mo_sync.gateway.pace import Spacing
from mo_sync.gateway.refresh import Guard, Refresher
from mo_sync.gateway.replies import Metadata
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Step, Trouble

__all__ = ["ContentToken", "Gateway"]

_SCG: Final = "/scg-external-api/api/v1"
_CONTENT: Final = "/scg-attachment/api/v1/messaging/attachments"
_KEEP_TOKEN_S: Final = 5.0
Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class ContentToken:
    """Grants access to one attachment's bytes for a while: a secret, so its ``repr`` hides it.

    ``started`` is when minting it began, on the clock's monotonic scale: ``total_timeout`` counts from there.
    """

    value: str = field(repr=False)
    started: float


class Gateway:
    """The gateway's client. Safe to use from many threads; each keeps connections of its own."""

    def __init__(
        self,
        gateway: settings.Gateway,
        credentials: Credentials,
        clock: Clock,
        *,
        version: str | None = None,
        spacing: Spacing | None = None,
        guard: Guard | None = None,
    ) -> None:
        """``version`` is what the User-Agent says, by default the installed one; ``spacing`` says who waits how long.

        Without a ``guard`` no token is refreshed, whatever ``gateway.refresh`` says.
        Raises ConfigurationError ``base-url-invalid``, ``proxy-invalid`` or ``ca-bundle-invalid``.
        """
        self.credentials = credentials
        self._clock = clock
        self._aborted = threading.Event()
        agent = f"mo-sync/{version or _installed_version()} (python-requests/{requests.__version__})"
        self._refresher = (
            Refresher(
                credentials,
                guard,
                Exchange(gateway, credentials, clock, user_agent=agent, aborted=self._aborted),
                clock,
                interval_s=gateway.refresh_interval,
                aborted=self._aborted,
            )
            if guard is not None and gateway.refresh
            else None
        )
        renewal = self._refresher.renew if self._refresher else None
        self._asker = Asker(
            gateway, credentials, clock, user_agent=agent, aborted=self._aborted.is_set, renewal=renewal
        )
        self._conversation = Conversation(self._asker, clock, aborted=self._aborted, spacing=spacing)
        self.inbox = Inbox(self._conversation, clock)

    def __repr__(self) -> str:
        return f"Gateway({self._asker.home})"

    def mint(self, attachment_id: str, application_id: str) -> ContentToken | Failed | Interrupted:
        """A content token for ``attachment_id``, asked for with the token of the application that received it."""
        started = self._clock.monotonic()
        body = json.dumps({"resource": "ATTACHMENT", "resource_id": attachment_id}).encode()
        call = Call(Step.MINT, f"{_SCG}/access_tokens", application_id, started, body)
        token = self._answer(call, replies.minted, good=(200, 201))
        return ContentToken(token, started) if isinstance(token, str) else token

    def open_content(
        self, token: ContentToken, application_id: str, *, declared_type: str | None = None
    ) -> Content | Failed | Interrupted:
        """The bytes that ``token`` grants access to, as a stream; close it when done.

        ``declared_type`` is what the attachment is known to be, if anything: a web page is taken for an error page
        unless one was expected.
        """
        path = segment(token.value)
        if path is None:
            return self._asker.about(Step.CONTENT).troubled(Trouble.REPLY_NOT_UNDERSTOOD, detail="no usable token")
        address = f"{_CONTENT}/{path}/content"
        secrets = (token.value, path)
        call = Call(Step.CONTENT, address, application_id, token.started, secrets=secrets, elsewhere=True)
        reply = self._conversation.ask(call)
        if not isinstance(reply, Reply):
            return reply
        if reply.response.status_code != 200:
            return self._asker.refused(reply)
        raw, headers = reply.response.raw, reply.response.headers
        return Content(raw, headers, asked=reply.asked, watch=reply.watch, declared_type=declared_type)

    def metadata(self, attachment_id: str, application_id: str) -> Metadata | Failed | Interrupted:
        """What the gateway knows about ``attachment_id``."""
        path = segment(attachment_id)
        if path is None:
            return self._asker.about(Step.METADATA).troubled(Trouble.ID_UNUSABLE)
        address = f"{_SCG}/messaging/attachments/{path}"
        call = Call(Step.METADATA, address, application_id, self._clock.monotonic())
        return self._answer(call, replies.metadata)

    def reach(self) -> Failed | Interrupted | None:
        """None when the gateway answers at all, whatever it says. Sends no credentials."""
        reply = self._asker.ask(Call(Step.PROBE, "/", None, self._clock.monotonic()))
        if isinstance(reply, Reply):
            reply.response.close()
            return None
        return None if isinstance(reply, Failed) and reply.status is not None else reply

    def probe(self, application_id: str) -> Failed | Interrupted | None:
        """None when the token of ``application_id`` is accepted: asks for one message, and keeps nothing of it."""
        address = f"{_SCG}/messaging/messages?offset=0&limit=1"
        answer = self._answer(Call(Step.PROBE, address, application_id, self._clock.monotonic()), replies.is_object)
        return None if answer is True else answer

    def abort(self) -> None:
        """End every call that is waiting for bytes, within half a second; later calls end at once.

        A connection that is just being made is waited for (``connect_timeout``).
        """
        self._aborted.set()

    def close(self) -> None:
        """Close the connections that lie idle. A token that is being refreshed gets a few seconds to be kept."""
        if self._refresher:
            self._refresher.wait_until_idle(_KEEP_TOKEN_S)
        self._asker.close()

    def _answer(
        self, call: Call, meaning: Callable[[bytes], Meaning | None], *, good: tuple[int, ...] = (200,)
    ) -> Meaning | Failed | Interrupted:
        answered = self._conversation.answer(call, meaning, good=good)
        return answered.value if isinstance(answered, Answered) else answered


def _installed_version() -> str:
    try:
        return importlib.metadata.version("mo-sync")
    except importlib.metadata.PackageNotFoundError:
        return "0"
