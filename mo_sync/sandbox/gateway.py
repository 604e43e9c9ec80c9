"""The embedded gateway: Syniverse's messaging API over real HTTP, for the demo, for tests, for who builds on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from mo_sync.sandbox.call import Backroom
from mo_sync.sandbox.clock import system_now
from mo_sync.sandbox.credentials import Credentials
from mo_sync.sandbox.faults import TRANSIENT, Fault, FaultPlan
from mo_sync.sandbox.inventory import Inventory
from mo_sync.sandbox.journal import Journal
from mo_sync.sandbox.listing import ListRules
from mo_sync.sandbox.records import ANY_APPLICATION, Attachment, Message
from mo_sync.sandbox.routes import answer
from mo_sync.sandbox.scenario import Scenario
from mo_sync.sandbox.server import Server

__all__ = ["DEFAULT_TOKEN", "Gateway"]

DEFAULT_TOKEN: Final = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox
DEFAULT_CONSUMER: Final = ("sandbox-key", "sandbox-secret")


def random_id() -> str:
    """22 characters, as long as the ids of the real API."""
    return secrets.token_hex(11)


class Gateway:
    """A gateway of one's own; use it as a context manager, or call :meth:`start` and :meth:`stop`.

    ``tokens`` maps a Bearer token to its application (``ANY_APPLICATION`` for all); ``content_token_life_s`` is how
    long a content token is good; ``fault_rate`` spoils that share of answers, by ``fault_seed``; ``mint_status`` may be
    201; ``rules`` says how lists behave. All methods may be called from any thread, before the start and after it.

    >>> with Gateway() as gateway:
    ...     gateway.add_attachment(Attachment("Mno4Xayql1oVOYAvP7Iy25", b"GIF89a", "image/gif"))
    ...     gateway.base_url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self,
        listen: str = "127.0.0.1:0",
        *,
        tokens: Mapping[str, str | int] | None = None,
        latency_s: float = 0.0,
        content_token_life_s: float = 300.0,
        fault_rate: float = 0.0,
        fault_seed: int = 0,
        fault_menu: Iterable[Fault] = TRANSIENT,
        mint_status: int = 200,
        rules: ListRules | None = None,
        consumer: tuple[str, str] = DEFAULT_CONSUMER,
        now: Callable[[], datetime] = system_now,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        known = {DEFAULT_TOKEN: ANY_APPLICATION} if tokens is None else tokens
        self._room = Backroom(
            inventory=Inventory(now=now, new_id=new_id, token_life_s=content_token_life_s),
            credentials=Credentials(known, consumer, new_id),
            faults=FaultPlan(rate=fault_rate, seed=fault_seed, menu=fault_menu),
            rules=rules or ListRules(),
            now=now,
            mint_status=mint_status,
            latency_s=latency_s,
        )
        self._server = Server(listen, lambda request: answer(self._room, request))
        self._room.base_url = self._server.base_url

    @property
    def base_url(self) -> str:
        """Without a slash at its end; known, and connections are queued, as soon as the gateway is made."""
        return self._server.base_url

    @property
    def requests(self) -> Journal:
        """What was asked so far, and a way to wait for it."""
        return self._room.journal

    @property
    def inventory(self) -> Inventory:
        """What is held."""
        return self._room.inventory

    @property
    def faults(self) -> FaultPlan:
        """What will go wrong."""
        return self._room.faults

    @property
    def credentials(self) -> Credentials:
        """Which tokens are good."""
        return self._room.credentials

    @property
    def rules(self) -> ListRules:
        """How lists behave; may be exchanged while it runs."""
        return self._room.rules

    @rules.setter
    def rules(self, rules: ListRules) -> None:
        self._room.rules = rules

    @property
    def latency_s(self) -> float:
        """How long every answer of the API waits; may be set while it runs."""
        return self._room.latency_s

    @latency_s.setter
    def latency_s(self, seconds: float) -> None:
        self._room.latency_s = seconds

    def start(self) -> Self:
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop serving; waits and stalls of open connections end at once."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def add_attachment(self, attachment: Attachment, *faults: Fault) -> None:
        """Hold an attachment, and let these faults befall its calls, in this order."""
        self._room.inventory.put(attachment)
        self._room.faults.add(attachment.id, *faults)

    def add_message(self, message: Message) -> None:
        self._room.inventory.put(message)

    def add_fault(self, target: str, *faults: Fault) -> None:
        """Spoil the next calls of a target: an attachment's id, ``for_application(...)`` or ``EVERYTHING``."""
        self._room.faults.add(target, *faults)

    def load(self, scenario: Scenario) -> None:
        """Hold what a scenario asks for, and plan its faults."""
        self._room.inventory.put(*scenario.attachments, *scenario.messages)
        for target, fault in scenario.faults:
            self._room.faults.add(target, fault)
