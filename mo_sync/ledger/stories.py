"""The whole story of one event, message or attachment, found by its id or the beginning of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from mo_sync.errors import UsageError
from mo_sync.ledger.comparing import mark
from mo_sync.ledger.dialect import begins_with
from mo_sync.ledger.gaps import GapRow, of_message
from mo_sync.ledger.gaps import beginning_with as differing
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.rows import (
    Announcement,
    ApplicationRow,
    AttachmentRow,
    AttemptRow,
    InterventionRow,
    MarkRow,
    MessageRow,
    attachments,
    rows,
)
from mo_sync.ledger.schema import application, attachment, attempt, event, intervention, message
from mo_sync.ledger.veil import known_key
from mo_sync.readings import plain

__all__ = ["Story", "beginning_with", "find_gap", "find_story"]

_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one event, message or attachment; ``kind`` says which was asked for. It is ``gap`` for a message
    that is not here, of which only ``gaps`` tell."""

    kind: str
    id: str
    message: MessageRow | None
    events: tuple[Announcement, ...]
    attachments: tuple[AttachmentRow, ...]
    attempts: tuple[AttemptRow, ...]
    interventions: tuple[InterventionRow, ...]
    application: ApplicationRow | None
    gaps: tuple[GapRow, ...]
    mark: MarkRow | None


def find_story(ledger: Ledger, wanted: str) -> Story:
    """The story of the event, message or attachment ``wanted``: a whole id, or the beginning of only one.

    Raises UsageError ``id-unknown`` or ``id-ambiguous``, which then names candidates.
    """
    with ledger.read() as connection:
        kind, found = _find(connection, plain(wanted))
        return _story(connection, kind, found)


def find_gap(ledger: Ledger, wanted: str) -> Story | None:
    """What a comparison with Syniverse's inbox found of a message that is not here: by its id, or the beginning of only
    one. None where it found none. Raises UsageError ``id-ambiguous``.
    """
    with ledger.read() as connection:
        found = differing(connection, plain(wanted)) if wanted else []
    ids = list(dict.fromkeys(row.message_id for row in found))
    if len(ids) > 1:
        raise _ambiguous(wanted, [("message", one) for one in ids])
    return Story("gap", ids[0], None, (), (), (), (), None, tuple(found), None) if ids else None


def beginning_with(ledger: Ledger, beginning: str, *, count: int = 50) -> list[str]:
    """Ids of attachments, messages and events that begin so, the first ones in their order; at most ``count`` of each.

    Raises LedgerOutOfReach.
    """
    with ledger.read() as connection:
        return [
            str(found)
            for column in (attachment.c.id, message.c.id, event.c.event_key)
            for found in connection.execute(_beginning_with(connection, column, beginning, count)).scalars()
        ]


def _beginning_with(connection: Connection, column: ColumnElement[str], beginning: str, count: int) -> Select[Any]:
    begins = begins_with(connection.dialect.name, column, plain(beginning))
    return select(column).where(begins).order_by(column).limit(count)


def _find(connection: Connection, wanted: str) -> tuple[str, str]:
    places = (("attachment", attachment.c.id), ("message", message.c.id), ("event", event.c.event_key))
    for kind, column in places:
        if connection.execute(select(column).where(column == wanted)).first() is not None:
            return kind, wanted
    veil = known_key(connection)
    stand_ins = [(kind, column, veil(kind, wanted)) for kind, column in places] if veil is not None else []
    for kind, column, stand_in in stand_ins:
        if connection.execute(select(column).where(column == stand_in)).first() is not None:
            return kind, stand_in
    candidates: list[tuple[str, str]] = []
    for kind, column in places:
        found = connection.execute(_beginning_with(connection, column, wanted, _CANDIDATES)).scalars()
        candidates += [(kind, str(row)) for row in found]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates or not wanted:
        hint = "mo-sync ledger list shows ids"
        raise UsageError("id-unknown", "no event, message or attachment has this id", item=wanted, hint=hint)
    raise _ambiguous(wanted, candidates)


def _ambiguous(wanted: str, candidates: Sequence[tuple[str, str]]) -> UsageError:
    named = ", ".join(f"{kind} {row}" for kind, row in candidates[:_CANDIDATES])
    return UsageError("id-ambiguous", "several ids begin so", item=wanted, hint=f"it may be {named}")


def _story(connection: Connection, kind: str, found: str) -> Story:
    match kind:
        case "attachment":
            message_id = connection.execute(
                select(attachment.c.message_id).where(attachment.c.id == found)
            ).scalar_one()
            which = attachment.c.id == found
        case "message":
            message_id, which = found, attachment.c.message_id == found
        case _:
            message_id = connection.execute(select(event.c.message_id).where(event.c.event_key == found)).scalar_one()
            which = attachment.c.message_id == message_id
    announced = event.c.event_key == found if message_id is None else event.c.message_id == message_id
    shown = rows(connection, attachments().where(which).order_by(attachment.c.position), AttachmentRow)
    ids = [row.id for row in shown]
    tries = select(attempt).where(attempt.c.attachment_id.in_(ids)).order_by(attempt.c.id)
    deeds = select(intervention).where(intervention.c.attachment_id.in_(ids)).order_by(intervention.c.id)
    messages = rows(connection, select(message).where(message.c.id == message_id), MessageRow)
    named = [row.application_id for row in messages]
    marks = rows(connection, select(mark).where(mark.c.message_id == message_id), MarkRow)
    applications = rows(connection, select(application).where(application.c.id.in_(named)), ApplicationRow)
    return Story(
        kind=kind,
        id=found,
        message=messages[0] if messages else None,
        events=tuple(rows(connection, select(event).where(announced).order_by(event.c.id), Announcement)),
        attachments=tuple(shown),
        attempts=tuple(rows(connection, tries, AttemptRow)),
        interventions=tuple(rows(connection, deeds, InterventionRow)),
        application=applications[0] if applications else None,
        gaps=tuple(of_message(connection, message_id)) if message_id is not None else (),
        mark=marks[0] if marks else None,
    )
