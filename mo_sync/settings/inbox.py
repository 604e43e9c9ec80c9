"""The settings of the inbox feed: how Syniverse's side is compared with this one."""

from __future__ import annotations

from pydantic import Field

from mo_sync.settings.section import Section
from mo_sync.settings.units import Duration

__all__ = ["Inbox"]


class Inbox(Section):
    """Syniverse's own list of messages, which is compared with what was announced: what is missing is taken from it."""

    enabled: bool = Field(True, description="Look into it; it takes the application tokens that fetching takes too.")
    interval: Duration = Field(900.0, ge=10, description="How often.")
    overlap: Duration = Field(
        7_200.0,
        ge=600,
        description="How far each look goes back before the last: what clocks and lists may be late by.",
    )
    backfill: Duration = Field(
        90 * 86_400.0, description="How far back it is gone through once, the first time; `0s`: not at all."
    )
    page: int = Field(100, ge=1, le=1_000, description="Messages asked for at once.")
    mark_processed: bool = Field(
        False, description="Set a message's state to PROCESSED there when all its attachments are stored."
    )
    silence: Duration | None = Field(
        None,
        gt=0,
        description="An application is silent when no event came for so long; by its own habit when absent.",
        examples=["6h"],
    )
