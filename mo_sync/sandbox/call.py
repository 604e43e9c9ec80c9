"""A call: a request whose meaning and caller are known, and all that it may work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from mo_sync.sandbox.answers import Refusal, scg_error
from mo_sync.sandbox.clock import Dice, dice, system_now
from mo_sync.sandbox.credentials import Credentials
from mo_sync.sandbox.faults import FaultPlan
from mo_sync.sandbox.inventory import Inventory
from mo_sync.sandbox.journal import Journal
from mo_sync.sandbox.listing import ListRules
from mo_sync.sandbox.records import ANY_APPLICATION, Attachment, Message
from mo_sync.sandbox.requests_in import Request

__all__ = ["Backroom", "Call"]

Record = TypeVar("Record", Attachment, Message)


@dataclass(slots=True)
class Backroom:
    """All that the calls work on; one of each for a gateway."""

    inventory: Inventory
    credentials: Credentials
    faults: FaultPlan
    journal: Journal = field(default_factory=Journal)
    rules: ListRules = field(default_factory=ListRules)
    fall: Dice = field(default_factory=lambda: dice("lists"))
    now: Callable[[], datetime] = system_now
    mint_status: int = 200
    latency_s: float = 0.0
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """``key`` is the id or content token in the path; ``application_id`` is whose token the caller showed."""

    room: Backroom
    request: Request
    key: str
    application_id: str

    def json(self) -> dict[str, Any]:
        """The body as an object; no body is an empty one, as one of the SDKs has it. Raises :class:`Refusal`."""
        try:
            value = msgspec.json.decode(self.request.body) if self.request.body.strip() else {}
        except msgspec.DecodeError as error:
            raise Refusal(scg_error(400, "4001", "The body is not JSON")) from error
        if not isinstance(value, dict):
            raise Refusal(scg_error(400, "4001", "The body is not an object"))
        return value

    def text(self, name: str) -> str:
        """A field of the body that must be a non-empty string. Raises :class:`Refusal`."""
        value = self.json().get(name)
        if not isinstance(value, str) or not value:
            raise Refusal(scg_error(400, "4001", f"{name} is missing or not a string"))
        return value

    def version(self) -> int | None:
        """The version that the caller believes to change. Raises :class:`Refusal`."""
        value = self.json().get("version_number")
        if value is None or isinstance(value, int):
            return value
        raise Refusal(scg_error(400, "4001", "version_number is not a number"))

    def attachment(self, attachment_id: str) -> Attachment:
        """The caller's own attachment. Raises :class:`Refusal`: 404 when there is none, 401 when it is another's."""
        return self._own(self.room.inventory.attachment(attachment_id))

    def message(self) -> Message:
        """The caller's own message, as :meth:`attachment`."""
        return self._own(self.room.inventory.message(self.key))

    def _own(self, record: Record | None) -> Record:
        if record is None:
            raise Refusal(scg_error(404, "4040"))
        if self.application_id not in (ANY_APPLICATION, record.application_id):
            raise Refusal(scg_error(401, "4010"))
        return record
