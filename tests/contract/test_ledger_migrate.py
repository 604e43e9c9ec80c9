"""A ledger is made and migrated once, by whoever comes first, and never touched by a program that is too old for it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mo_sync.errors import LedgerOutOfReach, LedgerTooNew
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.migrate import HEAD, revision, scripts
from mo_sync.ledger.schema import metadata
from mo_sync.ledger.totals import counted, totals
from mo_sync.ledger.views import COMMENTS
from mo_sync.settings import Ledger as LedgerSettings
from tests.contract.conftest import House
from tests.forks import processes
from tests.ledgers import NOW, announced, begun_at, column, one, recorded


def at(ledger: Ledger) -> str | None:
    with ledger.read() as connection:
        return revision(connection)


def put_at(house: House, found: str) -> None:
    with house.open() as ledger, ledger.begin() as connection:
        connection.exec_driver_sql(f"update alembic_version set version_num = '{found}'")


def test_the_revision_that_the_program_knows_is_the_newest_script() -> None:
    newest = max(path.name.partition("_")[0] for path in (scripts() / "versions").glob("*.py"))

    assert newest == HEAD


def test_a_new_ledger_is_made_at_the_newest_revision_and_can_be_used_at_once(bare_house: House) -> None:
    with bare_house.open() as ledger:
        assert at(ledger) == HEAD
        recorded(ledger, announced("E1"))
        for view in COMMENTS:
            assert one(ledger, f"select count(*) n from {view}")["n"] in (0, 1)


def test_opening_it_again_changes_nothing(house: House) -> None:
    with house.open() as ledger:
        recorded(ledger, announced("E1"))
    with house.open() as ledger:
        assert column(ledger, "select id from message") == ["M1"]
    with house.open(migrate=False) as ledger:
        assert column(ledger, "select id from message") == ["M1"]


def test_what_the_migrations_make_is_what_the_schema_says(ledger: Ledger) -> None:
    options = {"compare_type": True, "compare_server_default": True}
    with ledger.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert differences == []


def _open_in_a_process(url: str, start: Any, told: Any) -> None:
    start.wait(60)
    try:
        with Ledger.open(LedgerSettings(url=url)) as ledger:
            told.put(at(ledger))
    except Exception as error:
        told.put(repr(error))


@pytest.mark.parametrize("again", range(3))
def test_four_processes_that_open_a_new_ledger_at_once_all_succeed(bare_house: House, again: int) -> None:
    forked = processes()
    start, told = forked.Barrier(4), forked.Queue()
    openers = [forked.Process(target=_open_in_a_process, args=(bare_house.url, start, told)) for _ in range(4)]
    for opener in openers:
        opener.start()
    found = [told.get(timeout=60) for _ in openers]
    for opener in openers:
        opener.join(60)

    assert found == [HEAD] * 4
    with bare_house.open() as ledger:
        assert column(ledger, "select version_num from alembic_version") == [HEAD]


@pytest.mark.parametrize("migrate", [True, False])
def test_a_ledger_of_a_newer_program_is_refused_and_left_as_it_is(house: House, migrate: bool) -> None:
    """P22."""
    put_at(house, "9999")

    with pytest.raises(LedgerTooNew, match="ledger-too-new") as caught:
        house.open(migrate=migrate)

    assert caught.value.exit_code == 3
    assert "9999" in caught.value.summary
    assert HEAD in caught.value.summary


@pytest.mark.parametrize("may", [{"make": False}, {"migrate": False}])
def test_who_wants_the_ledger_that_is_there_makes_none(bare_house: House, tmp_path: Path, may: dict[str, bool]) -> None:
    """An empty one would be told, or backed up over the last good copy, while its disk is not mounted."""
    for _ in range(2):
        with pytest.raises(LedgerOutOfReach, match="ledger-missing") as caught:
            bare_house.open(**may)

    assert caught.value.exit_code == 75
    assert "mounted" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_no_bytes_is_no_ledger_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()

    with pytest.raises(LedgerOutOfReach, match="ledger-missing") as caught:
        Ledger.open(LedgerSettings(url=f"sqlite:///{path}"), make=False)

    assert caught.value.item == str(path)
    assert [(found.name, found.stat().st_size) for found in tmp_path.iterdir()] == [("ledger.db", 0)]


def test_a_database_of_somebody_else_is_no_ledger_either(bare_house: House) -> None:
    with bare_house.open() as ledger, ledger.begin() as connection:
        connection.exec_driver_sql("drop table alembic_version")

    with pytest.raises(LedgerOutOfReach, match="ledger-missing"):
        bare_house.open(make=False)


def test_who_makes_none_migrates_an_older_one_all_the_same(bare_house: House) -> None:
    begun_at(LedgerSettings(url=bare_house.url), "0002")

    with bare_house.open(make=False) as ledger:
        assert at(ledger) == HEAD


def test_an_older_ledger_is_not_migrated_by_who_may_not(house: House) -> None:
    put_at(house, "0000")

    with pytest.raises(
        LedgerOutOfReach, match="the ledger is older: it is at revision 0000, and this program wants"
    ) as caught:
        house.open(migrate=False)

    assert "mo-sync init" in str(caught.value.hint)


@pytest.mark.parametrize("found", ["0000", HEAD, "9999"])
def test_who_only_copies_a_ledger_opens_it_as_it_is(house: House, found: str) -> None:
    put_at(house, found)

    with Ledger.open_as_it_is(LedgerSettings(url=house.url)) as ledger:
        assert at(ledger) == found


def test_what_is_no_ledger_is_not_opened_as_it_is_either(bare_house: House) -> None:
    with pytest.raises(LedgerOutOfReach, match="ledger-missing"):
        Ledger.open_as_it_is(LedgerSettings(url=bare_house.url))


def test_a_migration_that_fails_leaves_a_new_ledger_that_can_be_tried_again(
    bare_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is one transaction, tables too, on both databases."""

    def trouble(*_: object) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr("mo_sync.ledger.views.create", trouble)
    with pytest.raises(RuntimeError, match="the power is gone"):
        bare_house.open()
    monkeypatch.undo()

    with bare_house.open() as ledger:
        assert at(ledger) == HEAD


def test_the_scripts_are_where_the_package_looks_for_them() -> None:
    assert (scripts() / "env.py").is_file()
    assert Path(scripts(), "versions", "0001_ledger.py").is_file()


def test_a_migration_asks_nothing_of_the_program_but_how_times_are_written() -> None:
    """What it took from today's schema would change, or break, the upgrade of ledgers of years ago."""
    taken = {
        f"{node.module}.{name.name}"
        for script in (scripts() / "versions").glob("*.py")
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module not in ("alembic", "__future__")
        for name in node.names
    }

    assert taken == {"mo_sync.ledger.columns.UtcTime"}


_MESSAGE = "insert into message (id, application_id, recorded_at, filed_at) values ('{0}', '{1}', {2}, {2})"
_ATTACHMENT = (
    "insert into attachment (id, message_id, application_id, position, state, due_at, deadline_at, created_at,"
    " updated_at) values ('{0}', '{1}', '{2}', 0, 'pending', {3}, {3}, {3}, {3})"
)
_HELD = "insert into application (id, state, until, reason, updated_at) values ('9', 'held', {0}, 'no credit', {0})"
_EVENT = (
    "insert into event (event_key, source, state, message_id, deliveries, received_at, payload)"
    " values ('E1', 'drop', 'accepted', 'M1', 3, {0}, '{{}}')"
)
_THEN = "'2026-11-20T12:00:00.000000Z'"
_OF_0001 = (
    _MESSAGE.format("M1", "17226", _THEN),
    _MESSAGE.format("M2", "9", _THEN),
    _ATTACHMENT.format("A1", "M1", "17226", _THEN),
    _ATTACHMENT.format("A2", "M2", "9", _THEN),
    _HELD.format(_THEN),
    _EVENT.format(_THEN),
)


def test_an_older_ledger_keeps_what_it_holds_and_gains_what_it_lacked(
    bare_house: House,
) -> None:
    settings = LedgerSettings(url=bare_house.url)
    begun_at(settings, "0001")
    with Ledger.open_as_it_is(settings) as ledger, ledger.begin() as connection:
        for statement in _OF_0001:
            connection.exec_driver_sql(statement)

    with bare_house.open() as ledger:
        assert at(ledger) == HEAD
        assert column(ledger, "select id from attachment order by id") == ["A1", "A2"]
        applications = "select state || ' ' || failures || ' ' || coalesce(reason, '') from application order by id"
        assert column(ledger, applications) == ["active 0 ", "held 0 no credit"]
        recorded(ledger, announced("E3", "M3", ["A3"]))
        with ledger.read() as connection:
            assert totals(connection) == counted(connection)
        status = queries.status(ledger, now=NOW)
        assert (status.attachments["pending"], status.messages, status.events) == (3, 3, {"accepted": 2})
        with ledger.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
