"""Events from files that somebody names: what ``done/`` kept, what another receiver kept, or a ledger's export.

They are taken as the drop folder takes them, in every shape, but stay where they are. A row of ``ledger export events``
stands for the event that it kept.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from mo_sync.awaited import opened, readable
from mo_sync.cells import read_back
from mo_sync.errors import EventError, UsageError
from mo_sync.events import RawEvent, payload_bytes
from mo_sync.feeds.dropnames import ERROR_SUFFIX, shown
from mo_sync.ledger.exports import Kind, columns_of
from mo_sync.shapes import pieces

__all__ = ["Found", "Refed", "found_in", "refeed"]

_STDIN: Final = "-"
_COLUMNS: Final = frozenset({"event_key", "payload"})
_AT_ONCE: Final = 500
_HEAD: Final = 8_192
_PARQUET: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class Found:
    """An event, or the bytes that an ``error`` says are none. ``raw`` None: a row of an export without the bytes."""

    raw: RawEvent | None
    error: EventError | None = None


@dataclass(slots=True)
class Refed:
    """How many events were read, and how many were not there with their bytes. ``capped``: more were there."""

    read: int = 0
    lost: int = 0
    capped: bool = False
    counts: dict[str, int] = field(default_factory=dict)


def found_in(
    names: Sequence[str], *, stdin: BinaryIO, max_event: int, now: datetime, stop: Callable[[], bool] = lambda: False
) -> Iterator[Found]:
    """The events in files, in all files of folders, and in ``stdin`` for ``-``, in the order of their names.

    When ``stop`` says so a pipe ends, and the last that was found in it may be half an event. Raises UsageError for
    what cannot be read.
    """
    for name in names:
        label = "stdin" if name == _STDIN else shown(name)
        try:
            for path in [None] if name == _STDIN else _files(Path(name)):
                label = label if path is None else shown(str(path))
                with nullcontext(readable(stdin, stop)) if path is None else opened(path, stop) as stream:
                    yield from _read(io.BufferedReader(stream), label, max_event, now)  # type: ignore[arg-type]  # any reader
        except OSError as error:
            summary = f"it cannot be read ({error.strerror})"
            mended = "see its name" if isinstance(error, FileNotFoundError) else "give its rights"
            hint = f"{mended}, and say the same again: what was taken already does no harm"
            where = label if error.filename is None else shown(os.fsdecode(error.filename))
            raise UsageError("file-unreadable", summary, item=where, hint=hint) from error


def _files(path: Path) -> list[Path]:
    """Of a folder those that the drop folder would take, and no reports of errors. Raises OSError for a folder in it
    that cannot be looked into: events that are passed over in silence are what a replay is to mend."""
    if not path.is_dir():
        return [path]

    def refuse(error: OSError) -> None:
        raise error

    found = (Path(folder, name) for folder, _, names in os.walk(path, onerror=refuse) for name in names)
    plain = (one for one in found if one.is_file() and not one.is_symlink())
    return sorted(one for one in plain if not one.name.startswith(".") and not one.name.endswith(ERROR_SUFFIX))


def _read(stream: io.BufferedReader, label: str, max_event: int, now: datetime) -> Iterator[Found]:
    head = stream.peek(_HEAD)[:_HEAD]
    if (other := _other_export(head)) is not None:
        hint = "mo-sync ledger export events --reveal --format jsonl writes events"
        raise UsageError("file-without-events", f"this is an export of {other}", item=label, hint=hint)
    if _is_export(head):
        yield from _rows(stream, label, now)
        return
    for piece in pieces(stream, max_event=max_event):
        if piece.error is not None and not piece.raw.strip():
            continue  # nothing at all: a row that tells so would need a person
        body = _kept_in(piece.raw)
        source = f"replay:{label}:{piece.position}"
        error = piece.error if body is piece.raw else None
        yield Found(RawEvent(source, body, now) if body is not None else None, error)


def _other_export(head: bytes) -> str | None:
    """What a table holds whose rows would pass for events, or for broken ones, and are none."""
    if head.startswith(_PARQUET):
        return "a kind that is not read here"
    first = head.partition(b"\n")[0].removeprefix(codecs.BOM_UTF8).strip()
    try:
        names = set(msgspec.json.decode(first, type=dict[str, object]))
    except msgspec.MsgspecError:
        names = set(first.decode("utf-8", "replace").split(","))
    return next((kind.value for kind in Kind if kind is not Kind.EVENTS and names == set(columns_of(kind))), None)


def _is_export(head: bytes) -> bool:
    """Whether it is a table of events, as ``ledger export events --format csv`` writes it."""
    names = head.partition(b"\n")[0].decode("utf-8-sig", "replace").strip().split(",")
    return _COLUMNS.issubset(names)


def _rows(stream: BinaryIO, label: str, now: datetime) -> Iterator[Found]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
    try:
        for row in reader:
            body = payload_bytes(read_back(row.get("payload") or ""))
            source = f"replay:{label}:line {reader.line_num}"
            yield Found(RawEvent(source, body, now) if body else None)
    except UnicodeDecodeError as error:
        summary = f"after line {reader.line_num} it is no table in UTF-8 any more ({error})"
        hint = "another program may have saved it: give it as mo-sync ledger export events wrote it"
        raise UsageError("file-unreadable", summary, item=label, hint=hint) from error


def _kept_in(raw: bytes) -> bytes | None:
    """The event that a row of an export kept, or what is no such row as it is; None where its bytes are gone."""
    if b'"event_key"' not in raw or b'"payload"' not in raw:
        return raw
    try:
        row = msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.MsgspecError:
        return raw
    payload = row.get("payload")
    if not _COLUMNS.issubset(row) or not isinstance(payload, str | None):
        return raw
    return payload_bytes(payload) or None if payload else None


Record = Callable[[Sequence[RawEvent], dict[int, EventError]], dict[str, int]]
"""Records events, those among them that are none by their place; how many of each kind they were."""


def refeed(
    found: Iterator[Found],
    record: Record,
    *,
    limit: int | None,
    stop: Callable[[], bool],
    told: Callable[[int], object],
) -> Refed:
    """Hand on what was found, some hundreds at once, at most ``limit`` events. ``told`` hears how many were done.

    ``stop`` is asked before each is taken: what was found by the time is handed on, that one is not.
    """
    done = Refed()
    batch: list[Found] = []

    def hand_on() -> None:
        raws = [one.raw for one in batch if one.raw is not None]
        errors = {place: one.error for place, one in enumerate(batch) if one.error is not None}
        for kind, count in record(raws, errors).items():
            done.counts[kind] = done.counts.get(kind, 0) + count
        told(len(batch))
        batch.clear()

    for one in found:
        if stop():
            break
        if limit is not None and done.read >= limit:
            done.capped = True
            break
        if one.raw is None:
            done.lost += 1
            continue
        done.read += 1
        batch.append(one)
        if len(batch) >= _AT_ONCE:
            hand_on()
    if batch:
        hand_on()
    return done
