"""What the ledger lists, as tables for people and as documents for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mo_sync.cli.output import Output, bytes_text, local_time, mask_number
from mo_sync.ledger.queries import AttachmentRow, OtherProblem
from mo_sync.ledger.retention import PRUNED
from mo_sync.lifecycle import State

__all__ = ["left_alone", "masked", "show_attachments", "show_others"]

_ALONE = {
    State.STORED: "it is stored already",
    State.FETCHING: "it is being fetched just now",
    State.QUARANTINED: "it is quarantined",
    State.HELD: "it is held",
    State.ERASED: "it was erased on request",
}


def show_attachments(output: Output, rows: Sequence[AttachmentRow], *, utc: bool, reveal: bool) -> None:
    """A table of attachments; ids and states are whole however narrow the terminal is."""
    output.table(
        ("attachment", "message", "from", "state", "size", "announced", "location or reason"),
        [_cells(row, utc=utc, reveal=reveal) for row in rows],
        whole=("attachment", "message", "state"),
    )


def show_others(output: Output, rows: Sequence[OtherProblem], *, utc: bool) -> None:
    """A table of what is no attachment and needs a person, each with the command that helps; nothing for none."""
    if rows:
        output.say()
        output.table(
            ("also needs a person", "since", "reason", "command"),
            [(row.kind, local_time(row.since, utc=utc), row.reason or "", row.command) for row in rows],
            whole=("also needs a person", "command"),
        )


def left_alone(row: AttachmentRow) -> str:
    """Why nothing was done to an attachment that somebody named."""
    why = _ALONE.get(State(row.state), f"it is {row.state}")
    if row.state == State.ERASED and row.error == PRUNED:
        why = "it was kept long enough, and is being pruned"
    return f"{row.id} was left alone: {why}"


def masked(value: Any, *, reveal: bool) -> Any:
    """A document with its phone numbers cut down, wherever they are in it."""
    if reveal:
        return value
    if isinstance(value, dict):
        return {
            name: mask_number(inside)
            if name in ("from_address", "to_address") and inside
            else masked(inside, reveal=False)
            for name, inside in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(inside, reveal=False) for inside in value]
    return value


def _cells(row: AttachmentRow, *, utc: bool, reveal: bool) -> tuple[object, ...]:
    sender = row.from_address if reveal or row.from_address is None else mask_number(row.from_address)
    size = bytes_text(row.size) if row.size is not None else ""
    where = row.location if row.state == State.STORED else row.error or row.location or ""
    return (row.id, row.message_id, sender or "", row.state, size, local_time(row.created_at, utc=utc), where)
