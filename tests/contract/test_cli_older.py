"""A ledger that an older program wrote: who looks into it leaves it as it is, and a backup is a copy of just that."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger.migrate import HEAD
from mo_sync.settings import Ledger as LedgerSettings
from tests.commands import call
from tests.contract.conftest import House
from tests.ledgers import begun_at

LOOKING = (
    "status",
    "list",
    "show A1",
    "export events",
    "follow",
    "gaps",
    "verify",
    "prune --dry-run",
    "erase --from +14085550100 --dry-run",
    "replay --state rejected --dry-run",
    "retry A1 --dry-run",
    "retry A1",
)


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as found:
        return str(found.execute("select version_num from alembic_version").fetchone()[0])


@pytest.mark.parametrize("words", LOOKING)
def test_who_looks_into_it_is_told_that_it_is_older_and_what_migrates_it(tmp_path: Path, words: str) -> None:
    """`mo-sync ledger status` of the new version migrated it under the daemon of the old one."""
    begun_at(LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db"), "0003")

    with pytest.raises(LedgerOutOfReach, match="ledger-outdated") as caught:
        call("sqlite:///ledger.db", tmp_path, "ledger", *words.split(), more={"retention": {"events": "90d"}})

    assert "mo-sync init" in str(caught.value.hint)
    assert revision(tmp_path / "ledger.db") == "0003"
    assert not (tmp_path / "media").exists()


@pytest.mark.parametrize("found", ["0001", "0003"])
def test_its_backup_is_of_the_same_revision_and_so_is_the_ledger_still(tmp_path: Path, found: str) -> None:
    begun_at(LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db"), found)

    copied = call("sqlite:///ledger.db", tmp_path, "ledger", "backup", str(tmp_path / "copy.db"), "--json").document

    assert copied["rows"] == {"event": 0, "message": 0, "attachment": 0, "attempt": 0}
    assert [revision(tmp_path / name) for name in ("copy.db", "ledger.db")] == [found] * 2


def test_init_migrates_it_and_says_so(bare_house: House, tmp_path: Path) -> None:
    begun_at(LedgerSettings(url=bare_house.url), "0003")

    first = call(bare_house.url, tmp_path, "init").out
    second = call(bare_house.url, tmp_path, "init").out

    assert "(of the newest revision; it was older)" in first
    assert "nothing was changed" in second
    with bare_house.open(migrate=False) as ledger, ledger.read() as connection:
        assert connection.exec_driver_sql("select version_num from alembic_version").scalar_one() == HEAD
