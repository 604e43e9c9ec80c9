"""Every request, for those who test: what came, what was answered, and a way to wait for it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Entry", "Journal"]

_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. ``bearer`` is whether it bore an Authorization header; ``fault`` the name of what spoilt it."""

    method: str
    path: str
    step: str
    attachment_id: str
    application_id: str
    status: int
    fault: str
    bearer: bool
    user_agent: str


class Journal:
    """Entries in the order in which they were answered, the newest 200,000. Thread-safe."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._changed = threading.Condition()

    def write(self, entry: Entry) -> None:
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries())

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self, *, step: str | None = None, attachment_id: str | None = None) -> list[Entry]:
        """The requests so far, of a step, of an attachment."""
        with self._changed:
            return [entry for entry in self._entries if _fits(entry, step, attachment_id)]

    def count(self, *, step: str | None = None, attachment_id: str | None = None) -> int:
        return len(self.entries(step=step, attachment_id=attachment_id))

    def wait_for(
        self, number: int, *, step: str | None = None, attachment_id: str | None = None, timeout_s: float = 10.0
    ) -> bool:
        """Wait until so many requests fit; False: they did not come in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(_fits(entry, step, attachment_id) for entry in self._entries) >= number, timeout_s
            )

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()

    def summary(self) -> dict[str, object]:
        """Counts by step, by status, by fault, and by attachment and step."""
        entries = self.entries()
        by_attachment: dict[str, Counter[str]] = {}
        for entry in entries:
            if entry.attachment_id:
                by_attachment.setdefault(entry.attachment_id, Counter())[entry.step] += 1
        return {
            "requests": len(entries),
            "by_step": Counter(entry.step for entry in entries),
            "by_status": Counter(str(entry.status) for entry in entries),
            "by_fault": Counter(entry.fault for entry in entries if entry.fault),
            "by_attachment": by_attachment,
        }


def _fits(entry: Entry, step: str | None, attachment_id: str | None) -> bool:
    return step in (None, entry.step) and attachment_id in (None, entry.attachment_id)
