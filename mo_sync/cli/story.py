"""A story in words: what happened to an event, a message or an attachment, in order, and what happens next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter

from mo_sync.cli.advice import helps, shell_word
from mo_sync.cli.output import age, bytes_text, counted, local_time, mask_number
from mo_sync.ledger.gaps import Kind
from mo_sync.ledger.queries import (
    Announcement,
    ApplicationRow,
    AttachmentRow,
    AttemptRow,
    InterventionRow,
    MarkRow,
    MessageRow,
    Story,
)
from mo_sync.lifecycle import Standing, State

__all__ = ["timeline"]


def timeline(story: Story, *, now: datetime, utc: bool, reveal: bool, paused: str | None = None) -> Iterator[str]:
    """The lines of the story, the oldest first; ``utc`` and ``reveal`` as the commands have them. ``paused``: why
    nothing at all is fetched now."""
    if story.kind == "gap":
        yield from _elsewhere(story, utc=utc)
        return
    if story.message is not None:
        yield from _message(story.message, utc=utc, reveal=reveal)
    for announcement in story.events:
        yield from _announcement(announcement, utc=utc)
    for gap in story.gaps:
        yield f"{gap.kind}: {gap.reason}"
    for attachment in story.attachments:
        yield ""
        yield f"attachment {attachment.id}: {attachment.state}"
        tries = [one for one in story.attempts if one.attachment_id == attachment.id]
        deeds = [one for one in story.interventions if one.attachment_id == attachment.id]
        told = [(one.finished_at, _attempt(one, utc=utc)) for one in tries]
        told += [(one.at, _intervention(one, utc=utc)) for one in deeds]
        yield from (line for _, line in sorted(told, key=itemgetter(0)))
        yield from _now(attachment, now=now, utc=utc)
        if attachment.state == State.PENDING:
            yield from _rests(story.application, utc=utc) if story.application is not None else ()
            yield from [f"  but all fetching is {paused}"] if paused else ()
    if story.message is not None and not story.attachments:
        yield "no attachments"
    if story.mark is not None:
        yield ""
        yield from _mark(story.mark, now=now, utc=utc)


def _elsewhere(story: Story, *, utc: bool) -> Iterator[str]:
    """Of a message that is not here."""
    for gap in story.gaps:
        yield f"message {gap.message_id} of application {gap.application_id}: {gap.kind}"
        yield f"  {local_time(gap.since, utc=utc)}  received by Syniverse"
        yield f"  {gap.reason}"
        if gap.kind == Kind.ONLY_IN_INBOX:
            yield f"  to record it: {gap.command}"


def _message(message: MessageRow, *, utc: bool, reveal: bool) -> Iterator[str]:
    sender, receiver = (_shown(address, reveal) for address in (message.from_address, message.to_address))
    yield f"message {message.id} of application {message.application_id}, from {sender} to {receiver}"
    if message.occurred_at is not None:
        yield f"  {local_time(message.occurred_at, utc=utc)}  sent"
    yield f"  {local_time(message.recorded_at, utc=utc)}  recorded"
    if message.av_status is not None:
        yield f"  virus scan by Syniverse: {message.av_status}"


def _rests(application: ApplicationRow, *, utc: bool) -> Iterator[str]:
    """What keeps even what is due from being fetched."""
    if application.state != Standing.ACTIVE and application.until is not None:
        yield f"  but application {application.id} is {application.state}: {application.reason}"
        yield (
            f"  it is tried again at {local_time(application.until, utc=utc)}; at once:"
            f" mo-sync ledger release --application {shell_word(application.id)}"
        )


def _shown(address: str | None, reveal: bool) -> str:
    if address is None:
        return "an unknown number"
    return address if reveal else mask_number(address)


def _announcement(event: Announcement, *, utc: bool) -> Iterator[str]:
    times = "once" if event.deliveries == 1 else f"{event.deliveries} times"
    yield f"event {event.event_key}: {event.state}, delivered {times}"
    yield f"  {local_time(event.received_at, utc=utc)}  received from {event.source}"
    if event.reason is not None:
        yield f"  {event.reason}"


def _mark(mark: MarkRow, *, now: datetime, utc: bool) -> Iterator[str]:
    """What Syniverse was told of it, or is to be told."""
    tries = f"; {counted(mark.attempts, 'try', 'tries')} in vain: {mark.error}" if mark.error is not None else ""
    if mark.marked_at is not None:
        yield f"  {local_time(mark.marked_at, utc=utc)}  Syniverse was told that it is PROCESSED"
    elif mark.due_at is not None:
        wait_s = (mark.due_at - now).total_seconds()
        yield f"  Syniverse is told that it is PROCESSED {'in ' + age(wait_s) if wait_s > 0 else 'at once'}{tries}"
    else:
        yield f"  Syniverse could not be told that it is PROCESSED{tries}"


def _attempt(attempt: AttemptRow, *, utc: bool) -> str:
    facts = [attempt.outcome]
    if attempt.step is not None:
        facts.append(f"at {attempt.step}")
    if attempt.status is not None:
        facts.append(f"HTTP {attempt.status}")
    if attempt.code is not None:
        facts.append(attempt.code)
    if attempt.bytes:
        facts.append(bytes_text(attempt.bytes))
    why = f": {attempt.error}" if attempt.error else ""
    return f"  {local_time(attempt.finished_at, utc=utc)}  attempt {attempt.number}: {' '.join(facts)}{why}"


def _intervention(deed: InterventionRow, *, utc: bool) -> str:
    why = f": {deed.reason}" if deed.reason else ""
    return f"  {local_time(deed.at, utc=utc)}  {deed.deed} by {deed.who or 'somebody'}, when it was {deed.state}{why}"


def _now(row: AttachmentRow, *, now: datetime, utc: bool) -> Iterator[str]:
    """Why it is where it is, what happens next, and which command helps."""
    retry = f"mo-sync ledger retry {shell_word(row.id)}"
    match State(row.state):
        case State.PENDING if row.due_at is not None and row.due_at > now:
            yield f"  next try at {local_time(row.due_at, utc=utc)}, in {age((row.due_at - now).total_seconds())}"
            yield f"  it is given up after {local_time(row.deadline_at, utc=utc)}; at once: {retry}"
        case State.PENDING:
            yield "  due now: the daemon, or mo-sync --sync-now, fetches it"
        case State.FETCHING if row.lease_until is not None:
            yield f"  being fetched by {row.worker}, until {local_time(row.lease_until, utc=utc)} at the longest"
        case State.STORED | State.QUARANTINED:
            yield f"  {row.location}"
            yield f"  {bytes_text(row.size or 0)}, {row.content_type}, sha256 {row.sha256}"
            if row.error is not None:
                yield f"  {row.error}"
            if row.state == State.QUARANTINED:
                word = shell_word(row.id)
                yield f"  when you have judged it: mo-sync ledger release {word}, or mo-sync ledger erase {word}"
        case State.HELD:
            yield f"  {row.error or 'no reason was recorded'}"
            yield f"  to let it go on: {helps(row.state, row.id)}"
        case State.FAILED | State.MISSING | State.REFUSED | State.CANCELLED:
            yield f"  {row.error or 'no reason was recorded'}"
            yield f"  to try again: {helps(row.state, row.id)}"
        case _:
            yield f"  {row.error or ''}".rstrip()
