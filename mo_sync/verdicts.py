"""What a failure means for the attachment it happened to: a table, as data."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Step", "Verdict"]


class Step(StrEnum):
    """Where in a fetch something happened."""

    MINT = "mint"
    CONTENT = "content"
    STORE = "store"


class Verdict(StrEnum):
    """What to do about a failure."""

    RETRY = "retry"
    """Passing trouble: again after a backoff; uses up an attempt."""
    SNOOZE = "snooze"
    """Not ready yet: again after ``retry.snooze``; uses up no attempt, bounded by the deadline."""
    REMINT = "remint"
    """The content token expired: a new one at once, within the same attempt; when that is used up, as RETRY."""
    ABSENT = "absent"
    """Said not to exist: often a race right after the event, so believed only when repeated; then ``missing``."""
    HOLD = "hold"
    """Trouble of the whole application (credentials, credit): its claims stop; uses up no attempt."""
    THROTTLED = "throttled"
    """The application is asked to slow down: its claims pause until ``retry_after``; uses up no attempt."""
    PERMANENT = "permanent"
    """Trying again cannot help: ``failed``."""
