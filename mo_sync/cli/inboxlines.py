"""What ``ledger status`` says of Syniverse's inboxes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mo_sync.cli.output import age, local_time
from mo_sync.ledger.queries import Inboxes

__all__ = ["inbox_lines"]


def inbox_lines(found: Inboxes, *, now: datetime, utc: bool) -> Iterator[str]:
    """A line for each inbox, and for what is wrong; nothing where none was looked into."""
    for name, place in found.places.items():
        seen = "never" if place.seen_to is None else f"up to {age((now - place.seen_to).total_seconds())} ago"
        left = ""
        if place.left is not None:
            left = (
                f"; still to be gone through: {age((place.left.until - place.left.since).total_seconds())} before that"
            )
        yield f"inbox {name} was seen {seen}{left}"
    if found.recovered_last_day:
        yield f"of the last day, messages that only the inbox brought: {found.recovered_last_day:,}"
    if found.marks:
        told = ", ".join(f"{count:,} {state}" for state, count in sorted(found.marks.items()))
        yield f"to be marked as PROCESSED: {told}"
    for trouble in found.troubles:
        yield f"{trouble.kind}: {trouble.subject}, since {local_time(trouble.since, utc=utc)}: {trouble.reason}"
