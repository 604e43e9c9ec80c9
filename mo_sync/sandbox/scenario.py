"""A scenario: files to drop, what the gateway holds, what goes wrong, and what should come of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from mo_sync.sandbox.clock import Dice, as_text, dice
from mo_sync.sandbox.faults import Fault
from mo_sync.sandbox.media import KINDS
from mo_sync.sandbox.records import DEFAULT_APPLICATION, EPOCH, Attachment, Message
from mo_sync.sandbox.shapes_out import SHAPES, Event, encode

__all__ = ["Fate", "Part", "Scenario", "Stage", "in_shapes"]

Fate = Literal["stored", "missing", "quarantined", "failed"]

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_JOINTS: Final = (",", ", ", " ")
_INTERVAL: Final = timedelta(seconds=37)


@dataclass(frozen=True, slots=True)
class Scenario:
    """``files`` are to be dropped under their names; ``fates`` says in which state each attachment should end.

    ``messages`` are those that should be recorded; ``events`` the announcements that make them, repeats included;
    ``ignored`` and ``rejected`` count what else is in the files.
    """

    files: Mapping[str, bytes]
    attachments: tuple[Attachment, ...]
    messages: tuple[Message, ...]
    events: tuple[Event, ...]
    faults: tuple[tuple[str, Fault], ...]
    fates: Mapping[str, Fate]
    ignored: int = 0
    rejected: int = 0

    def content(self, attachment_id: str) -> bytes:
        """The true bytes of an attachment. Raises KeyError."""
        return {row.id: row.content or b"" for row in self.attachments}[attachment_id]

    def dropped_again(self, seed: int) -> dict[str, bytes]:
        """All events once more, under other file names, in other shapes."""
        fall = dice(f"again {seed}")
        events = list(self.events)
        fall.shuffle(events)
        return in_shapes(events, fall, prefix=f"again-{seed}-")


@dataclass(frozen=True, slots=True)
class Part:
    """One attachment of a message to be: its kind of media, what befalls it, and how that ends.

    ``absent``: the gateway does not have it.
    """

    kind: str
    faults: tuple[Fault, ...] = ()
    fate: Fate = "stored"
    absent: bool = False


class Stage:
    """Builds a scenario; everything follows from the seed and the order of the calls."""

    def __init__(self, seed: int, began_at: datetime = EPOCH) -> None:
        self._seed = seed
        self._clock = began_at
        self._files: dict[str, bytes] = {}
        self._attachments: list[Attachment] = []
        self._messages: list[Message] = []
        self._events: list[Event] = []
        self._faults: list[tuple[str, Fault]] = []
        self._fates: dict[str, Fate] = {}
        self.ignored = 0
        self.rejected = 0

    def id(self, *parts: object) -> str:
        """22 characters of [A-Za-z0-9], as the API's ids are."""
        number = int.from_bytes(hashlib.blake2b(repr((self._seed, *parts)).encode(), digest_size=17).digest(), "big")
        letters = []
        for _ in range(22):
            number, place = divmod(number, 62)
            letters.append(_LETTERS[place])
        return "".join(letters)

    def message(
        self, *parts: Part, body: str = "", scan: str = "OK", application_id: str = DEFAULT_APPLICATION
    ) -> Event:
        """A message that a phone sent; what is returned announces it."""
        return self.announce(self.unannounced(*parts, body=body, application_id=application_id), scan=scan)

    def unannounced(self, *parts: Part, body: str = "", application_id: str = DEFAULT_APPLICATION) -> Message:
        """A message of which no event tells: only the inbox has it."""
        number = len(self._messages)
        self._clock += _INTERVAL
        ids = tuple(self._attach(part, number, place, application_id) for place, part in enumerate(parts))
        message = Message(
            id=self.id("message", number),
            attachments=ids,
            from_address=f"+1408555{number % 10_000:04d}",
            body=body,
            type="MMS" if parts else "SMS",
            customer_sender_id=self.id("sender"),
            application_id=application_id,
            created_at=self._clock,
            updated_at=self._clock,
        )
        self._messages.append(message)
        return message

    def announce(self, message: Message, *, scan: str = "OK") -> Event:
        """An event for a message; each call makes another event id."""
        number = len(self._events)
        event = Event(
            event_id=self.id("event", number),
            fields=_fields(message, scan, _JOINTS[number % len(_JOINTS)]),
            timestamp=as_text(message.created_at),
        )
        self._events.append(event)
        return event

    def again(self, event: Event, *, event_id: str | None = None) -> Event:
        """The same event delivered again, or the same message under another event id."""
        repeat = replace(event, event_id=event_id or event.event_id, attempt=event.attempt + 1)
        self._events.append(repeat)
        return repeat

    def stray(self, type: str, topic: str = "SCG-Message", **fields: Any) -> Event:  # noqa: A002 - the API's word
        """An event that is not about a message received: to be ignored."""
        self.ignored += 1
        self._clock += _INTERVAL
        return Event(self.id("stray", self.ignored), fields, type, topic, as_text(self._clock))

    def drop(self, shape: str, *events: Event) -> None:
        """A file that holds events in a shape."""
        self.drop_bytes(f"{len(self._files) + 1:04d}-{shape}{SHAPES[shape].ending}", encode(shape, *events))

    def drop_bytes(self, name: str, content: bytes) -> None:
        """A file as it is."""
        self._files[name] = content

    def drop_all(self, events: Sequence[Event], fall: Dice) -> None:
        """Files that hold all these events in all shapes."""
        self._files |= in_shapes(events, fall)

    def scenario(self) -> Scenario:
        return Scenario(
            files=dict(self._files),
            attachments=tuple(self._attachments),
            messages=tuple(self._messages),
            events=tuple(self._events),
            faults=tuple(self._faults),
            fates=dict(self._fates),
            ignored=self.ignored,
            rejected=self.rejected,
        )

    def _attach(self, part: Part, message: int, place: int, application_id: str) -> str:
        attachment_id = self.id("attachment", message, place)
        kind = KINDS[part.kind]
        name = f"{part.kind}-{message}-{place}.{kind.extension}"
        if not part.absent:
            content = kind.make(f"{name} {self._seed}")
            self._attachments.append(
                Attachment(attachment_id, content, kind.type, name, name, application_id, self._clock, self._clock)
            )
        self._faults += [(attachment_id, fault) for fault in part.faults]
        self._fates[attachment_id] = part.fate
        return attachment_id


def _fields(message: Message, scan: str, joint: str) -> dict[str, Any]:
    """The field list as the API sends it, with the leading space that was observed before the ids."""
    ids = joint.join(message.attachments)
    return {
        "attachment_ids": f" {ids}" if ids else "",
        "sender_id_alias": message.customer_sender_id,
        "mo_price": 0.015,
        "company-id": 1500,
        "sender_id_id": message.customer_sender_id,
        "message_body": message.body,
        "message_id": message.id,
        "to_address": message.to_address,
        "has_attachment": bool(ids),
        "fragments_count": 1,
        "from_address": message.from_address,
        "anti_virus_scan_status": scan if ids else "NONE",
        "application_id": int(message.application_id),
    }


def in_shapes(events: Sequence[Event], fall: Dice, prefix: str = "") -> dict[str, bytes]:
    """Events as files in all shapes, one or up to twenty a file, as the dice fall."""
    files: dict[str, bytes] = {}
    start = 0
    while start < len(events):
        shape = fall.choice(tuple(SHAPES))
        batch = events[start : start + (fall.randint(2, 20) if SHAPES[shape].many else 1)]
        files[f"{prefix}{len(files) + 1:05d}-{shape}{SHAPES[shape].ending}"] = encode(shape, *batch)
        start += len(batch)
    return files
