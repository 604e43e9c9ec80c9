"""The body on its way into a temporary file: as soon as its first bytes are there, the policy looks at what comes.

So a video that nobody wants, or one that is too long for its kind, costs its first bytes and not all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mo_sync import sniff
from mo_sync.fetch import acceptance
from mo_sync.fetch.room import Promise, Room
from mo_sync.fetch.troubles import disk_trouble, troubled
from mo_sync.gateway import Content, Pumped, too_large
from mo_sync.lifecycle import Claim, Failed, Interrupted, Refused
from mo_sync.settings import Limits
from mo_sync.store import Staged
from mo_sync.store.base import HEAD_BYTES
from mo_sync.verdicts import Trouble

__all__ = ["Reception"]

_CHECK_EVERY_BYTES: Final = 16 * 1024 * 1024
"""How much of a body without an announced size is written before the disk is looked at again."""


class _TurnedAway(Exception):
    """No more of this body is wanted; carries the outcome. Never leaves this module."""

    def __init__(self, outcome: Failed | Refused | Interrupted) -> None:
        self.outcome = outcome
        super().__init__()


class Reception:
    """Receives one body. ``content_type`` is what it was found to be, once :meth:`receive` answered None."""

    def __init__(self, claim: Claim, content: Content, staged: Staged, limits: Limits, room: Room) -> None:
        self._claim = claim
        self._content = content
        self._staged = staged
        self._limits = limits
        self._room = room
        self._most = acceptance.ceiling(limits)
        self._looked = False
        self._next_check = _CHECK_EVERY_BYTES
        self.content_type = ""

    def receive(self, stop: Callable[[], bool]) -> Failed | Refused | Interrupted | None:
        """None when the whole body was written and may be kept; then the file is finished.

        The gateway's troubles come as values, so an OSError is the disk's.
        """
        announced = self._content.content_length
        if announced is not None and announced > self._most.max_bytes:
            return self._too_large(announced)
        promise = self._room.promise(announced, self._limits.min_free)
        if isinstance(promise, Interrupted):
            return promise
        with promise:
            try:
                return self._pump(promise, stop)
            except _TurnedAway as away:
                return away.outcome
            except OSError as error:
                return disk_trouble(error)

    def _pump(self, promise: Promise, stop: Callable[[], bool]) -> Failed | Refused | Interrupted | None:
        def take(data: bytes) -> None:
            self._staged.write(data)
            promise.written(len(data))
            self._check()

        pumped = self._content.pump(take, max_bytes=self._most.max_bytes, rule=self._most.rule, stop=stop)
        if not isinstance(pumped, Pumped):
            return pumped
        self._look()
        self._staged.finish()
        return None

    def _check(self) -> None:
        """After each piece. Raises _TurnedAway."""
        if self._staged.size >= HEAD_BYTES:
            self._look()
        if self._content.content_length is None and self._staged.size >= self._next_check:
            self._next_check = self._staged.size + _CHECK_EVERY_BYTES
            if trouble := self._room.enough(self._limits.min_free):
                raise _TurnedAway(trouble)

    def _look(self) -> None:
        """Is it media, of a type that is wanted, and not too much for its type? Raises _TurnedAway."""
        if not self._looked:
            self._looked = True
            self._know()
        if self._staged.size > self._most.max_bytes:
            raise _TurnedAway(self._too_large(None))

    def _know(self) -> None:
        head, header, declared = self._staged.head, self._content.content_type, self._claim.declared_type
        page = sniff.error_page(head, header, declared)
        if page is not None:
            raise _TurnedAway(troubled(Trouble.NOT_MEDIA, page, self._staged))
        self.content_type = acceptance.content_type(head, header, declared)
        refused = acceptance.refused_type(self.content_type, self._limits)
        if refused is not None:
            raise _TurnedAway(replace(refused, received_bytes=self._staged.size))
        self._most = acceptance.allowance(self.content_type, self._limits)
        announced = self._content.content_length
        if announced is not None and announced > self._most.max_bytes:
            raise _TurnedAway(self._too_large(announced))

    def _too_large(self, announced: int | None) -> Refused:
        return too_large(announced, self._most.max_bytes, rule=self._most.rule, received=self._staged.size)
