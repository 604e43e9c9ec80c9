"""What doctor is told about an open ledger."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.checkup import check_up
from mo_sync.ledger.migrate import HEAD
from mo_sync.settings import Ledger as LedgerSettings
from tests.contract.conftest import House, on_postgresql, on_sqlite
from tests.ledgers import column, items, recorded


def found(ledger: Ledger) -> dict[str, tuple[str, str]]:
    return {finding.subject: (finding.level, finding.detail) for finding in check_up(ledger)}


def test_a_sound_ledger_is_ok_in_every_respect_and_unchanged(ledger: Ledger) -> None:
    recorded(ledger, *items(5))

    findings = check_up(ledger)

    assert {finding.level for finding in findings} == {"ok"}
    assert found(ledger)["schema"] == ("ok", f"revision {HEAD}")
    subjects = (
        ["schema", "writing", "integrity", "journal"] if ledger.dialect == "sqlite" else ["schema", "server", "writing"]
    )
    assert [finding.subject for finding in findings] == subjects
    assert column(ledger, "select count(*) from message") == [5]
    assert column(ledger, "select count(*) from cursor") == [0]


def test_what_cannot_be_written_is_found_though_it_can_be_locked(ledger: Ledger) -> None:
    """A lock was taken and nothing written: a table without rights, or a page that is damaged, went unnoticed."""
    with ledger.begin() as connection:
        if ledger.dialect == "sqlite":
            refuse = "create trigger no before insert on cursor begin select raise(ignore); end"
        else:
            refuse = "create rule no as on insert to cursor do instead nothing"
        connection.exec_driver_sql(refuse)

    assert found(ledger)["writing"] == ("failed", "what is read is not what was written")


@on_sqlite
def test_a_disk_that_is_nearly_full_is_a_warning(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server knows of its own disk, which need not be of this machine."""
    monkeypatch.setattr("mo_sync.ledger.checkup._free_bytes", lambda _: 5_000_000)

    level, detail = found(ledger)["room"]

    assert (level, detail.startswith("5 MB are free")) == ("warning", True)


def test_a_damaged_index_is_found(tmp_path: Path, template_file: Path) -> None:
    """A page that reads well but does not fit the others: only a look through all of it can tell."""
    path = tmp_path / "ledger.db"
    path.write_bytes(template_file.read_bytes())
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        recorded(ledger, *items(50))
        with ledger.begin() as connection:
            connection.exec_driver_sql("pragma writable_schema = on")
            connection.exec_driver_sql(
                "update sqlite_schema set rootpage = (select rootpage from sqlite_schema where name = 'event')"
                " where name = 'ix_message_to_address'"
            )
    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        try:
            level, detail = found(ledger)["integrity"]
        except LedgerOutOfReach as error:
            level, detail = "failed", error.code

    assert level == "failed"
    assert detail


@pytest.mark.parametrize(("mode", "levels"), [(0o640, set()), (0o644, {"warning"})])
def test_a_file_that_anyone_may_read_is_a_warning(
    tmp_path: Path, template_file: Path, mode: int, levels: set[str]
) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(template_file.read_bytes())
    path.chmod(mode)

    with Ledger.open(LedgerSettings(url=f"sqlite:///{path}")) as ledger:
        assert {finding.level for finding in check_up(ledger) if finding.subject == "modes"} == levels


def test_a_ledger_that_another_program_locks_cannot_be_told(house: House) -> None:
    with house.open() as ledger, house.open(busy_timeout=0.1) as other, ledger.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = version_num")
        if house.kind == "sqlite":
            with pytest.raises(LedgerOutOfReach, match="ledger-locked"):
                check_up(other)
        else:
            assert {finding.level for finding in check_up(other)} == {"ok"}


@on_postgresql
def test_a_server_that_takes_no_writes_is_found(house: House) -> None:
    """As a standby is; a SQLite file that may only be read is found by another way."""
    with psycopg.connect(house.url.replace("+psycopg", ""), autocommit=True) as administrator:
        database = administrator.info.dbname
        administrator.execute(f"alter database {database} set default_transaction_read_only = on")

    with house.open(migrate=False) as ledger:
        assert found(ledger)["server"][0] == "failed"
        with pytest.raises(LedgerOutOfReach, match="ledger-read-only"):
            recorded(ledger, *items(1))
