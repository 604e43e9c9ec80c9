"""A list that somebody reads slowly holds nothing open in the ledger, and is still of one moment."""

from __future__ import annotations

import io
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer

from mo_sync.cli.context import Context
from mo_sync.cli.main import app
from mo_sync.errors import ConfigurationError
from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as LedgerSettings
from tests.commands import call
from tests.ledgers import announced, items, recorded

PATIENCE_S = 20.0


def test_a_reader_that_stands_still_keeps_no_log_from_being_emptied(tmp_path: Path) -> None:
    """With a pager at its first page the write-ahead log grew until somebody closed it."""
    (tmp_path / "mo-sync.toml").write_text("")
    path = tmp_path / "ledger.db"
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        recorded(ledger, *items(1_000))
    ours, theirs = os.pipe()
    out = os.fdopen(theirs, "w", encoding="utf-8")
    context = Context(environ={}, cwd=tmp_path, out=out, err=io.StringIO())
    arguments = ["ledger", "export", "events", "--format", "jsonl", "--reveal"]
    codes: list[Any] = []

    def export() -> None:
        with out:
            command = typer.main.get_command(app)
            codes.append(command.main(arguments, standalone_mode=False, obj=context))

    exporting = threading.Thread(target=export)
    exporting.start()
    with os.fdopen(ours, encoding="utf-8") as pager:
        first = pager.readline()
        with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
            recorded(ledger, announced("Elate", "Mlate", ["Alate"]))
            wait_until_the_log_can_be_emptied(path)
        assert exporting.is_alive()
        rest = pager.readlines()
    exporting.join(PATIENCE_S)

    assert codes == [0]
    assert first.startswith('{"id": 1, ')
    assert len(rest) == 999
    assert not any("Elate" in line for line in rest)


def test_without_the_library_for_parquet_it_says_how_to_get_that_and_begins_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``mo-sync[parquet]`` is on no index, and the documented installation leaves all such names out."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.executable", "/opt/my sync/bin/python")
    url, target = f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "x.parquet"

    with pytest.raises(ConfigurationError, match="parquet-missing") as caught:
        call(url, tmp_path, "ledger", "export", "events", "--format", "parquet", "--output", str(target))

    assert caught.value.hint == "'/opt/my sync/bin/python' -m pip install pyarrow"
    assert not target.exists()


def wait_until_the_log_can_be_emptied(path: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    with closing(sqlite3.connect(path, isolation_level=None)) as ledger:
        while ledger.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
            assert time.monotonic() < end, "somebody still reads"
            time.sleep(0.01)
