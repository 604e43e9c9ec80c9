"""``mo-sync ledger export``: every list, whole, for other programs, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet
import pytest

from mo_sync.cells import read_back
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.record import record
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.verdicts import Verdict
from tests import mounts
from tests.ledgers import announced, failed, settlement, stored
from tests.site import Site
from tests.terminal import in_terminal

RUN = 7
"""So many of them a spreadsheet would run, or look past their first character and run the rest."""
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "a\x1b[31mb", 'quo"ted, and\nbroken', "é 漢"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thousand messages, the first of them with all that is odd."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        odd = [announced(f"E{n}", f"M{n}", [f"A{n}"], message_body=words) for n, words in enumerate(FORMULAS)]
        many = [announced(f"E{n}", f"M{n}", [f"A{n}"], application_id="2") for n in range(10, 2_000)]
        record(ledger, odd + many, now=now, give_up_after_s=3600.0)
        leases = {lease.attachment_id: lease for lease in claim(ledger, worker="w", count=9, now=now, lease_s=60.0)}
        outcomes = [stored(leases["A0"]), failed(Verdict.PERMANENT, status=410, code="4100")]
        batch = [settlement(leases[f"A{n}"], outcome, now=now) for n, outcome in enumerate(outcomes)]
        assert settle(ledger, batch, worker="w") == [True] * 2
    return path


@pytest.fixture
def site(tmp_path: Path, template: Path) -> Site:
    site = Site(tmp_path / "site", "http://127.0.0.1:9")
    shutil.copy(template, site.root / "ledger.db")
    return site


@pytest.fixture
def exported(site: Site) -> Callable[..., str]:
    def export(*arguments: str) -> str:
        done = site.run("ledger", "export", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return export


def rows_of(told: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(told, newline="")))


def test_csv_holds_every_row_and_nothing_that_a_spreadsheet_would_run(
    exported: Callable[..., str], tmp_path: Path
) -> None:
    exported("messages", "--reveal", "--output", str(tmp_path / "found.csv"))
    found = rows_of((tmp_path / "found.csv").read_bytes().decode())

    assert len(found) == 2_000
    bodies = {row["id"]: row["body"] for row in found}
    for number, words in enumerate(FORMULAS):
        assert bodies[f"M{number}"] == (f"'{words}" if number < RUN else words)
    assert {row["from_address"] for row in found} == {"'+14086080000"}
    assert all(row["recorded_at"].endswith("Z") for row in found)


@pytest.mark.parametrize("kind", ["attachments", "messages", "events", "attempts"])
def test_every_list_says_the_same_in_every_form(
    site: Site, exported: Callable[..., str], kind: str, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in exported(kind, "--format", "jsonl").splitlines()]
    table = rows_of(exported(kind))
    exported(kind, "--format", "parquet", "--output", str(tmp_path / "x.parquet"))
    parquet = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist()

    counted = site.query(f"select count(*) from {kind.removesuffix('s')}")[0][0]
    assert len(lines) == len(table) == len(parquet) == counted
    assert list(lines[0]) == list(table[0]) == list(parquet[0])
    for line, cells, row in zip(lines[:50], table[:50], parquet[:50], strict=True):
        for name, value in line.items():
            assert read_back(cells[name]) == ("" if value is None else str(value))
            told = row[name]
            assert (told.isoformat().replace("+00:00", "Z") if isinstance(told, datetime) else told) == value


def test_numbers_are_masked_and_payloads_left_out_unless_they_are_to_be_seen(exported: Callable[..., str]) -> None:
    for kind in ("attachments", "messages", "events"):
        assert "14086080000" not in exported(kind, "--format", "jsonl")
    assert "14086080000" in exported("attachments", "--reveal", "--format", "jsonl")
    assert "14086080000" in exported("events", "--reveal", "--format", "jsonl")


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["attachments", "--state", "stored,failed"], 2),
        (["attachments", "--application", "17226", "--state", "pending"], 5),
        (["attachments", "--error", "4100"], 1),
        (["attachments", "--from", "14086080000", "--since", "3h", "--until", "1h"], 2_000),
        (["attachments", "--since", "1h"], 0),
        (["messages", "--application", "2"], 1_990),
        (["messages", "--to", "18322222222", "--since", "3h"], 2_000),
        (["events", "--application", "17226"], 10),
        (["events", "--until", "2001-01-01"], 0),
        (["attempts", "--state", "failed"], 1),
        (["attempts", "--since", "3h"], 2),
    ],
)
def test_filters_choose(exported: Callable[..., str], arguments: list[str], count: int) -> None:
    assert len(exported(*arguments, "--format", "jsonl").splitlines()) == count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["messages", "--state", "stored"], "--state: it says nothing about messages"),
        (["events", "--error", "x"], "--error: it says nothing about events"),
        (["attachments", "--format", "parquet"], "name a file with --output"),
        (["pictures"], "attachments"),
        (["attachments", "--since", "tomorrow"], "this is no time"),
    ],
)
def test_what_means_nothing_is_an_error_of_usage(site: Site, arguments: list[str], words: str) -> None:
    told = site.run("ledger", "export", *arguments)

    assert told.returncode == 2
    assert words in told.stderr
    assert told.stdout == ""


def test_a_file_is_written_whole_or_not_at_all_and_not_over_another(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "found.csv"
    arguments = ["ledger", "export", "attachments", "--output", str(target)]
    assert site.run(*arguments).stdout == f"{target}\n"
    assert len(rows_of(target.read_text())) == 2_000
    assert target.stat().st_mode & 0o007 == 0
    target.write_text("something dear")
    refused = site.run(*arguments)
    assert (refused.returncode, target.read_text()) == (2, "something dear")
    assert "--force" in refused.stderr
    assert site.run(*arguments, "--force").returncode == 0
    assert len(rows_of(target.read_text())) == 2_000
    nowhere = site.run("ledger", "export", "attachments", "--output", str(tmp_path / "no" / "x.csv"))
    assert nowhere.returncode == 75
    assert "see whether the folder is there" in nowhere.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.csv", "site"]


def test_a_full_disk_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    mounts.needs_mounts()
    with mounts.tmpfs(tmp_path / "small", "size=100k") as small:
        for form in ("csv", "jsonl", "parquet"):
            told = site.run("ledger", "export", "messages", "--format", form, "--output", str(small / "x"))
            if form != "parquet":  # which is small enough
                assert told.returncode == 75, told.stderr
                assert list(small.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(site: Site) -> None:
    with site.start("ledger", "export", "messages") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_at_a_terminal_nothing_that_was_sent_can_colour_it(site: Site) -> None:
    told = in_terminal(site.start, "ledger", "export", "messages")

    assert told.returncode == 0
    assert "\x1b[31m" not in told.raw
    assert "a\\x1b[31mb" in told.raw


def test_rows_are_streamed(site: Site) -> None:
    """The first is there long before the last: a ledger of millions fits into no memory."""
    with site.start("ledger", "export", "events", "--format", "jsonl", "--reveal") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert json.loads(first)["event_key"] == "E0"
        rest = process.stdout.read()
        assert process.wait(60) == os.EX_OK
    assert len(rest.splitlines()) == 1_999
