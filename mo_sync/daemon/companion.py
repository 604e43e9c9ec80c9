"""What works beside the daemon's jobs, as the relay does: how it is begun, watched, reloaded and ended."""

from __future__ import annotations

from typing import Protocol

from mo_sync.settings import Settings

__all__ = ["Companion"]


class Companion(Protocol):
    """What works beside the jobs on threads of its own, as the relay does."""

    @property
    def name(self) -> str:
        """What it is called in the log."""

    @property
    def alive(self) -> bool:
        """Whether it still works."""

    @property
    def crowded(self) -> bool:
        """Whether it is so busy that work that can wait had better wait."""

    def start(self) -> None:
        """Begin. Raises MoSyncError."""

    def reload(self, settings: Settings) -> None:
        """Take over new settings. Raises MoSyncError."""

    def stop(self, *, grace_s: float) -> bool:
        """End in good order; whether it did in time."""
