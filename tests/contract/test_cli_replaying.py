"""``mo-sync ledger replay --file`` on every database: an installation that lost its ledger has its events again."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

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
    assert asked("replay", "--file", str(done), "--limit", "3", "--all").exit_code == 0
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

    assert again.out == "read again: there are none\n"
    assert "5 events" in again.err
