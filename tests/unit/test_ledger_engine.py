"""What foreign errors mean for the ledger, and what a URL may be; without a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import exc as sa
from sqlalchemy import make_url

from mo_sync.errors import ConfigurationError, LedgerOutOfReach
from mo_sync.ledger.engine import FOREIGN_ERRORS, connect, shown, translated
from mo_sync.settings import Ledger as LedgerSettings

ITEM = "sqlite:///ledger.db"


def all_below(kind: type[sa.SQLAlchemyError]) -> Iterator[type[sa.SQLAlchemyError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from all_below(below)


def test_every_error_that_a_database_may_raise_has_a_meaning() -> None:
    """Fails when a new version of SQLAlchemy brings an error that nobody has thought about."""
    roots = (sa.DBAPIError, sa.TimeoutError, sa.DisconnectionError)

    unknown = {kind.__name__ for root in roots for kind in all_below(root) if kind.__module__.startswith("sqlalchemy")}

    assert unknown - {kind.__name__ for kind in FOREIGN_ERRORS} == set()


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("told")
    error.sqlite_errorname = name
    return error


def wrapped(original: Exception, kind: type[sa.DBAPIError] = sa.OperationalError) -> sa.DBAPIError:
    return kind("insert into message values (?)", ("+14086080000", "a secret body"), original, hide_parameters=True)


SQLITE = {
    "SQLITE_BUSY": "ledger-locked",
    "SQLITE_BUSY_SNAPSHOT": "ledger-locked",
    "SQLITE_LOCKED_SHAREDCACHE": "ledger-locked",
    "SQLITE_FULL": "ledger-full",
    "SQLITE_READONLY": "ledger-read-only",
    "SQLITE_READONLY_DIRECTORY": "ledger-read-only",
    "SQLITE_CORRUPT": "ledger-damaged",
    "SQLITE_CORRUPT_INDEX": "ledger-damaged",
    "SQLITE_NOTADB": "ledger-damaged",
    "SQLITE_CANTOPEN": "ledger-gone",
    "SQLITE_IOERR_FSYNC": "ledger-unreadable",
    "SQLITE_NOMEM": "ledger-starved",
    "SQLITE_ERROR": None,
    "SQLITE_CONSTRAINT_NOTNULL": None,
    "SQLITE_TOOBIG": None,
    "SQLITE_MISMATCH": None,
}


@pytest.mark.parametrize("name", SQLITE)
def test_sqlites_own_code_decides(name: str) -> None:
    found = translated(wrapped(sqlite_error(name)), ITEM)

    assert (found.code if found else None) == SQLITE[name]


POSTGRESQL = {
    "53100": "ledger-full",
    "53300": "ledger-starved",
    "25006": "ledger-read-only",
    "42501": "ledger-read-only",
    "55P03": "ledger-locked",
    "57014": "ledger-slow",
    "40P01": "ledger-locked",
    "40001": "ledger-locked",
    "28P01": "ledger-refused",
    "3D000": "ledger-gone",
    "57P01": "ledger-gone",
    "57P03": "ledger-gone",
    "08006": "ledger-gone",
    "58030": "ledger-unreadable",
    "XX001": "ledger-damaged",
    "22021": None,
    "23502": None,
    "42P01": None,
    "54000": None,
}


@pytest.mark.parametrize("code", POSTGRESQL)
def test_postgresqls_own_code_decides(code: str) -> None:
    original = psycopg.errors.lookup(code)("told")

    found = translated(wrapped(original), ITEM)

    assert (found.code if found else None) == POSTGRESQL[code]


def test_without_a_code_the_kind_of_error_decides() -> None:
    gone = translated(wrapped(psycopg.OperationalError("connection refused")), ITEM)
    closed = translated(wrapped(psycopg.InterfaceError("the connection is closed"), sa.InterfaceError), ITEM)
    bug = translated(wrapped(psycopg.ProgrammingError("wrong"), sa.ProgrammingError), ITEM)
    crowded = translated(sa.TimeoutError("QueuePool limit"), ITEM)

    assert [found.code if found else None for found in (gone, closed, bug, crowded)] == [
        "ledger-gone",
        "ledger-gone",
        None,
        "ledger-locked",
    ]
    assert translated(sa.NoResultFound(), ITEM) is None


@pytest.mark.parametrize("name", [name for name, code in SQLITE.items() if code])
def test_every_trouble_has_a_sentence_and_advice(name: str) -> None:
    found = translated(wrapped(sqlite_error(name)), ITEM)

    assert isinstance(found, LedgerOutOfReach)
    assert found.item == ITEM
    assert found.summary
    assert found.hint
    assert found.exit_code == 75
    assert "secret" not in str(found)


URLS = {
    "postgresql+psycopg://mo:geheim@db/ledger": "postgresql+psycopg://mo:***@db/ledger",
    "postgresql://db/ledger?user=mo&password=geheim": "postgresql://db/ledger?password=%2A%2A%2A&user=mo",
    "postgresql://db/ledger?sslpassword=geheim": "postgresql://db/ledger?sslpassword=%2A%2A%2A",
    "sqlite:///ledger.db": "sqlite:///ledger.db",
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_shown_without_its_passwords(url: str) -> None:
    """P16."""
    assert shown(make_url(url)) == URLS[url]


@pytest.mark.parametrize(
    "url",
    [
        "geheim",
        "",
        "mysql://mo:geheim@db/ledger",
        "postgres://mo:geheim@db/ledger",
        "postgresql+psycopg2://mo:geheim@db/ledger",
        "postgresql+geheim://db/ledger",
        "sqlite+pysqlcipher://:geheim@/ledger.db",
        "postgresql://mo:geheim@db:port/ledger",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_what_is_no_url_of_a_ledger_is_a_wrong_setting_and_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger-url-invalid") as caught:
        connect(LedgerSettings(url=url))

    assert caught.value.item == "ledger.url"
    assert "sqlite:///FILE" in str(caught.value.hint)
    assert ":geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("options", "name", "hint"),
    [
        ("-c statement_timeout=0", "statement_timeout", "four times ledger.busy_timeout"),
        ("-csearch_path=mine -clock_timeout=9", "lock_timeout", "it is ledger.busy_timeout"),
        ("--Synchronous-Commit=off", "synchronous_commit", "must be on the disk"),
        ("-c TimeZone=CET", "timezone", "UTC"),
    ],
)
def test_what_is_set_for_every_connection_is_refused_in_the_url(options: str, name: str, hint: str) -> None:
    url = make_url("postgresql://mo@db/ledger").update_query_dict({"options": options})

    with pytest.raises(ConfigurationError, match=f"ledger-url-invalid: .*mo-sync sets {name} itself") as caught:
        connect(LedgerSettings(url=url.render_as_string()))

    assert caught.value.item == "ledger.url"
    assert hint in str(caught.value.hint)


def test_connecting_is_put_off_until_it_is_needed() -> None:
    engine = connect(LedgerSettings(url="postgresql://nobody@nowhere.invalid/ledger"))

    assert engine.url.drivername == "postgresql+psycopg"
    engine.dispose()
