"""Which bearer tokens are good, remembered for a while: a client sends the same one with every event.

A token that many requests bring at once is asked about once. Only digests are remembered, never a token.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.feeds.relay.authority import AuthoritySilent, TokenCheck

__all__ = ["Tokens"]

_log = structlog.get_logger(__name__)

_GOOD_FOR_S: Final = 60.0
_BAD_FOR_S: Final = 10.0
_REMEMBERED: Final = 1_000
_AT_ONCE: Final = 4
_LONGEST: Final = 16 * 1024


class Tokens:
    """For one thread (the event loop's), which it never holds up: ``check`` works on threads of its own."""

    def __init__(self, check: TokenCheck, clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._threads = ThreadPoolExecutor(_AT_ONCE, "relay-oauth")
        self._verdicts: OrderedDict[bytes, tuple[bool, float]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[bool]] = {}
        self._silent = False

    async def good(self, token: bytes) -> bool:
        """Whether who has ``token`` may post. A revoked one is found out within a minute. Raises AuthoritySilent."""
        if len(token) > _LONGEST or not token.isascii():
            return False
        digest = hashlib.sha256(token).digest()
        verdict, until_s = self._verdicts.get(digest, (False, 0.0))
        if self._clock.monotonic() < until_s:
            return verdict
        asked = self._asked.get(digest)
        if asked is None:
            asked = self._asked[digest] = asyncio.ensure_future(self._ask(token.decode("ascii"), digest))
        # Whoever hangs up must not take the answer from those who wait for it too.
        return await asyncio.shield(asked)

    async def _ask(self, token: str, digest: bytes) -> bool:
        loop = asyncio.get_running_loop()
        try:
            good_until = await loop.run_in_executor(self._threads, self._check.good_until, token)
        except AuthoritySilent as error:
            if not self._silent:
                hint = "see oauth.keys or oauth.introspection; those who bring new tokens get 503 meanwhile"
                _log.error("oauth.silent", error=str(error), hint=hint)
            self._silent = True
            raise
        finally:
            del self._asked[digest]
        if self._silent:
            _log.info("oauth.back")
        self._silent = False
        self._remember(digest, good_until)
        return good_until is not None

    def _remember(self, digest: bytes, good_until: float | None) -> None:
        left_s = _BAD_FOR_S if good_until is None else good_until - self._clock.now().timestamp()
        for_s = max(0.0, min(left_s, _GOOD_FOR_S))
        self._verdicts.pop(digest, None)
        self._verdicts[digest] = (good_until is not None, self._clock.monotonic() + for_s)
        while len(self._verdicts) > _REMEMBERED:
            self._verdicts.popitem(last=False)
