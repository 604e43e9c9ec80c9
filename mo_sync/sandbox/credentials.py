"""Application tokens: whose they are, and how they are refreshed. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

__all__ = ["Credentials"]


class Credentials:
    """``tokens`` maps a token to its application, or to ``ANY_APPLICATION``; ``consumer`` is the key and the secret."""

    def __init__(self, tokens: Mapping[str, str | int], consumer: tuple[str, str], new_id: Callable[[], str]) -> None:
        self._tokens = {token: str(application) for token, application in tokens.items()}
        self._consumer = consumer
        self._new_id = new_id
        self._expired: set[str] = set()
        self._lock = threading.Lock()

    def application_of(self, token: str) -> str | None:
        """The application of a token; None: no such token, or no longer."""
        with self._lock:
            return None if token in self._expired else self._tokens.get(token)

    def add(self, token: str, application_id: str | int) -> None:
        with self._lock:
            self._tokens[token] = str(application_id)

    def revoke(self, token: str) -> None:
        with self._lock:
            self._tokens.pop(token, None)

    def expire(self, *tokens: str) -> None:
        """From now on these, or all there are, open nothing any more; each can still be refreshed, once."""
        with self._lock:
            self._expired.update(tokens or self._tokens)

    def refresh(self, key: str, secret: str, old: str) -> str | None:
        """The token that takes the old one's place, which is dead from now on; None: the credentials are wrong."""
        with self._lock:
            if (key, secret) != self._consumer or old not in self._tokens:
                return None
            new = self._new_id()
            self._expired.discard(old)
            self._tokens[new] = self._tokens.pop(old)
            return new
