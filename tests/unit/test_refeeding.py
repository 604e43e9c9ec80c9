"""Events out of files that somebody names: every shape, whole folders, a pipe, and exports of a ledger."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mo_sync.errors import EventError, UsageError
from mo_sync.events import Envelope, RawEvent, parse, payload_text
from mo_sync.feeds.refeeding import Found, found_in, refeed
from tests.ledgers import NOW, announced

EVENTS = [announced(f"E{n}", f"M{n}", [f"A{n}"])[0].body for n in range(5)]


def found(*names: Path | str, stdin: bytes = b"") -> list[Found]:
    return list(found_in([str(name) for name in names], stdin=io.BytesIO(stdin), max_event=1_000_000, now=NOW))


def keys(some: Sequence[Found]) -> list[str]:
    read = [parse(one.raw) for one in some if one.raw is not None and one.error is None]
    return [said.event_key for said in read if isinstance(said, Envelope) and said.message is not None]


def row(body: bytes, **more: object) -> dict[str, object]:
    return {
        "id": 7,
        "event_key": "E7",
        "source": "drop:x:1",
        "topic": "SCG-Message",
        "type": "mo_message_received",
        "state": "rejected",
        "message_id": None,
        "deliveries": 1,
        "payload": payload_text(body, max_chars=1_000_000),
        **more,
    }


def test_a_folder_is_read_whole_in_the_order_of_its_names_without_what_is_about_files(tmp_path: Path) -> None:
    (tmp_path / "2026-11-20").mkdir()
    (tmp_path / "2026-11-20/b.ndjson").write_bytes(b"\n".join(EVENTS[1:3]))
    (tmp_path / "2026-11-20/a.json").write_bytes(EVENTS[0])
    (tmp_path / "2026-11-21.ndjson.gz").write_bytes(gzip.compress(EVENTS[3]))
    (tmp_path / "2026-11-20/a.json.error.txt").write_bytes(b"line 1: what was wrong")
    (tmp_path / ".hidden").write_bytes(EVENTS[4])
    (tmp_path / "link").symlink_to(tmp_path / ".hidden")

    assert keys(found(tmp_path)) == ["E0", "E1", "E2", "E3"]


def test_a_pipe_is_read_between_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(EVENTS[0])
    (tmp_path / "b").write_bytes(EVENTS[2])

    some = found(tmp_path / "a", "-", tmp_path / "b", stdin=EVENTS[1])

    assert keys(some) == ["E0", "E1", "E2"]
    assert some[1].raw is not None
    assert some[1].raw.source.startswith("replay:stdin:")


@pytest.mark.parametrize("missing", ["nowhere", "refused"])
def test_what_cannot_be_read_is_told_by_its_name(tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "refused":
        (tmp_path / missing).write_bytes(b"{}")

        def refuse(path: Path, *_: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(UsageError, match=f"file-unreadable: .*{missing}"):
        found(tmp_path / missing)


def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To root nothing is refused: who looks into it is told so by a double."""
    (tmp_path / "done/2026-11-20").mkdir(parents=True)
    (tmp_path / "done/2026-11-21").mkdir()
    (tmp_path / "done/2026-11-21/a.json").write_bytes(EVENTS[0])
    look = os.scandir

    def refuse(folder: str) -> object:
        if str(folder).endswith("2026-11-20"):
            raise PermissionError(13, "Permission denied", folder)
        return look(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match=r"file-unreadable: .*2026-11-20.*Permission denied"):
        found(tmp_path / "done")


def test_a_table_that_another_program_spoiled_is_told(tmp_path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row(b"")))
    writer.writeheader()
    writer.writerow(row(EVENTS[0]))
    (tmp_path / "events.csv").write_bytes(text.getvalue().encode() + "é".encode("latin-1") + b",\n")

    with pytest.raises(UsageError, match=r"file-unreadable: .*events\.csv.*line [012]"):
        found(tmp_path / "events.csv")


def test_rows_of_an_export_stand_for_what_they_kept_understood_or_not(tmp_path: Path) -> None:
    """A row names a message_id of its own: taken for an event, it would be one without attachments."""
    lines = [row(EVENTS[0], message_id="M0"), row(b"\xff\xfe no text"), row(b"{broken"), row(EVENTS[1])]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    some = found(tmp_path / "events.jsonl")

    assert [one.raw.body for one in some if one.raw is not None] == [
        EVENTS[0],
        b"\xff\xfe no text",
        b"{broken",
        EVENTS[1],
    ]
    assert keys(some) == ["E0", "E1"]
    assert all(one.error is None for one in some)


def test_the_same_as_csv(tmp_path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row(b"")))
    writer.writeheader()
    writer.writerows([row(EVENTS[0]), row(b'{"a": "x,\n\\"y"}'), row(EVENTS[1])])
    (tmp_path / "events.csv").write_text(text.getvalue())

    some = found(tmp_path / "events.csv")

    assert keys(some) == ["E0", "E1"]
    assert some[1].raw is not None
    assert some[1].raw.body == b'{"a": "x,\n\\"y"}'


@pytest.mark.parametrize("payload", ["", '{"a": … (9000000 bytes in all)', None])
def test_a_row_without_its_bytes_is_counted_as_lost(tmp_path: Path, payload: str | None) -> None:
    lines = [row(b"", payload=payload), row(EVENTS[0])]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    done = refeed(iter(found(tmp_path / "events.jsonl")), lambda raws, _: {"read": len(raws)}, **FREELY)

    assert (done.read, done.lost) == (1, 1)


FREELY = {"limit": None, "stop": lambda: False, "told": lambda _: None}


def some_found(count: int) -> list[Found]:
    return [Found(RawEvent("replay:x:1", EVENTS[0], NOW)) for _ in range(count)]


def test_events_are_handed_on_by_some_hundreds_with_their_errors_by_place() -> None:
    sizes: list[int] = []
    broken: list[list[int]] = []

    def record(raws: Sequence[RawEvent], errors: dict[int, EventError]) -> dict[str, int]:
        sizes.append(len(raws))
        broken.append(sorted(errors))
        return {"new": len(raws) - len(errors), "rejected": len(errors)}

    many = some_found(1_201)
    many[700] = Found(many[700].raw, EventError("no-event", "none", position="byte 0"))
    told: list[int] = []
    done = refeed(iter(many), record, limit=None, stop=lambda: False, told=told.append)

    assert sizes == told == [500, 500, 201]
    assert broken == [[], [200], []]
    assert done.counts == {"new": 1_200, "rejected": 1}
    assert not done.capped


@pytest.mark.parametrize(("limit", "read", "capped"), [(700, 700, True), (1_000, 1_000, False), (None, 1_000, False)])
def test_no_more_are_taken_than_was_said(limit: int | None, read: int, capped: bool) -> None:
    done = refeed(
        iter(some_found(1_000)),
        lambda raws, _: {"new": len(raws)},
        limit=limit,
        stop=lambda: False,
        told=lambda _: None,
    )

    assert (done.read, done.counts, done.capped) == (read, {"new": read}, capped)


def test_a_stop_keeps_what_was_read() -> None:
    asked = iter(range(10_000))
    done = refeed(
        iter(some_found(1_000)),
        lambda raws, _: {"new": len(raws)},
        limit=None,
        stop=lambda: next(asked) >= 600,
        told=lambda _: None,
    )

    assert done.counts == {"new": 600}
