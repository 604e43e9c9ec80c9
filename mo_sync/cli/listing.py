"""What the ledger lists, as tables for people and as documents for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from mo_sync.cli.advice import helps
from mo_sync.cli.output import Output, bytes_text, local_time, mask_number, printable
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
_WHY: Final = _HEADS.index("location or reason")
_REASON: Final = 24
"""So much of a reason is worth a column of its own, when it must be cut off."""

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
    """Attachments as lines of text, with the command that helps each if ``commands``; ids and states are whole however
    narrow the terminal is.

    Where there is no room for a table, each has some lines of its own. ``headed``: with the names of the columns.
    """
    heads = _HEADS if commands else _HEADS[:-1]
    cells = [_cells(row, utc=utc, reveal=reveal)[: len(heads)] for row in rows]
    room = output.columns
    if room is not None and _needed(heads, cells, cut=_WHY) > room:
        return _under_each_other(heads, cells, room, headed=headed)
    text = output.table_text(heads, cells, whole=("attachment", "message", "state", "command"), right=("size",))
    return text if headed else text.partition("\n")[2]


def other_lines(output: Output, rows: Sequence[OtherProblem], *, utc: bool) -> str:
    """What is no attachment and needs a person, as lines of text, each with the command that helps."""
    heads = ("also needs a person", "since", "reason", "command")
    cells = [(row.kind, local_time(row.since, utc=utc), row.reason or "", row.command) for row in rows]
    room = output.columns
    if room is None or _needed(heads, cells, cut=2) <= room:
        return output.table_text(heads, cells, whole=("also needs a person", "command"))
    told = [
        f"{kind}  {since}\n{_folded(reason, room)}  {printable(command)}\n" for kind, since, reason, command in cells
    ]
    return "also needs a person\n" + "".join(told)


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
    told = (row.id, row.message_id, sender or "", row.state, size, announced, where or "", command)
    return tuple(printable(cell).replace("\n", "\\n") for cell in told)


def _needed(heads: Sequence[str], cells: Sequence[Sequence[str]], *, cut: int) -> int:
    """How wide a line must be for a table of which only column ``cut``, that of the reasons, is cut off."""
    columns = [[head, *(row[place] for row in cells)] for place, head in enumerate(heads)]
    longest = [max(map(len, column)) for column in columns]
    longest[cut] = min(longest[cut], _REASON)
    return sum(longest) + 2 * (len(longest) - 1)


def _under_each_other(heads: Sequence[str], cells: Sequence[Sequence[str]], room: int, *, headed: bool) -> str:
    """A line for what is short and compared from one to the next, and below it what is read once it was found."""
    first = ("attachment", "state", "size", "announced")
    rows = [dict(zip(heads, row, strict=True)) for row in cells]
    lines = [dict(zip(first, first, strict=True))] if headed else []
    widths = {name: max((len(row[name]) for row in [*lines, *rows]), default=0) for name in first}
    text = [_line(row, widths) for row in lines]
    for row in rows:
        sender = f" from {row['from']}" if row["from"] else ""
        about = f"message {row['message']}{sender}" + (f": {row[_HEADS[_WHY]]}" if row[_HEADS[_WHY]] else "")
        command = f"  {row['command']}\n" if row.get("command") else ""
        text.append(_line(row, widths) + _folded(about, room) + command)
    return "".join(text)


def _line(row: Mapping[str, str], widths: Mapping[str, int]) -> str:
    size = row["size"].rjust(widths["size"])
    cells = (row["attachment"].ljust(widths["attachment"]), row["state"].ljust(widths["state"]), size)
    return "  ".join((*cells, row["announced"])).rstrip() + "\n"


def _folded(text: str, room: int) -> str:
    """In lines of the terminal, between words: what is copied stays in one piece."""
    wrapped = textwrap.wrap(
        printable(text),
        room,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"{line}\n" for line in wrapped)
