"""What the ledger lists, as tables for people and as documents for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from mo_sync.cli.advice import helps
from mo_sync.cli.output import Output, bytes_text, local_time, mask_number
from mo_sync.cli.tables import Lines
from mo_sync.ledger.queries import AttachmentRow, OtherProblem
from mo_sync.ledger.retention import PRUNED
from mo_sync.lifecycle import State

__all__ = ["attachment_lines", "left_alone", "masked", "other_lines", "veiled", "with_command"]

_HEADS: Final[tuple[str, ...]] = (
    "attachment",
    "message",
    "from",
    "state",
    "size",
    "announced",
    "location or reason",
    "command",
)
_LINES: Final = Lines(("attachment", "state", "size", "announced"), ("location or reason",), ("command",))
_OTHER: Final = ("also needs a person", "since", "reason", "command")
_OTHER_LINES: Final = Lines(_OTHER[:2], ("reason",), ("command",))

_ALONE = {
    State.STORED: "it is stored already",
    State.FETCHING: "it is being fetched just now",
    State.QUARANTINED: "it is quarantined",
    State.HELD: "it is held",
    State.ERASED: "it was erased on request",
}


def attachment_lines(
    output: Output,
    rows: Sequence[AttachmentRow],
    *,
    utc: bool = False,
    reveal: bool = False,
    commands: bool = False,
    headed: bool = True,
) -> str:
    """Attachments as lines of text, with the command that helps each if ``commands``. ``headed``: with the names of the
    columns."""
    heads = _HEADS if commands else _HEADS[:-1]
    cells = [_cells(row, utc=utc, reveal=reveal)[: len(heads)] for row in rows]
    narrow = _LINES if commands else replace(_LINES, alone=())
    return output.table_text(heads, cells, right=("size",), narrow=narrow, headed=headed)


def other_lines(output: Output, rows: Sequence[OtherProblem], *, utc: bool) -> str:
    """What is no attachment and needs a person, as lines of text, each with the command that helps."""
    cells = [(row.kind, local_time(row.since, utc=utc), row.reason, row.command) for row in rows]
    return output.table_text(_OTHER, cells, narrow=_OTHER_LINES)


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


def veiled(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its numbers cut down, and without its payload: an event as it came has them in full, anywhere."""
    found: dict[str, Any] = masked(dict(row), reveal=False)
    return found | {"payload": None} if "payload" in found else found


def with_command(row: AttachmentRow) -> dict[str, Any]:
    """An attachment for a program, with the ``command`` that helps it; None where nothing is to be done."""
    return asdict(row) | {"command": helps(row.state, row.id)}


def _cells(row: AttachmentRow, *, utc: bool, reveal: bool) -> tuple[str, ...]:
    sender = row.from_address if reveal or row.from_address is None else mask_number(row.from_address)
    size = bytes_text(row.size) if row.size is not None else ""
    where = row.location if row.state == State.STORED else row.error or row.location or ""
    announced, command = local_time(row.created_at, utc=utc), helps(row.state, row.id) or ""
    return row.id, row.message_id, sender or "", row.state, size, announced, where or "", command
