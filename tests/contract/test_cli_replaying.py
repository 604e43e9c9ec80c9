"""``mo-sync ledger replay --file`` on every database: an installation that lost its ledger has its events again."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mo_sync.cli import replaying
from mo_sync.errors import UsageError
from mo_sync.ledger import Ledger
from tests.contract.conftest import Ask
from tests.ledgers import announced, column, recorded

FIVE = [announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(5)]
BROKEN = b'{"event-id": "cut'


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """What a drop folder keeps of five events, one of which came twice, and of one that was none."""
    folder = tmp_path / "done"
    (folder / "2026-11-20").mkdir(parents=True)
    (folder / "2026-11-20/a.json").write_bytes(FIVE[0][0].body)
    (folder / "2026-11-21.ndjson").write_bytes(b"\n".join(raw.body for raw, _ in (*FIVE[1:], FIVE[1])))
    (folder / "2026-11-22.json").write_bytes(BROKEN)
    return folder


def test_a_folder_is_read_first_to_see_then_to_record_and_again_without_harm(
    ledger: Ledger, asked: Ask, done: Path
) -> None:
    recorded(ledger, FIVE[0])
    foretold = "would be: 2 duplicate, 4 new, 1 rejected\n"
    before = sorted(path for path in done.rglob("*") if path.is_file())

    assert asked("replay", "--file", str(done), "--dry-run").out == foretold
    assert column(ledger, "select event_key from event") == ["E0"]

    assert asked("replay", "--file", str(done)).out == foretold.replace("would be", "read again")
    assert column(ledger, "select id from attachment order by id") == ["A0", "A1", "A2", "A3", "A4"]
    assert column(ledger, "select count(*) from event where state = 'rejected'") == [1]

    assert asked("replay", "--file", str(done), "--json").document["events"] == {"duplicate": 7}
    assert column(ledger, "select id from attachment order by id") == ["A0", "A1", "A2", "A3", "A4"]
    assert sorted(path for path in done.rglob("*") if path.is_file()) == before


def test_what_is_exported_from_one_ledger_is_read_by_another(
    ledger: Ledger, asked: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, *FIVE)
    exported = asked("export", "events", "--format", "jsonl", "--reveal").out
    with ledger.begin() as connection:
        for table in ("attempt", "attachment", "event", "message"):
            connection.exec_driver_sql(f"delete from {table}")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported.encode())))

    assert asked("replay", "--file", "-").out == "read again: 5 new\n"

    assert column(ledger, "select id from attachment order by id") == ["A0", "A1", "A2", "A3", "A4"]


def test_no_more_than_a_limit_is_read_and_that_is_told(ledger: Ledger, asked: Ask, done: Path) -> None:
    some = asked("replay", "--file", str(done), "--limit", "3", "--json")

    assert (some.exit_code, some.document["read"], some.document["capped"]) == (4, 3, True)
    assert len(column(ledger, "select id from attachment")) == 3
    assert "there are more than 3" in asked("replay", "--file", str(done), "--limit", "3").err
    assert asked("replay", "--file", str(done), "--limit", "3", "--all").exit_code == 5  # one is broken
    assert len(column(ledger, "select id from attachment")) == 5


def test_the_same_limit_holds_for_what_the_ledger_kept(ledger: Ledger, asked: Ask) -> None:
    recorded(ledger, *FIVE)

    some = asked("replay", "--state", "accepted", "--limit", "2", "--json")

    assert (some.exit_code, some.document["events"], some.document["whole"]) == (4, {"duplicate": 2}, False)
    assert asked("replay", "--state", "accepted").out == "read again: 5 duplicate\n"


@pytest.mark.parametrize(
    "words", [("E0",), ("--state", "rejected"), ("--since", "3d"), ("--until", "3d")], ids=lambda words: words[0]
)
def test_files_are_read_whole(asked: Ask, done: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="too-much-chosen"):
        asked("replay", "--file", str(done), *words)


def test_a_file_that_is_not_there_is_named(asked: Ask, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"file-unreadable: .*nowhere"):
        asked("replay", "--file", str(tmp_path / "nowhere"))


def test_bytes_that_are_gone_are_counted(ledger: Ledger, asked: Ask, tmp_path: Path) -> None:
    recorded(ledger, *FIVE)
    rows = asked("export", "events", "--format", "jsonl").out
    (tmp_path / "export.jsonl").write_text(rows)
    assert not any(json.loads(row)["payload"] for row in rows.splitlines())

    again = asked("replay", "--file", str(tmp_path / "export.jsonl"))

    assert again.out == "there are none to be read again\n"
    assert "5 events" in again.err


@pytest.mark.parametrize("name", ["", " "])
def test_a_name_that_is_empty_is_not_this_folder(ledger: Ledger, asked: Ask, name: str) -> None:
    with pytest.raises(UsageError, match="file-missing"):
        asked("replay", "--file", name)


@pytest.mark.parametrize("name", [".", "mo-sync.toml", "media", "media/2026", ".."])
def test_what_it_lives_by_itself_is_never_taken_for_events(
    ledger: Ledger, asked: Ask, tmp_path: Path, name: str
) -> None:
    (tmp_path / "media/2026").mkdir(parents=True)
    asked("status")  # writes the configuration

    with pytest.raises(UsageError, match="file-ours"):
        asked("replay", "--file", str(tmp_path / name))
    assert column(ledger, "select id from event") == []


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("kind", ["attachments", "messages", "attempts", "interventions", "problems"])
def test_an_export_of_anything_else_is_none_of_events(
    ledger: Ledger, asked: Ask, tmp_path: Path, kind: str, form: str
) -> None:
    recorded(ledger, *FIVE)
    rows = asked("export", kind, "--format", form).out
    (tmp_path / "some").write_text(rows)
    before = column(ledger, "select id from event order by id")

    if rows:
        with pytest.raises(UsageError, match=f"file-without-events: .*{kind}"):
            asked("replay", "--file", str(tmp_path / "some"))
    assert column(ledger, "select id from event order by id") == before


def test_nothing_at_all_leaves_nothing(ledger: Ledger, asked: Ask, tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("blank", b"\n \n")):
        (tmp_path / name).write_bytes(content)
        done = asked("replay", "--file", str(tmp_path / name))
        assert (done.exit_code, done.out) == (0, "there are none to be read again\n")
    assert column(ledger, "select id from event") == []


def test_what_could_not_be_read_is_told_by_the_exit_code(
    ledger: Ledger, asked: Ask, done: Path, tmp_path: Path
) -> None:
    assert asked("replay", "--file", str(done), "--dry-run").exit_code == 5
    assert asked("replay", "--file", str(done / "2026-11-21.ndjson")).exit_code == 0
    (tmp_path / "export.jsonl").write_text(asked("export", "events", "--format", "jsonl").out)
    assert asked("replay", "--file", str(tmp_path / "export.jsonl")).exit_code == 5


def test_who_interrupts_it_is_told_that_it_begins_with_the_first_again(
    ledger: Ledger, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, *FIVE)

    @contextlib.contextmanager
    def hearing(_: Sequence[int], act: Callable[[int], object], **__: object) -> Iterator[None]:
        monkeypatch.setattr(replaying, "replay", lambda *_, **__: act(signal.SIGINT) or {"duplicate": 1})
        yield

    with monkeypatch.context() as patched:
        patched.setattr(replaying, "heard", hearing)
        told = asked("replay", "--state", "accepted")

    assert told.exit_code == 130
    assert told.err.endswith("interrupted after 1 event; the same command begins with the first again\n")
