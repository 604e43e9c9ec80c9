"""Copies of events in the drop folder: found by what is in them, removed whole, and by their day."""

from __future__ import annotations

import errno
import gzip
import json
import os
from base64 import b64encode
from datetime import date
from pathlib import Path

import pytest

from mo_sync.feeds.dropcopies import forget_days, remove_copies


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    for folder in ("done/2026-11-19", "done/2026-11-20", "rejected", "processing"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


HOLDING = {
    "json": b'{"message_id": "M1", "attachment_ids": "A7,A1"}',
    "in the middle of a list": b'{"attachment_ids": "A7,A1,A8"}',
    "xml": b"<id>A1</id>",
    "packed": gzip.compress(b'{"message_id": "M1"}'),
    "far in": b"x" * 3_000_000 + b' "M1" ' + b"y" * 3_000_000,
    "over the edge of a piece": b" " * ((1 << 20) - 1) + b"M1",
    "the number with its plus": b'"+14085550100"',
    "the number without": b'"14085550100"',
    "an odd id": b'"odd/id of theirs"',
    "an odd id as JSON may write it": b'{"id": "odd\\/id of theirs"}',
    "escaped": b'{"message_id": "\\u004d1"}',
    "escaped within text": json.dumps({"body": '{"message_id": "M\\u0031"}'}).encode(),
    "escaped and cut off": b'{"message_id": "\\u004d1", ',
    "with references": b"<id>A&#49;</id>",
    "in pieces": b"<n>1408<![CDATA[555]]>0100</n>",
    "in UTF-16": '{"message_id": "M1"}\n{"message_id": "M2"}'.encode("utf-16"),
    "packed in UTF-16": gzip.compress('{"message_id": "M1"}'.encode("utf-16")),
    "packed twice": gzip.compress(gzip.compress(b'{"message_id": "M1"}')),
    "in base64": json.dumps({"isBase64Encoded": True, "body": b64encode(b'{"message_id": "M1"}').decode()}).encode(),
    "in base64 of some other wrap": json.dumps(
        {"data": b64encode(b'{"message_id": "M1"}' + b" " * 99).decode()}
    ).encode(),
    "in one of many": b'{"message_id": "M2"}\n' * 9
    + json.dumps({"b": b64encode(b"x" * 99 + b" M1 ").decode()}).encode(),
}
NOT_HOLDING = {
    "a longer id": b'"M11"',
    "within an id": b'"xM1"',
    "a longer number": b'"140855501001"',
    "a longer odd id": b'"odd/id of theirs1"',
    "another one in base64": json.dumps(
        {"isBase64Encoded": True, "body": b64encode(b'{"id": "M11"}').decode()}
    ).encode(),
    "another one in UTF-16": '{"message_id": "M11"}'.encode("utf-16"),
    "empty": b"",
}
NAMES = ["M1", "A1", "14085550100", "odd/id of theirs"]


@pytest.mark.parametrize("name", HOLDING)
def test_a_file_with_one_of_the_names_goes(drop: Path, name: str) -> None:
    (drop / "done/2026-11-19/a.json").write_bytes(HOLDING[name])
    (drop / "done/2026-11-20/b.json").write_bytes(b'"M2"')

    assert remove_copies(drop, NAMES) == (["done/2026-11-19/a.json"], {})
    assert not (drop / "done/2026-11-19/a.json").exists()
    assert remove_copies(drop, NAMES) == ([], {})


@pytest.mark.parametrize("name", NOT_HOLDING)
def test_a_file_without_them_stays(drop: Path, name: str) -> None:
    (drop / "done/2026-11-19/a.json").write_bytes(NOT_HOLDING[name])

    assert remove_copies(drop, NAMES) == ([], {})
    assert (drop / "done/2026-11-19/a.json").exists()


def test_a_rejected_file_goes_with_its_explanation(drop: Path) -> None:
    (drop / "rejected/a.json").write_bytes(b'"M1')
    (drop / "rejected/a.json.error.txt").write_text("no JSON")

    removed, left = remove_copies(drop, NAMES)

    assert (removed, left) == (["rejected/a.json"], {})
    assert list((drop / "rejected").iterdir()) == []


def test_what_was_rejected_is_looked_into_whatever_it_is(drop: Path) -> None:
    for folder in ("rejected", "done/2026-11-19"):
        (drop / folder / "a.json").write_bytes(json.dumps({"data": b64encode(b"from=14085550100").decode()}).encode())

    assert remove_copies(drop, ["14085550100"]) == (["rejected/a.json"], {})


def test_what_is_on_its_way_is_not_a_copy(drop: Path) -> None:
    (drop / "waiting.json").write_bytes(b'"M1"')
    (drop / "processing/taken.json").write_bytes(b'"M1"')

    assert remove_copies(drop, NAMES) == ([], {})


def test_links_are_not_followed_and_what_cannot_be_read_is_told(drop: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b'"M1"')
    (drop / "done/2026-11-19/link").symlink_to(outside)
    (drop / "done/2026-11-19/cut.gz").write_bytes(gzip.compress(b"x" * 100)[:-9])

    removed, left = remove_copies(drop, NAMES)

    assert removed == []
    assert left.keys() == {"done/2026-11-19/link", "done/2026-11-19/cut.gz"}
    assert outside.exists()


def test_a_folder_that_cannot_be_looked_into_is_told(drop: Path) -> None:
    (drop / "rejected").rmdir()
    (drop / "rejected").write_bytes(b"in the way")
    (drop / "done/2026-11-20/a.json").write_bytes(b'"M1"')

    assert remove_copies(drop, NAMES) == (["done/2026-11-20/a.json"], {"rejected": "Not a directory"})
    assert remove_copies(drop / "nowhere", NAMES) == ([], {})


def test_days_are_forgotten_by_their_names(drop: Path) -> None:
    for name in ("done/2026-11-19/a", "done/2026-11-20/b", "rejected/c"):
        (drop / name).write_bytes(b"x")
    (drop / "done/mine").mkdir()
    os.symlink(drop / "rejected", drop / "done/2020-01-01")

    assert forget_days(drop, before=date(2026, 11, 20)) == (1, {})
    assert forget_days(drop / "nowhere", before=date(2026, 11, 20)) == (0, {})

    assert sorted(path.name for path in (drop / "done").iterdir()) == ["2020-01-01", "2026-11-20", "mine"]
    assert (drop / "rejected/c").exists()


def test_a_day_that_resists_is_told_and_keeps_no_other_day_and_nothing_else_of_its_own(
    drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One immutable file ended every round of the daemon, as an error that nobody foresaw, until it was restarted."""
    for name in ("2026-11-18/a", "2026-11-18/stuck", "2026-11-18/z", "2026-11-19/b"):
        (drop / "done" / name).parent.mkdir(exist_ok=True)
        (drop / "done" / name).write_bytes(b"x")
    unlink = os.unlink

    def resist(name: str, **more: int) -> None:
        if name == "stuck":
            raise PermissionError(errno.EPERM, "Operation not permitted", name)
        unlink(name, **more)

    monkeypatch.setattr(os, "unlink", resist)

    told = forget_days(drop, before=date(2026, 11, 20))

    assert told == (1, {"done/2026-11-18": "stuck cannot be removed (Operation not permitted)"})
    assert [path.name for path in (drop / "done/2026-11-18").iterdir()] == ["stuck"]
    assert not (drop / "done/2026-11-19").exists()


def test_days_that_cannot_be_looked_for_are_told(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)

    assert forget_days(drop, before=date(2026, 11, 20)) == (0, {"done": "it cannot be looked into (Permission denied)"})


def test_a_stop_is_asked_for_before_each_file(drop: Path) -> None:
    for name in "abc":
        (drop / f"done/2026-11-19/{name}.json").write_bytes(b'{"message_id": "M1"}')
    answers = iter([False, True])

    removed, left = remove_copies(drop, NAMES, stop=lambda: next(answers))

    assert (len(removed), left) == (1, {})


def test_what_is_said_of_a_rejected_file_takes_it_along(drop: Path) -> None:
    (drop / "rejected/a.json").write_bytes(b"{broken")
    (drop / "rejected/a.json.error.txt").write_text("raw:0123abc cannot be read")
    (drop / "done/2026-11-19/b.error.txt").write_text("raw:0123abc is no report of ours")
    (drop / "done/2026-11-19/b").write_text("another")

    removed, left = remove_copies(drop, ["raw:0123abc"])

    assert (sorted(removed), left) == (["done/2026-11-19/b.error.txt", "rejected/a.json"], {})
    assert [path.name for path in drop.rglob("*") if path.is_file()] == ["b"]


@pytest.mark.parametrize("packed", [False, True])
def test_an_event_is_found_by_its_bytes_and_not_in_another(drop: Path, packed: bool) -> None:
    body = b"{broken"
    content = b'{"a": 1}\n  {broken\n{"a": 2}\n'
    (drop / "done/2026-11-19/a.json").write_bytes(gzip.compress(content, 1) if packed else content)
    (drop / "done/2026-11-19/b.json").write_bytes(b'{"a": "{broken"}\n')

    assert remove_copies(drop, [], bodies=[body]) == (["done/2026-11-19/a.json"], {})


def test_only_what_came_to_lie_there_since_then_is_looked_at(drop: Path) -> None:
    (drop / "done/2026-11-19/a.json").write_bytes(b'"M1"')
    came_s = (drop / "done/2026-11-19/a.json").stat().st_ctime

    assert remove_copies(drop, ["M1"], since_s=came_s + 1.0) == ([], {})
    assert remove_copies(drop, ["M1"], since_s=came_s - 1.0) == (["done/2026-11-19/a.json"], {})
