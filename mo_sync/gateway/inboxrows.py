"""What the inbox's answers say: pages of messages, lists of attachments. Pure; anything at all is answered.

The forms are those of ``docs/scg-api.md``: ``{"list": [...], "total": N}`` where ``total`` may be missing, and rows of
which any field may be. A row is kept as it came, for whoever reads it as an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from mo_sync.readings import moment, number, text

__all__ = ["InboxPage", "InboxRow", "listed_attachments", "marked", "page"]


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A message as the inbox shows it; ``raw`` is its JSON. ``direction``, ``state`` and ``type`` are in upper case.

    A row that names no direction has that of its state: only messages from phones are RECEIVED or PROCESSED.
    """

    message_id: str
    raw: bytes
    direction: str | None = None
    state: str | None = None
    type: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InboxPage:
    """A page: its rows, how many the server counted on it (also such as cannot be read), and in all, if it says so.

    ``told_at`` is the server's own time when it answered, if it says that.
    """

    rows: tuple[InboxRow, ...]
    count: int
    total: int | None = None
    told_at: datetime | None = None


class _Listing(msgspec.Struct):
    rows: list[msgspec.Raw] = msgspec.field(name="list")
    total: Any = None


class _Files(msgspec.Struct):
    rows: list[dict[str, Any]] = msgspec.field(name="list")


_rows = msgspec.json.Decoder(_Listing | list[msgspec.Raw]).decode
_row = msgspec.json.Decoder(dict[str, Any]).decode
_files = msgspec.json.Decoder(_Files).decode
_OF_PHONES: Final = frozenset({"RECEIVED", "PROCESSED", "DELETED"})
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


def page(body: bytes) -> InboxPage | None:
    """A page of messages; None for what is none.

    >>> page(b'{"list": [{"id": "M1", "direction": "MO"}], "total": 7}').total
    7
    """
    try:
        found = _rows(body.removeprefix(b"\xef\xbb\xbf"))
    except _UNREADABLE:
        return None
    listed, total = (found.rows, number(found.total)) if isinstance(found, _Listing) else (found, None)
    rows = [row for raw in listed if (row := _read(bytes(raw))) is not None]
    return InboxPage(tuple(rows), len(listed), total)


def _read(raw: bytes) -> InboxRow | None:
    try:
        fields = _row(raw)
    except _UNREADABLE:
        return None
    message_id = text(fields.get("id"))
    if message_id is None:
        return None
    state = _word(fields, "state")
    direction = _word(fields, "direction") or ("MO" if state in _OF_PHONES else None)
    if "direction" not in fields:
        raw = msgspec.json.encode(fields | {"direction": direction})
    return InboxRow(
        message_id=message_id,
        raw=raw,
        direction=direction,
        state=state,
        type=_word(fields, "type"),
        created_at=moment(fields.get("created_date")),
    )


def _word(fields: Mapping[str, Any], name: str) -> str | None:
    found = text(fields.get(name))
    return found.upper() if found is not None else None


def listed_attachments(body: bytes) -> tuple[str, ...] | None:
    """The ids of a message's attachments, in their order; None for what is no such list.

    >>> listed_attachments(b'{"list": [{"id": "A1", "type": "image/png"}]}')
    ('A1',)
    """
    try:
        found = _files(body.removeprefix(b"\xef\xbb\xbf"))
    except _UNREADABLE:
        return None
    ids = (text(row.get("id")) for row in found.rows)
    return tuple(dict.fromkeys(one for one in ids if one is not None))


def marked(_: bytes) -> Literal[True]:
    """Whatever a server says when it has changed a message: that it answered well is all there is to know."""
    return True
