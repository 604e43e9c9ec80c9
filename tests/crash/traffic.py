"""What is dropped in a campaign: small files of one to three messages, now and then with a large attachment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.scenario import Part, Stage
from tests.crash.evidence import Truth
from tests.site import Site

__all__ = ["Dropper"]

_SHAPES = ("canonical", "lines", "xml", "array", "bare", "zipped", "relayed")
_MANY = {"lines", "array", "zipped"}
_KINDS = ("gif", "jpeg", "pdf", "wav")
_LARGE_BYTES = 1_500_000
_LARGE_EVERY = 7


class Dropper:
    """Drops one file after another into a site, and knows the truth about all of them."""

    def __init__(self, site: Site, gateway: Gateway, seed: object) -> None:
        self._site = site
        self._gateway = gateway
        self._dice = random.Random(str(seed))
        self._stage = Stage(self._dice.randrange(2**32))
        self._shapes: Iterator[str] = cycle(_SHAPES)
        self._kinds: Iterator[str] = cycle(_KINDS)
        self._files: dict[str, frozenset[str]] = {}
        self._content: dict[str, bytes] = {}

    @property
    def truth(self) -> Truth:
        """Of what was dropped so far."""
        return Truth(self._files, self._content)

    def drop(self, files: int = 1) -> None:
        """So many more files."""
        for _ in range(files):
            self._drop(next(self._shapes))

    def _drop(self, shape: str) -> None:
        before = set(self._content)
        known = len(self._stage.scenario().messages)
        messages = self._dice.randint(2, 3) if shape in _MANY else 1
        events = [self._stage.message(*self._parts()) for _ in range(messages)]
        self._stage.drop(shape, *events)
        scenario = self._stage.scenario()
        for attachment in scenario.attachments[len(before) :]:
            self._hold(attachment)
        name, content = list(scenario.files.items())[-1]
        self._files[name] = frozenset(message.id for message in scenario.messages[known:])
        self._site.drop(name, content)

    def _parts(self) -> list[Part]:
        return [Part(next(self._kinds)) for _ in range(self._dice.randint(1, 2))]

    def _hold(self, attachment: Attachment) -> None:
        content = attachment.content or b""
        if len(self._content) % _LARGE_EVERY == _LARGE_EVERY - 1:
            content += self._dice.randbytes(_LARGE_BYTES)
        self._content[attachment.id] = content
        self._gateway.add_attachment(
            Attachment(attachment.id, content, attachment.type, attachment.name, attachment.filename)
        )
