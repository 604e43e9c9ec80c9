"""Trouble with the ledger, met by the real process: locked, read-only, damaged, newer, gone, restarted, shared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as LedgerSettings

ROOT = Path(__file__).resolve().parents[2]

VISITOR = """
import sys
from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as Settings
with Ledger.open(Settings(url=sys.argv[1])) as ledger, ledger.begin() as connection:
    connection.exec_driver_sql("update cursor set value = 'visited'")
"""


def test_a_process_that_comes_and_goes_does_not_take_the_log_from_under_one_that_stays(tmp_path: Path) -> None:
    """A process that opens and closes the file itself loses its locks on it (POSIX), whatever SQLite still holds.

    Then the next process to close the ledger takes itself for the last one and removes the write-ahead log, and what
    the first one commits into the removed log goes over what others committed since.
    """
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    log = tmp_path / "ledger.db-wal"
    with Ledger.open(LedgerSettings(url=url)) as ledger:
        with ledger.begin() as connection:
            connection.exec_driver_sql("insert into cursor values ('c', 'ours', '2026-11-20T12:00:00.000000Z')")
        with ledger.read() as one, ledger.read() as other:  # a second connection, made while there is one
            for connection in (one, other):
                connection.exec_driver_sql("select count(*) from event")
        before = log.stat().st_ino
        subprocess.run(
            [sys.executable, "-c", VISITOR, url], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
        )

        assert log.exists()
        assert log.stat().st_ino == before
        with ledger.begin() as connection:
            assert connection.exec_driver_sql("select value from cursor").scalar_one() == "visited"
